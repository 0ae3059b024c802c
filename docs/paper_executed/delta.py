"""Theorem 5.1 at one digit: a goes forward, delta comes back, layer by layer."""

import matplotlib.pyplot as plt
import numpy as np
from pictures import GREY, digits, forward

from tests import paper

net = digits()
probability = forward(net.X)[1][-1][net.labels, np.arange(len(net.labels))]
k = int(np.argmin(np.abs(probability - 0.5)))  # a digit that it is in two minds about
x, y = net.X[:, [k]], net.Y[:, [k]]
z, a = forward(x)
delta, _, _ = paper.backward_one_sample(
    x, y, net.W, net.b, paper.relu, paper.d_relu, paper.OUTPUTS["categorical_cross_entropy"]
)
in_the_pixels = paper.nabla_a(net.W[1], delta[1])

figure = plt.figure(figsize=(10.5, 5.2))
top, bottom = figure.subfigures(2, 1)
for row, title in ((top, "forward: a[ℓ] →"), (bottom, "backward: ← δ[ℓ]")):
    row.suptitle(title, x=0.01, ha="left", fontweight="bold")
cells = [row.subplots(1, 4, width_ratios=[1.1, 2.2, 1.4, 1.2]) for row in (top, bottom)]

cells[0][0].imshow(x.reshape(8, 8), cmap="gray_r")
cells[0][0].set_title(f"a[0]: a {net.labels[k]}")
reach = np.abs(in_the_pixels).max()
cells[1][0].imshow(in_the_pixels.reshape(8, 8), cmap="RdBu_r", vmin=-reach, vmax=reach)
cells[1][0].set_title("W[1]ᵀ δ[1]")
for axes in (cells[0][0], cells[1][0]):
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(True)
for l in (1, 2, 3):
    units = np.arange(len(a[l]))
    silent = (z[l][:, 0] <= 0) if l < 3 else np.zeros(len(units), bool)
    for axes, values in ((cells[0][l], a[l][:, 0]), (cells[1][l], delta[l][:, 0])):
        colours = np.where(values > 0, "#b2182b", "#2166ac")
        axes.bar(units, values, color=colours)
        axes.plot(units[silent], np.zeros(silent.sum()), "x", color=GREY, ms=4)
        axes.axhline(0, color=GREY, lw=0.6)
        axes.set_xticks(range(10) if l == 3 else [0, len(units) - 1])
    cells[0][l].set_title(f"a[{l}], {('relu', 'relu', 'softmax')[l - 1]}")
    cells[1][l].set_title(f"δ[{l}]" if l < 3 else "δ[3] = o - y")
top.supxlabel("unit (x: relu is 0 there, and so is its slope)", fontsize=9)
