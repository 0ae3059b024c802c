"""One seed, one model: whatever runs it, and wherever it has been stored."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.model_selection import cross_validate

from skdnn import DNNClassifier
from tests.cases import SOLVERS, UNCONVERGED, weights_of

pytestmark = UNCONVERGED


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


def classifier(**params):
    return DNNClassifier(hidden_layer_sizes=(20,), max_iter=5, random_state=3, **params)


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_same_seed_gives_the_same_model(iris, solver):
    first, second = (weights_of(classifier(solver=solver).fit(*iris)) for _ in range(2))
    assert np.array_equal(first, second)


def test_another_seed_gives_another_model(iris):
    first = classifier().fit(*iris)
    second = classifier().set_params(random_state=4).fit(*iris)
    assert not np.array_equal(weights_of(first), weights_of(second))


def test_a_clone_fits_the_same_model(iris):
    fitted = classifier().fit(*iris)
    assert np.array_equal(weights_of(clone(fitted).fit(*iris)), weights_of(fitted))


def test_two_processes_fit_the_models_of_one(iris):
    models = [
        cross_validate(classifier(), *iris, cv=2, n_jobs=n, return_estimator=True)["estimator"]
        for n in (1, 2)
    ]
    for one, two in zip(*models, strict=True):
        assert np.array_equal(weights_of(one), weights_of(two))


def test_eight_threads_predict_what_one_does():
    X, y = load_digits(return_X_y=True)
    fitted = DNNClassifier(max_iter=3, random_state=0).fit(X, y)
    serial = fitted.predict_proba(X)
    with ThreadPoolExecutor(8) as threads:
        for answer in threads.map(fitted.predict_proba, [X] * 32):
            assert np.array_equal(answer, serial)


def test_predicting_changes_nothing(iris):
    fitted = classifier().fit(*iris)
    before = pickle.dumps(fitted)
    fitted.predict(iris[0])
    fitted.predict_proba(iris[0])
    assert pickle.dumps(fitted) == before
