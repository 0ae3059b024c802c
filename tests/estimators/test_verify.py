"""skdnn.verify: the gradients of a fitted estimator are right by every method, and it can tell."""

from functools import cache
from importlib.util import find_spec

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression

from skdnn import DNNBinaryClassifier, DNNClassifier, DNNRegressor
from skdnn.activations import ACTIVATIONS, Tanh
from skdnn.core.losses import LogLink
from skdnn.verify import ArrayCheck, GradientCheck, check_gradients, gradients
from tests import paper

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed")
METHODS = {"central": 1e-7, "complex-step": 1e-13, "autograd": 1e-12}
METHOD = pytest.mark.parametrize(
    "method", ["central", "complex-step", pytest.param("autograd", marks=needs_torch)]
)
N = 30


@cache
def data():
    """X with a column of large and one of small numbers, and a few kinds of y."""
    rng = np.random.default_rng(7)
    X = rng.normal(size=(N, 3)) * [1.0, 100.0, 0.01] + [0.0, 40.0, 0.0]
    t = X[:, 0] - 10 * X[:, 2] + 0.3 * rng.normal(size=N)
    targets = {
        "real": 50.0 + 20.0 * t,
        "reals": np.stack([t, t**2], axis=1),
        "counts": rng.poisson(np.exp(0.5 * t)),
        "positive": np.exp(0.5 * t),
        "two": np.where(t > 0, "yes", "no"),
        "three": np.array(["a", "b", "c"])[np.digitize(t, [-0.5, 0.5])],
        "labels": np.stack([t > 0, X[:, 0] > 0.5], axis=1).astype(int),
    }
    return X, targets, rng.uniform(0.1, 3.0, size=N)


def fitted(estimator, y, sparse=False, weighted=False, dtype=np.float64, **params):
    """Return an estimator that has been trained for three epochs, and what it was fitted to."""
    X, targets, w = data()
    X, y = (csr_array(X) if sparse else X).astype(dtype), targets[y]
    defaults = {
        "hidden_layer_sizes": (5, 4),
        "scale_inputs": "standard",
        "activation": "tanh",
        "learning_rate": "cosine",
        "max_iter": 3,
        "random_state": 1,
        "alpha": 0.1,
    }
    model = estimator.plain(**{**defaults, **params})
    rows = (X, y, w) if weighted else (X, y, None)
    return model.fit(*rows), *rows


PLAIN = {"scale_inputs": None}
CASES = {
    **{
        f"{name} {loss.__name__}": (loss, y, {"activation": name})
        for name in paper.ACTIVATIONS
        for loss, y in [(DNNClassifier, "three"), (DNNRegressor, "reals")]
    },
    "binary": (DNNBinaryClassifier, "two", {}),
    "several binary": (DNNBinaryClassifier, "labels", {}),
    "squared error": (DNNRegressor, "real", {"scale_target": True}),
    "Poisson": (DNNRegressor, "counts", {"loss": "poisson"}),
    "scaled Poisson": (DNNRegressor, "counts", {"loss": "poisson", "scale_target": True}),
    "gamma": (DNNRegressor, "positive", {"loss": "gamma", "scale_target": True}),
    **{
        f"Tweedie {p}": (DNNRegressor, y, {"loss": "tweedie", "power": p, "scale_target": True})
        for p, y in [(1, "counts"), (1.5, "counts"), (2, "positive"), (3, "positive")]
    },
    "absolute error": (DNNRegressor, "real", {"loss": "absolute_error", "scale_target": True}),
    "Huber": (DNNRegressor, "real", {"loss": "huber", "huber_delta": 0.7, "scale_target": True}),
    "quantile": (DNNRegressor, "real", {"loss": "quantile", "quantile": 0.9, "scale_target": True}),
    "quantiles": (
        DNNRegressor,
        "real",
        {"loss": "quantile", "quantile": [0.1, 0.4, 0.9], "scale_target": True, "weighted": True},
    ),
    "label smoothing": (DNNClassifier, "three", {"label_smoothing": 0.2}),
    "binary label smoothing": (DNNBinaryClassifier, "two", {"label_smoothing": 0.2}),
    "class weight": (DNNClassifier, "three", {"class_weight": {"a": 1, "b": 5, "c": 0.5}}),
    "balanced": (DNNBinaryClassifier, "two", {"class_weight": "balanced"}),
    "sample weight": (DNNClassifier, "three", {"weighted": True}),
    "both weights": (DNNClassifier, "three", {"weighted": True, "class_weight": "balanced"}),
    "no L2 term": (DNNRegressor, "reals", {"alpha": 0.0}),
    "strong L2 term": (DNNRegressor, "reals", {"alpha": 100.0, "weighted": True}),
    "no hidden layer": (DNNClassifier, "three", {"hidden_layer_sizes": ()}),
    "five hidden layers": (DNNRegressor, "reals", {"hidden_layer_sizes": (3, 4, 3, 2, 4)}),
    "an activation a layer": (DNNRegressor, "reals", {"activation": ["relu", "gelu"]}),
    "dropout": (DNNClassifier, "three", {"dropout": 0.4}),
    "averaged weights": (DNNClassifier, "three", {"average_decay": 0.9}),
    "robust scaling": (DNNClassifier, "three", {"scale_inputs": "robust"}),
    "sparse": (DNNClassifier, "three", {"sparse": True}),
    "L-BFGS": (
        DNNClassifier,
        "three",
        {"solver": "lbfgs", "learning_rate": "constant", "tol": 0.01, "max_iter": 200},
    ),
}


@cache
def check_of(case, method):
    """The check of a case, which two tests look at."""
    estimator, y, params = CASES[case]
    model, X, y, w = fitted(estimator, y, **params)
    return check_gradients(model, X, y, method=method, sample_weight=w)


@METHOD
@pytest.mark.parametrize("case", CASES)
def test_gradient_is_right(case, method):
    check = check_of(case, method)
    assert check.max_relative_error <= METHODS[method], check


@METHOD
@pytest.mark.parametrize("case", CASES)
def test_cost_is_right(case, method):
    check = check_of(case, method)
    assert check.cost == pytest.approx(check.reference_cost, rel=1e-12)


@METHOD
def test_float32_is_compared_with_a_reference_in_float64(method):
    model, X, y, _ = fitted(DNNClassifier, "three", dtype=np.float32)
    assert model.weights_[0].dtype == np.float32
    assert 1e-9 < check_gradients(model, X, y, method=method).max_relative_error < 1e-5


@METHOD
def test_rows_that_were_not_fitted_can_be_checked(method):
    model, X, y, _ = fitted(DNNRegressor, "real", scale_target=True)
    check = check_gradients(model, 1.5 * X[:4], y[:4] - 30, method=method)
    assert check.max_relative_error <= METHODS[method]


UNBOUNDED = ["relu", "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "softplus"]


@METHOD
@pytest.mark.parametrize("activation", UNBOUNDED)
def test_gradient_is_right_far_out(activation, method):
    """Unscaled inputs drive the units to where exp overflows."""
    model, X, y, _ = fitted(DNNClassifier, "three", **PLAIN, activation=activation)
    check = check_gradients(model, 10 * X, y, method=method)
    assert check.max_relative_error <= METHODS[method]


# ------------------------------------------------------------------------------ gradients


def test_cost_is_the_loss_of_the_fit():
    model, X, y, _ = fitted(DNNClassifier, "three")
    assert gradients(model, X, y).cost == model.loss_


def test_gradient_has_the_shapes_of_weights_and_biases():
    model, X, y, _ = fitted(DNNClassifier, "three")
    dJ = gradients(model, X, y)
    assert [a.shape for a in dJ.dW + dJ.db] == [a.shape for a in model.weights_ + model.biases_]


def test_gradient_is_that_of_the_paper():
    model, X, y, _ = fitted(DNNClassifier, "three", **PLAIN, alpha=0.0)
    Y = (model.classes_[:, None] == y).astype(float)
    W, b = [None, *model.weights_], [None, *model.biases_]
    pair = paper.OUTPUTS["categorical_cross_entropy"]
    _, dW, db = paper.backward(X.T, Y, W, b, *paper.ACTIVATIONS["tanh"], pair)
    dJ = gradients(model, X, y)
    for ours, theirs in zip(dJ.dW + dJ.db, dW[1:] + db[1:], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-13 * np.max(np.abs(theirs)))


def test_l2_term_adds_alpha_W_over_the_total_weight():
    model, X, y, w = fitted(DNNClassifier, "three", weighted=True, alpha=0.5)
    with_term = gradients(model, X, y, w).dW
    without = gradients(model.set_params(alpha=0.0), X, y, w).dW
    for ours, plain, W in zip(with_term, without, model.weights_, strict=True):
        np.testing.assert_allclose(ours - plain, 0.5 * W / w.sum(), atol=1e-15)


def test_l2_term_leaves_the_biases_alone():
    model, X, y, _ = fitted(DNNClassifier, "three", alpha=0.5)
    with_term = gradients(model, X, y).db
    without = gradients(model.set_params(alpha=0.0), X, y).db
    assert all(np.array_equal(a, b) for a, b in zip(with_term, without, strict=True))


def test_gradient_descent_goes_one_step_along_it():
    """W <- W - alpha dW, section 1, where the paper's alpha is the learning rate."""
    model, X, y, _ = fitted(DNNClassifier, "three", solver="gd", learning_rate_init=0.25)
    before, dJ = [W.copy() for W in model.weights_], gradients(model, X, y)
    model.partial_fit(X, y)
    for W, old, dW in zip(model.weights_, before, dJ.dW, strict=True):
        np.testing.assert_allclose(W, old - 0.25 * dW, rtol=0, atol=1e-15)


def test_dropout_is_off():
    model, X, y, _ = fitted(DNNClassifier, "three", dropout=0.5)
    with_dropout = gradients(model, X, y)
    without = gradients(model.set_params(dropout=0.0), X, y)
    assert all(np.array_equal(a, b) for a, b in zip(with_dropout.dW, without.dW, strict=True))


def test_sparse_rows_give_the_gradient_of_dense_ones():
    model, X, y, _ = fitted(DNNClassifier, "three", sparse=True)
    sparse, dense = gradients(model, X, y), gradients(model, X.toarray(), y)
    for a, b in zip(sparse.dW, dense.dW, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-14)


@pytest.mark.parametrize("function", [gradients, check_gradients])
def test_estimator_is_not_changed(function):
    model, X, y, _ = fitted(DNNClassifier, "three")
    before, attributes = model._model.networks[0].parameters.theta.copy(), dict(vars(model))
    function(model, X, y)
    assert np.array_equal(model._model.networks[0].parameters.theta, before)
    assert vars(model) == attributes


@pytest.mark.parametrize("function", [gradients, check_gradients])
def test_unfitted_estimator_is_refused(function):
    X, targets, _ = data()
    with pytest.raises(NotFittedError):
        function(DNNClassifier(), X, targets["three"])


@pytest.mark.parametrize("function", [gradients, check_gradients])
def test_estimator_of_another_kind_is_refused(function):
    X, targets, _ = data()
    with pytest.raises(TypeError, match="estimator must be one of skdnn's, got LinearRegression"):
        function(LinearRegression().fit(X, targets["real"]), X, targets["real"])


def test_unseen_label_is_refused():
    model, X, y, _ = fitted(DNNClassifier, "three")
    with pytest.raises(ValueError, match="'d'"):
        gradients(model, X, np.where(y == "a", "d", y))


# ------------------------------------------------------------------------- check_gradients


def test_method_that_is_none_of_the_three_is_refused():
    model, X, y, _ = fitted(DNNClassifier, "three")
    with pytest.raises(ValueError, match=r"method must be one of .*'central'.* got 'forward'"):
        check_gradients(model, X, y, method="forward")


def no_module(name):
    raise ModuleNotFoundError(f"No module named {name!r}")


def test_autograd_without_pytorch_says_how_to_get_it(monkeypatch):
    model, X, y, _ = fitted(DNNClassifier, "three")
    monkeypatch.setattr("skdnn.verify.import_module", no_module)
    with pytest.raises(ImportError, match="pip install torch"):
        check_gradients(model, X, y, method="autograd")


class MyTanh(Tanh):
    """An activation of the user's own."""


@pytest.mark.parametrize("method", ["complex-step", pytest.param("autograd", marks=needs_torch)])
def test_unknown_activation_is_refused_with_the_method_that_works(method, monkeypatch):
    model, X, y, _ = fitted(DNNClassifier, "three")
    monkeypatch.setitem(ACTIVATIONS, "tanh", MyTanh())
    with pytest.raises(ValueError, match="method must be 'central' for MyTanh"):
        check_gradients(model, X, y, method=method)


def test_central_differences_need_no_form_of_an_activation(monkeypatch):
    model, X, y, _ = fitted(DNNClassifier, "three")
    monkeypatch.setitem(ACTIVATIONS, "tanh", MyTanh())
    assert check_gradients(model, X, y).max_relative_error <= 1e-6


def test_every_loss_and_activation_has_a_form_for_every_method():
    from skdnn import losses, verify

    parts = {type(g) for g in ACTIVATIONS.values()} | set(losses.Loss.__subclasses__())
    parts = parts - {LogLink} | set(LogLink.__subclasses__())
    assert parts <= set(verify._COMPLEX)


def test_result_prints_as_a_table_of_the_arrays():
    model, X, y, _ = fitted(DNNClassifier, "three")
    lines = str(check_gradients(model, X, y)).splitlines()
    names = ["W[1]", "W[2]", "W[3]", "b[1]", "b[2]", "b[3]"]
    assert [line.split()[0] for line in lines[1:-1]] == ["array", *names]


def test_max_relative_error_is_the_largest_of_the_arrays():
    model, X, y, _ = fitted(DNNClassifier, "three")
    check = check_gradients(model, X, y)
    assert check.max_relative_error == max(array.relative for array in check.arrays)


# ----------------------------------------------------------------------------------- kinks


def at_a_kink(activation="relu", **params):
    """A fitted network whose first unit is at z = 0 for its first sample, and only there."""
    model, X, y, _ = fitted(DNNRegressor, "reals", **PLAIN, activation=activation, **params)
    b = [bias.copy() for bias in model.biases_]
    X = X.copy()
    X[0] = [1.0, 0.0, 0.0]
    b[0][0, 0] = -model.weights_[0][0, 0]
    model.biases_ = b
    return model, X, y


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "selu"])
def test_difference_across_a_kink_is_told_apart_from_an_error(activation):
    model, X, y = at_a_kink(activation)
    check = check_gradients(model, X, y)
    W1, b1 = check.arrays[0], check.arrays[3]
    assert (W1.at_kinks, b1.at_kinks) == (1, 1)
    assert check.max_relative_error <= 1e-6, check


def test_difference_across_a_kink_would_look_like_an_error(monkeypatch):
    """The same network without the telling apart."""
    monkeypatch.setattr("skdnn.verify._has_kink", lambda g, z: False)
    model, X, y = at_a_kink()
    assert check_gradients(model, X, y).max_relative_error > 1e-5


def test_elu_is_smooth_enough_to_be_compared_at_zero():
    model, X, y = at_a_kink("elu")
    check = check_gradients(model, X, y)
    assert sum(array.at_kinks for array in check.arrays) == 0
    assert check.max_relative_error <= 1e-5


@pytest.mark.parametrize("method", ["complex-step", pytest.param("autograd", marks=needs_torch)])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "selu"])
def test_other_methods_take_the_same_side_of_a_kink(activation, method):
    model, X, y = at_a_kink(activation)
    assert check_gradients(model, X, y, method=method).max_relative_error <= 1e-12


@pytest.mark.parametrize("method", ["complex-step", pytest.param("autograd", marks=needs_torch)])
@pytest.mark.parametrize("after", ["relu", "leaky_relu", "selu"])
@pytest.mark.parametrize("before", ["identity", "tanh", "elu", "selu", "gelu", "silu", "mish"])
def test_other_methods_take_the_same_side_of_a_kink_behind_any_layer(before, after, method):
    model, X, y, _ = fitted(DNNRegressor, "reals", **PLAIN, activation=[before, after])
    X = X.copy()
    X[0] = 0.0  # and z = 0 in every unit of both hidden layers
    b1, b2, b3 = model.biases_
    model.biases_ = [0.0 * b1, 0.0 * b2, b3]
    assert check_gradients(model, X, y, method=method).max_relative_error <= 1e-12


@pytest.mark.parametrize("loss", ["absolute_error", "quantile"])
def test_difference_across_the_kink_of_a_loss_is_told_apart(loss):
    model, X, y, _ = fitted(DNNRegressor, "real", **PLAIN, loss=loss)
    y = y.copy()
    y[0] = model.predict(X[:1])[0]
    check = check_gradients(model, X, y)
    assert sum(array.at_kinks for array in check.arrays) > 0
    # Of W[1] and b[1] only what hardly matters is left to compare, and little to relate it to.
    assert np.nanmax([array.absolute for array in check.arrays]) <= 1e-6, check


def test_kinks_alone_have_no_error_to_tell():
    params = {"hidden_layer_sizes": (), "loss": "absolute_error"}
    model, X, *_ = fitted(DNNRegressor, "real", **PLAIN, **params)
    check = check_gradients(model, X[:1], model.predict(X[:1]))
    assert np.isnan(check.max_relative_error)


def test_array_of_kinks_alone_leaves_the_others_their_error():
    model, X, y, _ = fitted(DNNRegressor, "real", **PLAIN, activation="relu")
    X = X.copy()
    X[:, 1:] = 0.0
    X[0] = 0.0
    b1, *others = model.biases_
    model.biases_ = [0.0 * b1, *others]  # any step of b[1] crosses the kinks of X[0]
    check = check_gradients(model, X, y)
    (b1,) = (array for array in check.arrays if array.name == "b[1]")
    assert b1.at_kinks == 5
    assert check.max_relative_error <= 1e-6, check


def test_nan_in_the_gradient_is_an_error():
    arrays = [ArrayCheck("W[1]", (2, 3), np.nan, np.nan, 0), ArrayCheck("b[1]", (2, 1), 0, 0, 0)]
    assert np.isnan(GradientCheck("DNNRegressor", "central", 1.0, 1.0, arrays).max_relative_error)


def test_of_several_networks_each_can_be_checked():
    X, y = load_iris(return_X_y=True)
    model = DNNClassifier((5,), n_estimators=2, random_state=0).fit(X, y)
    with pytest.raises(TypeError, match="n_estimators=2, each of its estimators_"):
        gradients(model, X, y)
    for member in model.estimators_:
        assert check_gradients(member, X, y, "complex-step").max_relative_error < 1e-10


CHANGED = {
    "hidden_layer_sizes": (7,),
    "activation": "relu",
    "loss": "huber",
    "scale_inputs": None,
    "scale_target": False,
    "n_estimators": 3,
    "warm_start": True,
}


@pytest.mark.parametrize("name", CHANGED)
def test_parameters_set_after_the_fit_change_nothing_of_the_network_that_is_checked(name):
    model, X, y, _ = fitted(DNNRegressor, "real", scale_target=True)
    before, check = gradients(model, X, y), check_gradients(model, X, y)
    model.set_params(**{name: CHANGED[name]})
    after = gradients(model, X, y)
    assert after.cost == before.cost
    assert all(np.array_equal(a, b) for a, b in zip(after.dW, before.dW, strict=True))
    assert check_gradients(model, X, y) == check
