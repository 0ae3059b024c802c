"""Class weights, smoothed labels and the regressor's losses do what their formulas say."""

import pickle

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.metrics import d2_pinball_score, mean_tweedie_deviance
from sklearn.utils.class_weight import compute_sample_weight

from skdnn import DNNBinaryClassifier, DNNClassifier, DNNRegressor
from tests.cases import UNCONVERGED

pytestmark = UNCONVERGED

X3, y3 = load_wine(return_X_y=True)
X3, y3 = (X3 / X3.std(axis=0))[::2], np.array(["low", "mid", "top"])[y3[::2]]
X2, y2 = load_breast_cancer(return_X_y=True)
X2, y2 = (X2 / X2.std(axis=0))[:90], y2[:90]
LABELS = (X2[:, :3] > [4.5, 4.5, 4.0]).astype(int)
CASES = {
    "classes": (DNNClassifier, X3, y3),
    "two classes": (DNNBinaryClassifier, X2, y2),
    "labels": (DNNBinaryClassifier, X2, LABELS),
}
case = pytest.mark.parametrize("Estimator, X, y", CASES.values(), ids=CASES)
ONE_LABEL = {name: case for name, case in CASES.items() if name != "labels"}
one_label = pytest.mark.parametrize("Estimator, X, y", ONE_LABEL.values(), ids=ONE_LABEL)


def fitted(Estimator, X, y, sample_weight=None, **params):
    params = {"solver": "gd", "max_iter": 5, "learning_rate_init": 0.1, **params}
    model = Estimator.plain(hidden_layer_sizes=(4,), activation="tanh", random_state=0, **params)
    return model.fit(X, y, sample_weight)


def assert_same(one, other, rtol=1e-10):
    for a, b in zip((*one.weights_, *one.biases_), (*other.weights_, *other.biases_), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-12)


# class_weight


@one_label
def test_balanced_equals_the_weights_by_hand(Estimator, X, y):
    classes, where, counts = np.unique(y, return_inverse=True, return_counts=True)
    by_hand = (len(y) / (len(classes) * counts))[where]
    balanced = fitted(Estimator, X, y, class_weight="balanced")
    assert_same(balanced, fitted(Estimator, X, y, by_hand))


@one_label
def test_balanced_equals_scikit_learns_weights(Estimator, X, y):
    balanced = fitted(Estimator, X, y, class_weight="balanced")
    assert_same(balanced, fitted(Estimator, X, y, compute_sample_weight("balanced", y)))


@pytest.mark.parametrize("n_labels", [1, 2, 10, 400])
@pytest.mark.parametrize("w", [None, np.arange(len(X2)) % 3])
def test_balanced_labels_are_each_balanced_by_itself(n_labels, w):
    rng = np.random.default_rng(0)
    Y = (rng.random((len(X2), n_labels)) < rng.uniform(0.1, 0.5, n_labels)).astype(int)
    Y[0], Y[1] = 0, 1
    params = dict(solver="gd", max_iter=3, learning_rate_init=0.5, class_weight="balanced")
    model = DNNBinaryClassifier.plain(hidden_layer_sizes=(), initializer="spread", **params)
    together = model.fit(X2, np.column_stack([Y, Y[:, :1]]), w)
    for j in (0, n_labels - 1):
        alone = DNNBinaryClassifier.plain(
            hidden_layer_sizes=(), initializer="spread", **params
        ).fit(X2, Y[:, j], w)
        np.testing.assert_allclose(together.weights_[0][j], alone.weights_[0][0], rtol=1e-10)
        np.testing.assert_allclose(together.biases_[0][j], alone.biases_[0][0], rtol=1e-10)


@case
def test_balanced_takes_an_integer_weight_as_that_many_rows(Estimator, X, y):
    w = np.random.default_rng(0).integers(0, 4, len(y))
    weighted = fitted(Estimator, X, y, w, class_weight="balanced")
    repeated = fitted(Estimator, np.repeat(X, w, 0), np.repeat(y, w, 0), class_weight="balanced")
    assert_same(weighted, repeated, rtol=1e-8)


@pytest.mark.parametrize("w", [None, np.arange(len(y3)) % 3])
def test_a_dict_multiplies_the_sample_weights(w):
    factors = {"low": 1.0, "mid": 5.0, "top": 0.5}
    by_hand = np.array([factors[label] for label in y3]) * (1 if w is None else w)
    weighted = fitted(DNNClassifier, X3, y3, w, class_weight=factors)
    assert_same(weighted, fitted(DNNClassifier, X3, y3, by_hand))


def test_a_class_of_a_dict_that_is_not_named_has_weight_one():
    weighted = fitted(DNNClassifier, X3, y3, class_weight={"mid": 3.0})
    by_hand = np.where(y3 == "mid", 3.0, 1.0)
    assert_same(weighted, fitted(DNNClassifier, X3, y3, by_hand))


def test_balanced_predicts_a_rare_class_more_often():
    y = np.where(np.arange(len(y2)) % 9 == 0, y2, 0)
    plain, balanced = (
        fitted(DNNBinaryClassifier, X2, y, max_iter=100, class_weight=c).predict_proba(X2)[:, 1]
        for c in (None, "balanced")
    )
    assert balanced.mean() > 2 * plain.mean()


def test_a_class_whose_rows_weigh_nothing_is_left_out_of_the_balance():
    w = (y3 != "top").astype(float)
    factor = np.where(y3 == "low", 1 / np.sum(y3 == "low"), 1 / np.sum(y3 == "mid"))
    balanced = fitted(DNNClassifier, X3, y3, w, class_weight="balanced")
    # alpha = 0 but in its total the weight does not matter: the mean of both is 1 here.
    assert_same(balanced, fitted(DNNClassifier, X3, y3, w * factor * w.sum() / 2))


def test_validation_rows_are_weighed_as_the_training_rows():
    model = DNNClassifier.plain(
        hidden_layer_sizes=(4,), max_iter=2, random_state=0, class_weight="balanced"
    )
    few = y3 == "low"  # a set in which every class but one is absent
    model.fit(X3, y3, X_val=X3[few], y_val=y3[few])
    loss = -model.predict_log_proba(X3[few])[:, 0].mean()
    assert model.validation_loss_curve_[-1] == pytest.approx(loss, rel=1e-12)


@pytest.mark.parametrize(
    "weights, message",
    [
        ({"low": -1.0}, r"class_weight must be >= 0.*-1"),
        ({"low": 0, "mid": 0, "top": 0}, r"class_weight must be >= 0, and > 0 for a class"),
        ({"none": 1.0, "low": 2.0}, r"not in class_weight"),
    ],
)
def test_unfit_class_weights_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        fitted(DNNClassifier, X3, y3, class_weight=weights)


def test_a_dict_for_labels_that_are_not_exclusive_is_refused():
    with pytest.raises(ValueError, match=r"class_weight must be None or 'balanced'"):
        fitted(DNNBinaryClassifier, X2, LABELS, class_weight={0: 1.0, 1: 2.0})


def test_balanced_is_refused_by_partial_fit():
    model = DNNClassifier.plain(class_weight="balanced")
    with pytest.raises(ValueError, match=r"class_weight='balanced' needs all rows"):
        model.partial_fit(X3, y3, classes=np.unique(y3))


# label_smoothing: without inputs, the best probability is the mean of the targets.


def constant_fit(Estimator, y, sample_weight=None, **params):
    """Fit a bias alone, and return the model with a row to predict at."""
    zeros = np.zeros((len(y), 1))
    params = {"solver": "lbfgs", "alpha": 0.0, "tol": 1e-10, "max_iter": 500, **params}
    model = Estimator.plain(hidden_layer_sizes=(), random_state=0, **params)
    return model.fit(zeros, y, sample_weight), zeros[:1]


def test_smoothed_labels_share_s_among_all_classes():
    s, (model, row) = 0.2, constant_fit(DNNClassifier, y3, label_smoothing=0.2)
    share = np.unique(y3, return_counts=True)[1] / len(y3)
    np.testing.assert_allclose(model.predict_proba(row)[0], (1 - s) * share + s / 3, rtol=1e-6)


@pytest.mark.parametrize("y", [y2, LABELS], ids=["two classes", "labels"])
def test_smoothed_labels_of_a_sigmoid_move_by_half_of_s(y):
    s, (model, row) = 0.2, constant_fit(DNNBinaryClassifier, y, label_smoothing=0.2)
    share = np.mean(y, axis=0)
    p = model.predict_proba(row)[0]
    np.testing.assert_allclose(p if y.ndim == 2 else p[1], (1 - s) * share + s / 2, rtol=1e-6)


def test_smoothing_is_the_same_in_both_classifiers():
    softmax, row = constant_fit(DNNClassifier, y2, label_smoothing=0.3)
    sigmoid, _ = constant_fit(DNNBinaryClassifier, y2, label_smoothing=0.3)
    np.testing.assert_allclose(softmax.predict_proba(row), sigmoid.predict_proba(row), rtol=1e-6)


# Losses of the regressor: without inputs, the best constant is a known statistic of y.

XR, yr = load_diabetes(return_X_y=True)
# Odd in number, so that the median and quantiles are one row each.
XR, yr = XR[:201] / XR.std(axis=0), yr[:201]
SLOWLY = dict(solver="adam", learning_rate="cosine", learning_rate_init=1.0, max_iter=1500)
SLOWLY |= dict(n_iter_no_change=np.inf, batch_size=len(yr))


def constant(loss, **params):
    model, row = constant_fit(DNNRegressor, yr, loss=loss, **params)
    return model.predict(row)[0]


@pytest.mark.parametrize("scale_target", [False, True])
def test_squared_error_finds_the_mean(scale_target):
    assert constant("squared_error", scale_target=scale_target) == pytest.approx(yr.mean())


@pytest.mark.parametrize("scale_target", [False, True])
def test_poisson_finds_the_mean(scale_target):
    # From 0 the exponential overflows nowhere; unscaled it has far to go.
    assert constant("poisson", scale_target=scale_target) == pytest.approx(yr.mean(), rel=1e-5)


def test_absolute_error_finds_the_median():
    assert constant("absolute_error", **SLOWLY) == pytest.approx(np.median(yr), abs=0.5)


@pytest.mark.parametrize("q", [0.1, 0.5, 0.9])
def test_quantile_finds_the_quantile(q):
    found = constant("quantile", quantile=q, scale_target=True, **SLOWLY | {"max_iter": 600})
    assert found == pytest.approx(np.quantile(yr, q), abs=0.5)


@pytest.mark.parametrize("delta", [0.3, 1.0])
def test_huber_balances_residuals_held_at_delta_deviations(delta):
    found = constant("huber", huber_delta=delta, scale_target=True)
    assert abs(np.clip(found - yr, -delta * yr.std(), delta * yr.std()).mean()) < 1e-3


def test_huber_delta_is_in_units_of_y_without_scaling():
    scaled = constant("huber", huber_delta=0.5, scale_target=True)
    unscaled = constant("huber", huber_delta=0.5 * yr.std())
    assert unscaled == pytest.approx(scaled, rel=1e-5)


@pytest.mark.parametrize("q", [0.1, 0.5, 0.9])
def test_a_quantile_fit_covers_its_share_of_rows(q):
    model = DNNRegressor.plain(
        loss="quantile",
        quantile=q,
        hidden_layer_sizes=(8,),
        scale_target=True,
        random_state=0,
        **SLOWLY | {"max_iter": 400, "learning_rate_init": 0.02},
    ).fit(XR, yr)
    assert np.mean(yr <= model.predict(XR)) == pytest.approx(q, abs=0.03)


def outliers_felt(loss):
    """Return by how much 5 % of wild targets move the predictions, in deviations of y."""
    wild = yr + 30 * yr.std() * (np.arange(len(yr)) % 20 == 0)
    clean, moved = (
        DNNRegressor.plain(
            loss=loss,
            hidden_layer_sizes=(),
            random_state=0,
            huber_delta=0.5 * yr.std(),
            **SLOWLY | {"max_iter": 600},
        )
        .fit(XR, y)
        .predict(XR)
        for y in (yr, wild)
    )
    return np.abs(moved - clean).mean() / yr.std()


@pytest.mark.parametrize("loss", ["huber", "absolute_error"])
def test_robust_losses_feel_outliers_far_less_than_squares_do(loss):
    assert outliers_felt(loss) < 0.2 * outliers_felt("squared_error")


def test_poisson_predictions_are_positive_and_sum_to_the_targets():
    # The score equation of a canonical link, from the derivative in the last bias.
    model = DNNRegressor.plain(
        loss="poisson",
        hidden_layer_sizes=(),
        solver="lbfgs",
        alpha=0.0,
        tol=1e-7,
        max_iter=1000,
        scale_target=True,
        random_state=0,
    ).fit(XR, yr)
    assert model.predict(XR).min() > 0
    assert model.predict(XR).sum() == pytest.approx(yr.sum(), rel=1e-5)


def test_poisson_is_scaled_by_a_factor_only():
    # A target of 0 has to stay 0 inside: its deviance is 2 o, in units of the mean.
    y = np.where(np.arange(len(yr)) % 3 == 0, 0.0, yr)
    model, row = constant_fit(DNNRegressor, y, loss="poisson", scale_target=True)
    o = model.predict(row)[0]
    deviance = np.where(y > 0, y * np.log(np.maximum(y, 1e-9) / o), 0.0) - y + o
    assert model.loss_ == pytest.approx(deviance.mean(), rel=1e-9)


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber", "quantile"])
def test_the_loss_is_reported_in_units_of_y(loss):
    params = dict(max_iter=2, alpha=0.0, random_state=0, scale_target=True, huber_delta=0.7)
    model = DNNRegressor.plain(loss=loss, quantile=0.3, **params).fit(XR, yr)
    r = model.predict(XR) - yr
    d = 0.7 * yr.std()
    by_hand = {
        "squared_error": r**2 / 2,
        "absolute_error": np.abs(r),
        "huber": np.where(np.abs(r) <= d, r**2 / 2, d * (np.abs(r) - d / 2)),
        "quantile": np.where(r <= 0, -0.3 * r, 0.7 * r),
    }
    assert model.loss_ == pytest.approx(by_hand[loss].mean(), rel=1e-10)


# Deviances with a logarithmic link

SOME_ZERO = np.where(np.arange(len(yr)) % 3 == 0, 0.0, yr)
DEVIANCES = [("gamma", 2, yr), *(("tweedie", p, SOME_ZERO) for p in (1, 1.5)), ("tweedie", 3, yr)]
deviance = pytest.mark.parametrize("loss, power, y", DEVIANCES, ids=lambda v: str(v)[:7])


@deviance
@pytest.mark.parametrize("scale_target", [False, True])
def test_a_deviance_is_least_at_the_mean(loss, power, y, scale_target):
    params = dict(loss=loss, power=power, scale_target=scale_target)
    model, row = constant_fit(DNNRegressor, y, **params)
    assert model.predict(row)[0] == pytest.approx(y.mean(), rel=1e-3)


@deviance
@pytest.mark.parametrize("scale_target", [False, True])
def test_half_the_deviance_is_reported_in_units_of_y(loss, power, y, scale_target):
    params = dict(max_iter=2, alpha=0.0, random_state=0, loss=loss, power=power)
    model = DNNRegressor.plain(**params, scale_target=scale_target).fit(XR, y)
    by_scikit_learn = mean_tweedie_deviance(y, model.predict(XR), power=power) / 2
    assert model.loss_ == pytest.approx(by_scikit_learn, rel=1e-9)


@pytest.mark.parametrize("power, loss", [(1, "poisson"), (2, "gamma")])
def test_powers_1_and_2_are_poisson_and_gamma(power, loss):
    by_power, by_name = (
        fitted(DNNRegressor, XR, yr, scale_target=True, **params)
        for params in ({"loss": "tweedie", "power": power}, {"loss": loss})
    )
    assert_same(by_power, by_name)


@pytest.mark.parametrize(
    "params, least, message",
    [
        ({"loss": "gamma"}, 0.0, r"y must be > 0 for loss='gamma'; the smallest value is 0\.0"),
        ({"loss": "tweedie", "power": 2.5}, 0.0, r"y must be > 0 for loss='tweedie', power=2\.5"),
        ({"loss": "tweedie"}, -1.0, r"y must be >= 0 for loss='tweedie', power=1\.5.* -1\.0"),
        ({"loss": "tweedie", "power": 0.5}, 1.0, r"'power' parameter .* 0\.5 .*squared_error"),
    ],
)
def test_a_target_that_a_deviance_is_not_for_is_refused(params, least, message):
    with pytest.raises(ValueError, match=message):
        fitted(DNNRegressor, XR, np.append(yr[1:], least), **params)


# Several quantiles of one target

LEVELS = [0.05, 0.5, 0.95]


def several(X=XR, y=yr, levels=LEVELS, **params):
    params = {"hidden_layer_sizes": (8,), "max_iter": 30, "random_state": 0, **params}
    return DNNRegressor(loss="quantile", quantile=levels, **params).fit(X, y)


def test_several_quantiles_are_those_of_a_constant():
    params = {"loss": "quantile", "quantile": LEVELS, "scale_target": True, **SLOWLY}
    model, row = constant_fit(DNNRegressor, yr, **params | {"max_iter": 600})
    np.testing.assert_allclose(model.predict(row)[0], np.quantile(yr, LEVELS), atol=0.5)


@pytest.mark.parametrize("scale_target", [False, True])
def test_quantiles_do_not_cross(scale_target):
    model = several(scale_target=scale_target)
    model.biases_[-1][...] += [[2.0], [0.0], [-2.0]]
    assert np.diff(model._model.outputs(XR), axis=1).min() < 0
    assert np.diff(model.predict(XR), axis=1).min() >= 0


def test_the_score_of_several_quantiles_is_the_mean_of_d2():
    model, w = several(), np.arange(len(yr)) % 3
    columns = zip(model.predict(XR).T, LEVELS, strict=True)
    each = [d2_pinball_score(yr, o, alpha=q, sample_weight=w) for o, q in columns]
    assert model.score(XR, yr, sample_weight=w) == pytest.approx(np.mean(each))


def test_early_stopping_can_go_by_the_score_of_several_quantiles():
    given = {"X_val": XR[150:], "y_val": yr[150:]}
    model = DNNRegressor(
        loss="quantile", quantile=LEVELS, scoring=None, max_iter=5, random_state=0
    ).fit(XR[:150], yr[:150], **given)
    assert model.best_validation_score_ == pytest.approx(model.score(XR[150:], yr[150:]), abs=1e-5)


def test_the_loss_of_several_quantiles_is_the_sum_of_theirs():
    model = several(alpha=0.0, precision=None, early_stopping=False)
    r = model._model.outputs(XR) * yr.std() + yr.mean() - yr[:, None]
    losses = np.where(r <= 0, -np.array(LEVELS) * r, (1 - np.array(LEVELS)) * r)
    assert model.loss_ == pytest.approx(losses.sum(axis=1).mean(), rel=1e-9)


def test_all_quantiles_of_a_constant_target_are_that_constant():
    model = several(y=np.full(len(yr), 7.0))
    assert (model.predict(XR) == 7.0).all()


def test_several_quantiles_are_pickled_and_gone_on_from():
    model = several(warm_start=True)
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict(XR), model.predict(XR))
    assert again.fit(XR, yr).predict(XR).shape == (len(yr), 3)
    with pytest.raises(ValueError, match=r"quantile must stay.*\(0\.05.* is now 0\.5"):
        again.set_params(quantile=0.5).fit(XR, yr)


@pytest.mark.parametrize("levels", [[0.5], [0.5, 0.5], [0.9, 0.1], [0.0, 0.5], ["low", "top"], 1.0])
def test_unfit_quantiles_are_refused(levels):
    with pytest.raises(ValueError, match=r"'quantile' parameter of DNNRegressor"):
        several(levels=levels)


def test_several_quantiles_are_of_one_target():
    with pytest.raises(ValueError, match=r"y must be one target for several quantiles; .* 2"):
        several(y=np.stack([yr, yr], axis=1))
