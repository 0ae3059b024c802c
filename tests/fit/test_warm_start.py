"""warm_start: a fit goes on where the last one ended, optimiser and generator included."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone

from skdnn import DNNBinaryClassifier, DNNClassifier, DNNRegressor
from tests.cases import CASES, ESTIMATORS, SCORE, UNCONVERGED, X, plain, slope_of, weights_of

pytestmark = UNCONVERGED

SETTINGS = {
    "gd": {"solver": "gd"},
    "sgd": {"solver": "sgd", "batch_size": 13},
    "adam": {"solver": "adam", "batch_size": 13},
    "dropout": {"solver": "adam", "batch_size": 13, "dropout": 0.3},
    "average": {"solver": "adam", "batch_size": 13, "average_decay": 0.9},
    "invscaling": {"solver": "sgd", "batch_size": 13, "learning_rate": "invscaling"},
}
FOREVER = {"n_iter_no_change": np.inf, "warm_start": True}


def in_turn(name, *epochs, between=lambda model: model, **params):
    """Fit the case for these numbers of epochs, each going on from the last."""
    model = plain(name, **FOREVER, **params)
    for n in epochs:
        model = between(model.set_params(max_iter=n).fit(X, CASES[name].y))
    return model


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("setting", SETTINGS)
def test_two_fits_are_one_of_as_many_epochs(name, setting):
    ours, one_fit = (in_turn(name, *epochs, **SETTINGS[setting]) for epochs in ([2, 3], [5]))
    assert np.array_equal(weights_of(ours), weights_of(one_fit))
    assert ours.loss_curve_ == one_fit.loss_curve_


@pytest.mark.parametrize("setting", SETTINGS)
def test_two_fits_are_one_across_a_pickle(setting):
    params = SETTINGS[setting]
    ours = in_turn("multiclass", 2, 3, between=lambda m: pickle.loads(pickle.dumps(m)), **params)
    assert np.array_equal(weights_of(ours), weights_of(in_turn("multiclass", 5, **params)))


def test_a_fit_and_a_partial_fit_are_one_fit():
    ours = in_turn("regressor", 4).partial_fit(X, SCORE)
    assert np.array_equal(weights_of(ours), weights_of(in_turn("regressor", 5)))


def test_a_partial_fit_and_a_fit_are_one_fit():
    ours = plain("regressor", max_iter=4, **FOREVER).partial_fit(X, SCORE).fit(X, SCORE)
    assert np.array_equal(weights_of(ours), weights_of(in_turn("regressor", 5)))


def test_epochs_are_counted_afresh_and_the_curve_goes_on():
    model = in_turn("binary", 2, 3)
    assert (model.n_iter_, len(model.loss_curve_), model.t_) == (3, 5, 5 * len(X))


def test_the_curve_goes_on_under_lbfgs():
    first, both = (in_turn("binary", *epochs, solver="lbfgs") for epochs in ([4], [4, 3]))
    assert both.n_iter_ == 3
    assert len(both.loss_curve_) == 7
    assert both.loss_curve_[:4] == first.loss_curve_
    assert both.loss_curve_[4] < first.loss_curve_[3]


@pytest.mark.parametrize("before", ["adam", "gd", "lbfgs"])
def test_rates_are_of_the_epochs_that_have_one(before):
    model = in_turn("regressor", 2, solver=before)
    for solver, n in (("lbfgs", 3), ("sgd", 4)):
        model.set_params(solver=solver, max_iter=n).fit(X, SCORE)
    rates = model.learning_rate_curve_
    assert len(rates) == len(model.loss_curve_) == 9
    assert np.isnan(rates).tolist() == [before == "lbfgs"] * 2 + [True] * 3 + [False] * 4


def test_lbfgs_goes_on_from_where_it_converged():
    model = plain("regressor", hidden_layer_sizes=(), solver="lbfgs", alpha=1, warm_start=True)
    curve = list(model.fit(X, SCORE).loss_curve_)
    model.fit(X, SCORE)
    assert (model.n_iter_, model.loss_curve_, model.best_loss_) == (0, curve, model.loss_)


def test_the_best_is_sought_afresh():
    model = plain("binary", warm_start=True, early_stopping=True, n_iter_no_change=3)
    for _ in range(3):
        model.fit(X, CASES["binary"].y)
        ours = model.validation_scores_[-model.n_iter_ :]
        assert model.best_validation_score_ == max(ours)


def test_the_same_rows_are_held_out_again():
    # Else rows trained on before would be validated on.
    seen = []

    def scoring(estimator, X, y):
        seen.append(y.tolist())
        return 0.0

    model = plain("regressor", warm_start=True, early_stopping=True, scoring=scoring, max_iter=1)
    model.fit(X, SCORE).fit(X, SCORE)
    assert seen[0] == seen[1]


def test_a_changed_setting_of_the_optimiser_holds_from_then_on():
    model = in_turn("regressor", 3, solver="gd").set_params(learning_rate_init=0.05, max_iter=1)
    before, slope = weights_of(model), slope_of(model, X, SCORE)
    step = weights_of(model.fit(X, SCORE)) - before
    assert step == pytest.approx(-0.05 * slope, rel=1e-9, abs=1e-15)


def test_another_solver_goes_on_from_the_weights():
    model = in_turn("regressor", 20).set_params(solver="lbfgs")
    before = model.loss_
    assert model.fit(X, SCORE).loss_ < before
    assert model.set_params(solver="sgd", learning_rate_init=1e-9).fit(X, SCORE).loss_ < before


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"hidden_layer_sizes": (6,)}, r"hidden_layer_sizes .*was \(5,\) and is now \(6,\)"),
        ({"hidden_layer_sizes": (5, 5)}, r"hidden_layer_sizes .*was \(5,\) and is now \(5, 5\)"),
        ({"hidden_layer_sizes": ()}, r"hidden_layer_sizes .*was \(5,\) and is now \(\)"),
        ({"activation": "tanh"}, "activation .*relu.*tanh"),
        ({"loss": "poisson"}, "loss .*squared_error.*poisson"),
        ({"loss": "absolute_error"}, "loss .*squared_error.*absolute_error"),
        ({"scale_inputs": "robust"}, "scale_inputs .*was None and is now 'robust'"),
        ({"scale_target": True}, "scale_target .*was False and is now True"),
    ],
    ids=str,
)
def test_a_changed_network_is_refused_by_name(change, named):
    model = in_turn("regressor", 1).set_params(**change)
    with pytest.raises(ValueError, match=named):
        model.fit(X, np.abs(SCORE))


@pytest.mark.parametrize("Estimator", [DNNBinaryClassifier, DNNClassifier])
def test_a_new_class_is_refused_by_name(Estimator):
    y = np.where(SCORE > 0, "yes", "no")
    model = Estimator.plain(warm_start=True, max_iter=1).fit(X, y)
    with pytest.raises(ValueError, match="perhaps"):
        model.fit(X, np.where(SCORE > 0, "yes", "perhaps"))


def test_a_missing_class_is_refused_by_name():
    y = CASES["multiclass"].y
    model = in_turn("multiclass", 1)
    with pytest.raises(ValueError, match=r"none of \['top'\]"):
        model.fit(X[y != "top"], y[y != "top"])


def test_labels_in_place_of_label_sets_are_refused():
    with pytest.raises(ValueError, match="form of the first fit"):
        in_turn("multilabel", 1).fit(X, CASES["binary"].y)


def test_other_targets_are_refused():
    with pytest.raises(ValueError, match="2 targets of the first fit; got 1"):
        in_turn("two_outputs", 1).fit(X, SCORE)


def test_a_refused_fit_changes_nothing():
    model = in_turn("regressor", 2)
    before = weights_of(model)
    with pytest.raises(ValueError, match="hidden_layer_sizes must stay"):
        model.set_params(hidden_layer_sizes=(6,)).fit(X, SCORE)
    model.set_params(hidden_layer_sizes=(5,), max_iter=3)
    assert np.array_equal(weights_of(model), before)
    assert np.array_equal(weights_of(model.fit(X, SCORE)), weights_of(in_turn("regressor", 5)))


def test_without_it_every_fit_is_the_same():
    model = plain("multiclass", max_iter=3)
    first = weights_of(model.fit(X, CASES["multiclass"].y))
    assert np.array_equal(weights_of(model.fit(X, CASES["multiclass"].y)), first)
    assert len(model.loss_curve_) == 3


def test_a_fit_without_it_drops_the_optimiser():
    model = in_turn("regressor", 3)
    with_it = len(pickle.dumps(model))
    model.set_params(warm_start=False).fit(X, SCORE)
    assert with_it - len(pickle.dumps(model)) > 2 * weights_of(model).nbytes


def test_turned_on_after_a_plain_fit_it_starts_a_fresh_optimiser():
    params = {"solver": "sgd", "batch_size": 60, "nesterovs_momentum": False, "max_iter": 3}
    model = plain("regressor", **params).fit(X, SCORE).set_params(warm_start=True, max_iter=1)
    before, slope = weights_of(model), slope_of(model, X, SCORE)
    step = weights_of(model.fit(X, SCORE)) - before
    assert step == pytest.approx(-0.001 * slope, rel=1e-9, abs=1e-15)


def test_a_clone_starts_from_nothing():
    model = in_turn("regressor", 2)
    assert not hasattr(clone(model), "coefs_")


def test_a_copy_does_not_share_the_optimiser():
    model = in_turn("regressor", 2)
    copy = pickle.loads(pickle.dumps(model))
    copy.fit(X, SCORE)
    expected = in_turn("regressor", 2, 3)
    assert np.array_equal(
        weights_of(model.set_params(max_iter=3).fit(X, SCORE)), weights_of(expected)
    )


def test_a_refit_goes_on_too():
    params = {"early_stopping": True, "refit": True, "learning_rate_init": 0.05}
    model = in_turn("regressor", 30, **params)
    curve, before = list(model.loss_curve_), model.loss_
    model.set_params(max_iter=2).fit(X, SCORE)
    assert model.loss_curve_[: len(curve)] == curve
    assert len(model.loss_curve_) == len(curve) + model.n_iter_
    assert model.loss_ < before * 1.5 < curve[0]


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_any_defaults_go_on(Estimator):
    y = SCORE if Estimator is DNNRegressor else (SCORE > 0).astype(int)
    model = Estimator(warm_start=True, max_iter=2, random_state=0).fit(X, y)
    curve = list(model.loss_curve_)
    assert model.fit(X, y).loss_curve_[: len(curve)] == curve
    assert len(model.loss_curve_) == len(curve) + model.n_iter_


# Options of a loss that change


def pinball(r, q):
    return np.where(r > 0, q * r, (q - 1) * r)


def huber(r, delta):
    return np.where(np.abs(r) <= delta, r**2 / 2, delta * (np.abs(r) - delta / 2))


OPTIONS = {"quantile": (pinball, 0.1, 0.9), "huber": (huber, 3.0, 0.2)}


@pytest.mark.parametrize("scale_target", [False, True])
@pytest.mark.parametrize("go_on", ["warm_start", "partial_fit"])
@pytest.mark.parametrize("loss", OPTIONS)
def test_a_changed_option_of_the_loss_holds_from_then_on(loss, go_on, scale_target):
    value, before, after = OPTIONS[loss]
    option = "quantile" if loss == "quantile" else "huber_delta"
    params = {"loss": loss, option: before, "alpha": 0.0, "scale_target": scale_target}
    model = plain("regressor", max_iter=3, warm_start=True, **params).fit(X, SCORE)
    model.set_params(**{option: after}, learning_rate_init=1e-15, max_iter=1)
    if go_on == "warm_start":
        model.fit(X, SCORE)
    else:
        model.partial_fit(X, SCORE)
    unit = SCORE.std() if scale_target else 1.0
    residuals = (SCORE - model.predict(X)) / unit
    in_units_of_y = unit if loss == "quantile" else unit**2
    expected = in_units_of_y * value(residuals, after).mean()
    assert model.loss_ == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("go_on", ["warm_start", "partial_fit"])
def test_a_changed_quantile_is_reached(go_on):
    params = {"loss": "quantile", "hidden_layer_sizes": (), "batch_size": 60, "alpha": 0.0}
    params |= {"learning_rate_init": 0.02, "max_iter": 600, **FOREVER}
    model = plain("regressor", quantile=0.1, **params).fit(X, SCORE)
    assert np.mean(model.predict(X) >= SCORE) < 0.2
    model.set_params(quantile=0.9)
    if go_on == "warm_start":
        model.fit(X, SCORE)
    else:
        for _ in range(600):
            model.partial_fit(X, SCORE)
    assert np.mean(model.predict(X) >= SCORE) > 0.8


@pytest.mark.parametrize("go_on", ["warm_start", "partial_fit"])
@pytest.mark.parametrize("before, after", [(None, "standard"), ("clipped", "robust")])
def test_a_changed_scale_of_the_inputs_is_refused(go_on, before, after):
    model = plain("regressor", scale_inputs=before, max_iter=2, warm_start=True).fit(X, SCORE)
    message = rf"scale_inputs must stay .* was {before!r} and is now {after!r}"
    with pytest.raises(ValueError, match=message):
        model.set_params(scale_inputs=after)
        getattr(model, {"warm_start": "fit"}.get(go_on, go_on))(X, SCORE)


def test_a_changed_label_smoothing_holds_from_then_on():
    model = plain("binary", max_iter=3, warm_start=True, alpha=0.0).fit(X, CASES["binary"].y)
    model.set_params(label_smoothing=0.4, learning_rate_init=1e-15, max_iter=1)
    model.fit(X, CASES["binary"].y)
    p = model.predict_proba(X)[:, 1]
    t = np.where(CASES["binary"].y == "yes", 0.8, 0.2)
    expected = -np.mean(t * np.log(p) + (1 - t) * np.log(1 - p))
    assert model.loss_ == pytest.approx(expected, rel=1e-9)
