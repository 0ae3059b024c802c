"""What predictions take above their input and output, and what a pickle holds."""

import pickle

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn import config_context

from skdnn import DNNBinaryClassifier, DNNClassifier, DNNRegressor
from tests.cases import SCORE, SOLVERS, UNCONVERGED, X, peak_of, weights_of

pytestmark = UNCONVERGED

ROWS = 10_000
LONG = np.resize(X, (ROWS, 4))
METHODS = {
    DNNRegressor: ["predict"],
    DNNBinaryClassifier: ["predict", "predict_proba", "predict_log_proba", "decision_function"],
    DNNClassifier: ["predict", "predict_proba", "predict_log_proba", "decision_function"],
}
# Two, and several outputs: the regressor's and the binary classifier's label sets.
TARGETS = {
    DNNRegressor: [SCORE, np.column_stack([SCORE] * 7)],
    DNNBinaryClassifier: [(SCORE > 0) * 1, np.column_stack([SCORE > 0] * 7) * 1],
    DNNClassifier: [(SCORE > 0) * 1, np.arange(60) % 7],
}


def wide(Estimator, y, X=X, **params):
    """Fit a network with one hidden layer of 1000 units."""
    params = {"hidden_layer_sizes": (1000,), "max_iter": 1, "random_state": 0, **params}
    return Estimator.plain(**params).fit(X, y)


@pytest.mark.parametrize(
    ("Estimator", "several", "method"),
    [(E, several, method) for E in METHODS for several in (0, 1) for method in METHODS[E]],
)
def test_predictions_take_a_bounded_memory_above_input_and_output(Estimator, several, method):
    # The hidden layer of all rows would be 80 MB, and one number of each output 0.56 MB.
    model = wide(Estimator, TARGETS[Estimator][several])
    few, many = (peak_of(getattr(model, method), LONG[:n]) for n in (ROWS // 4, ROWS))
    assert few < 30e6
    # What remains to grow is the input's check for finiteness and the like.
    assert many - few < 8 * ROWS


@pytest.mark.parametrize("Estimator", METHODS)
def test_score_takes_a_few_numbers_a_row(Estimator):
    y = np.resize(TARGETS[Estimator][0], ROWS)
    model = wide(Estimator, TARGETS[Estimator][0])
    assert peak_of(model.score, LONG, y) < 30e6 + 60 * ROWS


@pytest.mark.parametrize("prepare", [csr_array, lambda X: X.astype(np.float32)], ids=["csr", "f4"])
def test_rows_are_converted_and_scaled_chunk_by_chunk(prepare):
    # Of another type than the network's, and scaled: neither is done to all rows at once.
    features = np.tile(LONG, 25)
    params = {"hidden_layer_sizes": (10,), "scale_inputs": "standard"}
    model = wide(DNNRegressor, SCORE, features[:60], **params)
    features = prepare(features)
    assert peak_of(model.predict, features) < 5e6 < 8 * ROWS * 100


def test_working_memory_of_scikit_learn_is_kept_to():
    model = wide(DNNRegressor, SCORE)
    with config_context(working_memory=1):
        assert peak_of(model.predict, LONG) < 2e6 + 8 * ROWS


@pytest.mark.parametrize("working_memory", [1e-6, 0.1, 1, 1024])
def test_predictions_do_not_depend_on_the_chunks(working_memory):
    model = wide(DNNClassifier, np.arange(60) % 7)
    expected = model.predict_proba(LONG[:1500])
    with config_context(working_memory=working_memory):
        assert model.predict_proba(LONG[:1500]) == pytest.approx(expected, rel=1e-12)


# Pickles


def pickled(model):
    return len(pickle.dumps(model))


@pytest.mark.parametrize("sizes", [(), (100,), (100, 100)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("Estimator", METHODS)
def test_a_pickle_is_the_parameters_and_little_else(Estimator, solver, dtype, sizes):
    params = {"hidden_layer_sizes": sizes, "solver": solver, "max_iter": 3}
    model = Estimator.plain(**params).fit(X.astype(dtype), TARGETS[Estimator][0])
    assert pickled(model) <= 1.1 * weights_of(model).nbytes + 20_000


@pytest.mark.parametrize(
    "params",
    [
        {"early_stopping": True},
        {"early_stopping": True, "refit": True},
        {"average_decay": 0.9},
        {"dropout": 0.2},
        {"max_iter": 500, "n_iter_no_change": np.inf},
        {"scale_inputs": "robust", "scale_target": True},
    ],
    ids=str,
)
def test_a_pickle_holds_nothing_of_how_it_was_fitted(params):
    model = wide(DNNRegressor, SCORE, **{"max_iter": 5, **params})
    assert pickled(model) <= 1.1 * weights_of(model).nbytes + 20_000


@pytest.mark.parametrize("Estimator", METHODS)
def test_a_pickle_is_small_at_any_defaults(Estimator):
    model = Estimator(hidden_layer_sizes=(300, 300), max_iter=3).fit(X, TARGETS[Estimator][0])
    assert pickled(model) <= 1.1 * weights_of(model).nbytes + 20_000


@pytest.mark.parametrize(("solver", "states"), [("gd", 0), ("sgd", 1), ("adam", 2)])
@pytest.mark.parametrize("use", ["warm_start", "partial_fit"])
def test_the_optimisers_state_is_added_where_a_fit_may_go_on(use, solver, states):
    if use == "warm_start":
        model = wide(DNNRegressor, SCORE, solver=solver, warm_start=True)
    else:
        model = wide(DNNRegressor, SCORE, solver=solver).partial_fit(X, SCORE)
    parameters = weights_of(model).nbytes
    assert pickled(model) <= 1.1 * parameters + 20_000 + states * parameters


def test_a_pickle_holds_its_weights_once():
    model = wide(DNNRegressor, SCORE, warm_start=True)
    copy = pickle.loads(pickle.dumps(model))
    assert pickled(copy) <= pickled(model) + 1000
    copy.coefs_[0][...] = 0.0
    assert np.ptp(copy.predict(X)) == 0
