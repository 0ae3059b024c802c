"""No reference cycles: memory is given back when the last name goes, not when a collector runs."""

import tracemalloc
import weakref

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone

from skdnn import DNNBinaryClassifier, DNNClassifier
from tests.cases import CASES, UNCONVERGED, many, plain

pytestmark = UNCONVERGED

# One layer of 1,000 units: a pass over 100 rows has 0.8 MB, the parameters 48 kB. What is left
# by joblib and by scikit-learn's callbacks are some kilobytes a fit.
WIDE = {"hidden_layer_sizes": (1000,), "max_iter": 3}
FITS = {
    "adam": {},
    "gd": {"solver": "gd"},
    "lbfgs": {"solver": "lbfgs"},
    "early stopping": {"early_stopping": True, "refit": True},
    "own scorer": {"early_stopping": True, "scoring": "neg_mean_squared_error"},
    "scaled": {"scale_inputs": "clipped", "scale_target": True, "precision": "single"},
    "average": {"average_decay": 0.9},
    "dropout": {"dropout": 0.2},
    "several": {"n_estimators": 2},
    "remembers": {"warm_start": True},
}


def left_behind(function, times):
    """Return how many bytes are held after so many calls that were not after a few."""
    for _ in range(2):
        function()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(times):
            function()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("form", [np.asarray, csr_array], ids=["dense", "csr"])
@pytest.mark.parametrize("name", CASES)
def test_predictions_leave_nothing(no_collector, name, form):
    X, y = many(name)
    model = plain(name, **WIDE).fit(form(X), y)
    rows = form(X)
    assert left_behind(lambda: model.predict(rows), 100) < 100_000


@pytest.mark.parametrize("form", [np.asarray, csr_array], ids=["dense", "csr"])
@pytest.mark.parametrize("params", FITS.values(), ids=FITS)
def test_fits_leave_nothing(no_collector, params, form):
    X, y = many("regressor")
    rows = form(X)
    assert left_behind(lambda: plain("regressor", **WIDE, **params).fit(rows, y), 20) < 400_000


@pytest.mark.parametrize("Estimator", [DNNBinaryClassifier, DNNClassifier])
def test_calibrated_fits_leave_nothing(no_collector, Estimator):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 20))
    y = (X[:, 0] + rng.normal(size=300) > 0) * 1 + (Estimator is DNNClassifier) * (X[:, 1] > 1)
    params = {"hidden_layer_sizes": (1000,), "max_iter": 6, "learning_rate_init": 0.3}
    model = Estimator(random_state=0, **params)
    assert 0.1 < model.fit(X, y).recipe_.calibration[0] != 1.0  # found between its bounds
    assert left_behind(lambda: clone(model).fit(X, y), 10) < 400_000


class Watching:
    """A callback that looks at every epoch's estimator and keeps none."""

    def setup(self, estimator, context): ...

    def teardown(self, estimator, context): ...

    def on_fit_task_begin(self, estimator, context): ...

    def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
        fitted_estimator.predict(X)


@pytest.mark.parametrize("n_estimators", [1, 2])
def test_watched_fits_leave_nothing(no_collector, n_estimators):
    X, y = many("regressor")

    def fit():
        plain("regressor", **WIDE, n_estimators=n_estimators).set_callbacks(Watching()).fit(X, y)

    assert left_behind(fit, 20) < 600_000


def test_partial_fits_leave_nothing(no_collector):
    X, y = many("regressor")
    model = plain("regressor", **WIDE)
    assert left_behind(lambda: model.partial_fit(X, y), 100) < 400_000


@pytest.mark.parametrize("params", FITS.values(), ids=FITS)
def test_the_arrays_of_a_model_go_with_its_last_name(no_collector, params):
    model = plain("regressor", **WIDE, **params).fit(*many("regressor"))
    held = [model._model, *model._states, *(n.parameters for n in model._model.networks)]
    arrays = [weakref.ref(n.parameters.theta) for n in model._model.networks]
    parts = [weakref.ref(part) for part in held]
    del model, held
    assert [ref() for ref in arrays] == [None] * len(arrays)
    assert [ref() for ref in parts] == [None] * len(parts)


@pytest.mark.parametrize("params", FITS.values(), ids=FITS)
def test_the_arrays_of_an_earlier_fit_go_with_the_next(no_collector, params):
    model = plain("regressor", **WIDE, **params).fit(*many("regressor"))
    earlier = [weakref.ref(n.parameters.theta) for n in model._model.networks]
    model.set_params(warm_start=False).fit(*many("regressor"))
    assert [ref() for ref in earlier] == [None] * len(earlier)
