"""n_estimators > 1: one fit of several networks, under one root task, with one checkpoint."""

import pickle
import subprocess
import sys
import warnings

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.callback import ScoringMonitor
from sklearn.metrics import log_loss

from skdnn import Checkpoint
from tests.cases import (
    CASES,
    ESTIMATORS,
    UNCONVERGED,
    Crash,
    Spy,
    X,
    contents_of,
    default,
    differing,
    many,
    plain,
    raising,
    weights_of,
)

pytestmark = UNCONVERGED

NAME = pytest.mark.parametrize("name", CASES)
KINDS = {
    "plain": lambda name, **params: plain(name, max_iter=5, batch_size=20, **params),
    "defaults": default,
    "own seed": lambda name, **params: default(name, **{"random_state": None, **params}),
}
LISTS = [
    *("loss_curve_", "learning_rate_curve_", "validation_loss_curve_", "validation_scores_"),
    *("best_validation_score_", "best_loss_", "best_n_iter_", "t_"),
]


def same_fit(one, other):
    return not differing(contents_of(one), contents_of(other)) - {"n_jobs"}


# What there is one of for each


@NAME
def test_each_network_is_an_estimator_with_its_own_entries(name):
    model = default(name, n_estimators=3).fit(*many(name))
    members = model.estimators_
    assert len(members) == 3
    for attribute in LISTS:
        assert getattr(model, attribute) == [getattr(member, attribute) for member in members]
    assert model.n_iter_ == max(member.n_iter_ for member in members)
    assert {member.n_estimators for member in members} == {1}


@NAME
def test_the_mean_of_the_raw_outputs_predicts(name):
    model = default(name, n_estimators=3).fit(*many(name))
    outputs = [member._outputs(X) for member in model.estimators_]
    assert model._outputs(X) == pytest.approx(np.mean(outputs, axis=0), rel=1e-12)


@NAME
def test_networks_differ(name):
    model = plain(name, n_estimators=3, max_iter=2).fit(X, CASES[name].y)
    first, *others = (weights_of(member) for member in model.estimators_)
    assert not any(np.allclose(first, other) for other in others)


@NAME
@pytest.mark.parametrize("kind", ["plain", "defaults"])
def test_a_clone_of_one_network_fits_it_again(name, kind):
    model = KINDS[kind](name, n_estimators=3, refit=False).fit(*many(name))
    assert len({member.random_state for member in model.estimators_}) == 3
    for member in model.estimators_:
        again = clone(member).fit(*many(name))
        assert np.array_equal(weights_of(again), weights_of(member))


@NAME
def test_networks_are_refitted_for_as_long_as_the_search_of_the_first_says(name):
    model = default(name, n_estimators=3).fit(*many(name))
    first, *others = model.estimators_
    assert np.array_equal(weights_of(clone(first).fit(*many(name))), weights_of(first))
    for other in others:
        assert other.validation_loss_curve_ == first.validation_loss_curve_
        assert other.n_iter_ == first.n_iter_ and other.loss_curve_ != first.loss_curve_
        assert not np.allclose(weights_of(other), weights_of(first))


def refit_number(k, what):
    """Return what to do in the epochs of the k-th refit."""
    begun = []

    def answer(context):
        if context.task_name == "network":
            begun.append(context.task_id)
        return context.task_name == "refit epoch" and len(begun) == k and what()

    return answer


def interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize("what", [interrupt, lambda: True])
def test_a_network_that_was_not_refitted_to_the_end_is_left_out(what):
    rows, whole = many("multiclass"), default("multiclass", n_estimators=3)
    model = default("multiclass", n_estimators=3).set_callbacks(Spy(refit_number(1, what)))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Training was interrupted")
        model.fit(*rows)
    (only,), (first, *_) = model.estimators_, whole.fit(*rows).estimators_
    assert np.array_equal(weights_of(only), weights_of(first))


def test_the_loss_is_that_of_the_mean():
    X, y = many("multiclass")
    model = plain("multiclass", n_estimators=3, alpha=0.1, max_iter=4).fit(X, y)
    squares = [sum(np.sum(W**2) for W in member.coefs_) for member in model.estimators_]
    penalty = 0.5 * 0.1 * np.mean(squares) / len(y)
    expected = log_loss(y, model.predict_proba(X)) + penalty
    assert model.loss_ == pytest.approx(expected, rel=1e-12)
    assert [member.loss_ for member in model.estimators_] != [model.loss_] * 3


def test_the_loss_of_a_scaled_target_is_in_units_of_y():
    X, y = many("two_outputs")
    y = y * [1.0, 100.0]
    model = plain("two_outputs", n_estimators=2, scale_target=True, alpha=0.0, max_iter=3).fit(X, y)
    expected = 0.5 * np.mean(np.sum((model.predict(X) - y) ** 2, axis=1))
    assert model.loss_ == pytest.approx(expected, rel=1e-12)


@NAME
def test_each_networks_loss_is_its_own(name):
    X, y = many(name)
    model = plain(name, n_estimators=2, max_iter=3).fit(X, y)
    for member in model.estimators_:
        alone = clone(member).fit(X, y)
        assert member.loss_ == pytest.approx(alone.loss_, rel=1e-12)


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_what_belongs_to_one_network_is_refused_for_several(Estimator):
    y = (X[:, 0] > 0) * 1
    model = Estimator.plain(n_estimators=2, max_iter=2, random_state=0).fit(X, y)
    for attribute in ("coefs_", "weights_", "biases_", "intercepts_", "partial_fit"):
        assert not hasattr(model, attribute)
    with pytest.raises(ValueError, match=r"'warm_start' .* must be False for n_estimators > 1"):
        model.set_params(warm_start=True).fit(X, y)


def test_one_network_has_no_estimators():
    assert not hasattr(plain("regressor", max_iter=2).fit(X, CASES["regressor"].y), "estimators_")


# Jobs


@NAME
@pytest.mark.parametrize("kind", ["plain", "defaults"])
@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_jobs_change_nothing(name, kind, backend):
    serial = KINDS[kind](name, n_estimators=3, n_jobs=1).fit(*many(name))
    with joblib.parallel_config(backend=backend):
        parallel = KINDS[kind](name, n_estimators=3, n_jobs=2).fit(*many(name))
    assert same_fit(serial, parallel)


def test_no_number_of_jobs_is_that_of_the_context():
    serial = default("regressor", n_estimators=2).fit(*many("regressor"))
    with joblib.parallel_config(backend="threading", n_jobs=2):
        parallel = default("regressor", n_estimators=2).fit(*many("regressor"))
    assert same_fit(serial, parallel)


def test_jobs_change_nothing_under_a_callback():
    fits = []
    for n_jobs in (1, 2):
        spy = Spy()
        model = default("multiclass", n_estimators=3, n_jobs=n_jobs).set_callbacks(spy)
        fits.append(weights_of_all(model.fit(*many("multiclass"))))
    assert np.array_equal(*fits)


def weights_of_all(model):
    return np.concatenate([weights_of(member) for member in model.estimators_])


# Callbacks


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_networks_are_subtasks_of_the_fit(n_jobs):
    spy = Spy()
    model = plain("regressor", n_estimators=3, n_jobs=n_jobs, max_iter=2).set_callbacks(spy)
    model.fit(X, CASES["regressor"].y)
    assert (spy.setups, spy.teardowns) == (1, 1)
    events = spy.events
    assert (events[0], events[-1]) == (("begin", "fit", 0), ("end", "fit", 0))
    for i in range(3):
        assert events.count(("begin", "network", i)) == events.count(("end", "network", i)) == 1
    assert sum(event[1] == "epoch" for event in events) == 2 * 3 * 2


def test_of_networks_in_turn_each_begins_after_the_last_ended():
    spy = Spy()
    model = plain("regressor", n_estimators=2, n_jobs=1, max_iter=2).set_callbacks(spy)
    model.fit(X, CASES["regressor"].y)
    epochs = [(what, "epoch", k) for k in range(2) for what in ("begin", "end")]
    networks = [[("begin", "network", i), *epochs, ("end", "network", i)] for i in range(2)]
    assert spy.events == [("begin", "fit", 0), *networks[0], *networks[1], ("end", "fit", 0)]


def test_an_epochs_task_is_that_of_its_network():
    parents = []

    def answer(context):
        if context.task_name == "epoch":
            parent = context.parent
            parents.append((parent.task_name, parent.task_id, parent.parent.task_name))

    model = plain("regressor", n_estimators=2, n_jobs=1, max_iter=2).set_callbacks(Spy(answer))
    model.fit(X, CASES["regressor"].y)
    assert parents == [("network", i, "fit") for i in (0, 0, 1, 1)]


def test_the_estimator_that_the_fits_end_shows_is_the_one_that_is_left():
    X, y = many("multiclass")
    spy = Spy(lambda context: False)
    model = default("multiclass", n_estimators=2).set_callbacks(spy).fit(X, y)
    *_, fitted = spy.seen[-1]
    assert np.array_equal(fitted.predict_proba(X), model.predict_proba(X))


def test_a_stop_in_one_network_ends_that_one_alone():
    stops = iter([True] + [False] * 100)
    spy = Spy(lambda context: context.task_name == "epoch" and next(stops))
    model = plain("regressor", n_estimators=3, n_jobs=1, max_iter=4).set_callbacks(spy)
    model.fit(X, CASES["regressor"].y)
    assert model.recipe_.n_epochs == [1, 4, 4]
    assert model.recipe_.ended == ["stopped", "", ""]


def test_callbacks_make_no_pickle_larger():
    X, y = many("multiclass")
    bare = default("multiclass", n_estimators=2).fit(X, y)
    monitor = ScoringMonitor(scoring="accuracy")
    watched = default("multiclass", n_estimators=2).set_callbacks(monitor).fit(X, y)
    del watched._skl_callbacks
    assert set(vars(watched)) == set(vars(bare))
    assert len(pickle.dumps(watched)) <= len(pickle.dumps(bare)) + 100


def test_a_scoring_monitor_sees_every_epoch_of_every_network():
    monitor = ScoringMonitor(scoring="accuracy")
    model = plain("multiclass", n_estimators=2, max_iter=3).set_callbacks(monitor)
    model.fit(X, CASES["multiclass"].y)
    assert len(monitor.get_logs().data) == 1 + 2 * (1 + 3)


BARS = """
import sys, warnings
import numpy as np
from sklearn.callback import ProgressBar
from skdnn import DNNClassifier

warnings.simplefilter("ignore")
X = np.random.default_rng(0).normal(size=(100, 4))
model = DNNClassifier(hidden_layer_sizes=(5,), n_estimators=3, max_iter=4, random_state=0,
                      n_jobs=int(sys.argv[1])).set_callbacks(ProgressBar())
model.fit(X, X[:, 0] > 0)
print("ended", flush=True)
"""


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_process_with_a_progress_bar_ends(n_jobs):
    command = [sys.executable, "-c", BARS, str(n_jobs)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "ended"
    assert "100%" in done.stdout and "DNNClassifier - fit" in done.stdout


# Ctrl-C


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_one_interrupt_ends_all(k, n_jobs):
    epochs = []

    def answer(context):
        if context.task_name != "epoch":
            return
        epochs.append(context.task_id)
        if len(epochs) == k:
            raise KeyboardInterrupt

    model = plain("regressor", n_estimators=4, n_jobs=n_jobs, max_iter=200, tol=0.0)
    with pytest.warns(UserWarning, match="interrupted by the user"):
        model.set_callbacks(Spy(answer)).fit(X, CASES["regressor"].y)
    assert len(epochs) < 200 + k
    assert 1 <= len(model.recipe_.ended) < 4
    assert "interrupted" in model.recipe_.ended
    assert np.isfinite(model.predict(X)).all()
    assert len(model.loss_curve_) == len(model.estimators_) == len(model.recipe_.ended)
    members = [member.predict(X) for member in model.estimators_]
    assert model.predict(X) == pytest.approx(np.mean(members, axis=0))


def test_networks_before_an_interrupt_are_kept():
    networks = []

    def answer(context):
        if context.task_name == "network":
            networks.append(context.task_id)
        if context.task_name == "epoch" and len(networks) == 2:
            raise KeyboardInterrupt

    whole = plain("regressor", n_estimators=4, max_iter=3).fit(X, CASES["regressor"].y)
    model = plain("regressor", n_estimators=4, n_jobs=1, max_iter=3).set_callbacks(Spy(answer))
    with pytest.warns(UserWarning, match="interrupted by the user"):
        model.fit(X, CASES["regressor"].y)
    assert model.recipe_.ended == ["", "", "interrupted"]
    for ours, theirs in zip(model.estimators_[:2], whole.estimators_[:2], strict=True):
        assert np.array_equal(weights_of(ours), weights_of(theirs))


def test_an_interrupt_in_a_refit_ends_all():
    def answer(context):
        if context.task_name == "refit epoch":
            raise KeyboardInterrupt

    model = default("regressor", n_estimators=3).set_callbacks(Spy(answer))
    with pytest.warns(UserWarning, match="the network that was found before is kept"):
        model.fit(*many("regressor"))
    assert model.recipe_.ended == ["interrupted"]
    assert model.recipe_.refitted == [False]


# Checkpoints


def crashes(k):
    """Return whether this is the k-th epoch that ends, of whatever network."""
    epochs = []

    def at(context):
        if "epoch" not in context.task_name:
            return False
        epochs.append(context.task_id)
        return len(epochs) == k

    return at


@pytest.mark.parametrize("k", [3, 6, 9, 14])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("every", [1, 2])
def test_a_fit_goes_on_bitwise_from_where_it_crashed(tmp_path, kind, k, every):
    draw = np.random.seed  # random_state=None stands for NumPy's global generator

    def fit(*callbacks, seed):
        draw(seed)
        model = KINDS[kind]("multiclass", n_estimators=3, n_jobs=1).set_callbacks(*callbacks)
        return model.fit(*many("multiclass"))

    def checkpoint():
        return Checkpoint(tmp_path / "fit", every=every)

    with pytest.raises(Crash):
        fit(checkpoint(), raising(Crash, crashes(k)), seed=5)
    resumed, whole = fit(checkpoint(), seed=6), fit(seed=5)
    del resumed._skl_callbacks
    assert not differing(contents_of(resumed), contents_of(whole)) - {"_skl_callbacks"}


def test_a_fit_may_crash_again_and_again(tmp_path):
    def fit(*callbacks):
        model = plain("multiclass", n_estimators=3, max_iter=4).set_callbacks(*callbacks)
        return model.fit(X, CASES["multiclass"].y)

    for k in (2, 1, 3, 2, 1):
        with pytest.raises(Crash):
            fit(Checkpoint(tmp_path / "fit", every=1), raising(Crash, crashes(k)))
    resumed = fit(Checkpoint(tmp_path / "fit", every=1))
    assert np.array_equal(weights_of_all(resumed), weights_of_all(fit()))


def test_a_fit_that_goes_on_repeats_no_epoch(tmp_path):
    def fit(*callbacks):
        model = plain("multiclass", n_estimators=3, max_iter=4, n_jobs=1)
        return model.set_callbacks(*callbacks).fit(X, CASES["multiclass"].y)

    with pytest.raises(Crash):
        fit(Checkpoint(tmp_path / "fit", every=1), raising(Crash, crashes(7)))
    spy = Spy()
    fit(Checkpoint(tmp_path / "fit", every=1), spy)
    # The seventh epoch's file was written before or after the crash at its end.
    assert sum(event == ("end", "epoch", event[2]) for event in spy.events) in (12 - 7, 12 - 6)


def test_a_complete_fit_ends_at_once_with_its_result(tmp_path):
    def fit(*callbacks):
        model = default("multiclass", n_estimators=2).set_callbacks(*callbacks)
        return model.fit(*many("multiclass"))

    first, spy = fit(Checkpoint(tmp_path / "fit")), Spy()
    again = fit(Checkpoint(tmp_path / "fit"), spy)
    assert not [event for event in spy.events if "epoch" in event[1]]
    assert np.array_equal(weights_of_all(again), weights_of_all(first))


def test_jobs_may_change_before_a_fit_goes_on(tmp_path):
    def fit(n_jobs, *callbacks):
        model = plain("multiclass", n_estimators=3, max_iter=4, n_jobs=n_jobs)
        return model.set_callbacks(*callbacks).fit(X, CASES["multiclass"].y)

    with pytest.raises(Crash):
        fit(1, Checkpoint(tmp_path / "fit", every=1), raising(Crash, crashes(6)))
    resumed = fit(2, Checkpoint(tmp_path / "fit", every=1))
    assert np.array_equal(weights_of_all(resumed), weights_of_all(fit(1)))


def test_one_network_more_is_another_fit(tmp_path):
    checkpoint = Checkpoint(tmp_path / "fit", every=1)
    model = plain("multiclass", n_estimators=2, max_iter=2).set_callbacks(checkpoint)
    model.fit(X, CASES["multiclass"].y)
    with pytest.raises(ValueError, match="n_estimators was 2 and is 3"):
        model.set_params(n_estimators=3).fit(X, CASES["multiclass"].y)


def test_an_interrupted_fit_goes_on_with_all_its_networks(tmp_path):
    def fit(*callbacks):
        model = plain("multiclass", n_estimators=3, max_iter=4, n_jobs=1)
        return model.set_callbacks(*callbacks).fit(X, CASES["multiclass"].y)

    with pytest.warns(UserWarning, match="interrupted"):
        fit(Checkpoint(tmp_path / "fit", every=1), raising(KeyboardInterrupt, crashes(6)))
    resumed = fit(Checkpoint(tmp_path / "fit", every=1))
    assert np.array_equal(weights_of_all(resumed), weights_of_all(fit()))
