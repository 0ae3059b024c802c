"""
Several networks know when they do not know
===========================================

``n_estimators=10`` averages ten networks, each with first weights of its own. On digits like those
they learnt they agree. A digit that is turned is none of these, and they begin to differ: the
spread of their answers says what the mean cannot.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import rotate
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skdnn import DNNClassifier

X, X_test, y, y_test = train_test_split(*load_digits(return_X_y=True), random_state=0)
model = DNNClassifier(n_estimators=10, random_state=0).fit(X, y)

digit = X_test[np.flatnonzero(y_test == 7)[0]].reshape(8, 8)
angles = np.arange(0, 181, 5)
turned = np.array([np.clip(rotate(digit, angle, reshape=False), 0, 16) for angle in angles])
rows = turned.reshape(len(angles), -1)
mean = model.predict_proba(rows)
members = np.array([member.predict_proba(rows) for member in model.estimators_])

classes = np.flatnonzero(mean.max(axis=0) > 0.5)
fig = plt.figure(figsize=(8, 5), layout="constrained")
grid = fig.add_gridspec(2, 9, height_ratios=[1, 4])
for j, k in enumerate(range(0, len(angles), 4)):
    if j < 9:
        ax = fig.add_subplot(grid[0, j])
        ax.imshow(turned[k], cmap="gray_r")
        ax.set(xticks=[], yticks=[], title=f"{angles[k]}°")
ax = fig.add_subplot(grid[1, :])
styles = [("#0072B2", "-"), ("#D55E00", "--"), ("#009E73", "-."), ("#CC79A7", ":")]
for c, (colour, style) in zip(classes, styles, strict=False):
    ax.plot(angles, mean[:, c], color=colour, ls=style, lw=2.2, label=f"a {c}")
    ax.fill_between(
        angles, *np.quantile(members[:, :, c], (0.1, 0.9), axis=0), color=colour, alpha=0.2
    )
ax.set(xlabel="turned by, degrees", ylabel="probability", xlim=(0, 180), ylim=(0, 1.02))
ax.legend(title="taken for", loc="center")
fig.suptitle("A seven is turned: the mean of ten networks, and eight of the ten about it")
plt.show()
