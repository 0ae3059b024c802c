"""scikit-learn's callbacks on a fit and around it, and what a checkpoint brings back."""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import fields
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.datasets import load_iris, load_wine
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdnn import Checkpoint, DNNClassifier, DNNRegressor
from skdnn.fit.training import SCALARS, State
from tests.small import weights_of

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, y = load_iris(return_X_y=True)
SOLVERS = ["gd", "sgd", "adam", "lbfgs"]


def classifier(**params):
    params = {"max_iter": 6, "learning_rate_init": 0.01, "random_state": 0, **params}
    return DNNClassifier.plain(hidden_layer_sizes=(5,), **params)


class Spy:
    """Records the hooks; `answer` says at which task to stop, or raises."""

    def __init__(self, answer=lambda context: False):
        self.events, self.seen, self.answer = [], [], answer

    def setup(self, estimator, context): ...

    def teardown(self, estimator, context): ...

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None):
        self.events.append(("begin", context.task_name, context.task_id))

    def on_fit_task_end(
        self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None
    ):
        self.events.append(("end", context.task_name, context.task_id))
        self.seen.append((context.task_name, X, y, metadata, fitted_estimator))
        return self.answer(context)


def epoch(k, name="epoch"):
    """Return whether a task is epoch k, the first being 1."""
    return lambda context: (context.task_name, context.task_id) == (name, k - 1)


# What the hooks are told


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_fit_and_each_epoch_begin_and_end(solver):
    spy = Spy()
    classifier(solver=solver, max_iter=3).set_callbacks(spy).fit(X, y)
    epochs = [(what, "epoch", k) for k in range(3) for what in ("begin", "end")]
    assert spy.events == [("begin", "fit", 0), *epochs, ("end", "fit", 0)]


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_estimator_of_an_epoch_is_as_if_the_fit_had_ended_there(solver):
    spy = Spy()
    params = dict(solver=solver, average_decay=0.0 if solver == "lbfgs" else 0.5)
    classifier(max_iter=4, **params).set_callbacks(spy).fit(X, y)
    for k, (_, _, _, _, then) in enumerate(spy.seen[:-1], start=1):
        ended = classifier(max_iter=k, **params).fit(X, y)
        assert np.array_equal(then.predict_proba(X), ended.predict_proba(X))


def test_the_data_are_the_rows_that_are_trained_on():
    spy = Spy()
    model = classifier(early_stopping=True, max_iter=2, validation_fraction=0.2)
    model.set_callbacks(spy).fit(X, y, np.arange(150.0))
    _, rows, labels, metadata, _ = spy.seen[0]
    assert len(rows) == len(labels) == len(metadata["sample_weight"]) == 119  # one weighs 0


@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_frame_stays_a_frame(early_stopping):
    spy = Spy()
    frame = load_iris(as_frame=True).data
    classifier(early_stopping=early_stopping).set_callbacks(spy).fit(frame, y)
    _, given, labels, _, then = spy.seen[0]
    assert list(given.columns) == list(frame.columns) and then.score(given, labels) >= 0


def test_a_refit_has_epochs_of_its_own():
    spy = Spy()
    model = classifier(early_stopping=True, refit=True).set_callbacks(spy).fit(X, y)
    names = [name for name, *_ in spy.seen]
    assert names.count("epoch") == 6 and names.count("refit epoch") == model.best_n_iter_
    assert len(spy.seen[-1][1]) == 150


def test_hooks_leave_nothing_behind_in_the_estimator():
    with_spy, without = classifier().set_callbacks(Spy()).fit(X, y), classifier().fit(X, y)
    assert set(vars(with_spy)) - set(vars(without)) == {"_skl_callbacks"}


# Stopping


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_callback_stops_the_fit(solver):
    model = classifier(solver=solver).set_callbacks(Spy(epoch(2))).fit(X, y)
    assert model.n_iter_ == 2
    ended = classifier(solver=solver, max_iter=2).fit(X, y)
    assert np.array_equal(weights_of(model), weights_of(ended))


def test_a_stop_is_no_failure_to_converge(recwarn):
    classifier().set_callbacks(Spy(epoch(2))).fit(X, y)
    assert not len(recwarn)


def test_a_stop_in_the_search_leaves_out_the_refit():
    spy = Spy(epoch(3))
    model = classifier(early_stopping=True, refit=True).set_callbacks(spy).fit(X, y)
    searched = classifier(early_stopping=True, max_iter=3).fit(X, y)
    assert np.array_equal(weights_of(model), weights_of(searched))


def test_a_stop_in_the_refit_keeps_what_the_search_found():
    params = dict(early_stopping=True, max_iter=20, solver="sgd", scoring="loss")
    searched = classifier(**params).fit(X, y)
    assert searched.best_n_iter_ > 3
    spy = Spy(lambda context: context.task_name == "refit epoch")
    model = classifier(refit=True, **params).set_callbacks(spy).fit(X, y)
    assert np.array_equal(weights_of(model), weights_of(searched))


# scikit-learn's own callbacks


def test_scoring_monitor_logs_the_score_of_every_epoch():
    monitor = ScoringMonitor(scoring="accuracy")
    classifier().set_callbacks(monitor).fit(X, y)
    scores = [classifier(max_iter=k).fit(X, y).score(X, y) for k in range(1, 7)]
    assert [row["accuracy"] for row in monitor.get_logs().data] == [scores[-1], *scores]


def test_scoring_monitor_weighs_the_rows():
    monitor, w = ScoringMonitor(scoring="accuracy"), 1.0 + (y == 0)
    model = classifier().set_callbacks(monitor).fit(X, y, w)
    assert monitor.get_logs().data[-1]["accuracy"] == model.score(X, y, w)


def grid_search(model):
    return GridSearchCV(model, {"alpha": [0.0, 1.0]}, cv=2)


def test_scoring_monitor_works_in_a_pipeline():
    monitor = ScoringMonitor(scoring="accuracy")
    pipeline = make_pipeline(StandardScaler(), classifier().set_callbacks(monitor)).fit(X, y)
    log = monitor.get_logs()
    assert log.estimator_name == "Pipeline" and len(log.data) == 7
    assert log.data[-1]["accuracy"] == pipeline.score(X, y)


def test_scoring_monitor_works_in_a_grid_search():
    monitor = ScoringMonitor(scoring="neg_log_loss")
    search = grid_search(classifier().set_callbacks(monitor)).fit(X, y)
    log = monitor.get_logs()
    assert log.estimator_name == "GridSearchCV"
    assert len(log.data) == 5 * 7  # two parameters, two folds; the best on all rows
    best = -log_loss(y, search.predict_proba(X))
    assert any(row["neg_log_loss"] == pytest.approx(best) for row in log.data)


def test_scoring_monitor_works_in_cross_validate():
    monitor = ScoringMonitor(scoring="accuracy")
    cross_validate(classifier().set_callbacks(monitor), X, y, cv=3)
    assert [len(log.data) for log in monitor.get_logs("all")] == [7, 7, 7]


def bars(capsys, model):
    """Return the lines that progress bars leave on the screen when all is done."""
    model.fit(X, y)
    return capsys.readouterr().out.splitlines()


def test_progress_bar_is_full_at_the_end(capsys):
    (line,) = bars(capsys, classifier().set_callbacks(ProgressBar()))
    assert line.startswith("DNNClassifier - fit") and "100%" in line


def test_progress_bar_is_full_after_a_stop(capsys):
    (line,) = bars(capsys, classifier().set_callbacks(ProgressBar(), Spy(epoch(2))))
    assert "100%" in line


@pytest.mark.parametrize("depth, n_bars", [(0, 0), (1, 1), (None, 1)])
def test_progress_bar_reaches_into_a_pipeline(capsys, depth, n_bars):
    pipeline = make_pipeline(StandardScaler(), classifier()).set_callbacks(ProgressBar(depth))
    lines = bars(capsys, pipeline)
    assert sum("DNNClassifier - fit" in line for line in lines) == n_bars
    assert all("100%" in line for line in lines)


@pytest.mark.parametrize("depth, n_bars", [(1, 0), (None, 5)])
def test_progress_bar_reaches_through_a_search_down_to_the_epochs(capsys, depth, n_bars):
    pipeline = make_pipeline(StandardScaler(), classifier())
    search = GridSearchCV(pipeline, {"dnnclassifier__alpha": [0.0, 1.0]}, cv=2)
    lines = bars(capsys, search.set_callbacks(ProgressBar(depth)))
    assert sum("DNNClassifier - fit" in line for line in lines) == n_bars
    assert all("100%" in line for line in lines)


def test_progress_bar_works_in_cross_validate(capsys):
    cross_validate(classifier().set_callbacks(ProgressBar()), X, y, cv=2)
    assert capsys.readouterr().out.count("100%") == 2


# Checkpoint: a fit that fails at some epoch stands for a crash.

Xw, yw = load_wine(return_X_y=True)
Xw = StandardScaler().fit_transform(Xw)
FITS = {
    "gd": dict(solver="gd"),
    "sgd": dict(solver="sgd", batch_size=50),
    "adam": dict(solver="adam", batch_size=50),
    "dropout": dict(dropout=0.3, batch_size=50),
    "average": dict(average_decay=0.8, batch_size=50, learning_rate="cosine"),
    "adaptive": dict(solver="sgd", learning_rate="adaptive", tol=0.02, n_iter_no_change=2),
    "early stopping": dict(early_stopping=True, batch_size=50, scoring="loss"),
    "average and early stopping": dict(early_stopping=True, average_decay=0.7, batch_size=50),
    "refit": dict(early_stopping=True, refit=True, batch_size=50, scoring="loss"),
    "float32": dict(batch_size=50, dtype=np.float32),
    "callable": dict(learning_rate=lambda p: 1 - p, batch_size=50),
}
CURVES = ("loss_curve_", "validation_loss_curve_", "validation_scores_", "learning_rate_curve_")
NUMBERS = ("n_iter_", "t_", "loss_", "best_loss_", "best_n_iter_", "best_validation_score_")


class Crash(Exception):
    pass


def crash(context, at):
    if at(context):
        raise Crash
    return False


def fit(callbacks=(), dtype=np.float64, Xw=Xw, yw=yw, sample_weight=None, **params):
    params = {"max_iter": 12, "learning_rate_init": 0.02, "random_state": 0, **params}
    model = DNNClassifier.plain(hidden_layer_sizes=(6,), **params).set_callbacks(*callbacks)
    return model.fit(Xw.astype(dtype), yw, sample_weight)


def crashed(path, at, every=2, **params):
    with pytest.raises(Crash):
        fit([Checkpoint(path, every=every), Spy(partial(crash, at=at))], **params)


def assert_bitwise(one, other):
    assert np.array_equal(weights_of(one), weights_of(other))
    assert [getattr(one, n) for n in CURVES] == [getattr(other, n) for n in CURVES]
    assert [getattr(one, n) for n in NUMBERS] == [getattr(other, n) for n in NUMBERS]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a fit.checkpoint"


def epochs_run(callbacks, **params):
    spy = Spy()
    return fit([*callbacks, spy], **params), len(spy.seen) - 1


@pytest.mark.parametrize("k", [1, 2, 5, 12])
@pytest.mark.parametrize("params", FITS.values(), ids=FITS)
def test_a_fit_goes_on_bitwise_from_where_it_crashed(path, params, k):
    crashed(path, epoch(k), **params)
    assert_bitwise(fit([Checkpoint(path, every=2)], **params), fit(**params))


@pytest.mark.parametrize("k", [1, 3])
def test_a_refit_goes_on_without_a_second_search(path, k):
    params = FITS["refit"]
    searched = fit(early_stopping=True, batch_size=50, scoring="loss")
    crashed(path, lambda c: c.task_name == "refit epoch" and c.task_id == 11 + k, **params)
    resumed, n_epochs = epochs_run([Checkpoint(path, every=2)], **params)
    assert_bitwise(resumed, fit(**params))
    assert n_epochs == searched.best_n_iter_ - (k - 1) // 2 * 2


def test_a_stretched_refit_goes_on_at_its_own_pace(path):
    params = dict(FITS["average"], early_stopping=True, refit=True, scoring="loss", max_iter="auto")
    seen = []

    def third(context):
        seen.extend([context] if context.task_name == "refit epoch" else [])
        return len(seen) == 3

    crashed(path, third, **params)
    resumed = fit([Checkpoint(path, every=2)], **params)
    assert resumed.n_iter_ > resumed.best_n_iter_
    assert_bitwise(resumed, fit(**params))


def test_a_fit_goes_on_from_the_last_multiple_of_every(path):
    crashed(path, epoch(9), every=4)
    assert epochs_run([Checkpoint(path, every=4)])[1] == 12 - 8


def test_a_fit_may_crash_again_and_again(path):
    for k in (3, 5, 2, 1):  # counted from where each goes on
        crashed(path, epoch(k), every=1)
    assert_bitwise(fit([Checkpoint(path, every=1)]), fit())


def test_a_complete_fit_ends_at_once_with_its_result(path):
    first = fit([Checkpoint(path)], **FITS["early stopping"])
    again, n_epochs = epochs_run([Checkpoint(path)], **FITS["early stopping"])
    assert n_epochs == 0
    assert_bitwise(again, first)


def test_a_complete_file_is_left_as_it_is(path):
    fit([Checkpoint(path)])
    before = path.read_bytes()
    fit([Checkpoint(path)])
    assert path.read_bytes() == before


@pytest.mark.parametrize("k", [3, 12])
def test_a_fit_without_a_seed_goes_on_with_the_seed_it_had(path, k):
    params = dict(random_state=None, dropout=0.2, early_stopping=True, refit=True)
    draw = np.random.seed  # random_state=None stands for NumPy's global generator
    draw(5)
    crashed(path, epoch(k), **params)
    draw(6)
    resumed = fit([Checkpoint(path)], **params)
    draw(5)
    assert_bitwise(resumed, fit(**params))


def test_a_stop_by_another_callback_is_not_undone(path):
    stopped = fit([Checkpoint(path, every=1), Spy(epoch(5))])
    assert_bitwise(fit([Checkpoint(path, every=1)]), stopped)


def test_an_interrupted_fit_goes_on(path):
    def interrupt(context):
        if epoch(5)(context):
            raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="interrupted"):
        fit([Checkpoint(path, every=2), Spy(interrupt)])
    assert_bitwise(fit([Checkpoint(path, every=2)]), fit())


def test_a_warm_start_goes_on_from_its_own_checkpoint(tmp_path):
    def script(at):
        """Fit twice, each with a file; a crash is to come at an epoch of the second fit."""
        model = DNNRegressor.plain(random_state=0, max_iter=6, warm_start=True)
        model.set_callbacks(Checkpoint(tmp_path / "first", every=2)).fit(Xw, yw)
        spy = Spy(partial(crash, at=at))
        return model.set_callbacks(Checkpoint(tmp_path / "second", every=2), spy).fit(Xw, yw)

    with pytest.raises(Crash):
        script(epoch(4))
    resumed = script(lambda context: False)
    model = DNNRegressor.plain(random_state=0, max_iter=6, warm_start=True).fit(Xw, yw)
    assert np.array_equal(weights_of(resumed), weights_of(model.fit(Xw, yw)))


def test_a_file_written_halfway_is_not_the_checkpoint(path, monkeypatch):
    crashed(path, epoch(5))
    before = path.read_bytes()

    def die(*_):
        raise Crash

    monkeypatch.setattr(os, "replace", die)
    with pytest.raises(Crash):
        fit([Checkpoint(path, every=2)])
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert_bitwise(fit([Checkpoint(path, every=2)]), fit())


def test_every_part_of_a_state_is_saved():
    others = {"parameters", "optimizer", "average", "best_theta", "curves", "end"}
    assert {field.name for field in fields(State)} == {*SCALARS, *others}


# Files that are refused


@pytest.mark.parametrize(
    "changed, reason",
    [
        ({"alpha": 0.5}, "alpha was 0.0001 and is 0.5"),
        ({"random_state": 1}, "random_state was 0 and is 1"),
        ({"max_iter": 99}, "max_iter was 12 and is 99"),
        ({"learning_rate": lambda p: p}, r"learning_rate was 'constant' and is <function"),
        ({"Xw": Xw + 1e-12}, r"the data differ \(X\)"),
        ({"yw": 2 - yw}, r"the data differ \(y\)"),
        ({"dtype": np.float32}, r"the data differ \(X\)"),
        ({"sample_weight": np.ones(len(yw))}, r"the data differ \(sample_weight\)"),
    ],
)
def test_the_checkpoint_of_another_fit_is_refused_by_name(path, changed, reason):
    crashed(path, epoch(5))
    with pytest.raises(ValueError, match=rf"a fit.checkpoint belongs to another fit: .*{reason}"):
        fit([Checkpoint(path)], **changed)


def test_another_function_by_the_same_name_is_another_fit(path):
    crashed(path, epoch(5), learning_rate=lambda p: 1 - p)
    with pytest.raises(ValueError, match=r"learning_rate was"):
        fit([Checkpoint(path)], learning_rate=lambda p: 1 - p / 2)


def test_the_checkpoint_of_another_estimator_is_refused(path):
    crashed(path, epoch(5))
    model = DNNRegressor.plain(random_state=0).set_callbacks(Checkpoint(path))
    with pytest.raises(ValueError, match="of a DNNClassifier, not a DNNRegressor"):
        model.fit(Xw, yw)


def npz(path):
    with path.open("wb") as file:
        np.savez(file, a=np.ones(3))


def npy(path):
    with path.open("wb") as file:
        np.save(file, np.ones(3))


FOREIGN = {
    "text": lambda path: path.write_text("loss 0.3"),
    "empty": Path.touch,
    "npz": npz,
    "npy": npy,
}


@pytest.mark.parametrize("write", FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_file_is_refused_and_kept(path, write):
    write(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"a fit.checkpoint is not a checkpoint of skdnn"):
        fit([Checkpoint(path)])
    assert path.read_bytes() == before


@pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
def test_a_truncated_file_is_refused(path, share):
    crashed(path, epoch(5))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"a fit.checkpoint is damaged"):
        fit([Checkpoint(path)])


def test_a_flipped_byte_is_refused_or_makes_no_difference(path):
    crashed(path, epoch(11))
    content, expected = path.read_bytes(), fit()
    refused = 0
    for at in np.random.default_rng(0).integers(0, len(content), 60):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :])
        try:
            assert_bitwise(fit([Checkpoint(path)]), expected)
        except ValueError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > 30


def test_a_missing_directory_is_an_error_before_the_first_epoch(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        fit([Checkpoint(tmp_path / "nowhere" / "file")])


def test_lbfgs_is_refused(path):
    with pytest.raises(ValueError, match="lbfgs"):
        fit([Checkpoint(path)], solver="lbfgs")


def test_a_pipeline_is_told_to_give_it_to_its_last_step(path):
    pipeline = make_pipeline(StandardScaler(), classifier()).set_callbacks(Checkpoint(path))
    with pytest.raises(TypeError, match=r"pipeline\[-1\]"):
        pipeline.fit(X, y)


@pytest.mark.parametrize("every", [0, -1, 1.5, True, "2"])
def test_every_must_be_a_positive_int(path, every):
    with pytest.raises(ValueError, match=r"every must be an int >= 1; got"):
        Checkpoint(path, every=every)


def test_a_checkpoint_in_a_pipeline_goes_on(path):
    def script(at):
        model = classifier().set_callbacks(Checkpoint(path, every=1), Spy(partial(crash, at=at)))
        return make_pipeline(StandardScaler(), model).fit(X, y)

    with pytest.raises(Crash):
        script(epoch(4))
    resumed = script(lambda context: False)
    plain = make_pipeline(StandardScaler(), classifier()).fit(X, y)
    assert np.array_equal(weights_of(resumed[-1]), weights_of(plain[-1]))


def test_progress_bar_of_a_fit_that_goes_on_counts_what_is_left(path):
    crashed(path, epoch(9), every=2)
    seen = []
    fit([Checkpoint(path), Spy(lambda context: seen.append(context.parent or context))])
    assert seen[0].max_subtasks == 12 - 8


# A process killed at random moments

SCRIPT = """
import sys, time, warnings
import numpy as np
from sklearn.datasets import load_wine
from sklearn.preprocessing import StandardScaler
from skdnn import Checkpoint, DNNClassifier

warnings.simplefilter("ignore")
X, y = load_wine(return_X_y=True)
X = StandardScaler().fit_transform(X)

class Slow:
    def setup(self, estimator, context): ...
    def teardown(self, estimator, context): ...
    def on_fit_task_begin(self, estimator, context): ...
    def on_fit_task_end(self, estimator, context):
        print("task", flush=True)
        time.sleep(0.02)

FITS = [
    dict(solver="gd", average_decay=0.8),
    dict(solver="sgd", dropout=0.2, learning_rate="one_cycle"),
    dict(solver="adam", early_stopping=True, refit=True, scoring="loss", average_decay=0.5),
]
for i, params in enumerate(FITS):
    model = DNNClassifier.plain(
        hidden_layer_sizes=(20,), batch_size=40, max_iter=24, learning_rate_init=0.01,
        n_iter_no_change=np.inf, random_state=i, **params
    ).set_callbacks(Checkpoint(f"{sys.argv[1]}/{i}", every=3), Slow())
    model.fit(X, y)
    numbers = [*model.coefs_, *model.intercepts_, model.loss_curve_, model.learning_rate_curve_,
               model.validation_scores_ or [], [model.loss_, model.n_iter_, model.t_]]
    print(b"".join(np.ascontiguousarray(n).tobytes() for n in numbers).hex())
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_script_that_is_killed_at_random_moments_ends_as_if_it_never_was(tmp_path):
    def start(directory):
        directory.mkdir(exist_ok=True)
        command = [sys.executable, "-c", SCRIPT, str(directory)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def results(lines):
        return [line for line in lines if line != "task\n"]

    moments, kills = random.Random(0), 0
    for _ in range(100):
        process = start(tmp_path / "killed")
        lines = list(islice(process.stdout, moments.randint(1, 30)))
        time.sleep(moments.uniform(0.0, 0.02))
        process.send_signal(signal.SIGKILL)  # nothing happens to one that has ended
        lines += process.communicate()[0].splitlines(keepends=True)
        if process.returncode == 0:
            break
        kills += 1
    assert process.returncode == 0 and kills >= 2
    assert results(lines) == results(start(tmp_path / "whole").communicate()[0].splitlines(True))
