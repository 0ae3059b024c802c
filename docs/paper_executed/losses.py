"""Theorem 6.1: three losses, and their slopes by differences on the one line o - y."""

from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
from pictures import BLUE, GREY, ORANGE

from tests import paper

z = np.linspace(-4, 4, 401)
h = 1e-5


def of_the_first(loss: str, others: list[float]) -> tuple[Callable, Callable]:
    """Return L and o as functions of the first raw output, the others held fixed."""
    activation, value = paper.OUTPUTS[loss]

    def column(z: np.ndarray) -> np.ndarray:
        return np.vstack([z, *(np.full_like(z, other) for other in others)])

    def output(z: np.ndarray) -> np.ndarray:
        return activation(column(z))

    return (lambda z, y: value(output(z), y)), output


figure, axes = plt.subplots(2, 3, figsize=(10.5, 5), sharex=True)
cases = [
    ("squared_error", "identity, L² loss", []),
    ("binary_cross_entropy", "sigmoid, binary cross-entropy", []),
    ("categorical_cross_entropy", "softmax, categorical cross-entropy", [0.5, -1.0]),
]
for j, (name, title, others) in enumerate(cases):
    loss, output = of_the_first(name, others)
    for target, colour, style in ((1, BLUE, "-"), (0, ORANGE, "--")):
        y = np.array([[target], [1 - target], [0]])[: 1 + len(others)]
        axes[0, j].plot(z, loss(z, y), color=colour, ls=style, label=f"y = {target}")
        axes[1, j].plot(
            z, output(z)[0] - target, color=colour, ls=style, label=f"o - y, y = {target}"
        )
        few = z[10::38]
        slope = (loss(few + h, y) - loss(few - h, y)) / (2 * h)
        axes[1, j].plot(
            few,
            slope,
            "o",
            ms=4,
            mfc="none",
            color=colour,
            label="differences" if target == 0 else None,
        )
    axes[0, j].set_title(title)
    axes[1, j].axhline(0, color=GREY, lw=0.6)
    axes[1, j].set_xlabel("z" if not others else "z of the first class")
axes[0, 0].set_ylabel("loss L")
axes[1, 0].set_ylabel("its slope in z")
axes[0, 0].legend(frameon=False)
axes[1, 1].legend(frameon=False, fontsize=8.5, loc=(0.0, 0.62))
