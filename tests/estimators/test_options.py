"""Activations, initialisers and regularisation mean what their formulas say."""

import numpy as np
import pytest
from scipy.special import ndtr
from sklearn.datasets import load_breast_cancer, load_diabetes

from skdnn import DNNBinaryClassifier, DNNClassifier, DNNRegressor
from skdnn.activations import ACTIVATIONS
from skdnn.fit.objective import draw_dropout
from skdnn.losses import SquaredError
from skdnn.network import Parameters, Workspace, backward, forward
from tests.cases import SOLVERS, UNCONVERGED, weights_of

pytestmark = UNCONVERGED

X, y = load_diabetes(return_X_y=True)
X, y = X[:90] / X.std(axis=0), (y[:90] - y.mean()) / y.std()
STEPS = dict(tol=0.0, n_iter_no_change=np.inf, alpha=0.0, scale_target=False, scale_inputs=None)


def regressor(hidden=(8, 6), **params):
    return DNNRegressor.plain(hidden_layer_sizes=hidden, **{"random_state": 0, **STEPS, **params})


# Activations: g(z) once more, analytic on either side of Re z = 0.

SELU_C, SELU_R = 1.0507009873554805, 1.6732632423543772


def on_both_sides(positive, negative):
    return lambda z: np.where(z.real > 0, positive(z), negative(z))


ANALYTIC = {
    "identity": lambda z: z,
    "logistic": lambda z: 1 / (1 + np.exp(-z)),
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "tanh": np.tanh,
    "relu": on_both_sides(lambda z: z, lambda z: 0 * z),
    "leaky_relu": on_both_sides(lambda z: z, lambda z: 0.01 * z),
    "elu": on_both_sides(lambda z: z, lambda z: np.exp(z) - 1),
    "selu": on_both_sides(lambda z: SELU_C * z, lambda z: SELU_C * SELU_R * (np.exp(z) - 1)),
    "gelu": lambda z: z * ndtr(z),
    "silu": lambda z: z / (1 + np.exp(-z)),
    "mish": lambda z: z * np.tanh(np.log(1 + np.exp(z))),
    "softplus": lambda z: np.log(1 + np.exp(z)),
}
POINTS = np.concatenate([-np.geomspace(1e-3, 8, 40), np.geomspace(1e-3, 8, 40)])


def test_every_activation_is_tested():
    assert set(ANALYTIC) == set(ACTIVATIONS)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_is_its_formula(name):
    theirs = ANALYTIC[name](POINTS.astype(complex)).real
    np.testing.assert_allclose(ACTIVATIONS[name](POINTS), theirs, rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_derivative_is_the_complex_step(name):
    step = ANALYTIC[name](POINTS + 1e-30j).imag / 1e-30
    np.testing.assert_allclose(ACTIVATIONS[name].d(POINTS), step, rtol=1e-11, atol=1e-14)


def test_each_hidden_layer_has_its_own_activation():
    model = regressor(activation=("tanh", "relu"), max_iter=2).fit(X, y)
    (W1, W2, W3), (b1, b2, b3) = model.weights_, model.biases_
    by_hand = W3 @ np.maximum(W2 @ np.tanh(W1 @ X.T + b1) + b2, 0) + b3
    np.testing.assert_allclose(model.predict(X), by_hand[0], rtol=1e-12)


def test_sigmoid_is_a_second_name_of_logistic():
    models = [regressor(activation=name, max_iter=2).fit(X, y) for name in ("sigmoid", "logistic")]
    assert np.array_equal(*map(weights_of, models))


# Initialisers

WIDE = np.zeros((2, 120))
VARIANCES = {"glorot": 2 / (120 + 90), "he": 2 / 120, "lecun": 1 / 120}


def first_weights(activation="relu", **params):
    """Return the weights that a fit starts from: its one step has a gradient of 0."""
    model = regressor((90, 80), activation=activation, max_iter=1, solver="gd", **params)
    return model.fit(WIDE, np.zeros(2)).weights_


@pytest.mark.parametrize("shape", ["uniform", "normal"])
@pytest.mark.parametrize("family", VARIANCES)
def test_initializer_has_its_variance(family, shape):
    W = first_weights(initializer=f"{family}_{shape}")[0]
    # The variance of n squares is at most 2 variance^2 / n, a normal one's: 4 deviations.
    assert abs(np.mean(W**2) / VARIANCES[family] - 1) < 4 * (2 / W.size) ** 0.5


@pytest.mark.parametrize("family", VARIANCES)
def test_uniform_initializer_fills_its_interval(family):
    W = first_weights(initializer=f"{family}_uniform")[0]
    assert 0.99 < np.abs(W).max() / (3 * VARIANCES[family]) ** 0.5 <= 1


@pytest.mark.parametrize("family", VARIANCES)
def test_normal_initializer_goes_beyond_the_uniform_interval(family):
    W = first_weights(initializer=f"{family}_normal")[0]
    assert np.abs(W).max() > 1.5 * (3 * VARIANCES[family]) ** 0.5


@pytest.mark.parametrize(
    "activation, family",
    [("relu", "he"), ("mish", "he"), ("selu", "lecun"), ("tanh", "glorot"), ("softplus", "glorot")],
)
def test_auto_chooses_the_initializer_by_activation(activation, family):
    auto = first_weights(activation, initializer="auto")
    named = first_weights(activation, initializer=f"{family}_uniform")
    assert all(map(np.array_equal, auto[:2], named[:2]))


def test_auto_takes_glorot_for_the_output_layer():
    auto = first_weights("relu", initializer="auto")
    assert np.array_equal(auto[2], first_weights("relu", initializer="glorot_uniform")[2])


def test_auto_chooses_layer_by_layer():
    auto = first_weights(("selu", "tanh"), initializer="auto")
    lecun, glorot = (first_weights(initializer=f"{f}_uniform") for f in ("lecun", "glorot"))
    assert np.array_equal(auto[0], lecun[0]) and np.array_equal(auto[1], glorot[1])


def test_biases_start_at_zero():
    model = regressor((90,), max_iter=1, solver="gd", initializer="he_normal")
    assert not any(b.any() for b in model.fit(WIDE, np.zeros(2)).biases_)


# Dropout

RATES = [0.1, 0.5, 0.8]
N_DRAWS = 20_000


def dropped_outputs(rate, seed=0):
    """Return z of a linear output for many draws on one sample, and the a_i w_i it sums."""
    rng = np.random.default_rng(seed)
    sizes = (3, 6, 1)
    parameters = Parameters(sizes, rng.normal(size=Parameters.count(sizes)))
    g = [None, ACTIVATIONS["tanh"]]
    at = Workspace(sizes, g, N_DRAWS, np.float64, dropout=(rate,)).over(N_DRAWS)
    at.read(np.repeat(rng.normal(size=(1, 3)), N_DRAWS, axis=0))
    draw_dropout(at, rng)
    forward(parameters, at, SquaredError())
    a = np.tanh(parameters.W[1] @ at.A[0][:, :1] + parameters.b[1])[:, 0]
    return at.Z[2][0] - parameters.b[2][0, 0], a * parameters.W[2][0], at


@pytest.mark.parametrize("rate", RATES)
def test_dropout_leaves_the_expectation_as_it_is(rate):
    z, terms, _ = dropped_outputs(rate)
    deviation = (rate / (1 - rate) * np.sum(terms**2) / N_DRAWS) ** 0.5
    assert abs(z.mean() - terms.sum()) < 4 * deviation


@pytest.mark.parametrize("rate", RATES)
def test_dropout_has_the_variance_of_a_scaled_coin(rate):
    z, terms, _ = dropped_outputs(rate)
    assert z.var() == pytest.approx(rate / (1 - rate) * np.sum(terms**2), rel=0.06)


@pytest.mark.parametrize("rate", RATES)
def test_dropout_drops_its_share_of_units(rate):
    _, _, at = dropped_outputs(rate)
    share = np.mean(at.D[1] == 0)
    assert abs(share - rate) < 4 * (rate * (1 - rate) / at.D[1].size) ** 0.5 + 2**-16


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu", "selu"])
def test_gradient_under_dropout_is_the_derivative_for_the_units_that_are_left(activation):
    rng = np.random.default_rng(0)
    sizes, g = (3, 5, 4, 2), [None, *[ACTIVATIONS[activation]] * 2]
    parameters = Parameters(sizes, rng.normal(size=Parameters.count(sizes)))
    at = Workspace(sizes, g, 7, np.float64, dropout=(0.4, 0.6)).over(7)
    at.read(rng.normal(size=(7, 3)))
    Y, loss = rng.normal(size=(2, 7)), SquaredError()
    draw_dropout(at, rng)

    def cost(values):
        forward(parameters.like(values), at, loss)
        return loss.value(at.Z[3], at.A[3], Y, None, at.work) / 7

    steps = 1e-6 * np.eye(len(parameters.theta))
    differences = [cost(parameters.theta + s) - cost(parameters.theta - s) for s in steps]
    cost(parameters.theta)
    loss.gradient(at.A[3], Y, None, 7, out=at.dZ[3])
    gradient = parameters.like(np.empty_like(parameters.theta))
    backward(parameters, at, gradient)
    differences = np.array(differences) / 2e-6
    assert np.abs(gradient.theta - differences).max() < 1e-7 * np.abs(differences).max()


def test_dropout_is_reproducible():
    models = [regressor(dropout=0.3, max_iter=3).fit(X, y) for _ in range(2)]
    assert np.array_equal(*map(weights_of, models))


def test_dropout_changes_the_fit():
    models = [regressor(dropout=rate, max_iter=3).fit(X, y) for rate in (0.0, 0.3)]
    assert not np.array_equal(*map(weights_of, models))


def test_dropout_takes_a_rate_for_each_layer():
    both = regressor(dropout=0.3, max_iter=3).fit(X, y)
    assert np.array_equal(
        weights_of(regressor(dropout=(0.3, 0.3), max_iter=3).fit(X, y)), weights_of(both)
    )
    assert not np.array_equal(
        weights_of(regressor(dropout=(0.3, 0), max_iter=3).fit(X, y)), weights_of(both)
    )


def test_predictions_use_every_unit():
    model = regressor((6,), activation="tanh", dropout=0.5, max_iter=3).fit(X, y)
    (W1, W2), (b1, b2) = model.weights_, model.biases_
    by_hand = W2 @ np.tanh(W1 @ X.T + b1) + b2
    np.testing.assert_allclose(model.predict(X), by_hand[0], rtol=1e-12)


# Averages, decay and clipping: with the full batch, an epoch is a step.


@pytest.mark.parametrize("solver", ["gd", "sgd", "adam"])
def test_average_is_the_formula_step_by_step(solver):
    d, params = 0.7, dict(solver=solver, batch_size=len(y), learning_rate_init=0.05)
    m = 0.0
    for t in range(1, 6):
        m = d * m + (1 - d) * weights_of(regressor(max_iter=t, **params).fit(X, y))
        averaged = weights_of(regressor(max_iter=t, average_decay=d, **params).fit(X, y))
        np.testing.assert_allclose(averaged, m / (1 - d**t), rtol=1e-10, atol=1e-13)


def adamw(rate, decay, n_steps, w, b):
    """Algorithm 2 of Loshchilov and Hutter (2019) for least squares, biases not decayed."""
    m, v = np.zeros(len(w) + 1), np.zeros(len(w) + 1)
    for t in range(1, n_steps + 1):
        r = (X @ w + b - y) / len(y)
        g = np.append(X.T @ r, r.sum())
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        step = rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        w, b = w - step[:-1] - rate * decay * w, b - step[-1]
    return np.append(w, b)


@pytest.mark.parametrize("n_steps", [1, 5])
def test_weight_decay_with_adam_is_adamw(n_steps):
    params = dict(solver="adam", batch_size=len(y), learning_rate_init=0.05)
    start = regressor((), **{**params, "learning_rate_init": 1e-300}, max_iter=1).fit(X, y)
    model = regressor((), max_iter=n_steps, weight_decay=0.8, **params).fit(X, y)
    by_hand = adamw(0.05, 0.8, n_steps, start.weights_[0][0], 0.0)
    np.testing.assert_allclose(weights_of(model), by_hand, rtol=1e-9)


@pytest.mark.parametrize("solver", ["gd", "sgd", "adam"])
def test_weight_decay_leaves_biases_out(solver):
    # Inputs of 0 leave the weights without a gradient, and the bias without their influence.
    zeros = np.zeros_like(X)
    params = dict(solver=solver, learning_rate_init=0.05, max_iter=4, batch_size=len(y))
    free, decayed = (
        regressor((), weight_decay=decay, **params).fit(zeros, y + 1) for decay in (0.0, 0.5)
    )
    assert np.array_equal(free.biases_[0], decayed.biases_[0])
    np.testing.assert_allclose(decayed.weights_[0], free.weights_[0] * (1 - 0.05 * 0.5) ** 4)


def first_step(**params):
    start, stepped = (
        weights_of(
            regressor(solver="gd", max_iter=1, learning_rate_init=rate, **params).fit(X, 9 * y)
        )
        for rate in (1e-300, 0.1)
    )
    return stepped - start


def test_clipping_shortens_a_step_to_the_norm():
    step = first_step(clip_norm=0.25)
    assert np.linalg.norm(step) == pytest.approx(0.1 * 0.25, rel=1e-12)


def test_clipping_keeps_the_direction():
    step, clipped = first_step(), first_step(clip_norm=0.25)
    assert step @ clipped == pytest.approx(np.linalg.norm(step) * np.linalg.norm(clipped))


def test_clipping_leaves_a_shorter_step_alone():
    assert np.array_equal(first_step(), first_step(clip_norm=1e6))


@pytest.mark.parametrize("largest", [1.0, 1e16, 1e18])
def test_clipping_holds_for_a_gradient_whose_square_overflows(largest):
    rows, target = (100 * X).astype(np.float32), largest * (9 + y)
    start, stepped = (
        weights_of(
            regressor((), solver="gd", max_iter=1, clip_norm=0.25, learning_rate_init=rate).fit(
                rows, target
            )
        )
        for rate in (1e-30, 0.1)
    )
    assert np.linalg.norm(stepped - start) == pytest.approx(0.1 * 0.25, rel=1e-5)


# What a solver cannot use

USELESS = {
    "dropout": 0.2,
    "weight_decay": 0.1,
    "clip_norm": 1.0,
    "average_decay": 0.9,
    "warmup": 0.1,
    "refit": True,
    "scoring": "r2",
    "learning_rate": "cosine",
    "layer_rates": "fan_in",
}


@pytest.mark.parametrize("name", USELESS)
def test_lbfgs_refuses_by_name_what_it_cannot_use(name):
    model = regressor(solver="lbfgs", **{name: USELESS[name]})
    with pytest.raises(ValueError, match=rf"'{name}' .*lbfgs.*{USELESS[name]}"):
        model.fit(X, y)


@pytest.mark.parametrize("solver", ["gd", "sgd"])
def test_factors_of_columns_are_refused_by_what_cannot_learn_them(solver):
    with pytest.raises(ValueError, match=rf"'column_rate' .*{solver}.*0\.3"):
        regressor(solver=solver, column_rate=0.3).fit(X, y)


def test_lbfgs_refuses_a_callable_learning_rate():
    with pytest.raises(ValueError, match=r"'learning_rate' .*lbfgs"):
        regressor(solver="lbfgs", learning_rate=lambda p: 1 - p).fit(X, y)


@pytest.mark.parametrize("rate", ["constant", "invscaling", "adaptive"])
def test_lbfgs_ignores_the_rates_that_scikit_learn_has(rate):
    fits = [regressor(solver="lbfgs", max_iter=3, learning_rate=r) for r in ("constant", rate)]
    assert np.array_equal(*[weights_of(model.fit(X, y)) for model in fits])


@pytest.mark.parametrize("name", [name for name in USELESS if name not in ("refit", "scoring")])
def test_gradient_descent_uses_what_lbfgs_cannot(name):
    params = dict(solver="gd", max_iter=6, learning_rate_init=0.3)
    value = 0.01 if name == "clip_norm" else USELESS[name]
    fits = [regressor(**params), regressor(**params, **{name: value})]
    assert not np.array_equal(*[weights_of(model.fit(X, y)) for model in fits])


@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_smooths_labels_and_weighs_classes(solver):
    data = load_breast_cancer(return_X_y=True)
    data = (data[0][:60] / data[0].std(axis=0), data[1][:60])
    for Estimator in (DNNClassifier, DNNBinaryClassifier):
        fits = [
            Estimator.plain(hidden_layer_sizes=(4,), solver=solver, max_iter=3, random_state=0, **p)
            for p in ({}, {"label_smoothing": 0.1}, {"class_weight": "balanced"})
        ]
        plain, smoothed, weighed = (weights_of(model.fit(*data)) for model in fits)
        assert not np.array_equal(plain, smoothed) and not np.array_equal(plain, weighed)
