"""Saturated outputs, and float32 from end to end."""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from skdnn import DNNBinaryClassifier, DNNClassifier, DNNRegressor
from tests.cases import ESTIMATORS

TOLERANCE = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 1e-6}


def saturated(Estimator, n_classes, dtype):
    """Return a fitted linear classifier whose raw outputs are +-1e4, and its input."""
    X = np.linspace(-1.0, 1.0, 30, dtype=dtype)[:, None]
    y = np.arange(30) % n_classes
    params = {"hidden_layer_sizes": (), "solver": "lbfgs", "max_iter": 1, "random_state": 0}
    estimator = Estimator.plain(**params)
    with pytest.warns(ConvergenceWarning):
        estimator.fit(X, y)
    scale = np.linspace(-1e4, 1e4, estimator.n_outputs_) if estimator.n_outputs_ > 1 else [1e4]
    estimator.weights_ = [np.reshape(scale, (-1, 1))]
    estimator.biases_ = [np.zeros((estimator.n_outputs_, 1))]
    return estimator, X


CLASSIFIERS = pytest.mark.parametrize(
    ("Estimator", "n_classes"), [(DNNBinaryClassifier, 2), (DNNClassifier, 2), (DNNClassifier, 5)]
)
DTYPES = pytest.mark.parametrize("dtype", [np.float64, np.float32])


@CLASSIFIERS
@DTYPES
def test_saturated_probabilities_sum_to_one(Estimator, n_classes, dtype):
    estimator, X = saturated(Estimator, n_classes, dtype)
    sums = estimator.predict_proba(X).sum(axis=1)
    assert np.abs(sums - 1.0).max() <= TOLERANCE[np.dtype(dtype)]


@CLASSIFIERS
@DTYPES
def test_saturated_log_probabilities_are_finite(Estimator, n_classes, dtype):
    estimator, X = saturated(Estimator, n_classes, dtype)
    log_proba = estimator.predict_log_proba(X)
    assert np.isfinite(log_proba).all()
    assert log_proba.min() < -1e3


@CLASSIFIERS
@DTYPES
def test_a_fit_that_goes_on_from_saturated_outputs_has_a_finite_loss(Estimator, n_classes, dtype):
    estimator, X = saturated(Estimator, n_classes, dtype)
    estimator.set_params(solver="adam", warm_start=True, max_iter=1)
    with pytest.warns(ConvergenceWarning):
        estimator.fit(X, np.arange(30) % n_classes)
    assert np.isfinite(estimator.loss_)
    assert estimator.loss_ > 100


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["gd", "sgd", "adam"])
@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_the_optimiser_of_float32_rows_remembers_in_float32(Estimator, solver):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)).astype(np.float32), np.arange(40) % 2
    y = y.astype(np.float64) if Estimator is DNNRegressor else y
    estimator = Estimator(solver=solver, max_iter=3, warm_start=True).fit(X, y)
    assert estimator._states[0].optimizer.state.dtype == np.float32


def test_float32_and_float64_fits_start_from_the_same_draws():
    X, y = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20.0)
    params = {"solver": "gd", "learning_rate_init": 1e-30, "max_iter": 1, "random_state": 0}
    with pytest.warns(ConvergenceWarning):
        wide = DNNRegressor.plain(**params).fit(X, y)
    with pytest.warns(ConvergenceWarning):
        narrow = DNNRegressor.plain(**params).fit(X.astype(np.float32), y)
    for W, V in zip(wide.weights_, narrow.weights_, strict=True):
        assert np.array_equal(W.astype(np.float32), V)
