"""The defaults: what "auto" stands for, and what a default fit promises."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.utils.class_weight import compute_sample_weight

from skdnn import DNNBinaryClassifier, DNNClassifier, DNNRegressor
from skdnn.fit.intercepts import SPREAD, intercepts
from skdnn.fit.judge import Judge
from skdnn.fit.objective import Objective
from skdnn.fit.recipe import batch_rows, n_epochs
from skdnn.fit.rows import Batches, Rows
from skdnn.losses import BinaryCrossEntropy, CategoricalCrossEntropy
from skdnn.network import Network, Parameters
from skdnn.parameters import HELD_OUT_FROM, SMOOTHING
from skdnn.verify import gradients
from tests.cases import ESTIMATORS

rng = np.random.default_rng(0)
X = rng.normal(size=(100, 3))
Y = (X[:, 0] + X[:, 1] ** 2 > 1).astype(int)


@pytest.mark.parametrize(
    ("Estimator", "load"),
    [
        (DNNRegressor, load_diabetes),
        (DNNBinaryClassifier, load_breast_cancer),
        (DNNClassifier, load_iris),
        (DNNClassifier, load_wine),
    ],
)
def test_a_default_fit_on_raw_columns_learns_without_a_warning(Estimator, load):
    data, target = load(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(target))
    learnt, kept = order[::2], order[1::2]
    model = Estimator(random_state=0).fit(data[learnt], target[learnt])
    assert model.score(data[kept], target[kept]) > (0.3 if Estimator is DNNRegressor else 0.9)


@pytest.mark.parametrize("Estimator", ESTIMATORS)
@pytest.mark.parametrize("n", [HELD_OUT_FROM - 1, HELD_OUT_FROM])
def test_rows_are_held_out_where_there_are_enough(Estimator, n):
    model = Estimator(random_state=0).fit(X[:n], Y[:n])
    assert (model.validation_scores_ is not None) == (n >= HELD_OUT_FROM)


@pytest.mark.parametrize("Estimator", ESTIMATORS)
@pytest.mark.parametrize("solver", ["gd", "lbfgs"])
def test_full_batch_solvers_hold_out_nothing(Estimator, solver):
    model = Estimator(solver=solver, tol=0.1, random_state=0).fit(X, Y)
    assert model.validation_scores_ is None


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_partial_fit_takes_auto(Estimator):
    classes = {} if Estimator is DNNRegressor else {"classes": [0, 1]}
    assert np.isfinite(Estimator().partial_fit(X, Y, **classes).loss_)


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_plain_has_nothing_added(Estimator):
    params = Estimator.plain().get_params()
    assert "auto" not in [params[k] for k in params if k != "batch_size"]
    off = {
        "scale_inputs": None,
        "layer_rates": None,
        "learning_rate": "constant",
        "early_stopping": False,
        "refit": False,
        "average_decay": 0.0,
        "weight_decay": 0.0,
        "dropout": 0.0,
        "n_estimators": 1,
    }
    if Estimator is DNNRegressor:
        off["column_rate"] = 0.0
    assert {name: params[name] for name in off} == off


@pytest.mark.parametrize("n", [1, 15, 63, 64, 65, 200, 3000, 100_000])
def test_mini_batches_are_equal_and_epochs_within_their_limits(n):
    size = batch_rows(n)
    assert 1 <= size <= max(64, 2 * n**0.5)
    assert size * -(-n // size) - n < -(-n // size)  # the last one lacks less than one row each
    assert 16 <= n_epochs(n) <= 500


def test_calibration_finds_the_scale_that_the_outputs_were_drawn_with():
    z = rng.normal(size=(20_000, 1))
    y = (rng.random(z.shape) < 1 / (1 + np.exp(-z))).astype(float)
    four_times = Parameters((1, 1), np.array([0.0, 4.0]))
    judge = Judge(Rows(z, y, None), Network(four_times, (), BinaryCrossEntropy()), 1.0)
    assert_allclose(judge.factor(four_times), 0.25, rtol=0.1)


@pytest.mark.parametrize("Estimator", ESTIMATORS[1:])
def test_calibration_multiplies_raw_outputs_and_adds_to_them(Estimator, monkeypatch):
    monkeypatch.setattr(Judge, "factor", lambda judge, parameters: 0.5)
    one, other = (
        Estimator(random_state=0, scoring=None, calibrate=c).fit(X, Y) for c in (False, True)
    )
    f, c = other.recipe_.calibration[0], np.array(other.recipe_.intercepts[0])
    assert f == 0.5 and np.abs(c).max() > 0
    assert_allclose(other._model.outputs(X), f * one._model.outputs(X) + c, atol=1e-6)


RARE = rng.normal(size=(3000, 3))
IS_RARE = (RARE.sum(axis=1) + rng.normal(size=3000) > 3.5).astype(int)


def of_rare(Estimator=DNNBinaryClassifier, y=IS_RARE, **params):
    return Estimator(random_state=0, max_iter=5, **params).fit(RARE, y)


@pytest.mark.parametrize("Estimator", ESTIMATORS[1:])
@pytest.mark.parametrize("refit", [True, False])
def test_the_mean_probability_of_a_rare_class_is_its_share(Estimator, refit):
    p = of_rare(Estimator, refit=refit).predict_proba(RARE)[:, 1]
    assert IS_RARE.mean() < 0.05
    assert p.mean() == pytest.approx(IS_RARE.mean(), rel=0.03 if refit else 0.06)


def test_the_mean_probability_of_every_label_is_its_share():
    labels = np.column_stack([IS_RARE, RARE[:, 0] > 1.5, RARE[:, 1] > 0.0]).astype(int)
    p = of_rare(y=labels).predict_proba(RARE)
    assert_allclose(p.mean(axis=0), labels.mean(axis=0), rtol=0.03)


def test_balanced_probabilities_are_those_of_the_weighted_rows():
    p = of_rare(class_weight="balanced").predict_proba(RARE)[:, 1]
    w = compute_sample_weight("balanced", IS_RARE)
    assert np.average(p, weights=w) == pytest.approx(0.5, rel=0.01)
    assert p.mean() > 3 * IS_RARE.mean()


@pytest.mark.parametrize("n", [2, 40, 1000])
def test_intercepts_are_drawn_to_0_by_what_few_rows_cannot_tell(n):
    # With Z = 0 and every y = 1 the least has 1 - sigmoid(c) = c / (n SPREAD^2).
    nothing = Parameters((1, 1), np.zeros(2))
    network = Network(nothing, (), BinaryCrossEntropy())
    rows = Rows(np.zeros((n, 1)), np.ones((n, 1)), None)
    (c,) = intercepts(Objective(Batches(rows), network, 0.0, n), nothing, 1.0)
    assert 1 / (1 + np.exp(c)) == pytest.approx(c / (n * SPREAD**2), rel=1e-4)


@pytest.mark.parametrize("n", [63, 64, 65, 70, 79, 80, 81, 100])
def test_fits_of_few_rows_end_without_a_warning(n):
    X, y = load_wine(return_X_y=True)
    rows = np.random.default_rng(0).permutation(len(y))[:n]
    assert DNNClassifier(random_state=0).fit(X[rows], y[rows]).score(X, y) > 0.9


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_a_default_fit_is_trained_in_single_precision_and_predicts_in_double(Estimator):
    model = Estimator(random_state=0).fit(X, Y)
    for weights in model.coefs_ + model.intercepts_:
        assert weights.dtype == np.float64
        assert np.array_equal(weights, weights.astype(np.float32))
    assert model._outputs(X).dtype == np.float64


@pytest.mark.parametrize(
    "params",
    [{"precision": None}, {"scale_inputs": None}, {"solver": "lbfgs"}, {"solver": "gd"}],
    ids=str,
)
def test_what_is_not_scaled_or_noisy_is_trained_in_the_type_of_the_rows(params):
    (first, *_) = DNNRegressor(random_state=0, tol=0.1, **params).fit(X, Y).coefs_
    assert not np.array_equal(first, first.astype(np.float32))


def test_few_rows_are_trained_on_in_their_own_type():
    (first, *_) = DNNRegressor(random_state=0).fit(X[:50], Y[:50]).coefs_
    assert not np.array_equal(first, first.astype(np.float32))


def test_a_fit_in_single_precision_goes_on_as_if_it_had_not_ended():
    params = {"precision": "single", "warm_start": True, "n_iter_no_change": np.inf}
    params |= {"random_state": 0, "average_decay": 0.9}
    with pytest.warns(ConvergenceWarning):
        once = DNNRegressor.plain(max_iter=6, **params).fit(X, Y)
        twice = DNNRegressor.plain(max_iter=2, **params).fit(X, Y)
        twice.set_params(max_iter=4).fit(X, Y)
    assert np.array_equal(once.predict(X), twice.predict(X))


def test_a_fit_may_go_on_in_another_precision():
    model = DNNRegressor(random_state=0, warm_start=True).fit(X, Y)
    before = model.loss_
    model.set_params(precision=None).fit(X, Y)
    (first, *_) = model.coefs_
    assert not np.array_equal(first, first.astype(np.float32))
    assert model.loss_ < before
    assert np.isfinite(model.partial_fit(X, Y).predict(X)).all()


@pytest.mark.parametrize("refit", [False, True])
@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_the_loss_of_a_fit_in_single_precision_is_that_of_its_weights_in_double(Estimator, refit):
    model = Estimator(random_state=0, refit=refit, early_stopping=refit).fit(X, Y)
    assert gradients(model, X, Y).cost == pytest.approx(
        model.loss_ / model._model.targets.unit, rel=1e-14
    )


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_a_refit_is_stretched_by_how_late_the_best_epoch_came_where_max_iter_is_auto(Estimator):
    most = n_epochs(len(Y))
    stretched = Estimator(random_state=0).fit(X, Y)
    factor = 1 + 1.75 * stretched.best_n_iter_ / most
    assert stretched.n_iter_ == round(factor * stretched.best_n_iter_) > stretched.best_n_iter_
    pace = np.arange(stretched.n_iter_) / round(factor * most)
    rates = 0.05 * (1 + np.cos(np.pi * pace)) / 2
    assert_allclose(stretched.learning_rate_curve_, rates)
    for params in {"max_iter": most}, {"scoring": None}:
        as_long = Estimator(random_state=0, **params).fit(X, Y)
        assert as_long.n_iter_ == as_long.best_n_iter_


def test_a_refit_is_not_stretched_where_the_loss_is_flat_at_its_best():
    data, target = load_diabetes(return_X_y=True)
    X, _, y, _ = train_test_split(data, target, test_size=0.2, random_state=0)
    params = {"scale_inputs": "clipped", "hidden_layer_sizes": (30, 15)}
    model = DNNRegressor(learning_rate_init=0.01, random_state=0, **params)
    best = model.fit(X, y).best_n_iter_
    assert model.validation_loss_curve_[best - 1] > 0.95 * model.validation_loss_curve_[best // 2]
    assert model.n_iter_ == best > 0.4 * n_epochs(len(y))


# Targets of more than two classes are smoothed in training alone.


def three_classes(n=300):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 4))
    return X, np.digitize(X[:, 0] + 0.3 * rng.normal(size=n), [-0.3, 1.5])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "params, n, s",
    [
        ({}, 300, SMOOTHING),
        ({"n_estimators": 2}, 300, SMOOTHING),
        ({"refit": False}, 300, SMOOTHING),
        ({"solver": "sgd"}, 300, SMOOTHING),
        ({"scoring": "accuracy"}, 300, SMOOTHING),
        ({"early_stopping": True}, 60, SMOOTHING),
        ({}, 60, 0.0),
        ({"calibrate": False}, 300, 0.0),
        ({"early_stopping": False}, 300, 0.0),
        ({"solver": "lbfgs"}, 300, 0.0),
        ({"label_smoothing": 0.0}, 300, 0.0),
        ({"label_smoothing": 0.2}, 300, 0.2),
    ],
)
def test_targets_are_smoothed_where_calibration_follows(params, n, s):
    X, y = three_classes(n)
    model = DNNClassifier((4,), max_iter=3, random_state=0).set_params(**params).fit(X, y)
    assert model.recipe_.label_smoothing == s
    assert (model.recipe_.most_factor > 1.0) == (s == SMOOTHING)


@pytest.mark.parametrize("Estimator", [DNNClassifier, DNNBinaryClassifier])
def test_of_two_classes_and_in_partial_fit_targets_are_as_they_are(Estimator):
    X, y = three_classes()
    two = Estimator((4,), max_iter=3, random_state=0).fit(X, y > 0)
    assert two.recipe_.label_smoothing == 0.0 and two.recipe_.calibration[0] <= 1.0
    part = DNNClassifier((4,), random_state=0).partial_fit(X, y, classes=[0, 1, 2])
    assert part.recipe_.label_smoothing == 0.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("batch_size", [50, 300])
def test_only_the_gradient_is_of_smoothed_targets(batch_size, dtype):
    (X, y), s, shares = three_classes(), 0.2, np.array([0.5, 0.3, 0.2])
    X = X.astype(dtype)
    sizes = (4, 5, 3)
    theta = np.random.default_rng(1).normal(size=Parameters.count(sizes)).astype(dtype)
    network = Network(Parameters(sizes, theta), ["relu"], CategoricalCrossEntropy())
    tables = {"plain": np.eye(3), "mixed": (1 - s) * np.eye(3) + s * shares}
    rows = {name: Rows(X, y, None, table.astype(dtype)) for name, table in tables.items()}
    rows["smoothed"] = rows["plain"].smoothed((s, shares))

    def epoch(of):
        objective = Objective(Batches(rows[of]), network, 1e-3, batch_size)
        gradients = []
        rng, at = np.random.default_rng(0), network.parameters
        cost = objective.epoch(at, True, rng, lambda i: gradients.append(+objective.gradient.theta))
        return cost.J, objective.value(at).J, np.array(gradients)

    cost, value, gradients = epoch("smoothed")
    assert (cost, value) == epoch("plain")[:2]
    assert_allclose(gradients, epoch("mixed")[2], rtol=0, atol=8 * np.finfo(dtype).eps)
    assert not np.allclose(gradients, epoch("plain")[2], atol=1e-3)


@pytest.mark.parametrize("weighted", [False, True])
def test_loss_and_curves_are_of_the_labels_as_they_are(weighted):
    X, y = three_classes()
    w = 1.0 + (y == 1) if weighted else None
    model = DNNClassifier((8,), random_state=0, alpha=1e-3).fit(X, y, sample_weight=w)
    p = model.predict_proba(X)
    total = len(y) if w is None else w.sum()
    penalty = 0.5e-3 / total * sum(np.sum(W**2) for W in model.weights_)
    assert_allclose(model.loss_, log_loss(y, p, sample_weight=w) + penalty, rtol=1e-9)
    # An entropy of 0.05 shared by three is 0.2: no curve of smoothed targets comes below it.
    easy = DNNClassifier((8,), random_state=0).fit(X, np.digitize(X[:, 0], [-0.3, 1.5]))
    assert max(min(easy.loss_curve_), min(easy.validation_loss_curve_)) < 0.15
    shares = np.bincount(y, w) / total
    assert_allclose(model.recipe_.settings.smoothing[1], shares, rtol=1e-12)


def test_where_a_warm_start_goes_on_nothing_is_smoothed():
    # The rows that it holds out have been trained on, and would show the network to be sure.
    X, y = three_classes()
    model = DNNClassifier((8,), random_state=0, warm_start=True)
    assert model.fit(X, y).recipe_.label_smoothing == SMOOTHING
    for _ in range(2):
        recipe = model.fit(X, y).recipe_
        assert recipe.label_smoothing == 0.0 and recipe.calibration[0] <= 1.0


def test_a_class_without_weight_is_none_to_smooth_towards():
    X, y = three_classes()
    w = (y < 2) * 1.0
    for params, given in (({}, w), ({"class_weight": {0: 1.0, 1: 1.0, 2: 0.0}}, None)):
        model = DNNClassifier((4,), max_iter=3, random_state=0, **params)
        model.fit(X, y, sample_weight=given)
        assert model.recipe_.label_smoothing == 0.0 and model.recipe_.calibration[0] <= 1.0


def test_shares_are_of_all_rows_that_are_trained_on():
    X, y = three_classes()
    order = np.roll(np.argsort(y, kind="stable"), 5)  # the first have few of the last class
    X, y = X[order], y[order]
    params = {"scale_inputs": None, "random_state": 0, "max_iter": 3, "hidden_layer_sizes": (4,)}
    first, rest = np.arange(200), np.arange(200, 300)
    beside = DNNClassifier(refit=True, **params)
    beside.fit(X[first], y[first], X_val=X[rest], y_val=y[rest])
    chosen = DNNClassifier(validation_fraction=[(first, rest)], **params).fit(X, y)
    assert beside.loss_ == chosen.loss_ and np.array_equal(beside.coefs_[0], chosen.coefs_[0])


@pytest.mark.parametrize("scale", [1e-300, 1e-20, 1e300, 1e307])
def test_shares_are_of_weights_of_any_scale(scale):
    X, y = three_classes()
    weights = dict.fromkeys(range(3), scale)
    model = DNNClassifier((4,), max_iter=3, random_state=0, alpha=0.0, class_weight=weights)
    shares = np.bincount(y) / len(y)
    assert_allclose(model.fit(X, y).recipe_.settings.smoothing[1], shares, rtol=1e-12)
