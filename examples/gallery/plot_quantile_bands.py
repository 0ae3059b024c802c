"""
Quantile bands that hold what they promise
==========================================

``loss="quantile"`` learns quantiles instead of the mean, as many as are asked for, in one network
whose outputs do not cross. Those of 0.1 and 0.9 are a band that should hold 80 of 100 patients.
Does it, for patients that it has not seen?
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.model_selection import KFold, cross_val_predict

from skdnn import DNNRegressor

data = load_diabetes(scaled=False, as_frame=True)
X, y = data.data, data.target
folds = KFold(5, shuffle=True, random_state=0)


def network(quantiles):
    """442 rows with much noise: a smaller network than the default, and more decay."""
    return DNNRegressor(
        loss="quantile",
        quantile=quantiles,
        hidden_layer_sizes=(16, 16),
        activation="tanh",
        weight_decay=0.5,
        random_state=0,
    )


# %%
# One column first, since it can be drawn. The band widens to the right: heavier patients differ
# more. A model of the mean, with one deviation for all, could not say so.

bmi = X[["bmi"]]
grid = np.linspace(bmi.min(), bmi.max(), 200)
model = network([0.1, 0.5, 0.9])
low, median, high = model.fit(bmi.to_numpy(), y).predict(grid).T

plt.style.use("tableau-colorblind10")
fig, ax = plt.subplots(figsize=(7, 4.4), layout="constrained")
ax.scatter(bmi, y, s=9, color="#777777", label="patients")
ax.fill_between(grid[:, 0], low, high, alpha=0.25, label="from 0.1 to 0.9")
ax.plot(grid, median, lw=2, label="median")
unseen = cross_val_predict(model, bmi.to_numpy(), y, cv=folds)
coverage = np.mean((unseen[:, 0] <= y) & (y <= unseen[:, 2]))
ax.set(
    title=f"A band for 80 % of the patients holds {100 * coverage:.0f} % of those it has not seen",
    xlabel="body mass index",
    ylabel="progression of the disease",
)
ax.legend(loc="upper left")
plt.show()

# %%
# Now all ten columns, and five quantiles: the share of the patients, each predicted by a network
# that was not fitted to them, that lie below.

quantiles = np.array([0.1, 0.25, 0.5, 0.75, 0.9])
unseen = cross_val_predict(network(quantiles), X, y, cv=folds)
below = np.mean(y.to_numpy()[:, None] <= unseen, axis=0)
noise = 1.96 * np.sqrt(quantiles * (1 - quantiles) / len(y))

fig, ax = plt.subplots(figsize=(4.8, 4.4), layout="constrained")
ax.plot([0, 1], [0, 1], color="#777777", lw=1, label="as promised")
ax.errorbar(quantiles, below, noise, fmt="o", capsize=4, label="442 patients, with chance of 95 %")
ax.set(
    title="Promised and observed quantiles",
    xlabel="quantile that was asked for",
    ylabel="share of the patients below it",
    aspect="equal",
)
ax.legend(loc="upper left", fontsize=8.5)
plt.show()
