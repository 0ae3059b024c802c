"""loss_ and the curves: exact where they can be, in the user's units; when a fit ends."""

import numpy as np
import pytest
from scipy.special import expit, logsumexp, xlogy
from sklearn.metrics import accuracy_score

from skdnn import DNNRegressor
from tests.cases import CASES, ESTIMATORS, SCORE, UNCONVERGED, X, plain, weights_of

pytestmark = UNCONVERGED

W = np.random.default_rng(2).uniform(0.1, 3.0, 60)
ONES = np.ones(60)
SOLVERS = {
    "gd": {"solver": "gd"},
    "sgd": {"solver": "sgd", "batch_size": 13},
    "adam": {"solver": "adam", "batch_size": 13},
    "lbfgs": {"solver": "lbfgs"},
}


def losses_of(name, model, y):
    """Return the loss of every row from what the estimator predicts."""
    if name == "poisson":
        o = model.predict(X)
        return xlogy(y, y / o) - y + o
    if name in ("regressor", "two_outputs"):
        r = (model.predict(X) - y).reshape(60, -1)
        return 0.5 * np.sum(r**2, axis=1)
    z = model.decision_function(X)
    if name in ("binary", "two_classes"):
        z, y = z[:, None], (y == model.classes_[1])[:, None]
    if name == "multiclass":
        rows, labels = np.arange(60), np.searchsorted(model.classes_, y)
        return logsumexp(z, axis=1) - z[rows, labels]
    p = expit(z)
    return -np.sum(y * np.log(p) + (1 - y) * np.log(1 - p), axis=1)


def objective_of(name, model, y, w=ONES):
    """Return the objective at the weights that the estimator shows, computed anew."""
    squares = sum(np.sum(c**2) for c in model.coefs_)
    return (w @ losses_of(name, model, y) + 0.5 * model.alpha * squares) / w.sum()


# loss_ and loss_curve_


@pytest.mark.parametrize("w", [None, W], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", CASES)
def test_loss_is_the_objective_at_the_final_weights(name, solver, w):
    y = CASES[name].y
    model = plain(name, alpha=0.5, max_iter=5, **SOLVERS[solver]).fit(X, y, sample_weight=w)
    expected = objective_of(name, model, y, *([] if w is None else [w]))
    assert model.loss_ == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("params", [{"average_decay": 0.9}, {"dropout": 0.5}], ids=str)
def test_loss_is_that_of_the_weights_which_predict(params):
    model = plain("multiclass", max_iter=5, **params).fit(X, CASES["multiclass"].y)
    expected = objective_of("multiclass", model, CASES["multiclass"].y)
    assert model.loss_ == pytest.approx(expected, rel=1e-12)


def test_loss_is_that_of_the_best_weights_on_the_rows_trained_on():
    # The rows that are held out are so few and so heavy that they show in the loss.
    held_out = []

    def scoring(estimator, X, y):
        held_out.append(X)
        return estimator.score(X, y)

    model = plain("regressor", early_stopping=True, learning_rate_init=0.1, scoring=scoring)
    model.fit(X, SCORE)
    kept = ~(X[:, None] == held_out[0]).all(axis=2).any(axis=1)
    expected = objective_of("regressor", model, SCORE, 1.0 * kept)
    assert model.loss_ == pytest.approx(expected, rel=1e-12)


def after_each_epoch(name, n, **params):
    """Return the models that 1, ..., n epochs lead to."""
    y = CASES[name].y
    return [plain(name, max_iter=e, **params).fit(X, y, sample_weight=W) for e in range(1, n + 1)]


@pytest.mark.parametrize(
    "params", [{"solver": "gd"}, {"batch_size": 60}, {"solver": "lbfgs"}], ids=str
)
@pytest.mark.parametrize("name", CASES)
def test_loss_curve_is_exact_for_full_batches_and_lbfgs(name, params):
    models = after_each_epoch(name, 4, alpha=0.5, **params)
    expected = [objective_of(name, model, CASES[name].y, W) for model in models]
    assert models[-1].loss_curve_ == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_loss_curve_of_mini_batches_is_the_weighted_mean_over_the_epochs_batches(name):
    # At a rate of almost 0 the batches are all judged at the same weights, whatever they
    # hold: their mean, weighted by the sample weights, is the objective.
    y = CASES[name].y
    params = {"batch_size": 13, "learning_rate_init": 1e-13, "alpha": 0.5, "max_iter": 2}
    model = plain(name, **params).fit(X, y, sample_weight=W)
    expected = objective_of(name, model, y, W)
    assert model.loss_curve_ == pytest.approx([expected] * 2, rel=1e-9)


def test_each_batch_is_judged_before_its_step():
    # Two batches of one row each, in order: the second is judged after the first step.
    data, y = np.array([[1.0], [1.0]]), np.array([1.0, 3.0])
    params = {"hidden_layer_sizes": (), "solver": "sgd", "momentum": 0.0, "alpha": 0.0}
    model = DNNRegressor.plain(
        **params, batch_size=1, shuffle=False, learning_rate_init=0.1, max_iter=1, random_state=0
    )
    start = DNNRegressor.plain(**params, learning_rate_init=1e-300, max_iter=1, random_state=0)
    o = start.fit(data, y).predict(data)[0]
    first = 0.5 * (o - 1.0) ** 2
    o -= 2 * 0.1 * (o - 1.0)  # the weight and the bias each move by the rate times o - y
    assert model.fit(data, y).loss_curve_ == pytest.approx([(first + 0.5 * (o - 3.0) ** 2) / 2])


@pytest.mark.parametrize(
    "loss", ["squared_error", "absolute_error", "huber", "quantile", "poisson"]
)
@pytest.mark.parametrize("solver", ["gd", "lbfgs", "adam"])
def test_losses_are_in_the_units_of_y(loss, solver):
    # The loss that a scaled target is trained by, with the scale taken out again.
    y = 1000.0 * np.exp(SCORE / 3)
    params = {"loss": loss, "solver": solver, "alpha": 0.0, "max_iter": 20}
    model = plain("regressor", scale_target=True, **params).fit(X, y)
    o, r = model.predict(X), y - model.predict(X)
    d = y.std()
    expected = {
        "squared_error": r**2 / 2,
        "absolute_error": np.abs(r),
        "huber": np.where(np.abs(r) < d, r**2 / 2, d * (np.abs(r) - d / 2)),
        "quantile": np.abs(r) / 2,
        "poisson": y * np.log(y / o) - y + o,
    }[loss]
    assert model.loss_ == pytest.approx(expected.mean(), rel=1e-9)
    assert model.loss_curve_[-1] == pytest.approx(expected.mean(), rel=1e-9)
    assert model.best_loss_ == min(model.loss_curve_)


@pytest.mark.parametrize("solver", SOLVERS)
def test_best_loss_is_the_least_of_the_curve(solver):
    model = plain("regressor", max_iter=20, **SOLVERS[solver], learning_rate_init=0.1)
    model.fit(X, SCORE)
    assert model.best_loss_ == min(model.loss_curve_)


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_at_any_defaults_there_is_a_loss_for_every_epoch(Estimator):
    y = SCORE if Estimator is DNNRegressor else (SCORE > 0).astype(int)
    model = Estimator(max_iter=5, random_state=0).fit(X, y)
    assert len(model.loss_curve_) == model.n_iter_ > 0
    assert np.isfinite([*model.loss_curve_, model.loss_]).all()


# When a fit ends


class Scores:
    """A scorer that answers with the numbers it was given, one after the other."""

    def __init__(self, *scores):
        self.scores = list(scores)

    def __call__(self, estimator, X, y):
        return self.scores.pop(0)


@pytest.mark.parametrize(
    ("scores", "epochs"),
    [
        ([0.0] * 9, 6),
        ([0.0, 1.0, *[1.0] * 9], 7),
        ([0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 9.0], 6),  # never tol better than the best
        ([0.0, 0.0, 0.0, 0.0, 0.0, 1.0, *[0.0] * 9], 11),
        ([1.0, *[0.0] * 9], 6),
    ],
)
def test_epochs_without_tol_of_improvement_end_the_fit(scores, epochs):
    params = {"early_stopping": True, "n_iter_no_change": 5, "tol": 0.5}
    model = plain("regressor", scoring=Scores(*scores), **params).fit(X, SCORE)
    assert model.n_iter_ == epochs


@pytest.mark.parametrize(
    ("scores", "epochs"),
    [
        ([0.5, *[np.nan] * 9], 6),
        ([np.nan, 0.5, *[np.nan] * 9], 7),
        ([0.5, np.nan, np.nan, 0.9, *[np.nan] * 9], 9),
    ],
)
def test_a_score_of_nan_is_no_improvement(scores, epochs):
    params = {"early_stopping": True, "n_iter_no_change": 5}
    model = plain("regressor", scoring=Scores(*scores), **params).fit(X, SCORE)
    assert model.n_iter_ == epochs
    assert np.isfinite(weights_of(model)).all()


def test_without_any_score_the_last_epoch_is_kept_and_a_warning_says_so():
    model = plain(
        "regressor", early_stopping=True, n_iter_no_change=5, scoring=Scores(*[np.nan] * 9)
    )
    with pytest.warns(RuntimeWarning, match="No epoch's validation score was a number"):
        model.fit(X, SCORE)
    assert model.n_iter_ == model.best_n_iter_ == 6
    assert np.isnan(model.best_validation_score_)
    assert np.isfinite(weights_of(model)).all()


def test_the_weights_kept_are_not_those_of_a_nan():
    params = {"early_stopping": True, "n_iter_no_change": 5}
    model = plain("regressor", scoring=Scores(0.1, 0.7, *[np.nan] * 9), **params).fit(X, SCORE)
    assert (model.best_validation_score_, model.best_n_iter_) == (0.7, 2)


@pytest.mark.parametrize(("dtype", "rate"), [(np.float32, 1e30), (np.float64, 1e200)])
@pytest.mark.parametrize("solver", ["gd", "sgd", "adam"])
@pytest.mark.parametrize("name", ["regressor", "poisson"])
def test_divergence_ends_the_fit_at_once_and_names_the_epoch(name, solver, dtype, rate):
    model = plain(name, **SOLVERS[solver], learning_rate_init=rate)
    with pytest.raises(
        ValueError, match=r"infinite or NaN in epoch [1-9]\b.*Lower learning_rate_init"
    ):
        model.fit(X.astype(dtype), CASES[name].y)
    assert not hasattr(model, "coefs_")


def test_divergence_of_lbfgs_is_an_error():
    with pytest.raises(ValueError, match=r"infinite or NaN.*non-finite parameter weights"):
        plain("regressor", solver="lbfgs").fit(X * 1e200, SCORE)


def exploding(progress):
    """Be a learning rate that is fair for ten of a hundred epochs."""
    return 1.0 if progress < 0.1 else 1e200


@pytest.mark.parametrize("name", ["regressor", "multiclass"])
def test_divergence_under_early_stopping_keeps_the_best_and_warns(name):
    y = CASES[name].y
    params = {"solver": "gd", "learning_rate_init": 0.01, "early_stopping": True}
    expected = plain(name, **params, max_iter=10).fit(X, y)
    model = plain(name, **params, learning_rate=exploding, max_iter=100)
    with pytest.warns(RuntimeWarning, match=rf"in epoch 1[12].*of epoch {expected.best_n_iter_}"):
        model.fit(X, y)
    assert np.array_equal(weights_of(model), weights_of(expected))
    assert model.n_iter_ in (11, 12)
    assert model.best_validation_score_ == expected.best_validation_score_


def test_divergence_in_the_first_epoch_is_an_error_under_early_stopping_too():
    model = plain("regressor", early_stopping=True, learning_rate_init=1e300)
    with pytest.raises(ValueError, match="in epoch 1"):
        model.fit(X, SCORE)


def test_the_score_watched_is_that_of_the_estimator():
    kept = []

    def scoring(estimator, X, y):
        kept.append(accuracy_score(y, estimator.predict(X)))
        return 0.0

    params = {"early_stopping": True, "max_iter": 4, "learning_rate_init": 0.05}
    plain("multiclass", scoring=scoring, **params).fit(X, CASES["multiclass"].y)
    model = plain("multiclass", **params).fit(X, CASES["multiclass"].y)
    assert model.validation_scores_ == kept
