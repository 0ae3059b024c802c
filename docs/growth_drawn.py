"""How the cost of a fit grows, as growth.py prints it."""

import matplotlib.pyplot as plt
from pictures import BLUE, GREEN, PURPLE

# What grows, its sizes, and the seconds and MiB of skdnn, MLP and boosting, as far as they went.
FOUND = {
    "rows": (
        [100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000],
        ([0.00624, 0.0449, 0.274, 3.07, 31.7], [0, 2, 5, 94, 88]),
        ([0.00486, 0.0186, 0.159, 1.63, 12.4], [0, 1, 4, 40, 205]),
        ([0.00554, 0.0411, 0.0626, 0.444, 4.43, 47.7], [0, 1, 3, 10, 282, 2789]),
    ),
    "columns": (
        [10, 100, 1_000, 10_000],
        ([0.0483, 0.242, 0.211, 1.6], [1, 10, 16, 144]),
        ([0.0327, 0.0433, 0.14, 1.75], [1, 2, 25, 243]),
        ([0.0179, 0.102, 1.29, 20], [0, 6, 81, 764]),
    ),
    "classes": (
        [2, 10, 100, 1_000],
        ([1.10, 1.24, 2.54, 8.71], [15, 16, 44, 197]),
        ([0.857, 0.857, 1.3, 6.41], [18, 17, 42, 427]),
        ([0.178, 0.764, 5.78, 51], [6, 13, 85, 794]),
    ),
    "hidden units": (
        [10, 100, 1_000, 10_000],
        ([0.111, 0.252, 1.52, 18.3], [3, 5, 26, 175]),
        ([0.0796, 0.173, 0.956, 11.8], [3, 4, 20, 182]),
        ([], []),
    ),
    "networks": (
        [1, 2, 4, 8, 16],
        ([0.251, 0.439, 0.783, 1.47, 2.76], [5, 12, 19, 36, 53]),
        ([], []),
        ([], []),
    ),
}
PROGRAMS = {"skdnn": (BLUE, "o"), "MLP": (PURPLE, "v"), "HistGradientBoosting": (GREEN, "^")}

figure, axes = plt.subplots(2, 5, figsize=(9.6, 5), sharex="col", layout="constrained")
for (above, below), (what, (sizes, *programs)) in zip(axes.T, FOUND.items(), strict=True):
    for (name, (colour, mark)), told in zip(PROGRAMS.items(), programs, strict=True):
        for axis, values in zip((above, below), told, strict=True):
            shown = [max(value, 0.5) for value in values] if axis is below else values
            axis.loglog(sizes[: len(values)], shown, mark + "-", color=colour, label=name)
    below.set_xlabel(what)
axes[0, 0].set_ylabel("processor time, s")
axes[1, 0].set_ylabel("memory above the data, MiB")
figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
