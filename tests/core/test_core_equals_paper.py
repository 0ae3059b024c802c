"""The core is the paper: skdnn's sections 3 to 6 equal tests/paper.py to 1e-12, relative.

The problems are drawn at random: 0 to 5 hidden layers, widths 1 to 8, any activation, each loss
with its output activation, 1 to 50 samples.
"""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skdnn import activations, losses
from skdnn.network import Parameters, Workspace, backward, forward
from tests import paper
from tests.core.test_paper import EPSILONS, network, targets

LOSSES = {
    "squared_error": losses.SquaredError(),
    "binary_cross_entropy": losses.BinaryCrossEntropy(),
    "categorical_cross_entropy": losses.CategoricalCrossEntropy(),
    "poisson": losses.Poisson(),
}
random = settings(derandomize=True, max_examples=100, deadline=None)


class Problem(NamedTuple):
    """A network, its data, and the parts it is made of; W and b are indexed 1..L."""

    X: np.ndarray
    Y: np.ndarray
    W: list
    b: list
    activation: str
    pair: str


@st.composite
def problems(draw):
    activation = draw(st.sampled_from(list(paper.ACTIVATIONS)))
    pair = draw(st.sampled_from(list(LOSSES)))
    m = draw(st.integers(1 if pair != "categorical_cross_entropy" else 2, 4))
    n = [*draw(st.lists(st.integers(1, 8), min_size=1, max_size=6)), m]
    N, rng = draw(st.integers(1, 50)), np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    W, b = network(n, rng)
    return Problem(rng.normal(size=(n[0], N)), targets(pair, m, N, rng), W, b, activation, pair)


class Core(NamedTuple):
    """What the core makes of a problem."""

    output: np.ndarray
    cost: float
    gradient: Parameters


def run_core(p, w=None, dtype=np.float64):
    """Forward, loss gradient, backward: the three calls of a training step."""
    X, Y = p.X.astype(dtype), p.Y.astype(dtype)
    sizes, N, loss = [len(X), *map(len, p.W[1:])], X.shape[1], LOSSES[p.pair]
    parameters = Parameters(sizes, np.empty(Parameters.count(sizes), dtype))
    gradient = parameters.like(np.full_like(parameters.theta, np.nan))
    for i in range(1, len(sizes)):
        parameters.W[i][...], parameters.b[i][...] = p.W[i], p.b[i]
    g = [None] + [activations.ACTIVATIONS[p.activation]] * (len(sizes) - 2)
    at = Workspace(sizes, g, N + 3, dtype).over(N)
    at.read(X.T)
    total = N if w is None else w.sum()
    forward(parameters, at, loss)
    output, cost = at.A[-1].copy(), loss.value(at.Z[-1], at.A[-1], Y, w, at.work) / total
    loss.gradient(at.A[-1], Y, w, total, out=at.dZ[-1])
    backward(parameters, at, gradient)
    return Core(output, cost, gradient)


def of_paper(p):
    """The arguments that tests/paper.py takes for the problem."""
    return p.X, p.Y, p.W, p.b, *paper.ACTIVATIONS[p.activation], paper.OUTPUTS[p.pair]


def relative(ours, theirs):
    """The largest difference over the largest entry; 0 / 0 is 0."""
    assert np.shape(ours) == np.shape(theirs)
    difference = np.max(np.abs(np.subtract(ours, theirs)))
    return difference / np.max(np.abs(theirs)) if difference else 0.0


@random
@given(problems())
def test_output_is_that_of_the_paper(p):
    X, _, W, b, g, _, output = of_paper(p)
    _, A = paper.forward(X, W, b, g, output.activation)
    assert relative(run_core(p).output, A[-1]) <= 1e-12


@random
@given(problems())
def test_cost_is_that_of_the_paper(p):
    X, Y, W, b, g, _, output = of_paper(p)
    assert run_core(p).cost == pytest.approx(paper.cost(X, Y, W, b, g, output), rel=1e-12)


@random
@given(problems())
def test_dW_is_that_of_theorem_5_4(p):
    _, dW, _ = paper.backward(*of_paper(p))
    ours = run_core(p).gradient.W
    assert max(relative(ours[i], dW[i]) for i in range(1, len(dW))) <= 1e-12


@random
@given(problems())
def test_db_is_that_of_theorem_5_4(p):
    _, _, db = paper.backward(*of_paper(p))
    ours = run_core(p).gradient.b
    assert max(relative(ours[i], db[i]) for i in range(1, len(db))) <= 1e-12


@random
@given(problems())
def test_gradient_is_the_mean_of_theorem_5_1_over_the_samples(p):
    X, Y, *rest = of_paper(p)
    samples = [paper.backward_one_sample(X[:, [k]], Y[:, [k]], *rest)[1] for k in range(X.shape[1])]
    theirs = np.mean([grad_W[-1] for grad_W in samples], axis=0)
    assert relative(run_core(p).gradient.W[-1], theirs) <= 1e-12


@random
@given(problems(), st.integers(0, 2**32 - 1))
def test_weight_of_a_sample_is_the_number_of_its_copies(p, seed):
    copies = 1 + np.random.default_rng(seed).integers(3, size=p.X.shape[1])
    repeated = p._replace(X=np.repeat(p.X, copies, axis=1), Y=np.repeat(p.Y, copies, axis=1))
    _, dW, _ = paper.backward(*of_paper(repeated))
    ours = run_core(p, w=copies.astype(float)).gradient.W
    assert max(relative(ours[i], dW[i]) for i in range(1, len(dW))) <= 1e-12


@random
@given(problems())
def test_gradient_has_the_dtype_it_is_computed_in_and_is_close_in_float32(p):
    ours = run_core(p, dtype=np.float32).gradient.theta
    assert ours.dtype == np.float32
    assert relative(ours, run_core(p).gradient.theta) <= 1e-4


# ------------------------------------------------------------------ section 3 on plain arrays

FUNCTIONS = ["sigmoid", "d_sigmoid", "relu", "d_relu", "softmax"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_of_code_1_is_that_of_the_paper(name):
    Z = np.random.default_rng(3).normal(size=(4, 7)) * 3
    assert relative(getattr(activations, name)(Z), getattr(paper, name)(Z)) <= 1e-14


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_of_code_1_neither_overflows_nor_divides_by_zero(name):
    Z = np.array([[-1e4, 1e4, 0.0], [1e4, 1e4, -1e4]])
    with np.errstate(all="raise", under="ignore"):
        assert np.all(np.isfinite(getattr(activations, name)(Z)))


@pytest.mark.parametrize("name", ["relu_eps", "d_relu_eps"])
@pytest.mark.parametrize("eps", EPSILONS)
def test_relu_eps_is_that_of_the_paper(name, eps):
    z = np.linspace(-1.5, 0.5, 201) * eps
    assert relative(getattr(activations, name)(z, eps), getattr(paper, name)(z, eps)) <= 1e-14


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("eps", [1.0, 1e-3, 1e-8, 1e-32])
def test_lemma_3_1_holds_at_both_ends_for_the_library(eps, dtype):
    ends = np.array([-dtype(eps), 0.0, -1e30, 1e30], dtype=dtype)
    value, slope = activations.relu_eps(ends, eps), activations.d_relu_eps(ends, eps)
    assert value.tolist() == [0.0, 0.0, 0.0, dtype(1e30)]
    assert slope.tolist() == [0.0, 1.0, 0.0, 1.0]


def test_library_takes_zero_for_the_slope_of_relu_at_zero():
    assert activations.d_relu(np.array([-1.0, 0.0, -0.0, 1.0])).tolist() == [0.0, 0.0, 0.0, 1.0]


def slope_in_the_network(name, Z):
    """The derivative as `backward` gets it from the activation's object."""
    g = activations.ACTIVATIONS[name]
    z = Z.copy()
    a, scratch = z if g.in_place else np.empty_like(z), np.zeros_like(z)
    g.forward(z, a, scratch)
    g.derivative(z, a, scratch)
    return a


@pytest.mark.parametrize("name", paper.ACTIVATIONS)
def test_derivative_in_the_network_is_that_of_the_paper(name):
    Z = np.linspace(-5.0, 5.0, 1000).reshape(4, 250)
    _, dg = paper.ACTIVATIONS[name]
    assert relative(slope_in_the_network(name, Z), dg(Z)) <= 1e-14


def test_relu_in_the_network_has_slope_zero_at_zero():
    assert slope_in_the_network("relu", np.array([[-1.0, 0.0, 1.0]])).tolist() == [[0.0, 0.0, 1.0]]


@pytest.mark.parametrize("name", paper.ACTIVATIONS)
def test_every_activation_is_finite_far_out(name):
    Z = np.array([[-1e4, -800.0, 0.0, 800.0, 1e4]])
    with np.errstate(all="raise", under="ignore"):
        slope = slope_in_the_network(name, Z)
    assert np.all(np.isfinite(slope))
