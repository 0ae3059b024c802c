"""
A grid search as a heat map
===========================

Every setting is a parameter of the estimator, so that ``GridSearchCV`` works as for any other. Two
that matter: how wide the network is, and how fast it learns. The fits are of 400 digits, three
folds each.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from skdnn import DNNClassifier

X, y = load_digits(return_X_y=True)
widths = [(12, 12), (32, 32), (96, 96)]
rates = [0.005, 0.05, 0.5]
grid = {"hidden_layer_sizes": widths, "learning_rate_init": rates}
search = GridSearchCV(DNNClassifier(random_state=0), grid, cv=3).fit(X[:400], y[:400])

accuracy = search.cv_results_["mean_test_score"].reshape(len(widths), len(rates))

fig, ax = plt.subplots(figsize=(6.4, 4.6), layout="constrained")
image = ax.imshow(accuracy, cmap="viridis", vmin=accuracy.max() - 0.12)
for i, j in np.ndindex(*accuracy.shape):
    best = accuracy[i, j] == accuracy.max()
    ax.text(
        j,
        i,
        f"{accuracy[i, j]:.3f}",
        ha="center",
        va="center",
        color="black" if accuracy[i, j] > accuracy.max() - 0.06 else "white",
        fontweight="bold" if best else None,
    )
ax.set(
    xticks=range(len(rates)),
    xticklabels=rates,
    xlabel="learning_rate_init",
    yticks=range(len(widths)),
    yticklabels=[f"{a}, {b}" for a, b in widths],
    ylabel="hidden_layer_sizes",
    title="Accuracy in cross-validation (best in bold)",
)
fig.colorbar(image, ax=ax, label="accuracy", extend="min")
plt.show()

# %%
# The same rate is the best for every width: with ``layer_rates`` it is divided by the root of the
# number of a layer's inputs, so that a wider network needs no other. The default, 0.05, is about a
# hundredth behind it on so few digits; ten times as much is too fast.
print(search.best_params_)

# %%
# The best network, as a notebook shows it: what was set, what is at its default, and what the fit
# found.
search.best_estimator_
