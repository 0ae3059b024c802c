"""
Decision boundaries: a network, scikit-learn's, and a forest
============================================================

Three growers of wine, and two of the thirteen columns of their chemistry, so that the regions can
be drawn. The raw columns have different units: a network needs them scaled, which skdnn does
inside and scikit-learn's must be told to; a forest does not care.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.inspection import DecisionBoundaryDisplay
from sklearn.model_selection import cross_val_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdnn import DNNClassifier

data = load_wine(as_frame=True)
X, y = data.data[["proline", "flavanoids"]], data.target

models = {
    "DNNClassifier": DNNClassifier(random_state=0),
    "RandomForestClassifier": RandomForestClassifier(random_state=0),
    "MLPClassifier, raw columns": MLPClassifier(max_iter=2000, random_state=0),
    "MLPClassifier, scaled": make_pipeline(
        StandardScaler(), MLPClassifier(max_iter=2000, random_state=0)
    ),
}
# Three colours that stay apart for every kind of colour vision, and three markers.
colours = ["#0072B2", "#E69F00", "#CC79A7"]

fig, axes = plt.subplots(2, 2, figsize=(9, 8), sharex=True, sharey=True, layout="constrained")
for ax, (name, model) in zip(axes.flat, models.items(), strict=True):
    accuracy = cross_val_score(model, X, y, cv=10).mean()
    DecisionBoundaryDisplay.from_estimator(
        model.fit(X, y),
        X,
        ax=ax,
        response_method="predict_proba",
        multiclass_colors=colours,
        grid_resolution=150,
        alpha=0.7,
    )
    for grower, marker in enumerate("os^"):
        rows = X[y == grower]
        ax.scatter(
            rows["proline"],
            rows["flavanoids"],
            c=colours[grower],
            marker=marker,
            edgecolor="black",
            linewidth=0.6,
            s=26,
            label=f"grower {grower}",
        )
    ax.label_outer()
    ax.set_title(f"{name}\n{100 * accuracy:.0f} % right in cross-validation")
axes[0, 0].legend(loc="lower right")
fig.suptitle("Where each model sees which grower: the paler, the less sure")
plt.show()

# %%
# On columns whose units differ by a factor of hundreds scikit-learn's network sees hardly more
# than one of them; scaled, it is as good as any. The forest's regions are made of steps along the
# axes, and of single rows that it has learnt by heart.
