"""Where another library solves the same problem, the answers are the same."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

from skdnn import DNNBinaryClassifier, DNNClassifier, DNNRegressor

CONVEX = {"hidden_layer_sizes": (), "solver": "lbfgs", "alpha": 1.0, "tol": 1e-10}


def standardised(load):
    X, y = load(return_X_y=True)
    return StandardScaler().fit_transform(X[:, np.ptp(X, axis=0) > 0]), y


def fit_to_the_end(estimator, X, y):
    """Fit with as many iterations as it takes.

    At tol=1e-10 the line search may end where rounding allows no further descent; SciPy
    reports that, and so do both libraries.
    """
    estimator.set_params(max_iter=5000)
    return estimator.fit(X, y)


def relative_difference(ours, theirs):
    return np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)


@pytest.fixture(scope="module")
def digits():
    X, y = standardised(load_digits)
    ours = fit_to_the_end(DNNClassifier.plain(**CONVEX), X, y)
    theirs = fit_to_the_end(LogisticRegression(C=1.0, tol=1e-10), X, y)
    return X, ours, theirs


@pytest.fixture(scope="module")
def breast_cancer():
    X, y = standardised(load_breast_cancer)
    ours = fit_to_the_end(DNNBinaryClassifier.plain(**CONVEX), X, y)
    theirs = fit_to_the_end(LogisticRegression(C=1.0, tol=1e-10), X, y)
    return X, ours, theirs


@pytest.fixture(scope="module")
def diabetes():
    X, y = standardised(load_diabetes)
    ours = fit_to_the_end(DNNRegressor.plain(**CONVEX), X, y)
    return X, ours, Ridge(alpha=1.0).fit(X, y)


def test_softmax_without_a_hidden_layer_predicts_as_logistic_regression(digits):
    X, ours, theirs = digits
    assert np.abs(ours.predict_proba(X) - theirs.predict_proba(X)).max() <= 1e-4


def test_softmax_without_a_hidden_layer_has_the_coefficients_of_logistic_regression(digits):
    _, ours, theirs = digits
    assert relative_difference(ours.weights_[0], theirs.coef_) <= 1e-3


def test_softmax_intercepts_are_those_of_logistic_regression_up_to_a_constant(digits):
    _, ours, theirs = digits
    b, c = ours.intercepts_[0], theirs.intercept_
    assert relative_difference(b - b.mean(), c - c.mean()) <= 1e-3


def test_the_sigmoid_without_a_hidden_layer_predicts_as_logistic_regression(breast_cancer):
    X, ours, theirs = breast_cancer
    assert np.abs(ours.predict_proba(X) - theirs.predict_proba(X)).max() <= 1e-4


def test_the_sigmoid_without_a_hidden_layer_has_its_coefficients(breast_cancer):
    _, ours, theirs = breast_cancer
    assert relative_difference(ours.weights_[0], theirs.coef_) <= 1e-3


def test_the_identity_without_a_hidden_layer_predicts_as_ridge(diabetes):
    X, ours, theirs = diabetes
    assert relative_difference(ours.predict(X), theirs.predict(X)) <= 1e-4


def test_the_identity_without_a_hidden_layer_has_the_coefficients_of_ridge(diabetes):
    _, ours, theirs = diabetes
    assert relative_difference(ours.weights_[0][0], theirs.coef_) <= 1e-3


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize(
    ("Ours", "Theirs", "load", "method"),
    [
        (DNNRegressor, MLPRegressor, load_diabetes, "predict"),
        (DNNBinaryClassifier, MLPClassifier, load_breast_cancer, "predict_proba"),
        (DNNClassifier, MLPClassifier, load_digits, "predict_proba"),
    ],
)
def test_with_scikit_learns_weights_the_predictions_are_its_own(
    Ours, Theirs, load, method, activation
):
    X, y = standardised(load)
    params = {
        "hidden_layer_sizes": (13, 7),
        "activation": activation,
        "max_iter": 3,
        "random_state": 0,
    }
    theirs = Theirs(**params).fit(X, y)
    ours = Ours.plain(**params).fit(X, y)
    ours.coefs_ = theirs.coefs_
    ours.intercepts_ = theirs.intercepts_
    difference = np.abs(getattr(ours, method)(X) - getattr(theirs, method)(X)).max()
    assert difference <= 1e-12 * np.abs(getattr(theirs, method)(X)).max()


def test_a_fit_that_reaches_max_iter_says_so():
    X, y = standardised(load_diabetes)
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        DNNRegressor.plain(max_iter=2).fit(X, y)
