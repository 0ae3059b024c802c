"""What a fit allocates: no array in a step, and little in all."""

import tracemalloc

import numpy as np
import pytest

from skdnn import DNNClassifier, DNNRegressor
from skdnn.activations import ACTIVATIONS
from skdnn.core.optimizers import Adam
from skdnn.core.schedules import SCHEDULES
from skdnn.fit.objective import BLOCK, CHUNK, Objective
from skdnn.fit.recipe import batch_rows
from skdnn.fit.rows import WRITTEN, Batches, Rows
from skdnn.fit.training import Plan, State, _step
from skdnn.losses import BinaryCrossEntropy, CategoricalCrossEntropy, SquaredError
from skdnn.network import Network, Parameters
from tests.cases import UNCONVERGED, peak_of

pytestmark = [UNCONVERGED, pytest.mark.usefixtures("one_thread")]


BATCH, STEPS = 200, 6


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(
    "loss",
    [SquaredError(), BinaryCrossEntropy(), CategoricalCrossEntropy()],
    ids=lambda loss: type(loss).__name__,
)
def test_a_step_allocates_no_array(loss, activation, dtype):
    rng = np.random.default_rng(0)
    n, sizes = BATCH * STEPS, (150, 200, 200, 150)
    parameters = Parameters(sizes, rng.normal(0, 0.1, Parameters.count(sizes)).astype(dtype))
    X, labels = rng.normal(size=(n, 150)).astype(dtype), rng.integers(0, 150, n)
    rows = Rows(X, labels, np.ones(n, dtype), np.eye(150, dtype=dtype))
    network = Network(parameters, [activation] * 2, loss)
    objective = Objective(Batches(rows), network, 1e-4, BATCH)
    state = State(parameters, Adam(len(parameters.theta), dtype), seed=0)
    plan = Plan(10, BATCH, True, 1e-3, SCHEDULES["constant"])
    kept, peaks = np.zeros(STEPS, int), np.zeros(STEPS, int)

    def step(i):
        _step(state, objective, 1e-3, plan)
        kept[i], peaks[i] = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()

    size = np.setbufsize(1024)  # of what NumPy 2.0 casts in, which is no array
    tracemalloc.start()
    try:
        for _ in range(2):
            objective.epoch(parameters, True, rng, step)
    finally:
        tracemalloc.stop()
        np.setbufsize(size)
    assert np.diff(kept).max() < 4096
    # What a step takes and gives back is NumPy's own: the iterator of a broadcast, the buffer
    # of a sum of float32 in double precision. The smallest array of a step has 120,000 bytes.
    assert (peaks[1:] - kept[:-1]).max() < 80_000


@pytest.mark.parametrize("batch_size", [100, 3 * CHUNK])
def test_a_fit_takes_four_vectors_of_parameters_and_two_batches(batch_size):
    n, sizes = 4 * CHUNK, (200, 300, 300, 10)
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(n, sizes[0])), rng.integers(0, sizes[-1], n)
    model = DNNClassifier.plain(hidden_layer_sizes=sizes[1:-1], batch_size=batch_size, max_iter=2)
    peak = peak_of(lambda: model.fit(X, y))
    parameters, batch = Parameters.count(sizes), batch_size * (sum(sizes) + len(sizes))
    # and three blocks of half a megabyte: to gather in, beside the ones, and to find J
    assert peak <= 8 * (4 * parameters + 2 * batch) + 1.5e6


def test_scaled_rows_are_copied_once_and_in_the_type_of_training():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20 * CHUNK, 100))
    y = X[:, 0].copy()
    model = DNNRegressor.plain(
        hidden_layer_sizes=(20,), max_iter=1, scale_inputs="clipped", precision="single"
    )
    peak = peak_of(lambda: model.fit(X, y))
    assert peak <= 0.5 * X.nbytes + 4 * X[:CHUNK].nbytes


@pytest.mark.parametrize("refit", [False, True])
def test_rows_that_are_held_out_are_not_copied_again(refit):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20 * CHUNK, 100))
    y = X[:, 0].copy()
    params = {"early_stopping": True, "validation_fraction": 0.1, "refit": refit, "max_iter": 1}
    params |= {"scale_inputs": "clipped", "precision": "single", "scoring": "loss"}
    model = DNNRegressor.plain(hidden_layer_sizes=(20,), **params)
    peak = peak_of(lambda: model.fit(X, y) and None)
    assert peak <= 0.5 * X.nbytes + 4 * X[:CHUNK].nbytes


def test_without_shuffling_X_is_not_copied():
    n = 20 * CHUNK
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 100))
    y = X[:, 0].copy()
    model = DNNRegressor.plain(hidden_layer_sizes=(20,), solver="lbfgs", max_iter=2)
    assert peak_of(lambda: model.fit(X, y)) < 0.5 * X.nbytes


@pytest.mark.parametrize("Estimator", [DNNRegressor, DNNClassifier])
@pytest.mark.parametrize(
    "scaling, dtype, share",
    [
        ("clipped", np.float64, 0.6),
        ("clipped", np.float32, 1.1),
        ("piecewise", np.float64, 1.1),  # a number and its place among the knots, in float32
        ("piecewise", np.float32, 2.1),
    ],
)
@pytest.mark.parametrize("n, n_features", [(20_000, 100), (4_000, 20), (300, 6_000), (200, 10)])
def test_a_default_fit_copies_X_once_and_the_parameters_a_dozen_times(
    Estimator, scaling, dtype, share, n, n_features
):
    X = np.random.default_rng(0).normal(size=(n, n_features)).astype(dtype)
    y = X[:, 0].copy() if Estimator is DNNRegressor else np.arange(n) % 3
    width = (
        Estimator(max_iter=1, scale_inputs=scaling).fit(X, y).weights_[0].shape[1]
    )  # with ramps beside the columns
    sizes = (width, 96, 96, 1 if Estimator is DNNRegressor else 3)
    itemsize = X.dtype.itemsize
    parameters = itemsize * Parameters.count(sizes)
    one_pass = itemsize * min(n, batch_rows(n)) * 3 * (sum(sizes) + len(sizes))
    blocks = 5 * BLOCK  # to gather in, and to judge many rows at once
    if scaling == "piecewise":  # with their ramps, which few rows have once and for all
        written = 4 * n * (1 + width)
        blocks += itemsize * CHUNK * width + (written if written <= WRITTEN else 0)
    peak = peak_of(
        lambda: Estimator(max_iter=2, random_state=0, scale_inputs=scaling).fit(X, y) and None
    )
    assert peak <= share * X.nbytes + 12 * parameters + one_pass + blocks
