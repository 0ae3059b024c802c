"""Means of the targets by level: sums over lots of rows against the formula row by row."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skdnn import DNNBinaryClassifier, DNNClassifier, DNNRegressor
from skdnn.means import FOLDS, LevelSums, folds_of

N, LEVELS = 400, 50
rng = np.random.default_rng(0)
LEVEL = rng.integers(0, LEVELS, N).astype(float)
X = np.where(rng.random(N) < 0.1, np.nan, LEVEL)
Y = rng.normal(size=(LEVELS, 2))[LEVEL.astype(int)] + rng.normal(size=(N, 2)) + [0.0, 1e6]
W = rng.integers(0, 3, N) * rng.uniform(0.5, 2.0, N)
WEIGHTS = pytest.mark.parametrize("w", [None, W], ids=["alike", "weighted"])


def sums(rows=slice(None), w=None, first=0, center=Y[0]):
    """Return the sums of some rows."""
    part = None if w is None else w[rows]
    folds = folds_of(part, len(X[rows]), first)
    return LevelSums.of(X[rows], LEVELS, part, Y[rows], center, folds)


def expected(rows, w):
    """Return the means by level over some rows, from the analysis of variance."""
    w = w * np.count_nonzero(w[rows]) / w[rows].sum()
    n, mean = np.count_nonzero(w[rows]), np.average(Y[rows], axis=0, weights=w[rows])
    level = np.where(np.isnan(X), LEVELS, X).astype(int)
    groups = {j: rows[(level[rows] == j) & (w[rows] > 0)] for j in range(LEVELS + 1)}
    groups = {j: rows for j, rows in groups.items() if len(rows)}
    total = {j: w[rows].sum() for j, rows in groups.items()}
    each = {j: np.average(Y[rows], axis=0, weights=w[rows]) for j, rows in groups.items()}
    within = sum(w[rows] @ (Y[rows] - each[j]) ** 2 for j, rows in groups.items())
    within = (within + w[rows] @ (Y[rows] - mean) ** 2 / n) / (n - len(groups) + 1)
    size = (n - sum(of**2 for of in total.values()) / n) / (len(groups) - 1)
    between = sum(total[j] * (each[j] - mean) ** 2 for j in groups) / (len(groups) - 1)
    ratio = within / ((between - within) / size)
    means = np.tile(mean, (LEVELS + 2, 1))
    for j in groups:
        means[j] = (total[j] * each[j] + ratio * mean) / (total[j] + ratio)
    return means


@WEIGHTS
@pytest.mark.parametrize("without", [None, *range(FOLDS)])
def test_means_are_those_of_the_analysis_of_variance(w, without):
    rows = np.flatnonzero(folds_of(w, N) != without)
    theirs = expected(rows, np.ones(N) if w is None else w)
    assert_allclose(sums(w=w).means(without), theirs, rtol=1e-9)


@WEIGHTS
def test_lots_add_up_to_all_rows(w):
    lots, first = [], 0
    for start in range(0, N, 90):
        rows = slice(start, start + 90)
        lots.append(sums(rows, w, first))
        first += len(X[rows]) if w is None else np.count_nonzero(w[rows])
    merged = sum(lots[1:], lots[0])
    assert_allclose(merged.crossed(), sums(w=w).crossed(), rtol=1e-13)


def test_the_unit_of_weights_does_not_matter():
    assert_allclose(sums(w=1e-9 * W).crossed(), sums(w=W).crossed(), rtol=1e-12)


def test_a_row_does_not_tell_itself():
    other, row = Y.copy(), 7
    other[row] += 100.0
    fold = folds_of(None, N)
    changed = LevelSums.of(X, LEVELS, None, other, Y[0], fold).crossed()[fold[row]]
    assert_array_equal(changed, sums().crossed()[fold[row]])


@pytest.mark.parametrize("step", [1, 2, 5, 7, 24, 1000])
def test_rows_at_equal_distances_are_in_all_folds_alike(step):
    counts = np.bincount(folds_of(None, 1000 * step)[::step], minlength=FOLDS)
    assert counts.min() > 180


def test_rows_of_weight_0_are_not_counted():
    assert_array_equal(folds_of(W, N)[W > 0], folds_of(None, np.count_nonzero(W)))


@pytest.mark.parametrize("n_levels", [33, 100])
@pytest.mark.parametrize("Estimator", [DNNRegressor, DNNBinaryClassifier, DNNClassifier])
@pytest.mark.parametrize("n", [200, 1000])
def test_a_target_that_differs_in_one_row_has_means_of_every_level(Estimator, n, n_levels):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=n), np.resize(np.arange(n_levels), n)])
    y = np.zeros(n) if Estimator is not DNNClassifier else rng.integers(0, 2, n)
    y[3] = 2
    model = Estimator(categorical_features=[1], max_iter=2, hidden_layer_sizes=(4,), random_state=0)
    assert np.isfinite(model.fit(X, y).loss_)
    assert np.isfinite(model._model.inputs(np.array([[0.0, np.nan], [0.0, -1.0]]))).all()


def test_a_level_that_no_row_has_is_the_mean_where_nothing_varies_within_levels():
    n, n_levels = 300, 40
    x, folds = np.resize(np.arange(float(n_levels)), n), folds_of(None, n)
    Y = np.zeros((n, 1))
    Y[3] = 1.0
    sums = LevelSums.of(x, n_levels, None, Y, Y.mean(axis=0), folds)
    for k in range(FOLDS):
        means = sums.means(without=k)
        assert_allclose(means[-2:, 0], Y[folds != k].mean(), atol=1e-12)
