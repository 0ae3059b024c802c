"""
Error against time
==================

What a second of one core buys, on digits. Each model is given more and more of what makes it take
longer and, up to a point, better: epochs for scikit-learn's network, trees for boosting, networks
to average for skdnn. Its default fit is the point of one network, which on these digits is enough.
How long one trains depends on the rows that it holds out, so its points are means over three seeds.
"""

from time import process_time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from skdnn import DNNClassifier

X, X_test, y, y_test = train_test_split(
    *load_digits(return_X_y=True), test_size=0.4, random_state=0
)
scaler = StandardScaler().fit(X)  # for scikit-learn's network; skdnn scales inside
X_scaled, X_test_scaled = scaler.transform(X), scaler.transform(X_test)


def timed(fit, *args, **kwargs):
    """Run it on one thread; return the seconds."""
    with threadpool_limits(limits=1):
        start = process_time()
        fit(*args, **kwargs)
        return process_time() - start


curves = {}
points = []
for k in (1, 2, 4):
    runs = []
    for seed in range(3):
        model = DNNClassifier(n_estimators=k, random_state=seed)
        runs.append((timed(model.fit, X, y), log_loss(y_test, model.predict_proba(X_test))))
    points.append(tuple(np.mean(runs, axis=0)))
curves["DNNClassifier, 1 to 4 networks"] = points

points, seconds = [], 0.0
mlp = MLPClassifier(random_state=0)
for epoch in range(1, 121):
    seconds += timed(mlp.partial_fit, X_scaled, y, classes=range(10))
    if epoch in (15, 30, 60, 120):
        points.append((seconds, log_loss(y_test, mlp.predict_proba(X_test_scaled))))
curves["MLPClassifier, 15 to 120 epochs"] = points

points, seconds = [], 0.0
boosting = HistGradientBoostingClassifier(warm_start=True, random_state=0)
for iterations in (5, 10, 20, 40):
    boosting.set_params(max_iter=iterations)
    seconds += timed(boosting.fit, X, y)
    points.append((seconds, log_loss(y_test, boosting.predict_proba(X_test))))
curves["HistGradientBoosting, 5 to 40 iterations"] = points

plt.style.use("tableau-colorblind10")
fig, ax = plt.subplots(figsize=(6.8, 4.6), layout="constrained")
for (name, points), marker in zip(curves.items(), "os^", strict=True):
    ax.loglog(*zip(*points, strict=True), marker=marker, label=name)
ax.set(
    title="1,078 digits to learn from: loss against time",
    xlabel="seconds of one core",
    ylabel="log loss on 719 other digits",
    yticks=[0.05, 0.1, 0.2, 0.4, 0.8],
    yticklabels=[0.05, 0.1, 0.2, 0.4, 0.8],
)
ax.set(xticks=[0.1, 0.2, 0.5, 1, 2], xticklabels=[0.1, 0.2, 0.5, 1, 2])
ax.minorticks_off()
ax.grid(alpha=0.3)
ax.legend(fontsize=8.5)
plt.show()
