"""Figure 2 for several epsilons, and what is left of them in units of epsilon."""

import matplotlib.pyplot as plt
import numpy as np
from pictures import BLUE, GREEN, GREY, ORANGE

from skdnn.activations import d_relu_eps, relu, relu_eps

figure, (value, slope, scaled) = plt.subplots(1, 3, figsize=(10.5, 3.3))
z = np.linspace(-1.3, 0.5, 721)
value.plot(z, relu(z), color=GREY, lw=3, alpha=0.45, label="relu")
for epsilon, colour, style in ((1.0, ORANGE, "-"), (0.5, BLUE, "--"), (0.2, GREEN, ":")):
    value.plot(z, relu_eps(z, epsilon), color=colour, ls=style, label=f"ε = {epsilon:g}")
    slope.plot(z, d_relu_eps(z, epsilon), color=colour, ls=style)
slope.plot(z, np.where(z > 0, 1.0, 0.0), color=GREY, lw=3, alpha=0.45)
value.set(title="relu and relu$_\\epsilon$ near 0", xlabel="z")
value.legend(frameon=False)
slope.set(title="the slope: 0 up to -ε, 1 from 0 on", xlabel="z")

t = np.linspace(-1.3, 0.5, 361)
for epsilon, colour, style in ((1.0, ORANGE, "-"), (1e-32, "black", ":")):
    y = relu_eps(t * epsilon, epsilon) / epsilon
    scaled.plot(t, y, color=colour, ls=style, lw=2, label=f"ε = {epsilon:g}")
scaled.set(title="in units of ε all are one curve", xlabel="z / ε", ylabel="relu$_\\epsilon$ / ε")
scaled.legend(frameon=False)
for axes in figure.axes:
    axes.axhline(0, color=GREY, lw=0.6)
    axes.axvline(0, color=GREY, lw=0.6)
