"""Each curve says which run of the fit it is of, and which of them decided."""

import inspect
import pickle

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits

from skdnn import DNNBinaryClassifier, DNNClassifier, DNNRegressor
from skdnn.fit import objective

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, y = load_breast_cancer(return_X_y=True)
X, y = X[:160], y[:160]
Xd, yd = load_diabetes(return_X_y=True)
Xd, yd = Xd[:160], yd[:160]
FORMS = {
    "regressor": (DNNRegressor, Xd, yd),
    "binary": (DNNBinaryClassifier, X, y),
    "classifier": (DNNClassifier, X, y),
}
# One entry for an epoch that was validated.
OF_SEARCH = ("search_loss_curve_", "validation_loss_curve_", "validation_scores_")


def default(form="classifier", **params):
    Estimator, rows, targets = FORMS[form]
    params = {"hidden_layer_sizes": (8,), "random_state": 0, "max_iter": 15, **params}
    return Estimator(**params), rows, targets


def fitted(form="classifier", **params):
    model, rows, targets = default(form, **params)
    return model.fit(rows, targets)


@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("form", FORMS)
def test_the_search_curve_is_the_training_curve_of_a_fit_without_the_refit(form, solver):
    with_refit = fitted(form, solver=solver)
    without = fitted(form, solver=solver, refit=False)
    assert with_refit.search_loss_curve_ == without.loss_curve_
    assert with_refit.validation_loss_curve_ == without.validation_loss_curve_
    assert with_refit.validation_scores_ == without.validation_scores_


@pytest.mark.parametrize("form", FORMS)
def test_the_loss_curve_is_of_the_last_run(form):
    model = fitted(form)
    assert model.recipe_.refitted == [True]
    assert len(model.loss_curve_) == len(model.learning_rate_curve_) == model.n_iter_
    assert model.loss_curve_ != model.search_loss_curve_[: model.n_iter_]


@pytest.mark.parametrize(
    "params",
    [
        {"refit": False},
        {"early_stopping": False},
        {"solver": "lbfgs"},
        {"solver": "gd", "learning_rate_init": 0.1},
    ],
    ids=str,
)
def test_there_is_no_search_curve_without_a_refit(params):
    assert fitted(**params).search_loss_curve_ is None


def test_there_is_none_with_rows_of_the_users_own_to_validate_on():
    model, rows, targets = default()
    model.fit(rows, targets, X_val=rows[::3], y_val=targets[::3])
    assert model.search_loss_curve_ is None
    assert len(model.validation_loss_curve_) == len(model.loss_curve_)


def test_there_is_none_after_partial_fit():
    model, rows, targets = default()
    model.fit(rows, targets).partial_fit(rows, targets)
    assert model.search_loss_curve_ is None


@pytest.mark.parametrize("error", [KeyboardInterrupt, FloatingPointError])
def test_there_is_none_where_the_refit_came_to_nothing(monkeypatch, error):
    n_epochs = len(fitted().search_loss_curve_)
    epoch, calls = objective.Objective.epoch, []

    def failing(self, parameters, *args):
        calls.append(parameters)
        if len(calls) == n_epochs + 2:
            if error is KeyboardInterrupt:
                raise error
            parameters.theta[:] = np.inf
        return epoch(self, parameters, *args)

    monkeypatch.setattr(objective.Objective, "epoch", failing)
    with pytest.warns((RuntimeWarning, UserWarning), match="interrupted|infinite"):
        model = fitted()
    assert model.recipe_.refitted == [False]
    assert model.search_loss_curve_ is None
    assert len(model.loss_curve_) == len(model.validation_loss_curve_) == n_epochs


def test_several_networks_have_one_for_each():
    model = fitted(n_estimators=3)
    assert len(model.search_loss_curve_) == 3
    for i, one in enumerate(model.estimators_):
        for name in (*OF_SEARCH, "loss_curve_", "learning_rate_curve_"):
            assert getattr(one, name) == getattr(model, name)[i]
        assert len(one.search_loss_curve_) == len(one.validation_loss_curve_)


def test_several_networks_without_a_refit_have_none_for_each():
    assert fitted(n_estimators=2, refit=False).search_loss_curve_ == [None, None]


@pytest.mark.parametrize("n_calls", [1, 2, 3])
def test_the_curves_of_searches_go_on_entry_by_entry_over_warm_starts(n_calls):
    model, rows, targets = default(warm_start=True)
    n_epochs = 0
    for _ in range(n_calls):
        model.fit(rows, targets)
        n_epochs += model.n_iter_
    assert len({len(getattr(model, name)) for name in OF_SEARCH}) == 1
    assert len(model.loss_curve_) == n_epochs


CALLS = {
    "validated": {"early_stopping": False, "val": True},
    "stopped": {"early_stopping": True, "refit": False},
    "refitted": {"early_stopping": True, "refit": True},
    "plain": {"early_stopping": False},
}


def call(model, kind, rows=X, targets=y):
    params = dict(CALLS[kind])
    validates = params.pop("val", False)
    model.set_params(**{"refit": "auto", **params})
    given = dict(X_val=rows[::4], y_val=targets[::4]) if validates else {}
    return model.fit(rows, targets, **given)


@pytest.mark.parametrize("second", CALLS)
@pytest.mark.parametrize("first", CALLS)
def test_what_is_of_one_epoch_stays_together_whatever_the_calls_are(first, second):
    model = default(warm_start=True)[0]
    call(call(model, first), second)
    curves = [getattr(model, name) for name in OF_SEARCH if getattr(model, name) is not None]
    assert len({len(curve) for curve in curves}) <= 1
    scores = model.validation_scores_
    if scores is not None:
        best = scores[len(scores) - model.recipe_.n_epochs[0] :] if second == "stopped" else scores
        assert model.best_validation_score_ in best
        assert (first == "validated") == bool(np.isnan(scores).any())


@pytest.mark.parametrize("form", FORMS)
def test_the_best_epoch_has_the_largest_score(form):
    model = fitted(form)
    assert model.best_n_iter_ == 1 + np.argmax(model.validation_scores_)
    assert model.best_validation_score_ == max(model.validation_scores_)


def test_without_calibration_the_scores_are_minus_the_validation_loss():
    for model in (fitted("regressor"), fitted(calibrate=False)):
        assert model.validation_scores_ == [-loss for loss in model.validation_loss_curve_]


def test_under_calibration_the_best_epoch_need_not_be_the_least_of_the_validation_loss():
    model = DNNClassifier(hidden_layer_sizes=(32,), random_state=0)
    model.fit(*load_digits(return_X_y=True))
    losses, scores = np.array(model.validation_loss_curve_), np.array(model.validation_scores_)
    assert (-scores <= losses * (1 + 1e-6)).all()
    assert model.best_n_iter_ == 1 + np.argmax(scores) != 1 + np.argmin(losses)


@pytest.mark.parametrize(
    "params, scoring",
    [
        ({}, "loss"),
        ({"scoring": "accuracy"}, "accuracy"),
        ({"scoring": None}, "score"),
        ({"scoring": lambda estimator, X, y: 0.0}, "<lambda>"),
        ({"early_stopping": False}, ""),
    ],
)
def test_the_recipe_says_what_the_best_epoch_is_the_best_by(params, scoring):
    assert fitted(**params).recipe_.asdict()["scoring"] == scoring


def test_curves_are_the_same_out_of_a_pickle():
    model = fitted()
    again = pickle.loads(pickle.dumps(model))
    for name in (*OF_SEARCH, "loss_curve_"):
        assert getattr(again, name) == getattr(model, name)


def test_in_the_refit_a_callback_finds_the_search_beside_it():
    seen = []

    class Spy:
        def setup(self, estimator, context): ...

        def teardown(self, estimator, context): ...

        def on_fit_task_begin(self, estimator, context): ...

        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
            curve = fitted_estimator.search_loss_curve_
            seen.append(
                (context.task_name, curve and len(curve), len(fitted_estimator.loss_curve_))
            )

    model, rows, targets = default()
    model.set_callbacks(Spy()).fit(rows, targets)
    n = len(model.search_loss_curve_)
    searched = [("epoch", None, k + 1) for k in range(n)]
    refitted = [("refit epoch", n, k + 1) for k in range(model.n_iter_)]
    assert seen == [*searched, *refitted, ("fit", n, model.n_iter_)]


@pytest.mark.parametrize("Estimator", [DNNRegressor, DNNBinaryClassifier, DNNClassifier])
def test_the_docstring_says_of_each_curve_which_run_it_is_of(Estimator):
    text = " ".join(inspect.getdoc(Estimator).split())
    for said in (
        "loss_curve_ : list of float The objective at each epoch of the last run",
        "search_loss_curve_ : list of float or None The same of the run before the refit",
        "of the run that found the best epoch, not of a refit",
        "what the best epoch is chosen by",
    ):
        assert said in text
