"""Inputs and targets in the network's coordinates: what the change of coordinates keeps."""

import numpy as np
import pytest
import scipy.sparse
from numpy.testing import assert_allclose

from skdnn import DNNBinaryClassifier, DNNRegressor
from skdnn.inputs import SCALERS, fit_inputs
from skdnn.statistics import Summary

rng = np.random.default_rng(0)
N = 80
X = rng.normal(size=(N, 4))
REAL = X[:, 0] - X[:, 1] ** 2 + 0.1 * rng.normal(size=N)
TWO = (REAL > 0).astype(int)


def regressor(**params):
    return DNNRegressor(**{"hidden_layer_sizes": (8,), "max_iter": 5, "random_state": 0, **params})


@pytest.mark.parametrize("kind", SCALERS)
def test_units_and_origins_of_the_inputs_make_no_difference(kind):
    units, origin = np.array([1e-3, 2.0, 1e4, 7.0]), np.array([5.0, -3.0, 1e4, 0.0])
    ours = regressor(scale_inputs=kind).fit(X, REAL).predict(X)
    theirs = regressor(scale_inputs=kind).fit(X * units + origin, REAL).predict(X * units + origin)
    assert_allclose(ours, theirs, rtol=1e-5)


def test_units_and_origin_of_the_target_make_no_difference():
    ours = regressor().fit(X, REAL).predict(X)
    theirs = regressor().fit(X, 1e5 * REAL - 3e5).predict(X)
    assert_allclose(1e5 * ours - 3e5, theirs, rtol=1e-6)


@pytest.mark.parametrize("kind", SCALERS)
def test_a_weight_counts_as_that_many_rows(kind):
    many = rng.normal(size=(1500, 2))  # which bear as many ramps as there may be
    w = rng.integers(0, 4, len(many)).astype(float)
    repeated = np.repeat(many, w.astype(int), axis=0)
    ours, theirs = fit_inputs(many, w, kind), fit_inputs(repeated, None, kind)
    assert_allclose(ours(many), theirs(many), atol=1e-12)


@pytest.mark.parametrize("kind", SCALERS)
def test_a_constant_column_becomes_zero(kind):
    column = np.full((N, 1), 0.1)
    assert_allclose(fit_inputs(column, None, kind)(column), 0.0, atol=1e-12)


@pytest.mark.parametrize("kind", ["clipped", "robust"])
def test_what_is_far_out_stays_within_three(kind):
    heavy = rng.standard_cauchy(size=(N, 2)) * 1e6
    assert np.abs(fit_inputs(heavy, None, kind)(heavy)).max() <= 3.0


@pytest.mark.parametrize("kind", SCALERS)
def test_a_rare_category_is_told_from_the_others(kind):
    column = np.zeros((N, 1))
    column[0] = 1.0
    low, high = fit_inputs(column, None, kind)(column)[[1, 0], 0]
    assert high - low > 1.0


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", SCALERS)
def test_a_sparse_input_has_the_coordinates_of_the_dense_one(kind, weighted):
    dense = (X + np.array([0.0, 5.0, -30.0, 0.1])) * (rng.random(X.shape) < 0.3)
    w = rng.integers(0, 4, N).astype(float) if weighted else None
    sparse = scipy.sparse.csr_array(dense)
    ours, theirs = fit_inputs(sparse, w, kind), fit_inputs(dense, w, kind)
    tolerance = 10 * np.finfo(float).eps * (1 + np.abs(theirs.center) / theirs.scale)
    difference = np.abs(ours(sparse).toarray() + ours.origin(sparse) - theirs(dense))
    assert (difference <= tolerance).all()


@pytest.mark.parametrize("kind", SCALERS)
def test_a_sparse_input_stays_as_sparse(kind):
    sparse = scipy.sparse.csr_array(X * (rng.random(X.shape) < 0.3))
    assert fit_inputs(sparse, None, kind)(sparse).nnz == sparse.nnz


@pytest.mark.parametrize("kind", SCALERS)
def test_a_sparse_input_gives_the_model_of_the_dense_one(kind):
    dense = (X + np.array([0.0, 5.0, -30.0, 0.1])) * (rng.random(X.shape) < 0.3)
    ours, theirs = (
        regressor(scale_inputs=kind, precision=None).fit(data, REAL)
        for data in (scipy.sparse.csr_array(dense), dense)
    )
    assert_allclose(ours.predict(dense), theirs.predict(dense), rtol=1e-9)
    assert_allclose(ours.predict(scipy.sparse.csr_array(dense)), ours.predict(dense), rtol=1e-12)


WEIGHTS = {"none": None, "some": rng.integers(0, 4, N).astype(float), "large": np.full(N, 1e306)}


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("kind", ["standard", "clipped"])
def test_the_scale_is_that_of_the_rows_of_all_calls_to_partial_fit(kind, weights):
    w, drifting = WEIGHTS[weights], X * np.linspace(1.0, 50.0, N)[:, None] + 1e3
    model = regressor(scale_inputs=kind)
    for part in np.array_split(np.arange(N), [10, 11, 70]):
        model.partial_fit(drifting[part], REAL[part], None if w is None else w[part])
    whole = fit_inputs(drifting, None if weights == "large" else w, kind)
    assert_allclose(model._model.inputs.center, whole.center, rtol=1e-12)
    assert_allclose(model._model.inputs.scale, whole.scale, rtol=1e-12)
    targets = Summary.of(REAL[:, None], None if weights == "large" else w)
    assert_allclose(model._model.targets.center, targets.mean, rtol=1e-9, atol=1e-12)
    assert_allclose(model._model.targets.scale, targets.deviation, rtol=1e-12)


@np.errstate(over="ignore")
@pytest.mark.parametrize("unit", [1e-250, 1.0, 1e250])
def test_moments_add_up_in_any_unit(unit):
    parts = [Summary.of(unit * X[part], None) for part in np.array_split(np.arange(N), 3)]
    added, whole = Summary.merged(parts), Summary.of(unit * X, None)
    for name in ("weight", "low", "high", "mean", "deviation"):
        assert_allclose(getattr(added, name), getattr(whole, name), rtol=1e-9)


STILL = {"learning_rate": "constant", "learning_rate_init": 1e-300, "average_decay": 0.0}


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "poisson", "gamma"])
def test_where_scaling_is_affine_predictions_stay_when_it_goes_on(loss):
    positive = np.exp(0.1 * REAL)
    model = regressor(scale_inputs="standard", loss=loss, **STILL).partial_fit(X, positive)
    model.set_params(learning_rate_init=0.01).partial_fit(X, positive)
    before = model.predict(X)
    model.set_params(**STILL).partial_fit(3.0 * X + 2.0, 5.0 * positive)
    assert_allclose(model.predict(X), before, rtol=1e-9)


@pytest.mark.parametrize("scale", [1e-6, 1e-2, 1.0, 1e6])
@pytest.mark.parametrize("kind", ["clipped", "robust"])
def test_where_it_clips_the_input_of_a_unit_changes_by_at_most_15_times_its_weights(kind, scale):
    model = regressor(scale_inputs=kind, average_decay=0.0).partial_fit(X, REAL)
    old, W, b = model._model.inputs, model.weights_[0].copy(), model.biases_[0].copy()
    model.set_params(**STILL).partial_fit(scale * X + 7.0 * scale, REAL)
    for rows in (X, scale * X, 1e9 * X):
        now = model.weights_[0] @ model._model.inputs(rows).T + model.biases_[0]
        change = np.abs(now - (W @ old(rows).T + b)).max(axis=1)
        assert (change <= 15.0 * np.abs(W).sum(axis=1)).all()


def test_a_column_that_was_constant_keeps_its_weights_and_its_value():
    model = regressor(scale_inputs="standard", **STILL).partial_fit(np.full((N, 4), 5.0), REAL)
    before, W = model.predict(np.full((1, 4), 5.0)), model.weights_[0].copy()
    model.partial_fit(1e3 * X, REAL)
    assert_allclose(model.weights_[0], W)
    assert_allclose(model.predict(np.full((1, 4), 5.0)), before, rtol=1e-9)


@pytest.mark.parametrize("kind", SCALERS)
def test_a_first_call_of_a_thousandth_of_the_spread_spoils_nothing(kind):
    model = DNNBinaryClassifier(hidden_layer_sizes=(16,), scale_inputs=kind, random_state=0)
    model.partial_fit(X[:30] / 1e3, TWO[:30], classes=np.unique(TWO))
    for _ in range(30):
        model.partial_fit(X, TWO)
    assert model.score(X, TWO) > 0.9


def test_a_standardised_input_is_scaled_to_itself():
    Z = fit_inputs(X, None, "standard")(X)
    assert_allclose(fit_inputs(Z, None, "standard")(Z), Z, atol=1e-12)


def test_float32_stays_float32():
    model = DNNBinaryClassifier(max_iter=2).fit(X.astype(np.float32), TWO)
    assert model.predict_proba(X.astype(np.float32)).dtype == np.float32
