"""`time_limit`: as many networks as the time allows, by a clock that ticks when it is read."""

import itertools
import time

import numpy as np
import pytest

from skdnn import Checkpoint, DNNRegressor
from skdnn.fit import recipe
from skdnn.fit.recipe import MOST_NETWORKS
from tests.cases import UNCONVERGED, Spy

pytestmark = UNCONVERGED

rng = np.random.default_rng(0)
X = rng.normal(size=(80, 3))
y = X @ [1.0, -2.0, 0.5] + 0.3 * rng.normal(size=80)


def network(**params):
    return DNNRegressor(hidden_layer_sizes=(4,), max_iter=3, random_state=0, **params)


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """Let a second go by whenever the clock is read, which is once an epoch, and more."""
    ticks = itertools.count()
    monkeypatch.setattr(time, "monotonic", lambda: float(next(ticks)))


def same(one, other):
    return np.array_equal(one.predict(X), other.predict(X))


def test_more_time_gives_more_networks():
    found = [network(time_limit=limit).fit(X, y).recipe_.n_estimators for limit in (40, 80, 160)]
    assert 1 <= found[0] < found[1] < found[2] < MOST_NETWORKS


def test_they_are_the_first_of_so_many_networks():
    limited = network(time_limit=80).fit(X, y)
    k = limited.recipe_.n_estimators
    assert k > 1 and limited.recipe_.ended == [""] * k
    assert same(limited, network(n_estimators=k).fit(X, y))
    assert [one.random_state for one in limited.estimators_] == [
        one.random_state for one in network(n_estimators=k).fit(X, y).estimators_
    ]


def test_there_is_an_end_to_more_networks():
    assert network(time_limit=1e9).fit(X, y).recipe_.n_estimators == MOST_NETWORKS


def test_a_limit_is_no_limit_to_a_larger_n_estimators(monkeypatch):
    monkeypatch.setattr(recipe, "MOST_NETWORKS", 2)
    assert network(time_limit=1e9, n_estimators=3).fit(X, y).recipe_.n_estimators == 3


def epochs_within(limit):
    """Return a fit in so many ticks, and how many epochs were begun of each stage."""
    stages = Spy()
    model = network(time_limit=limit).set_callbacks(stages).fit(X, y)
    names = [name for event, name, _ in stages.events if event == "end"]
    return model, names.count("epoch"), names.count("refit epoch")


def test_a_single_network_ends_when_the_time_is_over():
    model, searched, refitted = epochs_within(6)
    assert (searched, refitted) == (1, 0)
    assert model.recipe_.n_estimators == 1 and model.recipe_.ended == ["out of time"]
    assert [W.shape for W in model.coefs_] == [(3, 4), (4, 1)]


def test_a_search_that_is_cut_leaves_time_for_the_refit():
    model, searched, refitted = epochs_within(18)
    assert searched == refitted == 2 < 3
    assert model.recipe_.ended == ["out of time"] and model.recipe_.refitted == [True]


@pytest.mark.parametrize(("limit", "begun"), [(14, 0), (17, 1)])
def test_a_refit_that_there_is_no_time_for_leaves_the_search(monkeypatch, limit, begun):
    monkeypatch.setattr(recipe, "FOR_SEARCH", 1.0)
    model, searched, refitted = epochs_within(limit)
    assert (searched, refitted) == (3, begun)
    assert model.recipe_.ended == ["out of time"] and model.recipe_.refitted == [False]
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.parametrize("max_iter", [3, 1000])
@pytest.mark.parametrize("limit", [6, 14, 17, 18, 80, 160, 1000])
def test_a_fit_that_is_complete_is_read_whatever_time_there_is(limit, max_iter, tmp_path):
    path = tmp_path / "a checkpoint"
    model = network(time_limit=limit).set_params(max_iter=max_iter)
    model.set_callbacks(Checkpoint(path, every=1)).fit(X, y)
    kept, before = path.read_bytes(), model.recipe_.asdict()
    predicted = model.predict(X)
    again = model.fit(X, y)
    assert np.array_equal(again.predict(X), predicted) and path.read_bytes() == kept
    after = again.recipe_.asdict()
    assert after.pop("stretch") == pytest.approx(before.pop("stretch"), rel=0.2)  # of whole epochs
    assert after == before


def test_processes_find_the_same(monkeypatch):
    monkeypatch.undo()  # the clocks of two processes are one
    monkeypatch.setattr(recipe, "MOST_NETWORKS", 3)
    limited = network(time_limit=1e6, n_jobs=2).fit(X, y)
    assert same(limited, network(n_estimators=3).fit(X, y))


def test_without_a_limit_nothing_is_cut():
    assert same(network().fit(X, y), network(time_limit=None).fit(X, y))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"time_limit": 0}, "'time_limit' parameter"),
        ({"time_limit": "long"}, "'time_limit' parameter"),
        ({"time_limit": 5, "warm_start": True}, "'time_limit' .* None for warm_start=True"),
        ({"time_limit": 5, "solver": "lbfgs"}, "'time_limit' .* None for solver='lbfgs'"),
    ],
)
def test_a_limit_that_cannot_be_kept_is_refused(params, message):
    with pytest.raises(ValueError, match=message):
        network(**params).fit(X, y)


def test_a_limit_is_refused_by_partial_fit():
    with pytest.raises(ValueError, match=r"'time_limit' .* None in partial_fit"):
        network(time_limit=5).partial_fit(X, y)


@pytest.mark.parametrize("n_estimators, n_jobs", [(1, None), (3, None), (3, 2)])
@pytest.mark.parametrize("refit", [True, False])
def test_a_limit_that_is_over_before_training_begins_leaves_one_epoch(n_estimators, n_jobs, refit):
    X, y = np.repeat([[0.0], [1.0]], 60, axis=0), np.arange(120.0)
    params = {"n_estimators": n_estimators, "n_jobs": n_jobs, "refit": refit}
    model = DNNRegressor(time_limit=1e-9, random_state=0, **params).fit(X, y)
    assert set(model.recipe_.ended) == {"out of time"}
