"""
Probabilities that can be believed
==================================

Of the patients to whom a model gives a probability of 0.8, four in five should turn out to be ill.
Networks are known to promise too much; so a default fit of a classifier ends with a factor on its
last layer, chosen on the rows that it held out (Guo et al., 2017), and with biases that give both
classes their shares.

Whether diabetes progresses faster than for the median patient is hard to tell from ten columns,
which is where calibration matters. Every probability here is for a patient that the model was not
fitted to, by three-fold cross-validation.
"""

import matplotlib.pyplot as plt
from sklearn.calibration import CalibrationDisplay
from sklearn.datasets import load_diabetes
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdnn import DNNBinaryClassifier

X, progression = load_diabetes(return_X_y=True)
y = progression > 140
folds = StratifiedKFold(3, shuffle=True, random_state=0)

models = {
    "DNNBinaryClassifier": DNNBinaryClassifier(random_state=0),
    "MLPClassifier, scaled": make_pipeline(
        StandardScaler(), MLPClassifier(max_iter=3000, random_state=0)
    ),
    "HistGradientBoosting": HistGradientBoostingClassifier(random_state=0),
}

plt.style.use("tableau-colorblind10")
fig, (curve, counts) = plt.subplots(
    2, 1, figsize=(6.4, 6.8), height_ratios=[3, 1.3], layout="constrained"
)
for (name, model), marker in zip(models.items(), "os^", strict=True):
    p = cross_val_predict(model, X, y, cv=folds, method="predict_proba")[:, 1]
    label = f"{name}, log loss {log_loss(y, p):.2f}"
    CalibrationDisplay.from_predictions(
        y, p, n_bins=6, strategy="quantile", ax=curve, name=label, marker=marker
    )
    counts.hist(p, bins=20, range=(0, 1), histtype="step", lw=1.6, label=name)
curve.set(
    title="442 patients: promised and observed",
    xlabel="mean predicted probability of a sixth of the patients",
    ylabel="share of them that were ill",
)
curve.legend(loc="upper left", fontsize=8.5)
counts.set(xlabel="predicted probability", ylabel="patients", xlim=(0, 1))
plt.show()

# %%
# The diagonal is a model whose promises are kept. A curve that is flatter than it promises too
# much on both sides; below, the models that do are those that pile patients up at 0 and 1. The log
# loss, which the labels name, counts that and the errors together.
