"""Inputs and targets in the network's coordinates: what the change of coordinates keeps."""

import numpy as np
import pytest
import scipy.sparse
from numpy.testing import assert_allclose

from skdnn import DNNBinaryClassifier, DNNRegressor
from skdnn.inputs import SCALERS, fit_inputs

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
    assert_allclose(fit_inputs(X, w, kind)(X), fit_inputs(repeated, None, kind)(X), atol=1e-12)


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


def test_the_scale_is_that_of_the_first_partial_fit():
    model = regressor().partial_fit(X, REAL)
    inputs, targets = model._model.inputs, model._model.targets
    before = inputs.scale.copy(), targets.scale.copy()
    model.partial_fit(100.0 * X, 100.0 * REAL)
    assert_allclose(model._model.inputs.scale, before[0], rtol=0)
    assert_allclose(model._model.targets.scale, before[1], rtol=0)


def test_a_standardised_input_is_scaled_to_itself():
    Z = fit_inputs(X, None, "standard")(X)
    assert_allclose(fit_inputs(Z, None, "standard")(Z), Z, atol=1e-12)


def test_float32_stays_float32():
    model = DNNBinaryClassifier(max_iter=2).fit(X.astype(np.float32), TWO)
    assert model.predict_proba(X.astype(np.float32)).dtype == np.float32
