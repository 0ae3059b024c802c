"""Error and time of default fits over those of gradient boosting, as defaults.py prints them."""

import matplotlib.pyplot as plt
from matplotlib.ticker import NullFormatter, StrMethodFormatter
from pictures import BLUE, GREEN, GREY, ORANGE, PURPLE

# (error, processor time), geometric means over the sets: regression, binary, multiclass.
FOUND = {
    "skdnn, one network": (BLUE, "o", (0.879, 1.89), (0.997, 0.94), (0.569, 0.28)),
    "skdnn, five networks": (BLUE, "D", (0.863, 6.07), (0.967, 3.26), (0.514, 0.94)),
    "MLP, standardised": (PURPLE, "v", (1.310, 3.84), (1.140, 5.48), (0.995, 0.80)),
    "HistGradientBoosting": (GREEN, "^", (1.0, 1.0), (1.0, 1.0), (1.0, 1.0)),
    "CatBoost": (ORANGE, "s", (0.940, 7.31), (0.965, 9.51), (0.866, 6.10)),
}

figure, axes = plt.subplots(1, 3, figsize=(10, 3.9), sharex=True, layout="constrained")
for k, (axis, task) in enumerate(
    zip(axes, ("regression (11)", "binary (13)", "multiclass (12)"), strict=True)
):
    for name, (colour, mark, *found) in FOUND.items():
        error, time = found[k]
        filled = colour if mark != "D" else "none"
        axis.plot(time, error, mark, color=colour, markerfacecolor=filled, markersize=9, label=name)
    axis.axhline(1.0, color=GREY, linewidth=0.8, linestyle=":")
    axis.set(xscale="log", xlim=(0.2, 15), title=task, xlabel="processor time / boosting's")
    axis.set_xticks([0.5, 1, 2, 5, 10])
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
axes[0].set_ylabel("error / boosting's")
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
