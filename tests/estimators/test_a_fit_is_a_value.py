"""A fit leaves what a new estimator's would, and one that fails leaves what was there."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from skdnn import Checkpoint, DNNBinaryClassifier, DNNClassifier, DNNRegressor
from skdnn.fit.judge import Judge
from skdnn.task import Task
from tests.cases import (
    CASES,
    SCORE,
    UNCONVERGED,
    Crash,
    Spy,
    X,
    classes_of,
    contents_of,
    default,
    differing,
    many,
    outputs_of,
    plain,
    weights_of,
)

pytestmark = UNCONVERGED

NAMED = pd.DataFrame(X, columns=list("abcd"))
CLASSES = np.array(["a", "b", "c", "d"])[np.digitize(SCORE, [-2, 0, 2])]
FEW = {"hidden_layer_sizes": (5,), "max_iter": 3, "random_state": 0}
STOPS = {**FEW, "early_stopping": True}

# name: (parameters, what `fit` is given)
FITS = {
    "plain": (FEW, lambda y: (X, y)),
    "early stopping": ({**STOPS, "refit": False}, lambda y: (X, y)),
    "refit": ({**STOPS, "refit": True, "scoring": None}, lambda y: (X, y)),
    "own validation": (STOPS, lambda y: (X, y, None, X[:20], y[:20])),
    "lbfgs": ({**FEW, "solver": "lbfgs"}, lambda y: (X, y)),
    "adam again": ({**FEW, "average_decay": 0.0, "precision": None}, lambda y: (X, y)),
    "several": ({**FEW, "n_estimators": 2}, lambda y: (X, y)),
    "several, early stopping": ({**STOPS, "n_estimators": 3}, lambda y: (X, y)),
    "names": (FEW, lambda y: (NAMED, y)),
    "sparse": (FEW, lambda y: (csr_array(X), y)),
    "other width": ({**FEW, "hidden_layer_sizes": (7, 3)}, lambda y: (X[:, :3], y)),
    "float32": ({**FEW, "scale_inputs": "robust"}, lambda y: (X.astype(np.float32), y)),
    "remembers": ({**FEW, "warm_start": True}, lambda y: (X, y)),
}
OTHER_TARGETS = {
    DNNRegressor: CASES["two_outputs"].y,
    DNNBinaryClassifier: CASES["multilabel"].y,
    DNNClassifier: CLASSES,
}
TARGETS = {
    DNNRegressor: SCORE,
    DNNBinaryClassifier: CASES["binary"].y,
    DNNClassifier: CASES["multiclass"].y,
}


def fit(model, name, y):
    params, given = FITS[name]
    defaults = type(model)().get_params()
    return model.set_params(**{**defaults, **params}).fit(*given(y))


@pytest.mark.parametrize("second", [name for name in FITS if name != "remembers"])
@pytest.mark.parametrize("Estimator", TARGETS)
def test_nothing_of_an_earlier_fit_survives(Estimator, second):
    new = contents_of(fit(Estimator(), second, TARGETS[Estimator]))
    for first in FITS:
        model = fit(fit(Estimator(), first, OTHER_TARGETS[Estimator]), second, TARGETS[Estimator])
        assert not differing(contents_of(model), new), first


@pytest.mark.parametrize("Estimator", TARGETS)
def test_nothing_of_a_partial_fit_survives(Estimator):
    y = OTHER_TARGETS[Estimator]
    classes = {DNNBinaryClassifier: range(3), DNNClassifier: np.unique(y)}
    known = {"classes": classes[Estimator]} if Estimator in classes else {}
    model = Estimator(**FEW).partial_fit(X, y, **known).partial_fit(X, y)
    model = fit(model, "plain", TARGETS[Estimator])
    new = fit(Estimator(), "plain", TARGETS[Estimator])
    assert not differing(contents_of(model), contents_of(new))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("go_on", ["partial_fit", "warm_start"])
def test_after_several_networks_a_single_one_begins_afresh(name, go_on):
    def gone_on(model):
        model.set_params(n_estimators=1, warm_start=go_on == "warm_start")
        if go_on == "warm_start":
            return model.fit(X, CASES[name].y)
        return model.partial_fit(X, CASES[name].y, **classes_of(name))

    model = gone_on(plain(name, n_estimators=2, max_iter=3).fit(X, CASES[name].y))
    new = gone_on(plain(name, max_iter=3))
    assert not differing(contents_of(model), contents_of(new))


# Fits that fail


def with_infinity(X):
    return np.where(np.arange(X.size).reshape(X.shape) == 7, np.inf, X)


BAD = {
    "X with infinity": lambda X, y: (with_infinity(X), y),
    "X with other columns of val": lambda X, y: (X, y, None, X[:, :2], y),
    "y too short": lambda X, y: (X, y[:-1]),
    "no y": lambda X, y: (X, None),
    "weights below 0": lambda X, y: (X, y, -np.ones(len(y))),
    "weights of 0": lambda X, y: (X, y, np.zeros(len(y))),
    "half of val": lambda X, y: (X, y, None, X),
    "X_val with infinity": lambda X, y: (X, y, None, with_infinity(X), y),
    "text": lambda X, y: (np.full(X.shape, "text"), y),
}
BEFORE = {
    "nothing": lambda name: default(name),
    "a fit": lambda name: default(name).fit(*many(name)),
    "a fit to go on from": lambda name: default(name, warm_start=True).fit(*many(name)),
    "a plain fit to go on from": lambda name: plain(name, warm_start=True, max_iter=3).fit(
        *many(name)
    ),
    "several": lambda name: default(name, n_estimators=2, max_iter=2).fit(*many(name)),
    "partial fits": lambda name: default(name).partial_fit(*many(name), **classes_of(name)),
}
BEFORE_EACH = pytest.mark.parametrize("before", BEFORE)
NAME = pytest.mark.parametrize("name", ["regressor", "multiclass"])


def assert_unchanged(model, call, error):
    """Assert that a call raises and that the estimator holds what it held."""
    before, held = contents_of(model), dict(vars(model))
    with pytest.raises(error):
        call(model)
    assert not differing(contents_of(model), before)
    assert all(vars(model)[name] is held[name] for name in held)


@NAME
@BEFORE_EACH
@pytest.mark.parametrize("bad", BAD)
def test_bad_data_change_nothing(name, before, bad):
    model = BEFORE[before](name)
    assert_unchanged(
        model, lambda model: model.fit(*BAD[bad](*many(name))), (ValueError, TypeError)
    )


@NAME
@BEFORE_EACH
@pytest.mark.parametrize(
    "bad", ["X with infinity", "y too short", "weights below 0", "weights of 0"]
)
def test_bad_data_for_partial_fit_change_nothing(name, before, bad):
    model = BEFORE[before](name).set_params(n_estimators=1)
    given = BAD[bad](*many(name))
    assert_unchanged(model, lambda m: m.partial_fit(*given, **classes_of(name)), ValueError)


@NAME
@BEFORE_EACH
def test_a_fit_that_diverges_changes_nothing(name, before):
    model = BEFORE[before](name)
    model.set_params(early_stopping=False, learning_rate_init=1e300, solver="sgd", precision=None)
    assert_unchanged(model, lambda model: model.fit(*many(name)), ValueError)


REMEMBERS = ["partial fits", "a plain fit to go on from"]


@pytest.mark.parametrize("before", ["nothing", "a fit", *REMEMBERS])
def test_a_partial_fit_that_diverges_changes_nothing_but_the_optimisers_memory(before):
    model = BEFORE[before]("regressor")
    predicted = model.predict(X) if before != "nothing" else None
    (names, held) = contents_of(model)
    rate = model.learning_rate_init
    with pytest.raises(ValueError, match="infinite or NaN") as error:
        model.set_params(learning_rate_init=1e300).partial_fit(*many("regressor"))
    notes = getattr(error.value, "__notes__", [])
    assert any("optimiser starts anew" in note for note in notes) == (before in REMEMBERS)
    model.set_params(learning_rate_init=rate)
    assert sorted(vars(model)) == names
    now = contents_of(model)[1]
    for state in [*held.get("_states", []), *now.get("_states", [])]:
        state.pop("optimizer", None)
    assert now == held
    assert before == "nothing" or np.array_equal(model.predict(X), predicted)


class Failing(Spy):
    """Raises at the first hook of some kind, for a task of some name."""

    def __init__(self, hook, task, error=Crash):
        super().__init__()
        self.hook, self.task, self.error, self.raised = hook, task, error, False

    def _meet(self, hook, context):
        if (hook, context.task_name) == (self.hook, self.task):
            self.raised = True
            raise self.error

    def setup(self, estimator, context):
        self._meet("setup", context)

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None):
        self._meet("begin", context)

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self._meet("end", context)


@NAME
@BEFORE_EACH
@pytest.mark.parametrize("hook", ["begin", "end"])
@pytest.mark.parametrize("task", ["fit", "network", "epoch", "refit epoch"])
def test_an_exception_in_a_callback_changes_nothing(name, before, task, hook):
    model, callback = BEFORE[before](name), Failing(hook, task)
    params = {"early_stopping": True, "refit": True, "scoring": "loss"}
    if task == "network":
        params |= {"n_estimators": 2, "warm_start": False}
    elif model.n_estimators > 1 and task != "fit":
        params["n_jobs"] = 1
    model.set_params(**params).set_callbacks(callback)
    assert_unchanged(model, lambda model: model.fit(*many(name)), Crash)
    assert callback.raised


@NAME
@BEFORE_EACH
def test_an_exception_in_a_scorer_changes_nothing(name, before):
    def scoring(estimator, X, y):
        raise Crash

    model = BEFORE[before](name).set_params(early_stopping=True, scoring=scoring)
    assert_unchanged(model, lambda model: model.fit(*many(name)), Crash)


@NAME
@pytest.mark.parametrize("n", range(4))
@pytest.mark.parametrize("refit", [False, True])
def test_an_interrupt_in_a_scorer_leaves_curves_of_one_length(name, n, refit):
    calls = iter(range(100))

    def scoring(estimator, X, y):
        if (call := next(calls)) == n:
            raise KeyboardInterrupt
        return call

    params = {"early_stopping": True, "refit": refit, "max_iter": 8, "scoring": scoring}
    model = default(name, **params)
    with pytest.warns(UserWarning, match="interrupted by the user after epoch"):
        model.fit(*many(name))
    scores = model.validation_scores_ or []
    curves = [model.loss_curve_, model.learning_rate_curve_, model.validation_loss_curve_ or []]
    assert [len(curve) for curve in curves] == [len(scores)] * 3
    assert model.best_validation_score_ == max(scores, default=None)
    assert np.isfinite(weights_of(model)).all()


# Interrupts after training

AFTER_TRAINING = {"loss_": (Task, "losses"), "calibration": (Judge, "factor")}


def interrupt(*args, **kwargs):
    raise KeyboardInterrupt


@pytest.mark.parametrize("n_estimators", [1, 2])
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("refit", [False, True])
def test_an_interrupt_while_the_loss_is_found_keeps_the_fit(name, refit, n_estimators, monkeypatch):
    params = {"refit": refit, "early_stopping": True, "n_estimators": n_estimators}
    whole = default(name, **params).fit(*many(name))
    monkeypatch.setattr(Task, "losses", interrupt)
    with pytest.warns(UserWarning, match="interrupted by the user after training, in finding loss"):
        model = default(name, **params).fit(*many(name))
    assert np.array_equal(outputs_of(model, X), outputs_of(whole, X))
    curves = [model.loss_curve_] if n_estimators == 1 else model.loss_curve_
    assert model.loss_ == pytest.approx(np.mean([curve[-1] for curve in curves]))
    assert model.recipe_.ended[-1] == "interrupted"


@pytest.mark.parametrize("n_estimators", [1, 3])
@pytest.mark.parametrize("name", ["binary", "multilabel", "multiclass"])
def test_an_interrupted_calibration_keeps_the_search(name, n_estimators, monkeypatch):
    monkeypatch.setattr(Judge, "factor", interrupt)
    with pytest.warns(UserWarning, match="interrupted by the user after training, in its calib"):
        model = default(name, n_estimators=n_estimators, n_jobs=1).fit(*many(name))
    search = model if n_estimators == 1 else model.estimators_[0]
    monkeypatch.undo()
    kept = default(name, refit=False, random_state=search.random_state).fit(*many(name))
    added = np.squeeze(kept.recipe_.intercepts[0])
    uncalibrated = (outputs_of(kept, X) - added) / kept.recipe_.calibration[0]
    np.testing.assert_allclose(outputs_of(model, X), uncalibrated, rtol=1e-5, atol=1e-6)
    assert model.recipe_.ended == ["interrupted"]
    assert model.recipe_.refitted == [False]


@NAME
def test_an_interrupt_in_the_callback_at_the_end_keeps_the_fit(name):
    whole = default(name).fit(*many(name))
    callback = Failing("end", "fit", KeyboardInterrupt)
    with pytest.warns(UserWarning, match="interrupted by the user after training, in a callback"):
        model = default(name).set_callbacks(callback).fit(*many(name))
    assert np.array_equal(outputs_of(model, X), outputs_of(whole, X))
    assert model.loss_ == whole.loss_


def test_a_fit_interrupted_while_the_loss_is_found_goes_on_from_its_checkpoint(
    tmp_path, monkeypatch
):
    whole = default("multiclass").fit(*many("multiclass"))
    model = default("multiclass").set_callbacks(Checkpoint(tmp_path / "fit", every=2))
    monkeypatch.setattr(Task, "losses", interrupt)
    with pytest.warns(UserWarning, match="interrupted by the user after training"):
        model.fit(*many("multiclass"))
    monkeypatch.undo()
    model.fit(*many("multiclass"))
    assert model.loss_ == whole.loss_
    assert np.array_equal(outputs_of(model, X), outputs_of(whole, X))
    assert model.recipe_.ended == whole.recipe_.ended
