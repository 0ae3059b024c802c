"""
Eleven activations and their slopes
===================================

Every name that ``activation`` takes, from :data:`skdnn.activations.ACTIVATIONS`. Called, an entry
is g; its ``d`` is the slope g', with which backpropagation multiplies.
"""

import matplotlib.pyplot as plt
import numpy as np

from skdnn.activations import ACTIVATIONS

z = np.linspace(-4, 4, 401)
names = [name for name in ACTIVATIONS if name != "sigmoid"]  # another name of "logistic"

fig, axes = plt.subplots(3, 4, figsize=(10, 6.2), sharex=True, sharey=True, layout="constrained")
for ax, name in zip(axes.flat, names, strict=False):
    g = ACTIVATIONS[name]
    ax.axhline(0, color="#bbbbbb", lw=0.8)
    ax.axvline(0, color="#bbbbbb", lw=0.8)
    ax.plot(z, g(z), color="#0072B2", lw=2, label="g(z)")
    ax.plot(z, g.d(z), color="#D55E00", lw=1.5, ls="--", label="g'(z)")
    ax.set(title=name, ylim=(-2, 3))
axes.flat[-1].axis("off")
axes.flat[-1].legend(*axes.flat[0].get_legend_handles_labels(), loc="center", fontsize=12)
fig.suptitle("The activations of the hidden layers")
plt.show()
