"""One default fit, as its attributes tell it."""

import matplotlib.pyplot as plt
import numpy as np
from pictures import BLUE, GREY, ORANGE
from sklearn.datasets import load_digits

from skdnn import DNNClassifier

X, y = load_digits(return_X_y=True)
rows = []


class Rows:
    """A callback that notes the rows of every epoch."""

    def setup(self, estimator: object, context: object) -> None: ...

    def teardown(self, estimator: object, context: object) -> None: ...

    def on_fit_task_begin(self, estimator: object, context: object) -> None: ...

    def on_fit_task_end(self, estimator: object, context: object, *, X: object = None) -> None:
        if context.task_name != "fit":
            rows.append((context.task_name, len(X)))


model = DNNClassifier(random_state=0).set_callbacks(Rows()).fit(X, y)
search = np.arange(1, len(model.validation_loss_curve_) + 1)
refit = len(search) + np.arange(1, model.n_iter_ + 1)
best, stop = model.best_n_iter_, refit[-1]

figure, (held_out, training, counts) = plt.subplots(
    3, 1, figsize=(8.4, 6.2), height_ratios=[2, 2, 1.2], sharex=True
)
held_out.semilogy(search, model.validation_loss_curve_, color=ORANGE)
least = model.validation_loss_curve_[best - 1]
held_out.plot(best, least, "o", color=ORANGE)
held_out.annotate(
    f"epoch {best}: the least, once calibrated",
    (best, least),
    (0, 40),
    textcoords="offset points",
    ha="center",
    arrowprops={"arrowstyle": "-", "color": GREY},
)
held_out.set(
    title="search: the loss on the held-out rows", ylabel="log loss", yticks=[0.1, 0.2, 0.4]
)
held_out.set_yticklabels(["0.1", "0.2", "0.4"])
held_out.yaxis.minorticks_off()
training.semilogy(refit, model.loss_curve_, color=BLUE)
training.set(
    title="refit: the objective on all rows, and the learning rate (dashed)", ylabel="objective"
)
rate = training.twinx()
rate.plot(refit, model.learning_rate_curve_, color=GREY, ls="--")
rate.set(ylabel="learning rate", ylim=(0, None))
colours = [BLUE if name == "refit epoch" else ORANGE for name, _ in rows]
counts.bar(range(1, len(rows) + 1), [n for _, n in rows], width=1.0, color=colours)
for middle, name in ((len(search) / 2, "search"), ((len(search) + stop) / 2, "refit")):
    counts.text(middle, 700, name, ha="center", color="white", weight="bold")
counts.set(title="the rows that each epoch trains on", xlabel="epoch of the whole fit")
