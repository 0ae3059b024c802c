"""The core's gradients against central differences of its own cost."""

import numpy as np
import pytest
import scipy.sparse

from skdnn.activations import ACTIVATIONS
from skdnn.losses import (
    AbsoluteError,
    BinaryCrossEntropy,
    CategoricalCrossEntropy,
    Gamma,
    Huber,
    Poisson,
    Quantile,
    SquaredError,
    Tweedie,
)
from skdnn.network import Parameters, Workspace, backward, forward

N, STEP = 7, 1e-6
LOSSES = [
    SquaredError(),
    BinaryCrossEntropy(),
    CategoricalCrossEntropy(),
    Poisson(),
    AbsoluteError(),
    Huber(1.0),
    Quantile(0.3),
    Quantile((0.1, 0.5, 0.9)),
    Gamma(),
    Tweedie(1.5),
]
HIDDEN = [(), (5,), (5, 4), (6, 3, 4), (3, 4, 3, 4)]


class Problem:
    """A network, samples, and the cost as a function of theta."""

    def __init__(self, activation, loss, hidden, seed=0):
        rng = np.random.default_rng(seed)
        sizes = (4, *hidden, 3)
        self.loss = loss
        self.parameters = Parameters(sizes, 0.7 * rng.normal(size=Parameters.count(sizes)))
        g = [None] + [ACTIVATIONS[activation]] * len(hidden)
        self.at = Workspace(sizes, g, N, np.float64).over(N)
        self.X = rng.normal(size=(N, 4))
        self.at.read(self.X)
        Y = rng.random((3, N))
        self.Y = Y / Y.sum(axis=0)  # targets that every loss takes
        self.w = rng.random(N)

    def cost(self, theta):
        forward(self.parameters.like(theta), self.at, self.loss)
        Z, A = self.at.Z[-1], self.at.A[-1]
        return self.loss.value(Z, A, self.Y, self.w, self.at.work) / self.w.sum()

    def gradient(self):
        theta = self.parameters.theta
        self.cost(theta)
        self.loss.gradient(self.at.A[-1], self.Y, self.w, self.w.sum(), out=self.at.dZ[-1])
        gradient = self.parameters.like(np.empty_like(theta))
        backward(self.parameters, self.at, gradient)
        return gradient.theta

    def central_differences(self):
        theta = self.parameters.theta
        steps = STEP * np.eye(len(theta))
        return np.array([self.cost(theta + s) - self.cost(theta - s) for s in steps]) / (2 * STEP)


@pytest.mark.parametrize("hidden", HIDDEN, ids=len)
@pytest.mark.parametrize(
    "loss", LOSSES, ids=lambda loss: f"{type(loss).__name__}{len(loss.levels) or ''}"
)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_backpropagation_is_the_derivative_of_the_cost(activation, loss, hidden):
    problem = Problem(activation, loss, hidden)
    ours, differences = problem.gradient(), problem.central_differences()
    assert np.abs(ours - differences).max() <= 1e-7 * np.abs(differences).max()


@pytest.mark.parametrize("hidden", HIDDEN, ids=len)
def test_a_sparse_input_has_the_gradient_of_the_dense_one(hidden):
    problem = Problem("tanh", CategoricalCrossEntropy(), hidden)
    dense = problem.gradient()
    problem.at.read(scipy.sparse.csr_array(problem.X))
    assert np.abs(problem.gradient() - dense).max() <= 1e-14


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_float32_stays_float32(activation):
    sizes = (4, 5, 3)
    rng = np.random.default_rng(0)
    parameters = Parameters(sizes, rng.normal(size=Parameters.count(sizes)).astype(np.float32))
    at = Workspace(sizes, [None, ACTIVATIONS[activation]], N, np.float32).over(N)
    at.read(rng.normal(size=(N, 4)).astype(np.float32))
    forward(parameters, at, SquaredError())
    assert {array.dtype for array in (*at.Z[1:], *at.A[1:])} == {np.dtype(np.float32)}
