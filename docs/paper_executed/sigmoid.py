"""Equation (2): the slope of the sigmoid, from its value and from differences."""

import matplotlib.pyplot as plt
import numpy as np
from pictures import BLUE, GREY, ORANGE

from skdnn.activations import d_sigmoid, sigmoid

z, h = np.linspace(-7, 7, 400), 1e-5
few = z[::20]
figure, axes = plt.subplots(figsize=(6, 2.9))
axes.plot(z, sigmoid(z), color=BLUE, label="σ(z)")
axes.plot(z, d_sigmoid(z), color=ORANGE, ls="--", label="σ(z) (1 - σ(z))")
axes.plot(
    few,
    (sigmoid(few + h) - sigmoid(few - h)) / (2 * h),
    "o",
    ms=4,
    color=GREY,
    label="differences of σ",
)
axes.set(title="the sigmoid and its slope", xlabel="z")
axes.legend(frameon=False)
