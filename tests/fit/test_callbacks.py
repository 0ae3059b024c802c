"""scikit-learn's callbacks on a fit and around it."""

import numpy as np
import pytest
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.datasets import load_iris
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdnn import DNNClassifier
from tests.cases import SOLVERS, UNCONVERGED, Spy, epoch, weights_of

pytestmark = UNCONVERGED

X, y = load_iris(return_X_y=True)


def classifier(**params):
    params = {"max_iter": 6, "learning_rate_init": 0.01, "random_state": 0, **params}
    return DNNClassifier.plain(hidden_layer_sizes=(5,), **params)


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
