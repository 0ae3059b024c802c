"""
Loss curves: when to stop, and what was kept
============================================

A network that trains for too long learns its rows by heart: the loss on rows that it does not
train on rises again. The defaults guard against that. They hold out a fifth of the rows, keep the
best epoch, and then train again on all rows for as many.

Diabetes has 442 patients and much noise, so that the danger is real. Two fits are drawn by
:class:`skdnn.LossCurveDisplay`: scikit-learn's settings, :meth:`~skdnn.DNNRegressor.plain`, which
know nothing of held-out rows, are given the same ones to look at; and the defaults.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split

from skdnn import DNNRegressor, LossCurveDisplay

X, y = load_diabetes(return_X_y=True)
X, X_val, y, y_val = train_test_split(X, y, test_size=0.25, random_state=0)

plain = DNNRegressor.plain(
    hidden_layer_sizes=(96, 96),
    scale_inputs="standard",
    scale_target=True,
    learning_rate="cosine",
    learning_rate_init=0.003,
    max_iter=60,
    random_state=0,
)
models = {
    "plain, 60 epochs": plain.fit(X, y, X_val=X_val, y_val=y_val),
    "the defaults": DNNRegressor(random_state=0).fit(X, y, X_val=X_val, y_val=y_val),
}

plt.style.use("tableau-colorblind10")
fig, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
for ax, (name, model) in zip(axes, models.items(), strict=True):
    LossCurveDisplay.from_estimator(model, ax=ax)
    ax.set_title(f"{name}: R² on the other rows {model.score(X_val, y_val):.2f}")
fig.suptitle("The loss of every epoch, on training rows and on rows held out")
plt.show()

# %%
# On the left the training loss goes on falling long after the other has turned. On the right the
# same rows choose the epoch whose weights are kept; it is marked.
