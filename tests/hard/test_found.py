"""What the search has found, each fault once, in a line or some."""

import copy

import numpy as np
import pandas as pd
import pytest

from skdnn import Checkpoint, DNNRegressor
from skdnn.checkpoint import _File
from skdnn.verify import gradients
from tests.cases import UNCONVERGED
from tests.hard.strangers import Files
from tests.hard.tables import Draw, mapped

pytestmark = UNCONVERGED

rng = np.random.default_rng(0)
N = 120
X = rng.normal(size=(N, 3))
y = X @ [1.0, -2.0, 0.5]
FEW = pd.DataFrame({"city": np.array(["Rome", "Oslo", "Bern"])[rng.integers(0, 3, N)]})
MANY = pd.DataFrame({"film": [f"film {i}" for i in rng.integers(0, 50, N)]})


def model(Estimator=DNNRegressor, **params):
    return Estimator(**{"hidden_layer_sizes": (4,), "max_iter": 3, "random_state": 0, **params})


@pytest.mark.parametrize("scaling", [None, "standard", "clipped", "robust", "piecewise"])
@pytest.mark.parametrize("w", [None, np.arange(N) % 3.0], ids=["all", "weighted"])
def test_a_table_may_be_of_categories_alone(scaling, w):
    fitted = model(scale_inputs=scaling).fit(FEW, y, w)
    assert np.isfinite(fitted.predict(FEW)).all()
    assert model(scale_inputs=scaling).partial_fit(FEW, y, w).partial_fit(FEW, y).n_outputs_ == 1


def test_targets_by_columns_give_the_bits_of_those_by_rows():
    Y = np.column_stack([y, 50 * y**2, 1e-3 * y])
    ours, theirs = (model().fit(X, of).predict(X) for of in (Y, np.asfortranarray(Y)))
    assert np.array_equal(ours, theirs)


def test_float32_of_another_byte_order_stays_float32():
    ours = model().fit(X.astype("f4"), y).predict(X.astype("f4"))
    theirs = model().fit(X.astype(">f4"), y).predict(X.astype(">f4"))
    assert theirs.dtype == np.float32
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("w", [np.inf, np.nan, -1.0, 10**400, 1j], ids=lambda w: f"{w!r:.5}")
def test_one_weight_for_all_rows_is_looked_at(w):
    with pytest.raises(ValueError, match="sample_weight"):
        model().fit(X, y, w)


@pytest.mark.parametrize("name", ["X", "y", "sample_weight"])
def test_an_integer_beyond_float64_is_refused_by_name(name):
    given = {"X": X, "y": y, "sample_weight": np.ones(N)}
    given[name] = np.full(given[name].shape, 10**400)
    with pytest.raises(ValueError, match=rf"{name} must hold numbers that fit into float64"):
        model().fit(**given)


def test_the_loss_is_of_the_rows_as_they_were_trained_on():
    in_double, in_single = (
        model(precision=precision, solver="gd", max_iter=1, learning_rate_init=1e-9).fit(MANY, y)
        for precision in (None, "single")
    )
    assert in_single.loss_ == pytest.approx(in_double.loss_, rel=1e-6)


def test_weights_of_one_are_none_beside_categories_of_many_levels():
    ours, theirs = (model().fit(MANY, y, w).predict(MANY) for w in (None, np.ones(N)))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_targets_beyond_float32_are_scored_in_the_type_of_x():
    ours, theirs = (model(scoring=None).fit(X, y * k).validation_scores_ for k in (1.0, 2.0**200))
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_a_column_that_is_missing_throughout_goes_on_unscaled():
    gone = X.copy()
    gone[:, 1] = np.nan
    fitted = model(scale_inputs=None).partial_fit(gone, y).partial_fit(gone, y)
    assert np.isfinite(fitted.predict(X)).all()


@pytest.mark.parametrize("seed", range(30))
def test_a_checkpoint_that_holds_another_value_is_refused_by_name(tmp_path, seed):
    assert Files(tmp_path).forged(Draw(seed)) in ("refused", "taken", "as it was")


@pytest.mark.parametrize("name", ["time_limit", "alpha", "learning_rate_init", "max_iter"])
def test_a_parameter_beyond_float64_is_refused_by_name(name):
    with pytest.raises(ValueError, match=f"{name}.*at most 1.8e"):
        model(**{name: 10**400}).fit(X, y)


def test_rows_to_validate_on_join_those_of_categories_of_many_levels():
    fitted = model(refit=True).fit(MANY, y, X_val=MANY[:40], y_val=y[:40])
    assert np.isfinite(fitted.loss_)


def test_predictions_that_have_overflown_have_no_score():
    far = model(loss="poisson", scale_target=False).partial_fit(X, np.exp(y))
    far.intercepts_[-1][:] = 1e4
    with pytest.raises(ValueError, match="Of 120 predictions 120 are infinite or NaN"):
        far.score(X, np.exp(y))


@pytest.mark.parametrize("schedule", [lambda: 1.0, lambda p: 10**400, lambda p: 1 + "a"])
def test_an_error_within_a_schedule_names_learning_rate(schedule):
    with pytest.raises((TypeError, ValueError), match="learning_rate"):
        model(learning_rate=schedule).fit(X, y)


def test_an_error_of_partial_fit_says_in_which_rows_of_a_file_it_is():
    rows = mapped(np.zeros((5000, 500), np.float32))
    rows[4000, 0] = np.inf
    with pytest.raises(ValueError, match=r"In the rows from 3055 to 4029: .*infinity"):
        model().partial_fit(rows, np.arange(5000.0))


@pytest.mark.parametrize("k", [2.0**-700, 2.0**500], ids=["tiny", "huge"])
@pytest.mark.parametrize("w", [None, np.arange(N) % 3.0], ids=["all", "weighted"])
def test_targets_whose_squares_leave_float64_are_scored(k, w):
    ours, theirs = (model().fit(X, y * unit).score(X, y * unit, w) for unit in (k, 1.0))
    assert ours == pytest.approx(theirs, rel=1e-6)


def test_gradients_of_costs_that_overflow_are_checked_without_a_warning():
    far = model(loss="poisson", scale_target=False).partial_fit(X, np.exp(y))
    far.intercepts_[-1][:] = 1e4
    assert not np.isfinite(gradients(far, X, np.exp(y)).cost)


@pytest.mark.parametrize(
    "value", [None, 3, "3", [], {}, np.zeros(3), np.zeros((0, 2))], ids=lambda value: repr(value)
)
def test_a_checkpoint_of_another_format_is_refused_by_name(tmp_path, value):
    files = Files(tmp_path)
    files.path.write_bytes(files.checkpoint)
    file = _File(str(files.path))
    file.write({**file.read(), "format": value})
    with pytest.raises(ValueError, match=f"{files.path} has the format"):
        _File(str(files.path)).read()


def test_a_checkpoint_with_a_curve_that_no_fit_has_is_refused(tmp_path):
    files = Files(tmp_path)
    files.path.write_bytes(files.checkpoint)
    file = _File(str(files.path))
    kept = file.read()
    kept["runs"][0][0]["curves"]["warmth"] = [0.0]
    file.write(kept)
    with pytest.raises(ValueError, match="does not hold what a fit is made of"):
        copy.deepcopy(files.start).set_callbacks(Checkpoint(files.path)).fit(files.X, files.y)


@pytest.mark.parametrize("runs", [lambda run: [[]], lambda run: [[], run]])
def test_a_checkpoint_whose_networks_were_never_begun_is_refused(tmp_path, runs):
    files = Files(tmp_path)
    files.path.write_bytes(files.checkpoint)
    file = _File(str(files.path))
    kept = file.read()
    file.write({**kept, "complete": True, "runs": runs(kept["runs"][0])})
    with pytest.raises(ValueError, match="does not hold what a fit is made of"):
        copy.deepcopy(files.start).set_callbacks(Checkpoint(files.path)).fit(files.X, files.y)
