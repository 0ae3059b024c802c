"""
What a column does: partial dependence
======================================

The mean prediction when one column is set to a value for all patients, and nothing else is changed;
and the thin lines behind it, each for one patient. A network draws it smoothly, boosted trees in
steps, since a tree cuts.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_diabetes
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.inspection import PartialDependenceDisplay

from skdnn import DNNRegressor

data = load_diabetes(scaled=False, as_frame=True)
X, y = data.data.astype(float), data.target
columns = {"bmi": "body mass index", "bp": "blood pressure", "s5": "log of triglycerides"}

boosting = HistGradientBoostingRegressor(max_iter=40, random_state=0).fit(X, y)
network = DNNRegressor(n_estimators=5, random_state=0).fit(X, y)

fig, axes = plt.subplots(1, 3, figsize=(11, 4), layout="constrained")
common = dict(features=list(columns), ax=axes, method="brute")
PartialDependenceDisplay.from_estimator(
    boosting,
    X,
    line_kw={"color": "#D55E00", "lw": 2.2, "ls": "--", "label": "boosted trees"},
    **common,
)
PartialDependenceDisplay.from_estimator(
    network,
    X,
    kind="both",
    subsample=40,
    random_state=0,
    pd_line_kw={"color": "#0072B2", "lw": 2.5, "ls": "-", "label": "five networks"},
    ice_lines_kw={"color": "#888888", "lw": 0.5, "alpha": 0.5, "label": "40 patients"},
    **common,
)
for ax, name in zip(axes, columns.values(), strict=True):
    ax.set(xlabel=name, ylabel="", ylim=(50, 300))
    ax.legend().set_visible(ax is axes[0])
axes[0].set_ylabel("predicted progression of the disease")
fig.suptitle("The prediction when one column is set, and the others are left as they are")
plt.show()
