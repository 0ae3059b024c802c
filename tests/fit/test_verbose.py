"""verbose=1 prints one line an epoch, and each number on it is a recorded one."""

import re

import numpy as np
import pytest
from sklearn.datasets import load_iris

from skdnn import Checkpoint, DNNClassifier
from tests.cases import SOLVERS, UNCONVERGED, Crash, epoch, raising

pytestmark = UNCONVERGED

X, y = load_iris(return_X_y=True)
NUMBER = r"(-?[\d.]+(?:e[-+]\d+)?)"
LINE = re.compile(
    r"(epoch|refit epoch|iteration) +(\d+)/(\d+)"
    rf"  loss {NUMBER} *"
    rf"(?:  validation loss {NUMBER} *)?"
    rf"(?:  score {NUMBER} *)?"
    rf"(?:  rate {NUMBER})?"
    r"  at most (\d+:\d\d:\d\d) left"
)


def classifier(**params):
    params = {"max_iter": 12, "verbose": 1, "random_state": 0, **params}
    return DNNClassifier.plain(hidden_layer_sizes=(4,), **params)


def printed(capsys, model, **validation):
    model.fit(X, y, **validation)
    return capsys.readouterr().out.splitlines()


def columns(lines):
    """Return what stands on the lines, column by column; None where a column is missing."""
    return list(zip(*[LINE.fullmatch(line).groups() for line in lines], strict=True))


def assert_shows(column, curve, digits):
    np.testing.assert_allclose(np.array(column, float), curve, rtol=10.0**-digits)


@pytest.mark.parametrize("solver", SOLVERS)
def test_nothing_is_printed_unless_asked_for(capsys, solver):
    assert printed(capsys, classifier(verbose=0, solver=solver)) == []


@pytest.mark.parametrize("solver", ["gd", "sgd", "adam"])
def test_each_epoch_has_a_line_with_its_loss_and_rate(capsys, solver):
    model = classifier(solver=solver, learning_rate="cosine")
    what, epoch, last, loss, v_loss, score, rate, _ = columns(printed(capsys, model))
    assert set(what) == {"epoch"} and set(last) == {"12"}
    assert epoch == tuple(str(k) for k in range(1, 13))
    assert_shows(loss, model.loss_curve_, 5)
    assert_shows(rate, model.learning_rate_curve_, 2)
    assert set(v_loss) == set(score) == {None}


def test_validation_loss_is_shown_where_there_is_one(capsys):
    model = classifier()
    _, _, _, _, v_loss, score, _, _ = columns(printed(capsys, model, X_val=X, y_val=y))
    assert_shows(v_loss, model.validation_loss_curve_, 5)
    assert set(score) == {None}


def test_the_score_is_shown_under_early_stopping(capsys):
    model = classifier(early_stopping=True, n_iter_no_change=np.inf)
    _, _, _, _, v_loss, score, _, _ = columns(printed(capsys, model))
    assert_shows(v_loss, model.validation_loss_curve_, 5)
    assert_shows(score, model.validation_scores_, 3)


def test_a_warm_start_does_not_show_the_validation_of_an_earlier_fit(capsys):
    model = classifier(early_stopping=True, warm_start=True).fit(X, y)
    capsys.readouterr()
    _, _, _, _, v_loss, score, _, _ = columns(
        printed(capsys, model.set_params(early_stopping=False))
    )
    assert set(v_loss) == set(score) == {None}


def test_iterations_of_lbfgs_have_a_line_each_and_the_end_its_reason(capsys):
    model = classifier(solver="lbfgs", max_iter=500)
    *lines, end = printed(capsys, model)
    what, epoch, _, loss, _, _, rate, _ = columns(lines)
    assert set(what) == {"iteration"} and set(rate) == {None} and len(epoch) == model.n_iter_
    assert_shows(loss, model.loss_curve_, 5)
    assert end.startswith("L-BFGS-B ended: CONVERGENCE")


def test_lines_are_aligned(capsys):
    model = classifier(early_stopping=True, n_iter_no_change=np.inf, scoring="loss", alpha=0.0)
    lines = printed(capsys, model.set_params(max_iter=150, learning_rate_init=0.1))
    assert model.loss_curve_[0] > 1 and model.loss_curve_[-1] < 0.1
    for column in ("  loss", "  validation loss", "  score", "  rate", "  at most"):
        assert len({line.index(column) for line in lines}) == 1
    assert max(map(len, lines)) <= 120


def test_an_early_end_says_why(capsys):
    *_, end = printed(capsys, classifier(tol=1e9, n_iter_no_change=2))
    assert end == "Training loss did not improve by tol=1e+09 for 2 epochs."


def test_the_last_epoch_leaves_no_time(capsys):
    *_, left = columns(printed(capsys, classifier()))
    assert left[-1] == "0:00:00"


def test_a_refit_is_called_so_and_counts_its_own_epochs(capsys):
    model = classifier(early_stopping=True, refit=True, n_iter_no_change=np.inf)
    what, epoch, last, *_ = columns(printed(capsys, model))
    assert what == ("epoch",) * 12 + ("refit epoch",) * model.best_n_iter_
    assert (epoch[-1], last[-1]) == (str(model.best_n_iter_),) * 2


def test_a_fit_that_goes_on_counts_from_where_it_was(capsys, tmp_path):
    checkpoint = Checkpoint(tmp_path / "fit", every=5)
    with pytest.raises(Crash):
        classifier().set_callbacks(checkpoint, raising(Crash, epoch(7))).fit(X, y)
    capsys.readouterr()
    _, numbers, *_ = columns(printed(capsys, classifier().set_callbacks(checkpoint)))
    assert numbers == tuple(str(k) for k in range(6, 13))
