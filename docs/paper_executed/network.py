"""Figures 1 and 5: the whole network as boxes, as high as they have units."""

import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from pictures import BLUE, GREEN, GREY, ORANGE, digits

net = digits()
sizes = [64, *(len(b) for b in net.b[1:])]
L = len(sizes) - 1

figure, axes = plt.subplots(figsize=(10.5, 4.3))
axes.set(xlim=(-0.5, 4.55), ylim=(-41, 46), xticks=[], yticks=[])
axes.axis("off")
axes.set_title("A network of three layers: forward above, backward below, shapes for N samples")
for l, n in enumerate(sizes):
    colour = (GREEN, BLUE, BLUE, ORANGE)[l]
    axes.add_patch(Rectangle((l - 0.09, -n / 2), 0.18, n, fc=colour, alpha=0.25, ec=colour, lw=1.5))
    name = "A[0] = X" if l == 0 else f"A[{l}]"
    axes.text(l, n / 2 + 1.5, f"{name}\n{n} × N", ha="center", va="bottom")
    if l:
        axes.text(l, -n / 2 - 1.5, f"dZ[{l}]\n{n} × N", ha="center", va="top", color=GREY)


def arrow(start: float, stop: float, height: float, colour: str) -> None:
    """Draw an arrow along a row of the picture."""
    style = dict(arrowstyle="-|>", mutation_scale=13, color=colour, lw=1.5)
    axes.add_patch(FancyArrowPatch((start, height), (stop, height), **style))


for l in range(1, L + 1):
    arrow(l - 0.86, l - 0.14, 3, BLUE)
    arrow(l - 0.14, l - 0.86, -3, ORANGE)
    g = "relu" if l < L else "softmax"
    axes.text(
        l - 0.5, 4, f"W[{l}]  {sizes[l]} × {sizes[l - 1]}\nb[{l}]  {sizes[l]} × 1\n{g}", ha="center"
    )
    back = f"dW[{l}], db[{l}]" + (f"\nW[{l}]ᵀ, g'" if l > 1 else "")
    axes.text(l - 0.5, -4, back, ha="center", va="top", color=ORANGE)
axes.add_patch(
    FancyBboxPatch((3.93, -4), 0.42, 8, boxstyle="round,pad=0.06", fc="white", ec=ORANGE, lw=1.5)
)
axes.text(4.14, 0, "loss\n(A[3] - Y) / N", ha="center", va="center")
arrow(L + 0.12, 3.86, 2, BLUE)
arrow(3.86, L + 0.12, -2, ORANGE)
