"""
What the first layer learnt
===========================

``weights_[0]`` is W[1] of the paper, with a row for each unit of the first layer. For digits a row
has 64 entries, one for each pixel, and so is a picture itself: of the strokes that the unit looks
for, in red, and of those that it wants absent, in blue.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from skdnn import DNNClassifier

X, y = load_digits(return_X_y=True)
# One column of the input for each pixel, without the ramps beside it.
model = DNNClassifier((20, 20), weight_decay=0.3, scale_inputs="clipped", random_state=0).fit(X, y)
W = model.weights_[0]
print("W[1] has shape", W.shape)

# The units that matter most: those with the largest weights to the second layer.
order = np.argsort(-np.linalg.norm(model.weights_[1], axis=0))
# The columns are scaled inside; a pixel that is never inked has nothing to say.
W = np.where(X.std(axis=0) > 0.5, W, np.nan)

plt.rcParams["axes.facecolor"] = "#dddddd"
fig, axes = plt.subplots(2, 10, figsize=(11, 2.7), layout="constrained")
reach = np.nanmax(np.abs(W))
for ax, unit in zip(axes.flat, order, strict=True):
    image = ax.imshow(W[unit].reshape(8, 8), cmap="RdBu_r", vmin=-reach, vmax=reach)
    ax.set(xticks=[], yticks=[])
fig.colorbar(image, ax=axes, shrink=0.9, label="weight")
fig.suptitle("The 20 units of the first layer; a pixel that is hardly ever inked is grey")
plt.show()

# %%
# What makes a unit fire most: beside each of the first five units, the four digits of the data with
# the largest activations.

scaled = (X - X.mean(axis=0)) / np.maximum(X.std(axis=0), 1e-9)
clipped = scaled / np.sqrt(1 + (scaled / 3) ** 2)  # scale_inputs="clipped"
Z = model.weights_[0] @ clipped.T + model.biases_[0]

plt.rcParams["axes.facecolor"] = "white"
fig, axes = plt.subplots(5, 5, figsize=(5.4, 5.8), layout="constrained")
for row, unit in zip(axes, order, strict=False):
    row[0].imshow(model.weights_[0][unit].reshape(8, 8), cmap="RdBu_r", vmin=-reach, vmax=reach)
    for ax, k in zip(row[1:], np.argsort(-Z[unit]), strict=False):
        ax.imshow(X[k].reshape(8, 8), cmap="gray_r")
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
fig.suptitle("Five units, and the digits that excite them most")
plt.show()
