"""The experiment: the gradient of Theorem 5.4 against differences of J, step by step."""

import matplotlib.pyplot as plt
import numpy as np
from pictures import BLUE, GREEN, GREY, ORANGE, digits

from skdnn.verify import check_gradients
from tests import paper

net = digits()
X, Y, output = net.X[:, :60], net.Y[:, :60], paper.OUTPUTS["categorical_cross_entropy"]
_, dW, _ = paper.backward(X, Y, net.W, net.b, paper.relu, paper.d_relu, output)
i, j = np.unravel_index(np.argmax(np.abs(dW[2])), dW[2].shape)


def cost(step: complex) -> complex:
    """J with a step added to one weight of the second layer."""
    W = [None, *(w.astype(complex) for w in net.W[1:])]
    W[2][i, j] += step
    # A complex number is on the side of 0 that its real part is on.
    return paper.cost(X, Y, W, net.b, lambda z: np.where(z.real > 0, z, 0), output)


steps = 10.0 ** np.arange(-15, 0, 0.5)
exact = dW[2][i, j]
one_sided = [(cost(h) - cost(0)).real / h for h in steps]
central = [(cost(h) - cost(-h)).real / (2 * h) for h in steps]
complex_step = [cost(1j * h).imag / h for h in steps]

figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 3.7))
for name, values, colour, mark in (
    ("(J(w + h) - J(w)) / h", one_sided, GREY, "s"),
    ("(J(w + h) - J(w - h)) / 2h", central, ORANGE, "^"),
    ("Im J(w + ih) / h", complex_step, BLUE, "o"),
):
    error = np.maximum(np.abs(np.array(values) / exact - 1), 1e-17)
    left.loglog(steps, error, mark, ls="-", lw=0.8, ms=4, color=colour, label=name)
left.set(
    title=f"one entry of dW[2], {exact:.3f}",
    xlabel="step h",
    ylabel="relative error",
    ylim=(3e-18, 9),
)
left.legend(frameon=False, fontsize=8.5)

X_rows, labels = net.X.T[:60], net.labels[:60]
for method, colour, mark in (("central", ORANGE, "^"), ("complex-step", BLUE, "o")):
    arrays = check_gradients(net.model, X_rows, labels, method=method).arrays
    errors = [max(a.relative, 1e-17) for a in arrays]
    right.semilogy([f"d{a.name}" for a in arrays], errors, mark, color=colour, label=method)
right.axhline(2**-52, color=GREEN, ls="--", lw=1, label="one rounding, 2⁻⁵²")
right.set(title="all arrays, skdnn.verify.check_gradients", ylim=(3e-18, 1e-6))
right.set_ylabel("largest difference / largest entry")
right.legend(frameon=False, fontsize=8.5)
