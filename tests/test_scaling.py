"""Inputs and targets in the network's coordinates: what the change of coordinates keeps."""

import numpy as np
import pytest
import scipy.sparse
from numpy.testing import assert_allclose

from skdnn import DNNBinaryClassifier, DNNRegressor
from skdnn.inputs import SCALERS

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
    w = rng.integers(0, 4, N).astype(float)
    repeated = np.repeat(X, w.astype(int), axis=0)
    assert_allclose(SCALERS[kind](X, w)(X), SCALERS[kind](repeated, None)(X), atol=1e-12)


@pytest.mark.parametrize("kind", SCALERS)
def test_a_constant_column_becomes_zero(kind):
    column = np.full((N, 1), 0.1)
    assert_allclose(SCALERS[kind](column, None)(column), 0.0, atol=1e-12)


@pytest.mark.parametrize("kind", ["clipped", "robust"])
def test_what_is_far_out_stays_within_three(kind):
    heavy = rng.standard_cauchy(size=(N, 2)) * 1e6
    assert np.abs(SCALERS[kind](heavy, None)(heavy)).max() <= 3.0


@pytest.mark.parametrize("kind", SCALERS)
def test_a_rare_category_is_told_from_the_others(kind):
    column = np.zeros((N, 1))
    column[0] = 1.0
    low, high = SCALERS[kind](column, None)(column)[[1, 0], 0]
    assert high - low > 1.0


@pytest.mark.parametrize("kind", SCALERS)
def test_a_sparse_input_keeps_its_zeros(kind):
    dense = X * (rng.random(X.shape) < 0.3)
    sparse = scipy.sparse.csr_array(dense)
    assert SCALERS[kind](sparse, None)(sparse).nnz == sparse.nnz


def test_the_scale_is_that_of_the_first_partial_fit():
    model = regressor().partial_fit(X, REAL)
    before = model._scaler.scale.copy(), model._target_scale.copy()
    model.partial_fit(100.0 * X, 100.0 * REAL)
    assert_allclose(model._scaler.scale, before[0], rtol=0)
    assert_allclose(model._target_scale, before[1], rtol=0)


def test_a_standardised_input_is_scaled_to_itself():
    Z = SCALERS["standard"](X, None)(X)
    assert_allclose(SCALERS["standard"](Z, None)(Z), Z, atol=1e-12)


def test_float32_stays_float32():
    model = DNNBinaryClassifier(max_iter=2).fit(X.astype(np.float32), TWO)
    assert model.predict_proba(X.astype(np.float32)).dtype == np.float32
