"""Figure 3 with a real layer: every array is drawn from its entries, one square for each."""

import matplotlib.pyplot as plt
import numpy as np
from pictures import digits, forward

net = digits()
x = net.X[:, [3]]
Z, A = forward(x)
LAYER = 2
W, b, z, a, a_prev = net.W[LAYER], net.b[LAYER], Z[LAYER], A[LAYER], A[LAYER - 1]

plt.rcParams["figure.constrained_layout.use"] = False  # the arrays have places of their own
figure = plt.figure(figsize=(10.5, 4.1))
limit = np.abs(W).max()
LEFT = {"W": 0.13, "x": 0.44, "b": 0.545, "z": 0.65, "a": 0.84}
UNIT = 0.66 / 32  # the height of an entry, as a share of the figure's


def draw(name: str, array: np.ndarray, dims: str) -> None:
    """Put an array into the figure, its entries as squares, with its shape below."""
    rows, columns = array.shape
    width = columns * UNIT * 4.1 / 10.5
    axes = figure.add_axes((LEFT[name], 0.5 - rows * UNIT / 2, width, rows * UNIT))
    reach = limit if name in "Wb" else max(np.abs(array).max(), 1e-9)
    axes.imshow(array, cmap="RdBu_r", vmin=-reach, vmax=reach, aspect="auto")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(True)
    axes.set_title(name, fontsize=14, fontweight="bold")
    axes.set_xlabel(f"{rows} × {columns}\n({dims})")


draw("W", W, "m × n")
draw("x", a_prev, "n × 1")
for name, array in (("b", b), ("z", z), ("a", a)):
    draw(name, array, "m × 1")
for at, sign in ((0.415, "·"), (0.498, "+"), (0.603, "="), (0.75, "— relu →")):
    figure.text(at, 0.5, sign, fontsize=17, ha="center", va="center")
figure.suptitle("Layer 2 of the network at one digit: red is positive, blue negative", y=0.985)
