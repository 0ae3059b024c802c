"""What a checkpoint brings back: a fit that fails at some epoch stands for a crash."""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import fields
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_iris, load_wine
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdnn import Checkpoint, DNNClassifier, DNNRegressor
from skdnn.core.optimizers import Adam
from skdnn.fit.training import Curves, End, State
from skdnn.network import Parameters
from tests.cases import UNCONVERGED, Crash, Spy, epoch, raising, weights_of

pytestmark = UNCONVERGED

X, y = load_iris(return_X_y=True)
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


def fit(callbacks=(), dtype=np.float64, Xw=Xw, yw=yw, sample_weight=None, **params):
    params = {"max_iter": 12, "learning_rate_init": 0.02, "random_state": 0, **params}
    model = DNNClassifier.plain(hidden_layer_sizes=(6,), **params).set_callbacks(*callbacks)
    return model.fit(Xw.astype(dtype), yw, sample_weight)


def crashed(path, at, every=2, **params):
    with pytest.raises(Crash):
        fit([Checkpoint(path, every=every), raising(Crash, at)], **params)


def assert_bitwise(one, other):
    assert np.array_equal(weights_of(one), weights_of(other))
    assert [getattr(one, n) for n in CURVES] == [getattr(other, n) for n in CURVES]
    assert [getattr(one, n) for n in NUMBERS] == [getattr(other, n) for n in NUMBERS]


def classifier(**params):
    params = {"max_iter": 6, "learning_rate_init": 0.01, "random_state": 0, **params}
    return DNNClassifier.plain(hidden_layer_sizes=(5,), **params)


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
    with pytest.warns(UserWarning, match="interrupted"):
        fit([Checkpoint(path, every=2), raising(KeyboardInterrupt, epoch(5))])
    assert_bitwise(fit([Checkpoint(path, every=2)]), fit())


def test_a_warm_start_goes_on_from_its_own_checkpoint(tmp_path):
    def script(at):
        """Fit twice, each with a file; a crash is to come at an epoch of the second fit."""
        model = DNNRegressor.plain(random_state=0, max_iter=6, warm_start=True)
        model.set_callbacks(Checkpoint(tmp_path / "first", every=2)).fit(Xw, yw)
        spy = raising(Crash, at)
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
    parameters = Parameters((1, 1), np.array([1.0, 2.0]))
    adam = Adam(2, np.float64)
    adam.step(parameters.theta, np.array([3.0, 4.0]), 0.1)
    curves = Curves(*([float(i)] for i, _ in enumerate(fields(Curves))))
    state = State(
        parameters,
        adam,
        seed=1,
        average=np.array([5.0, 6.0]),
        total_epochs=2,
        samples=3,
        steps=4,
        best_loss=0.4,
        curves=curves,
        epoch=5,
        stale=6,
        divisor=25.0,
        reference=0.7,
        best_score=0.8,
        best_epoch=9,
        best_theta=np.array([7.0, 8.0]),
        end=End.STOPPED,
    )
    untouched = State(parameters, None, 0)
    back = State.of_plain(state.plain(), parameters)
    for field in fields(State):
        ours, theirs = getattr(back, field.name), getattr(state, field.name)
        if field.name == "optimizer":
            assert (type(ours), ours.t) == (Adam, 1)
            assert np.array_equal(ours.state, adam.state)
            continue
        assert np.all(ours == theirs), field.name
        assert field.name == "parameters" or np.any(theirs != getattr(untouched, field.name))


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
        model = classifier().set_callbacks(Checkpoint(path, every=1), raising(Crash, at))
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
        lines = list(islice(process.stdout, moments.randint(5, 45)))
        time.sleep(moments.uniform(0.0, 0.02))
        process.send_signal(signal.SIGKILL)  # nothing happens to one that has ended
        lines += process.communicate()[0].splitlines(keepends=True)
        if process.returncode == 0:
            break
        kills += 1
    assert process.returncode == 0 and kills >= 2
    assert results(lines) == results(start(tmp_path / "whole").communicate()[0].splitlines(True))
