"""
Many targets: the lower half of a digit
=======================================

A regressor takes as many targets as there are: here 32 pixels in and 32 out, the lower half of a
digit given the upper one. A straight line smears over all digits that begin alike; a network picks
one.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split

from skdnn import DNNRegressor

pixels = load_digits().data
X, X_test, Y, Y_test = train_test_split(pixels[:, :32], pixels[:, 32:], random_state=0)
models = {"Ridge": Ridge(), "DNNRegressor": DNNRegressor(random_state=0)}
lower = {"the digit": Y_test}
for name, model in models.items():
    guess = model.fit(X, Y).predict(X_test)
    R2 = r2_score(Y_test, guess, multioutput="variance_weighted")
    lower[f"{name}\nR² {R2:.2f}"] = guess

fig, axes = plt.subplots(3, 9, figsize=(10, 4), layout="constrained")
for row, (name, half) in zip(axes, lower.items(), strict=True):
    for k, ax in enumerate(row):
        ax.imshow(
            np.concatenate([X_test[k], half[k]]).reshape(8, 8), cmap="gray_r", vmin=0, vmax=16
        )
        ax.axhline(3.5, color="#D55E00", lw=1.2)
        ax.set(xticks=[], yticks=[])
    row[0].set_ylabel(name)
fig.suptitle("Above the line: given. Below it: the digit's own, and what the models made of it")
plt.show()
