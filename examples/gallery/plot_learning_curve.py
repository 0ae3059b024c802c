"""
How many rows does it take?
===========================

The error on digits that were not seen, against the number of digits to learn from. Networks share
what they learn over all pixels and so need fewer rows than trees, which ask one pixel at a time.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import LearningCurveDisplay, ShuffleSplit
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdnn import DNNClassifier

X, y = load_digits(return_X_y=True)
models = {
    "DNNClassifier": DNNClassifier(random_state=0),
    "MLPClassifier, scaled": make_pipeline(
        StandardScaler(), MLPClassifier(max_iter=1000, random_state=0)
    ),
    "HistGradientBoosting": HistGradientBoostingClassifier(max_iter=20, random_state=0),
}

plt.style.use("tableau-colorblind10")
fig, ax = plt.subplots(figsize=(6.6, 4.4), layout="constrained")
for (name, model), marker in zip(models.items(), "os^", strict=True):
    display = LearningCurveDisplay.from_estimator(
        model,
        X,
        y,
        train_sizes=[100, 250, 625],
        cv=ShuffleSplit(3, test_size=500, random_state=0),
        score_type="test",
        negate_score=True,
        scoring="neg_log_loss",
        std_display_style="fill_between",
        line_kw={"marker": marker},
        ax=ax,
    )
    display.lines_[0].set_label(name)
ax.set(
    xscale="log",
    yscale="log",
    xticks=[100, 250, 625],
    xticklabels=[100, 250, 625],
    yticks=[0.1, 0.2, 0.5, 1],
    yticklabels=[0.1, 0.2, 0.5, 1],
    xlabel="digits to learn from",
    ylabel="log loss on 500 others",
    title="Loss against the number of rows",
)
ax.minorticks_off()
ax.legend(handles=ax.lines)
plt.show()
