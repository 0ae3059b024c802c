"""Error and time of default fits over those of gradient boosting, as defaults.py prints them."""

import matplotlib.pyplot as plt
from matplotlib.ticker import NullFormatter, StrMethodFormatter
from pictures import BLUE, GREEN, GREY, ORANGE, PURPLE

# (error, processor time), geometric means over the sets: regression, binary, multiclass.
FOUND = {
    "skdnn, one network": (BLUE, "o", (0.875, 2.63), (0.995, 1.07), (0.563, 0.41)),
    "skdnn, five networks": (BLUE, "D", (0.865, 7.17), (0.973, 3.53), (0.513, 1.17)),
    "MLP, standardised": (PURPLE, "v", (1.310, 3.89), (1.140, 5.44), (0.995, 0.80)),
    "HistGradientBoosting": (GREEN, "^", (1.0, 1.0), (1.0, 1.0), (1.0, 1.0)),
    "CatBoost": (ORANGE, "s", (0.940, 7.28), (0.965, 9.47), (0.866, 5.99)),
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
    axis.set(xscale="log", xlim=(0.3, 15), title=task, xlabel="processor time / boosting's")
    axis.set_xticks([0.5, 1, 2, 5, 10])
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
axes[0].set_ylabel("error / boosting's")
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
