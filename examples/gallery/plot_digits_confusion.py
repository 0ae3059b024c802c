"""
Which digits are taken for which
================================

A default fit of scikit-learn's 8 by 8 digits, on half of them; the other half is asked.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import train_test_split

from skdnn import DNNClassifier

X, X_test, y, y_test = train_test_split(
    *load_digits(return_X_y=True), test_size=0.5, random_state=0
)
model = DNNClassifier(random_state=0).fit(X, y)
predicted = model.predict(X_test)
probability = model.predict_proba(X_test)
wrong = np.flatnonzero(predicted != y_test)

fig, ax = plt.subplots(figsize=(5.6, 5), layout="constrained")
ConfusionMatrixDisplay.from_predictions(y_test, predicted, ax=ax, cmap="cividis", colorbar=False)
ax.set_title(f"{len(wrong)} of {len(y_test)} digits are taken for another")
plt.show()

# %%
# What they look like, from the surest mistake to the least sure one. The bars are the probabilities
# that the network gave to the ten classes: blue for the label, orange for what it took it for.

by_sureness = wrong[np.argsort(-probability[wrong].max(axis=1))]
shown = by_sureness[np.linspace(0, len(wrong) - 1, 6).astype(int)]
fig, axes = plt.subplots(2, 6, figsize=(11, 3.6), height_ratios=[2, 1], layout="constrained")
for (image, bars), k in zip(axes.T, shown, strict=True):
    image.imshow(X_test[k].reshape(8, 8), cmap="gray_r")
    image.set(title=f"a {y_test[k]}, taken for {predicted[k]}", xticks=[], yticks=[])
    colours = np.full(10, "#999999")
    colours[y_test[k]], colours[predicted[k]] = "#0072B2", "#D55E00"
    bars.bar(range(10), probability[k], color=colours)
    bars.set(xticks=range(10), ylim=(0, 1))
    bars.tick_params(labelsize=7)
fig.suptitle("Mistakes, and the probabilities of the ten classes")
plt.show()
