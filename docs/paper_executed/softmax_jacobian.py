"""Equation (39) at one output: the Jacobian of softmax, and the covariance of a drawn class."""

import matplotlib.pyplot as plt
import numpy as np
from pictures import digits, forward

from tests import paper

net = digits()
probability = forward(net.X)[1][-1][net.labels, np.arange(len(net.labels))]
k = int(np.argmin(np.abs(probability - 0.5)))
Z, A = forward(net.X[:, [k]])
exact = paper.d_softmax(Z[-1])
drawn = np.random.default_rng(0).multinomial(1, A[-1][:, 0], size=20_000)

figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.7), sharey=True)
titles = ("o$_i$ (δ$_{ij}$ - o$_j$), equation (39)", "covariance of 20,000 classes drawn from o")
reach = np.abs(exact).max()
for ax, matrix, title in zip(axes, (exact, np.cov(drawn.T)), titles, strict=True):
    image = ax.imshow(matrix, cmap="RdBu_r", vmin=-reach, vmax=reach)
    ax.set(title=title, xlabel="class j", xticks=range(10), yticks=range(10))
axes[0].set_ylabel("class i")
figure.colorbar(image, ax=axes, shrink=0.85)
