"""A gradient that is deliberately broken is caught, by skdnn.verify and by the specification.

Each mutation breaks one thing in one place, and is then held against the same checks that the sound
code passes.
"""

import numpy as np
import pytest

from skdnn import DNNClassifier, DNNRegressor, activations, losses
from skdnn.fit.objective import Objective
from skdnn.verify import check_gradients
from tests.core import test_core_equals_paper as core
from tests.core.test_paper import network

LIMIT = {"central": 1e-6, "complex-step": 1e-12}
N = 12


def patched_backward(monkeypatch, broken):
    """Put `broken(backward, parameters, at, gradient)` in the place of `backward`."""
    sound = core.backward
    for module in ("skdnn.fit.objective", "tests.core.test_core_equals_paper"):
        monkeypatch.setattr(
            f"{module}.backward",
            lambda parameters, at, gradient: broken(sound, parameters, at, gradient),
        )


def patched_method(monkeypatch, owner, name, broken):
    """Put `broken(method, self, ...)` in the place of a method of a class."""
    sound = getattr(owner, name)
    monkeypatch.setattr(
        owner, name, lambda self, *args, **kwargs: broken(sound, self, *args, **kwargs)
    )


# ------------------------------------------------------------- mutations of Theorem 5.4


def factor_on_dW(backward, parameters, at, gradient):
    """(24) a thousandth too large, in one layer."""
    backward(parameters, at, gradient)
    gradient.W[2] *= 1.001


def transposed_dW(backward, parameters, at, gradient):
    """(24) as A_prev dZ^T, in a square layer, where the shape does not tell."""
    backward(parameters, at, gradient)
    gradient.W[2][...] = gradient.W[2].T.copy()


def transposed_W(backward, parameters, at, gradient):
    """(22) with W for W^T, in a square layer."""
    turned = parameters.like(parameters.theta.copy())
    turned.W[2][...] = parameters.W[2].T
    backward(turned, at, gradient)


def next_layers_W(backward, parameters, at, gradient):
    """(22) with the weights of the wrong layer."""
    wrong = parameters.like(parameters.theta.copy())
    wrong.W[3][...] = parameters.W[2]
    backward(wrong, at, gradient)


def missing_slope(backward, parameters, at, gradient):
    """(23) without g'."""
    at.g = [None] + [Flat()] * (at.L - 1)
    backward(parameters, at, gradient)


class Flat(activations.Activation):
    """The derivative of the identity, whatever the function is."""

    def derivative(self, Z, A, scratch):
        A.fill(1.0)


def factor_on_db(backward, parameters, at, gradient):
    """(25) as half the sum."""
    backward(parameters, at, gradient)
    gradient.b[1] *= 0.5


def mean_of_columns(backward, parameters, at, gradient):
    """(25) as the mean of the columns: 1/N twice."""
    backward(parameters, at, gradient)
    for b in gradient.b[1:]:
        b /= at.N


BACKWARD = [
    factor_on_dW,
    transposed_dW,
    transposed_W,
    next_layers_W,
    missing_slope,
    factor_on_db,
    mean_of_columns,
]

# ------------------------------------------------------------- mutations of the loss gradient


def missing_N(gradient, self, A, Y, w, N, out):
    """(21) without 1/N."""
    gradient(self, A, Y, w, 1.0, out)


def N_minus_1(gradient, self, A, Y, w, N, out):
    """(21) with 1/(N-1)."""
    gradient(self, A, Y, w, N - 1.0, out)


def twice(gradient, self, A, Y, w, N, out):
    """(36) with the 2 of a squared error that is not halved."""
    gradient(self, A, Y, w, N / 2.0, out)


def y_minus_o(gradient, self, A, Y, w, N, out):
    """(36) with the sign turned."""
    gradient(self, A, Y, w, -N, out)


LOSS = [missing_N, N_minus_1, twice, y_minus_o]


def missing_weights(gradient, self, A, Y, w, N, out):
    """(21) as if all samples had one weight."""
    gradient(self, A, Y, None, N, out)


def missing_l2(differentiate, self, *args, **kwargs):
    """The L2 term in the cost and not in the gradient."""
    alpha, self.alpha = self.alpha, 0.0
    total = differentiate(self, *args, **kwargs)
    self.alpha = alpha
    return total


def twice_l2(differentiate, self, *args, **kwargs):
    """The L2 term without its one half."""
    self.alpha *= 2.0
    total = differentiate(self, *args, **kwargs)
    self.alpha /= 2.0
    return total


def squared_error_delta(delta, self, A, Y, out):
    """A loss's own delta forgotten: o - y for all."""
    np.subtract(A, Y, out=out)


def with_q_turned(delta, self, A, Y, out):
    """The quantile's delta for 1 - q."""
    self.q = 1.0 - self.q
    delta(self, A, Y, out)
    self.q = 1.0 - self.q


# ---------------------------------------------------------- mutations of the activations


def scaled_slope(derivative, self, Z, A, scratch):
    """A g' a thousandth too large."""
    derivative(self, Z, A, scratch)
    A *= 1.001


def slope_of_the_output(derivative, self, Z, A, scratch):
    """A g' taken at a = g(z) in place of z."""
    z, A[...] = A.copy(), self(A)
    derivative(self, A if self.in_place else z, A, scratch)


# ------------------------------------------------------------------------- the checks


def fitted(estimator=DNNClassifier, activation="tanh", **params):
    """A network of widths 4, 4, 4, 4 after two epochs, with its data."""
    rng = np.random.default_rng(5)
    X, w = rng.normal(size=(N, 4)), rng.uniform(0.5, 2.0, size=N)
    y = np.arange(N) % 4 if estimator is DNNClassifier else rng.normal(size=N)
    model = estimator.plain(
        hidden_layer_sizes=(4, 4),
        activation=activation,
        learning_rate="cosine",
        max_iter=2,
        random_state=0,
        **params,
    )
    return model.fit(X, y, w), X, y, w


def passes(method, model, X, y, w):
    """Whether the estimator's gradient stands the check."""
    check = check_gradients(model, X, y, method=method, sample_weight=w)
    return check.max_relative_error <= LIMIT[method]


METHOD = pytest.mark.parametrize("method", LIMIT)


def equals_paper(activation="tanh"):
    """Whether the core equals the specification on a network of widths 4, 4, 4, 4."""
    rng = np.random.default_rng(5)
    Y = np.eye(4)[:, rng.integers(4, size=N)]
    pair = "categorical_cross_entropy"
    p = core.Problem(rng.normal(size=(4, N)), Y, *network([4] * 4, rng), activation, pair)
    _, dW, db = core.paper.backward(*core.of_paper(p))
    ours = core.run_core(p).gradient
    pairs = zip(ours.W[1:] + ours.b[1:], dW[1:] + db[1:], strict=True)
    return max(core.relative(*arrays) for arrays in pairs) <= 1e-12


@METHOD
@pytest.mark.parametrize("activation", activations.ACTIVATIONS)
def test_sound_gradient_passes_the_check(activation, method):
    assert passes(method, *fitted(activation=activation))


@METHOD
@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber", "quantile"])
def test_sound_gradient_of_every_loss_passes_the_check(loss, method):
    assert passes(method, *fitted(DNNRegressor, loss=loss, quantile=0.8, huber_delta=0.5))


@pytest.mark.parametrize("activation", core.paper.ACTIVATIONS)
def test_sound_core_equals_the_paper(activation):
    assert equals_paper(activation)


@METHOD
@pytest.mark.parametrize("broken", BACKWARD, ids=lambda f: f.__name__)
def test_broken_backward_is_caught(broken, method, monkeypatch):
    model = fitted()
    patched_backward(monkeypatch, broken)
    assert not passes(method, *model)


@pytest.mark.parametrize("broken", BACKWARD, ids=lambda f: f.__name__)
def test_broken_backward_is_not_the_paper_s(broken, monkeypatch):
    patched_backward(monkeypatch, broken)
    assert not equals_paper()


@METHOD
@pytest.mark.parametrize("broken", [*LOSS, missing_weights], ids=lambda f: f.__name__)
def test_broken_loss_gradient_is_caught(broken, method, monkeypatch):
    model = fitted()
    patched_method(monkeypatch, losses.Loss, "gradient", broken)
    assert not passes(method, *model)


@pytest.mark.parametrize("broken", LOSS, ids=lambda f: f.__name__)
def test_broken_loss_gradient_is_not_the_paper_s(broken, monkeypatch):
    patched_method(monkeypatch, losses.Loss, "gradient", broken)
    assert not equals_paper()


@METHOD
@pytest.mark.parametrize("broken", [missing_l2, twice_l2], ids=lambda f: f.__name__)
def test_broken_l2_term_is_caught(broken, method, monkeypatch):
    model = fitted(alpha=0.01)
    patched_method(monkeypatch, Objective, "differentiate", broken)
    assert not passes(method, *model)


@METHOD
@pytest.mark.parametrize(
    "loss, broken",
    [
        (losses.AbsoluteError, squared_error_delta),
        (losses.Huber, squared_error_delta),
        (losses.Quantile, squared_error_delta),
        (losses.Quantile, with_q_turned),
    ],
    ids=lambda part: part.__name__,
)
def test_broken_delta_of_a_loss_is_caught(loss, broken, method, monkeypatch):
    names = {losses.AbsoluteError: "absolute_error", losses.Huber: "huber"}
    name = names.get(loss, "quantile")
    model = fitted(DNNRegressor, loss=name, quantile=0.8, huber_delta=0.5)
    patched_method(monkeypatch, loss, "delta", broken)
    assert not passes(method, *model)


SLOPES = [
    (name, broken)
    for name in activations.ACTIVATIONS
    for broken in (scaled_slope, slope_of_the_output)
    # These have the slope of their output: it is constant on either side of 0.
    if broken is scaled_slope or name not in ("identity", "relu", "leaky_relu")
]


@METHOD
@pytest.mark.parametrize("activation, broken", SLOPES)
def test_wrong_derivative_of_an_activation_is_caught(activation, broken, method, monkeypatch):
    model = fitted(activation=activation)
    owner = type(activations.ACTIVATIONS[activation])
    patched_method(monkeypatch, owner, "derivative", broken)
    assert not passes(method, *model)


@pytest.mark.parametrize("activation, broken", [s for s in SLOPES if s[0] != "sigmoid"])
def test_wrong_derivative_of_an_activation_is_not_the_paper_s(activation, broken, monkeypatch):
    owner = type(activations.ACTIVATIONS[activation])
    patched_method(monkeypatch, owner, "derivative", broken)
    assert not equals_paper(activation)
