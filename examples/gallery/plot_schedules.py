"""
Learning-rate schedules, and how they bring a fit to rest
=========================================================

A constant rate leaves the weights trembling; one that falls to 0 brings them to rest, and the end
of ``max_iter`` is then convergence. ``learning_rate`` takes a name or a function of the progress,
and ``learning_rate_curve_`` says what was used.
"""

import warnings
from typing import Any

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from skdnn import DNNClassifier

X, y = load_digits(return_X_y=True)
schedules: dict[str, Any] = {
    "constant": "constant",
    "cosine": "cosine",
    "one_cycle": "one_cycle",
    "(1 - p)²": lambda p: (1 - p) ** 2,
}
styles = ["-", "--", "-.", ":"]

plt.style.use("tableau-colorblind10")
fig, (rates, losses) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for (name, schedule), style in zip(schedules.items(), styles, strict=True):
    model = DNNClassifier(
        learning_rate=schedule,
        early_stopping=False,
        calibrate=False,
        refit=False,
        average_decay=0,
        max_iter=40,
        n_iter_no_change=float("inf"),
        tol=0,
        random_state=0,
    )
    with warnings.catch_warnings():  # the constant rate comes to no rest, which is the point
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    epochs = range(1, model.n_iter_ + 1)
    rates.plot(epochs, model.learning_rate_curve_, style, label=name)
    losses.plot(epochs, model.loss_curve_, style, label=name)
rates.set(title="learning rate of each epoch", xlabel="epoch", ylabel="rate")
losses.set(title="objective of each epoch", xlabel="epoch", ylabel="loss", yscale="log")
losses.legend(title="learning_rate")
fig.suptitle("Four schedules, the average of the weights turned off")
plt.show()

# %%
# How low the training loss gets says nothing of other digits: for that there are held-out rows, see
# :ref:`sphx_glr_gallery_plot_loss_curves.py`.
