"""Bad input: an error that names what is wrong, before any work, with nothing lost."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import InvalidParameterError

from skdnn import DNNBinaryClassifier, DNNClassifier, DNNRegressor
from tests.cases import ESTIMATORS

N = 20
X = np.random.default_rng(0).normal(size=(N, 3))
TWO, THREE, REAL = np.arange(N) % 2, np.arange(N) % 3, X[:, 0].copy()
LABELS = np.c_[TWO, 1 - TWO, THREE > 0].astype(int)


def with_entry(value, array=X):
    """Return a copy of an array with one bad entry."""
    array = array.astype(float)
    array.flat[4] = value
    return array


def network(Estimator, **params):
    return Estimator.plain(**{"hidden_layer_sizes": (4,), "solver": "gd", "max_iter": 2, **params})


@pytest.mark.parametrize("Estimator", ESTIMATORS)
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (with_entry(np.inf), "X contains infinity"),
        (scipy.sparse.csr_array(with_entry(np.nan)), "X contains NaN"),
        (X[:0], "0 sample"),
        (X[:, :0], r"0 feature"),
        (X + 1j, "Complex data not supported"),
        (np.full((N, 3), "a"), "could not convert string to float"),
        (np.full((N, 3), {}, dtype=object), "must be a string or a real number, not 'dict'"),
        (X[:, 0], "Expected 2D array"),
    ],
)
def test_an_unfit_X_is_refused(Estimator, bad, message):
    with pytest.raises((ValueError, TypeError), match=message):
        network(Estimator).fit(bad, TWO[: bad.shape[0]])


@pytest.mark.parametrize("Estimator", ESTIMATORS)
@pytest.mark.parametrize("bad", [with_entry(np.nan, TWO), with_entry(np.inf, TWO)])
def test_a_y_that_is_not_finite_is_refused(Estimator, bad):
    with pytest.raises(ValueError, match="y contains"):
        network(Estimator).fit(X, bad)


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_a_y_of_another_length_is_refused(Estimator):
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[20, 5\]"):
        network(Estimator).fit(X, TWO[:5])


@pytest.mark.parametrize("Estimator", ESTIMATORS)
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (with_entry(np.nan, np.ones(N)), "sample_weight contains NaN"),
        (with_entry(np.inf, np.ones(N)), "sample_weight contains infinity"),
        (with_entry(-1.0, np.ones(N)), "Negative values in data passed to `sample_weight`"),
        (np.zeros(N), "[Ss]ample.weight.* must "),
        (np.ones(N - 1), r"sample_weight.shape == \(19,\), expected \(20,\)"),
    ],
)
def test_unfit_weights_are_refused(Estimator, weights, message):
    with pytest.raises(ValueError, match=message):
        network(Estimator).fit(X, TWO, sample_weight=weights)


@pytest.mark.parametrize(
    ("Estimator", "y", "message"),
    [
        (DNNClassifier, np.zeros(N), r"at least 2 classes; got 1 class only: \[0.0\]"),
        (DNNBinaryClassifier, np.zeros(N), r"at least 2 classes; got 1 class only: \[0.0\]"),
        (DNNBinaryClassifier, THREE, "Only binary classification is supported.*multiclass"),
        (DNNClassifier, REAL, "Unknown label type: continuous"),
        (DNNBinaryClassifier, REAL, "Unknown label type: continuous"),
        (DNNClassifier, LABELS, "multilabel indicator matrix.*DNNBinaryClassifier"),
        (DNNClassifier, np.c_[THREE, THREE], "one label a row.*multiclass-multioutput"),
        (DNNRegressor, np.full(N, "a"), "could not convert string to float"),
    ],
)
def test_targets_that_an_estimator_does_not_take_are_refused(Estimator, y, message):
    with pytest.raises(ValueError, match=message):
        network(Estimator).fit(X, y)


def test_poisson_refuses_a_negative_target():
    with pytest.raises(ValueError, match=r"y must be >= 0 for loss='poisson'.* is -2\.0"):
        network(DNNRegressor, loss="poisson").fit(X, with_entry(-2.0, TWO))


@pytest.mark.parametrize("Estimator", ESTIMATORS)
@pytest.mark.parametrize("sizes", [0, -1, 2.5, (5, 0), (5, -2), (5, 2.5), ((5,), (3,)), "ab", None])
def test_unfit_layer_sizes_are_named_with_their_value(Estimator, sizes):
    with pytest.raises(InvalidParameterError, match="hidden_layer_sizes") as error:
        network(Estimator, hidden_layer_sizes=sizes).fit(X, TWO)
    assert f"Got {sizes!r} instead" in str(error.value)


@pytest.mark.parametrize("Estimator", ESTIMATORS)
@pytest.mark.parametrize(
    ("name", "value", "known"),
    [
        ("activation", "swoosh", "relu"),
        ("activation", ["swoosh"], "relu"),
        ("activation", ["relu", "relu"], "1 hidden layer"),
        ("solver", "newton", "lbfgs"),
        ("learning_rate_init", 0, "range"),
        ("learning_rate_init", -1.0, "range"),
        ("learning_rate", "fast", "cosine"),
        ("batch_size", 0, "range"),
        ("max_iter", 0, "range"),
        ("alpha", -1.0, "range"),
        ("dropout", 1.0, "range"),
        ("dropout", [0.1, 0.2], "1 hidden layer"),
        ("average_decay", 1.0, "range"),
    ],
)
def test_an_unfit_parameter_is_named_with_its_rule_and_value(Estimator, name, value, known):
    with pytest.raises(InvalidParameterError, match=f"'{name}' parameter") as error:
        network(Estimator, **{name: value}).fit(X, TWO)
    assert known in str(error.value)
    assert f"Got {value!r} instead" in str(error.value)


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_parameters_are_checked_before_the_data(Estimator):
    with pytest.raises(InvalidParameterError, match="hidden_layer_sizes"):
        network(Estimator, hidden_layer_sizes=(0,)).fit(with_entry(np.nan), TWO)


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_predict_before_fit_is_an_error(Estimator):
    with pytest.raises(NotFittedError):
        network(Estimator).predict(X)


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_fitted_attributes_are_absent_before_fit(Estimator):
    assert not hasattr(network(Estimator), "coefs_")


@pytest.fixture(params=ESTIMATORS)
def fitted(request):
    estimator = network(request.param, solver="lbfgs", max_iter=500, tol=0.01, random_state=0)
    return estimator.fit(pd.DataFrame(X, columns=list("abc")), TWO)


def test_another_number_of_features_is_an_error(fitted):
    with (
        pytest.raises(ValueError, match=r"2 features.*expecting 3"),
        pytest.warns(UserWarning, match="valid feature names"),
    ):
        fitted.predict(X[:, :2])


def test_other_feature_names_are_an_error(fitted):
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.predict(pd.DataFrame(X, columns=list("abz")))


def test_a_class_beyond_those_of_the_first_partial_fit_is_an_error():
    estimator = network(DNNClassifier).partial_fit(X, TWO, classes=[0, 1])
    with pytest.raises(ValueError, match=r"classes of \[0, 1\] only; got \[2\]"):
        estimator.partial_fit(X, THREE)


def test_three_classes_are_refused_by_a_binary_partial_fit():
    with pytest.raises(ValueError, match=r"there must be 2 classes; got \[0, 1, 2\]"):
        network(DNNBinaryClassifier).partial_fit(X, TWO, classes=[0, 1, 2])
