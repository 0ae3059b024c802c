"""The refit: what it repeats of the search, and that a failed one keeps what the search found."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_digits, make_friedman1
from sklearn.model_selection import train_test_split

from skdnn import DNNClassifier, DNNRegressor
from skdnn.fit.recipe import Recipe, n_epochs
from skdnn.fit.training import End, Plan, State
from skdnn.fit.watch import Run, Stages
from skdnn.network import Parameters
from tests.cases import (
    UNCONVERGED,
    Spy,
    contents_of,
    default,
    differing,
    many,
    outputs_of,
    raising,
    weights_of,
)

pytestmark = UNCONVERGED

NAME = pytest.mark.parametrize("name", ["regressor", "two_outputs", "binary", "multiclass"])
# Of what two fits hold, what says that a refit was asked for.
ASKED = {"refit", "recipe_", "_skl_callbacks"}


def diverges(monkeypatch):
    repeating = Plan.repeating
    monkeypatch.setattr(
        Plan, "repeating", lambda self, *args: replace(repeating(self, *args), rate=1e300)
    )
    return []


def is_interrupted(monkeypatch):
    return [raising(KeyboardInterrupt, lambda context: context.task_name == "refit epoch")]


def is_interrupted_within_an_epoch(monkeypatch):
    """Let the first step of the refit be the last thing that happens."""
    divisor = Plan.divisor

    def interrupted(self, state):
        if self.has_fallback:
            raise KeyboardInterrupt
        return divisor(self, state)

    monkeypatch.setattr(Plan, "divisor", interrupted)
    return []


FAILURES = {
    diverges: (RuntimeWarning, "found is kept, and not fitted again on all rows"),
    is_interrupted: (UserWarning, "the network that was found before is kept"),
    is_interrupted_within_an_epoch: (UserWarning, "the network that was found before is kept"),
}
FAILURE = pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.__name__)


@NAME
@FAILURE
@pytest.mark.parametrize("params", [{}, {"average_decay": 0.0}, {"precision": None}], ids=str)
def test_a_refit_that_fails_keeps_what_the_search_found(monkeypatch, name, failure, params):
    searched = default(name, refit=False, **params).fit(*many(name))
    model = default(name, refit=True, **params).set_callbacks(*failure(monkeypatch))
    category, message = FAILURES[failure]
    with pytest.warns(category, match=message):
        model.fit(*many(name))
    assert not differing(contents_of(model), contents_of(searched)) - ASKED
    assert np.array_equal(outputs_of(model, many(name)[0]), outputs_of(searched, many(name)[0]))
    did, found = model.recipe_.asdict(), searched.recipe_.asdict()
    assert {k for k in did if did[k] != found[k]} == {"refit", "ended"}
    assert did["refitted"] == [False]


@FAILURE
def test_a_refit_that_fails_leaves_the_calibration_of_the_search(monkeypatch, failure):
    name = "multiclass"
    params = {"max_iter": 40, "learning_rate_init": 0.5, "hidden_layer_sizes": (50,)}
    searched = default(name, refit=False, **params).fit(*many(name))
    assert searched.recipe_.calibration[0] != 1.0
    model = default(name, refit=True, **params).set_callbacks(*failure(monkeypatch))
    with pytest.warns((RuntimeWarning, UserWarning)):
        model.fit(*many(name))
    assert np.array_equal(weights_of(model), weights_of(searched))


@FAILURE
def test_of_several_networks_each_keeps_what_its_search_found(monkeypatch, failure):
    name, params = "regressor", {"n_estimators": 2, "n_jobs": 1}
    searched = default(name, refit=False, **params).fit(*many(name))
    model = default(name, refit=True, **params).set_callbacks(*failure(monkeypatch))
    with pytest.warns((RuntimeWarning, UserWarning)):
        model.fit(*many(name))
    ours, theirs = (m._model.networks[0].parameters.theta for m in (model, searched))
    assert np.array_equal(ours, theirs)
    assert not any(model.recipe_.refitted)


# The rates


def scripted(scores):
    """Return a scorer that gives these scores, and the last one for ever."""
    left = iter(scores)
    return lambda *_: next(left, scores[-1])


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_at_the_default_patience_the_adaptive_rate_divides_after_ten_epochs(solver):
    params = {"learning_rate": "adaptive", "solver": solver, "refit": False, "max_iter": 200}
    params |= {"learning_rate_init": 0.05, "scoring": lambda *_: 0.0}
    model = default("regressor", **params).fit(*many("regressor"))
    # The first epoch counts as an improvement; 0.05 / 5^7 is the first rate below a millionth.
    rates = [0.05] * 11 + [0.05 / 5**k for k in range(1, 8) for _ in range(10)]
    assert model.learning_rate_curve_ == pytest.approx(rates, rel=1e-12)
    assert model.recipe_.ended == ["converged"]


@pytest.mark.parametrize("solver", ["gd", "sgd", "adam"])
def test_without_early_stopping_too(solver):
    params = {"learning_rate": "adaptive", "solver": solver, "max_iter": 25, "tol": 1e9}
    params |= {"early_stopping": False, "learning_rate_init": 0.05}
    if solver == "gd":
        params |= {"average_decay": 0.0, "weight_decay": 0.0}
    model = default("regressor", **params).fit(*many("regressor"))
    rates = [0.05] * 11 + [0.05 / 5] * 10 + [0.05 / 25] * 4
    assert model.learning_rate_curve_ == pytest.approx(rates, rel=1e-12)


def test_early_stopping_counts_on_from_a_divided_rate():
    scores = [0.0] * 11 + [1.0] + [0.5] * 100  # better once the rate has been divided
    params = {"learning_rate": "adaptive", "refit": False, "max_iter": 40}
    model = default("regressor", scoring=scripted(scores), **params).fit(*many("regressor"))
    rates = [0.05] * 11 + [0.05 / 5] * 11 + [0.05 / 25] * 10 + [0.05 / 125] * 8
    assert model.learning_rate_curve_ == pytest.approx(rates, rel=1e-12)
    assert model.best_n_iter_ == 12


@pytest.mark.parametrize("best", [5, 11, 12, 15, 24])
def test_the_refit_repeats_the_adaptive_rates_of_the_search(best):
    def scorer():
        return scripted([0.0] * (best - 1) + [1.0] + [0.5] * 100)

    params = {"learning_rate": "adaptive", "max_iter": 40}
    searched = default("regressor", refit=False, scoring=scorer(), **params)
    searched.fit(*many("regressor"))
    model = default("regressor", refit=True, scoring=scorer(), **params).fit(*many("regressor"))
    assert model.best_n_iter_ == searched.best_n_iter_ == best
    assert model.learning_rate_curve_ == searched.learning_rate_curve_[:best]
    assert len(set(model.learning_rate_curve_)) == 1 + (best > 11) + (best > 21)


def test_a_stretched_refit_repeats_them_as_much_slower():
    params = {"learning_rate": "adaptive", "max_iter": "auto", "n_iter_no_change": 2, "tol": 1e9}
    searched = default("regressor", refit=False, **params).fit(*many("regressor"))
    model = default("regressor", refit=True, **params).fit(*many("regressor"))
    best, n = searched.best_n_iter_, model.n_iter_
    assert n > best > 3  # else this shows nothing
    rates = [searched.learning_rate_curve_[i * best // n] for i in range(n)]
    assert model.learning_rate_curve_ == rates
    assert len(set(rates)) > 1


def test_the_search_of_a_warm_start_is_repeated_and_not_that_of_the_first_fit():
    def scorer(best):
        return scripted([0.0] * (best - 1) + [1.0] + [0.5] * 100)

    params = {"learning_rate": "adaptive", "max_iter": 30, "warm_start": True}
    model = default("regressor", scoring=scorer(3), **params).fit(*many("regressor"))
    n = len(model.learning_rate_curve_)
    model.set_params(scoring=scorer(15)).fit(*many("regressor"))
    expected = [0.05] * 11 + [0.05 / 5] * 4
    assert model.learning_rate_curve_[n:] == pytest.approx(expected, rel=1e-12)


# How long


def friedman(noise, n=400):
    return make_friedman1(n, noise=noise, random_state=0)


@pytest.mark.parametrize("max_iter", [300, 1000])
def test_a_large_max_iter_is_not_less_than_auto(max_iter):
    X, y = load_digits(return_X_y=True)
    X, y = X[::3], y[::3]
    auto, large = (
        DNNClassifier((32,), random_state=0, max_iter=m, label_smoothing=0.0).fit(X, y)
        for m in ("auto", max_iter)
    )
    assert not auto.recipe_.ended[0] and auto.recipe_.stretch[0] > 1.0
    assert large.recipe_.n_epochs >= auto.recipe_.n_epochs
    assert max(large.validation_scores_) >= max(auto.validation_scores_)


def test_a_large_max_iter_changes_nothing_where_the_loss_does_not_fall():
    auto, large = (
        DNNRegressor(random_state=0, max_iter=m).fit(*load_diabetes(return_X_y=True))
        for m in ("auto", 1000)
    )
    assert np.array_equal(weights_of(auto), weights_of(large))


@pytest.mark.parametrize("max_iter", [200, 300])
def test_a_loss_that_falls_is_searched_for_longer_up_to_max_iter(max_iter):
    X, y = friedman(noise=0.0)
    model = DNNRegressor(random_state=0, max_iter=max_iter).fit(X, y)
    assert n_epochs(len(y)) < len(model.validation_loss_curve_) <= max_iter
    assert model.best_n_iter_ <= model.n_iter_ <= max_iter


def test_a_longer_search_that_is_not_better_is_not_taken(monkeypatch):
    X, y = friedman(noise=0.0)
    first = DNNRegressor(random_state=0, refit=False).fit(X, y)
    train = Recipe.train

    def worse_for_longer(recipe, state, problem, numbers, plan, *args):
        train(recipe, state, problem, numbers, plan, *args)
        if plan.max_iter > n_epochs(len(y)):
            state.best_score = -np.inf

    monkeypatch.setattr(Recipe, "train", worse_for_longer)
    longer = DNNRegressor(random_state=0, refit=False, max_iter=300)
    assert np.array_equal(weights_of(longer.fit(X, y)), weights_of(first))


def test_an_interrupted_longer_search_keeps_the_first():
    X, y = friedman(noise=0.0)
    first = DNNRegressor(random_state=0, refit=False).fit(X, y)
    seen = []

    def at_its_first_epoch(context):
        seen.append(context.task_name)
        if len(seen) > n_epochs(len(y)) + 1:
            raise KeyboardInterrupt
        return False

    model = DNNRegressor(random_state=0, max_iter=300).set_callbacks(Spy(at_its_first_epoch))
    with pytest.warns(UserWarning, match="interrupted by the user"):
        model.fit(X, y)
    assert np.array_equal(weights_of(model), weights_of(first))
    assert model.recipe_.ended == ["interrupted"] and model.recipe_.refitted == [False]


def test_noise_is_not_trained_on_for_longer():
    # The case that stretched refits once took from R2 = 0.21 to -0.02.
    X, y = load_diabetes(return_X_y=True)
    r2 = []
    for seed in range(5):
        X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=seed)
        model = DNNRegressor(random_state=seed).fit(X_train, y_train)
        assert model.recipe_.stretch[0] < 1.2
        r2.append(model.score(X_test, y_test))
    assert np.mean(r2) > 0.4


@pytest.mark.parametrize(
    ("n_held_out", "fall", "end", "stretched"),
    [
        (100, 0.06, End.NOT, True),
        (100, 0.04, End.NOT, False),
        (20_000, 0.012, End.NOT, True),
        (20_000, 0.008, End.NOT, False),
        (20_000, 0.04, End.CONVERGED, False),  # it rose after the best epoch
    ],
)
def test_a_refit_is_longer_after_a_fall_that_the_held_out_rows_tell(
    n_held_out, fall, end, stretched
):
    recipe = DNNRegressor(random_state=0).fit(*friedman(1.0, 80)).recipe_
    search = State(Parameters((1, 1), np.zeros(2)), None, 0, epoch=4, best_epoch=4, end=end)
    search.curves.validation_score = [-2.0, -1.0, -1.0, -1.0 + fall]
    longer = replace(recipe, n_held_out=n_held_out).stretch_after(search, 4, Run(Stages(0)))
    assert longer == (2.75 if stretched else 1.0)
