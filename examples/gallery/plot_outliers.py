"""
Losses that bear outliers
=========================

A mistyped target, ten times too large, pulls the squared error with the square of its distance.
The absolute error and Huber's loss count it once. The targets of 5 % of the patients are spoiled in
training; the patients that are asked have theirs untouched.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.metrics import median_absolute_error
from sklearn.model_selection import train_test_split

from skdnn import DNNRegressor
from skdnn.names import LossName

data = load_diabetes(scaled=False, as_frame=True)
X, X_test, y, y_test = train_test_split(
    data.data[["s5"]].to_numpy(), data.target.to_numpy(), random_state=0
)
spoiled = np.random.default_rng(0).random(len(y)) < 0.05
y = np.where(spoiled, 10 * y, y)

losses: dict[LossName, tuple[str, str]] = {
    "squared_error": ("#D55E00", "--"),
    "huber": ("#009E73", "-."),
    "absolute_error": ("#0072B2", "-"),
}
grid = np.linspace(X.min(), X.max(), 200)[:, np.newaxis]

fig, ax = plt.subplots(figsize=(7, 4.6), layout="constrained")
ax.scatter(X_test, y_test, s=12, color="#777777", label="patients that were not seen")
for loss, (colour, style) in losses.items():
    model = DNNRegressor(
        loss=loss, huber_delta=0.1, hidden_layer_sizes=(16, 16), activation="tanh", random_state=0
    ).fit(X, y)
    error = median_absolute_error(y_test, model.predict(X_test))
    label = f'loss="{loss}": median error {error:.0f}'
    ax.plot(grid, model.predict(grid), color=colour, ls=style, lw=2.2, label=label)
ax.set(
    title=f"{spoiled.sum()} of {len(y)} training targets are ten times too large",
    xlabel="s5, log of triglycerides",
    ylabel="progression of the disease",
    ylim=(0, 430),
)
ax.legend(loc="upper left", fontsize=8.5)
plt.show()
