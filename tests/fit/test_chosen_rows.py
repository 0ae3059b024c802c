"""Rows held out as a splitter or pairs of numbers say, and a refit on X and X_val together."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn import config_context
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    TimeSeriesSplit,
    cross_validate,
)

from skdnn import Checkpoint, DNNClassifier, DNNRegressor
from tests.cases import UNCONVERGED, weights_of

pytestmark = UNCONVERGED

N = 120
rng = np.random.default_rng(0)
X = rng.normal(size=(N, 3))
y = X @ [1.0, -2.0, 0.5] + 0.3 * rng.normal(size=N)
LABELS = np.digitize(y, [-1.0, 1.0])
GROUPS = np.arange(N) // 10
EARLY, LATE = np.arange(90), np.arange(90, N)


def network(Estimator=DNNRegressor, **params):
    params = {"hidden_layer_sizes": (6,), "max_iter": 4, "random_state": 0, **params}
    return Estimator(**params)


def fitted_to(validation_fraction, **params):
    return network(validation_fraction=validation_fraction, **params).fit(X, y)


class Seen:
    """A scorer that remembers what it was shown."""

    def __call__(self, model, X, y):
        self.X = X
        return 0.0


def held_out_by(validation_fraction, groups=None, Estimator=DNNRegressor, y=y):
    """Return the numbers of the rows that judged."""
    seen = Seen()
    params = {"validation_fraction": validation_fraction, "scoring": seen, "max_iter": 1}
    network(Estimator, **params).fit(X, y, groups=groups)
    return np.sort([np.flatnonzero((row == X).all(axis=1))[0] for row in seen.X])


# Which rows


@pytest.mark.parametrize("splitter", [TimeSeriesSplit(4), TimeSeriesSplit(3, gap=5), KFold(4)])
def test_the_last_split_of_a_splitter_is_held_out(splitter):
    _, last = list(splitter.split(X))[-1]
    assert held_out_by(splitter).tolist() == last.tolist()


def test_every_group_is_searched_on_or_held_out():
    held_out = held_out_by(GroupShuffleSplit(1, test_size=0.3, random_state=0), GROUPS)
    others = np.setdiff1d(np.arange(N), held_out)
    assert len(held_out) and not set(GROUPS[held_out]) & set(GROUPS[others])


@pytest.mark.parametrize("make", [list, tuple, iter])
def test_pairs_of_numbers_are_a_choice(make):
    pairs = [(LATE, EARLY), (EARLY, LATE)]
    assert held_out_by(make(pairs)).tolist() == LATE.tolist()


def test_a_pair_may_be_of_masks():
    is_late = np.arange(N) >= 90
    assert held_out_by([(~is_late, is_late)]).tolist() == LATE.tolist()


def test_a_splitter_holds_out_what_its_numbers_do():
    by_splitter, by_numbers = fitted_to(TimeSeriesSplit(3)), fitted_to([(EARLY, LATE)])
    assert np.array_equal(weights_of(by_splitter), weights_of(by_numbers))


def test_what_is_neither_searched_on_nor_held_out_does_not_count():
    moved = X.copy()
    moved[80:90] = 0.0
    params = {"refit": False, "scale_inputs": None, "scale_target": False}
    model = network(validation_fraction=[(EARLY[:80], LATE)], **params)
    one, other = model.fit(X, y), network(**model.get_params()).fit(moved, y)
    assert np.array_equal(weights_of(one), weights_of(other))


def test_all_rows_are_trained_on_at_last():
    model = fitted_to(TimeSeriesSplit(3))
    assert model.recipe_.refitted == [True] and model.recipe_.n_held_out == 30
    assert model.t_ == N * model.n_iter_


def test_rows_of_weight_0_neither_train_nor_judge():
    w = (np.arange(N) < 110).astype(float)
    wild = np.where(w == 0, 1e6, y)
    params = {"validation_fraction": [(EARLY, LATE)], "scale_target": False}
    one, other = (network(**params).fit(X, target, w) for target in (y, wild))
    assert one.recipe_.n_held_out == 20
    assert np.array_equal(weights_of(one), weights_of(other))


def test_a_class_that_is_not_searched_on_does_not_judge():
    labels = np.where(np.arange(N) >= 110, 7, LABELS)
    held_out = held_out_by([(EARLY, LATE)], Estimator=DNNClassifier, y=labels)
    assert held_out.tolist() == list(range(90, 110))


def test_few_rows_are_held_out_if_they_were_chosen():
    model = network(validation_fraction=[(np.arange(20), np.arange(20, 30))]).fit(X[:30], y[:30])
    assert model.recipe_.early_stopping and model.recipe_.n_held_out == 10


def test_groups_come_through_metadata_routing():
    with config_context(enable_metadata_routing=True):
        model = network(validation_fraction=GroupKFold(3)).set_fit_request(groups=True)
        found = cross_validate(
            model, X, y, params={"groups": GROUPS}, cv=GroupKFold(4), return_estimator=True
        )
    assert [one.recipe_.n_held_out for one in found["estimator"]] == [30] * 4


def test_a_checkpoint_is_of_the_rows_that_were_held_out(tmp_path):
    saved = Checkpoint(tmp_path / "fit")
    network(validation_fraction=GroupKFold(3)).set_callbacks(saved).fit(X, y, groups=GROUPS)
    with pytest.raises(ValueError, match="held-out rows"):
        network(validation_fraction=GroupKFold(3)).set_callbacks(saved).fit(
            X, y, groups=GROUPS[::-1] % 4
        )


# What is refused


@pytest.mark.parametrize(
    "params, message",
    [
        ({"validation_fraction": []}, "must yield pairs of row numbers.* got none"),
        ({"validation_fraction": [(EARLY,)]}, "must yield pairs of row numbers"),
        ({"validation_fraction": [(EARLY, EARLY[5:])]}, r"not train on; .* \[5, 6"),
        ({"validation_fraction": [(EARLY, [N])]}, "numbers of rows from 0 to 119; got"),
        ({"validation_fraction": [(EARLY, [0.5])]}, "numbers of rows from 0 to 119; got"),
        ({"validation_fraction": [(EARLY, LATE[:1])]}, "at least 2 rows .* 90 .* and 1 to hold"),
        ({"validation_fraction": GroupKFold(3)}, "validation_fraction: The 'groups'"),
        ({"validation_fraction": TimeSeriesSplit(500)}, "validation_fraction: Cannot have"),
        ({"validation_fraction": "a fifth"}, "'validation_fraction' parameter .* float in"),
        ({"validation_fraction": KFold(3), "solver": "gd"}, "a number where nothing stops early"),
        ({"validation_fraction": KFold(3), "solver": "lbfgs"}, "a number where nothing stops"),
        ({"validation_fraction": KFold(3), "early_stopping": False}, "where nothing stops early"),
    ],
)
def test_an_unfit_choice_is_refused(params, message):
    with pytest.raises(ValueError, match=message):
        network(**params).fit(X, y)


def test_groups_without_a_splitter_are_refused():
    with pytest.raises(ValueError, match=r"groups must be None unless .* GroupShuffleSplit"):
        network().fit(X, y, groups=GROUPS)


def test_groups_of_other_rows_are_refused():
    with pytest.raises(ValueError, match=r"groups: .*inconsistent.* \[120, 60\]"):
        network(validation_fraction=GroupKFold(3)).fit(X, y, groups=GROUPS[::2])


def test_a_splitter_beside_rows_of_ones_own_is_refused():
    with pytest.raises(ValueError, match=r"'validation_fraction' .* must be a number beside X_val"):
        network(validation_fraction=KFold(3)).fit(X, y, X_val=X, y_val=y)


def test_a_splitter_is_refused_by_partial_fit():
    with pytest.raises(ValueError, match=r"'validation_fraction' .* number in partial_fit"):
        network(validation_fraction=KFold(3)).partial_fit(X, y)


# A refit on X and X_val


def both(model, X=X, w=None):
    """Fit to the early rows with the late ones to validate on."""
    part = {} if w is None else {"sample_weight": w[EARLY], "sample_weight_val": w[LATE]}
    return model.fit(X[EARLY], y[EARLY], X_val=X[LATE], y_val=y[LATE], **part)


@pytest.mark.parametrize("refit, trained_on", [("auto", 90), (False, 90), (True, N)])
def test_rows_to_validate_on_are_trained_on_at_last_if_refit_is_true(refit, trained_on):
    model = both(network(refit=refit))
    assert model.t_ == trained_on * model.n_iter_
    assert model.recipe_.refitted == [trained_on == N]


UNSCALED = {"scale_inputs": None, "scale_target": False, "refit": True, "precision": None}


@pytest.mark.parametrize("make", [np.asarray, csr_array])
@pytest.mark.parametrize("w", [None, np.arange(N) % 4 / 3, np.arange(N) * 100.0])
def test_a_refit_on_both_is_that_of_the_same_rows_held_out(make, w):
    # What is learnt of X alone, its scale, is the only difference.
    model = both(network(**UNSCALED), make(X), w)
    chosen = network(**UNSCALED, validation_fraction=[(EARLY, LATE)]).fit(make(X), y, w)
    assert model.recipe_.n_rows == chosen.recipe_.n_rows
    np.testing.assert_allclose(weights_of(model), weights_of(chosen), rtol=1e-6, atol=1e-9)
    assert model.loss_ == pytest.approx(chosen.loss_, rel=1e-6)


def test_weights_of_one_part_only_are_beside_those_of_1():
    w = np.where(np.arange(N) < 90, 5.0, 1.0)
    model = network(**UNSCALED)
    model.fit(X[EARLY], y[EARLY], w[EARLY], X_val=X[LATE], y_val=y[LATE])
    same = both(network(**UNSCALED), w=w)
    np.testing.assert_allclose(weights_of(model), weights_of(same), rtol=1e-6)


@pytest.mark.parametrize("precision", [None, "single"])
def test_the_loss_of_several_networks_is_over_both_parts(precision):
    model = both(network(refit=True, n_estimators=2, alpha=0.0, precision=precision))
    loss = np.mean((model.predict(X) - y) ** 2) / 2
    assert model.loss_ == pytest.approx(loss, rel=1e-6)
