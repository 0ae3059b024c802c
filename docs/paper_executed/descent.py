"""Codes 3 and 4: gradient descent on the full batch, by the specification and by skdnn."""

import matplotlib.pyplot as plt
import numpy as np
from pictures import BLUE, ORANGE, digits

from skdnn import DNNClassifier
from tests import paper

STEPS, RATE = 120, 0.3
net = digits()
X, Y, labels = net.X, net.Y, net.labels
ours = DNNClassifier.plain(hidden_layer_sizes=(32, 16), solver="gd", alpha=0, random_state=1)
ours.set_params(learning_rate_init=RATE)
ours.partial_fit(X.T, labels, classes=range(10))  # one step: both go on from there
W, b = [None, *map(np.copy, ours.weights_)], [None, *map(np.copy, ours.biases_)]
_, _, costs = paper.gradient_descent(
    X, Y, W, b, paper.relu, paper.d_relu, paper.OUTPUTS["categorical_cross_entropy"], STEPS, RATE
)
curve = [ours.partial_fit(X.T, labels).loss_ for _ in range(STEPS)]

figure, axes = plt.subplots(figsize=(6.4, 3.2))
axes.plot(range(STEPS), costs, color=ORANGE, lw=4, alpha=0.5, label="tests.paper, code 4")
axes.plot(
    range(1, STEPS + 1), curve, color=BLUE, lw=1.2, ls="--", label='DNNClassifier(solver="gd")'
)
axes.set(title="200 digits, 120 steps W ← W - 0.3 dW", xlabel="step", ylabel="cost J")
axes.legend(frameon=False)
