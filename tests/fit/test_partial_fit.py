"""partial_fit: one pass over the given rows, and a loop of calls is a fit."""

import pickle

import numpy as np
import pytest
from scipy.sparse import csr_array

from skdnn import DNNBinaryClassifier, DNNClassifier, DNNRegressor
from skdnn.fit.recipe import batch_rows
from tests.cases import (
    CASES,
    ESTIMATORS,
    SCORE,
    UNCONVERGED,
    X,
    classes_of,
    contents_of,
    default,
    many,
    peak_of,
    plain,
    slope_of,
    weights_of,
)

pytestmark = UNCONVERGED

EPOCHS = 4
SETTINGS = {
    "gd": {"solver": "gd"},
    "sgd": {"solver": "sgd", "batch_size": 13},
    "plain_momentum": {"solver": "sgd", "nesterovs_momentum": False, "batch_size": 60},
    "adam": {"solver": "adam", "batch_size": 13},
    "unshuffled": {"solver": "adam", "batch_size": 13, "shuffle": False},
    "dropout": {"solver": "adam", "batch_size": 13, "dropout": 0.3},
    "average": {"solver": "adam", "batch_size": 13, "average_decay": 0.9},
    "weight_decay": {"solver": "adam", "batch_size": 13, "weight_decay": 0.1, "clip_norm": 0.5},
    "invscaling": {"solver": "sgd", "batch_size": 13, "learning_rate": "invscaling"},
}


def fitted(name, X=X, **params):
    """Fit the case for EPOCHS epochs, which nothing ends early."""
    return plain(name, max_iter=EPOCHS, n_iter_no_change=np.inf, **params).fit(X, CASES[name].y)


def looped(name, X=X, between=lambda model: model, **params):
    """Call partial_fit EPOCHS times on the case, with `between` after every call."""
    model = plain(name, **params)
    for _ in range(EPOCHS):
        model = between(model.partial_fit(X, CASES[name].y, **classes_of(name)))
    return model


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("setting", SETTINGS)
def test_a_loop_of_calls_is_one_fit_to_the_last_bit(name, setting):
    ours, one_fit = looped(name, **SETTINGS[setting]), fitted(name, **SETTINGS[setting])
    assert np.array_equal(weights_of(ours), weights_of(one_fit))


@pytest.mark.parametrize(
    "kind", [lambda X: X.astype(np.float32), csr_array], ids=["float32", "csr"]
)
def test_a_loop_of_calls_is_one_fit_for_any_kind_of_input(kind):
    ours, one_fit = looped("multiclass", kind(X)), fitted("multiclass", kind(X))
    assert np.array_equal(weights_of(ours), weights_of(one_fit))


def test_a_loop_of_calls_records_the_curve_of_one_fit():
    assert looped("regressor").loss_curve_ == fitted("regressor").loss_curve_


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_loop_of_calls_goes_on_across_a_pickle(setting):
    def through_a_pickle(model):
        return pickle.loads(pickle.dumps(model))

    params = SETTINGS[setting]
    ours = looped("multiclass", between=through_a_pickle, **params)
    assert np.array_equal(weights_of(ours), weights_of(looped("multiclass", **params)))


@pytest.mark.parametrize(
    "random_state", [0, None, np.random.RandomState(3)], ids=["int", "None", "RandomState"]
)
def test_every_call_draws_another_order_of_the_rows(random_state):
    # With one row a step and no memory of the last one, two calls from the same weights
    # differ only in the order of the rows.
    model = plain("regressor", solver="sgd", momentum=0.0, batch_size=1, random_state=random_state)
    start = plain("regressor").partial_fit(X, SCORE)
    ends = []
    for _ in range(2):
        model.partial_fit(X, SCORE)
        model.coefs_, model.intercepts_ = start.coefs_, start.intercepts_
        ends.append(weights_of(model.partial_fit(X, SCORE)))
    assert not np.array_equal(*ends)


@pytest.mark.parametrize(("batch_size", "steps"), [(60, 1), (20, 3), (13, 5), (1, 60)])
def test_a_call_is_one_pass_in_mini_batches(batch_size, steps):
    # A loss of constant slope moves the output's bias by the rate at every step.
    model = DNNRegressor.plain(
        hidden_layer_sizes=(), loss="absolute_error", solver="sgd", momentum=0.0, alpha=0.0,
        batch_size=batch_size, learning_rate_init=1e-3,
    )  # fmt: skip
    model.partial_fit(X, np.full(60, 1e3))
    assert model.intercepts_[0][0] == pytest.approx(1e-3 * steps)


def test_a_call_counts_one_epoch_and_its_rows():
    model = looped("binary")
    assert (model.n_iter_, model.t_, len(model.loss_curve_)) == (1, EPOCHS * len(X), EPOCHS)


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle", "coslog4", "adaptive"])
def test_a_schedule_without_a_horizon_is_constant(schedule):
    ours = looped("binary", learning_rate=schedule, warmup=0.5)
    assert np.array_equal(weights_of(ours), weights_of(looped("binary")))
    assert ours.learning_rate_curve_ == [0.001] * EPOCHS


def test_at_the_defaults_the_rate_falls_with_the_steps_of_all_calls():
    model = default("binary")
    for _ in range(3):
        model.partial_fit(X, CASES["binary"].y, **classes_of("binary"))
    assert model.recipe_.learning_rate == "inverse_sqrt"
    assert model.learning_rate_curve_ == [0.05 / np.sqrt(1 + t / 1000) for t in range(3)]


def test_after_a_fit_the_rate_falls_on():
    model = default("binary").fit(*many("binary"))
    steps = model.n_iter_ * int(np.ceil(100 / model.recipe_.batch_size))
    model.partial_fit(*many("binary"))
    assert model.learning_rate_curve_[-1] == pytest.approx(0.05 / np.sqrt(1 + steps / 1000))


def test_at_the_defaults_the_average_is_over_the_last_ninth_of_all_steps():
    model, average = default("regressor", scale_inputs=None, scale_target=False), 0.0
    for t in range(1, 30):
        model.partial_fit(X, SCORE)
        c = 9.0 / (t + 8.0)
        average = (1.0 - c) * average + c * model._states[0].parameters.theta
    assert model._model.networks[0].parameters.theta == pytest.approx(average, rel=1e-12)


def test_a_loop_of_calls_at_the_defaults_goes_on_across_a_pickle():
    ours, theirs = default("multiclass"), default("multiclass")
    for _ in range(4):
        for model in (ours, theirs):
            model.partial_fit(X, CASES["multiclass"].y, **classes_of("multiclass"))
        ours = pickle.loads(pickle.dumps(ours))
    assert contents_of(ours) == contents_of(theirs)


def test_the_loss_is_the_mean_of_the_batches_losses():
    model = looped("regressor", batch_size=13)
    assert model.loss_ == model.loss_curve_[-1]


@pytest.mark.parametrize(
    "labels",
    [["no", "yes"], [False, True], [-1, 1], [0.0, 1.0], np.array(["a", "b"], dtype=object)],
    ids=["str", "bool", "int", "float", "object"],
)
@pytest.mark.parametrize("Estimator", [DNNBinaryClassifier, DNNClassifier])
def test_classes_of_any_type(Estimator, labels):
    y = np.asarray(labels)[(SCORE > 0).astype(int)]
    model = Estimator.plain(learning_rate_init=0.05, random_state=0)
    for _ in range(20):
        model.partial_fit(X, y, classes=labels[::-1])
    assert list(model.classes_) == list(labels)
    assert model.predict(X).dtype == model.classes_.dtype
    assert model.score(X, y) > 0.9


@pytest.mark.parametrize("Estimator", [DNNBinaryClassifier, DNNClassifier])
def test_a_call_need_not_hold_every_class(Estimator):
    y = np.where(SCORE > 0, "yes", "no")
    only_yes = y == "yes"
    model = Estimator.plain().partial_fit(X[only_yes], y[only_yes], classes=["no", "yes"])
    assert model.partial_fit(X[~only_yes], y[~only_yes]).predict_proba(X).shape == (60, 2)


def test_a_multilabel_call_needs_no_example_of_a_label():
    y = CASES["multilabel"].y * [1, 1, 0]
    model = plain("multilabel").partial_fit(X, y, classes=range(3))
    assert model.predict(X).shape == (60, 3)


def test_the_first_call_needs_the_classes():
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        plain("multiclass").partial_fit(X, CASES["multiclass"].y)


@pytest.mark.parametrize("classes", [["low", "mid"], ["low", "mid", "top", "other"], [0, 1, 2]])
def test_other_classes_on_a_later_call_are_refused(classes):
    with pytest.raises(ValueError, match="same as on the first call"):
        looped("multiclass").partial_fit(X, CASES["multiclass"].y, classes=classes)


def test_a_label_that_is_no_class_is_refused():
    y = np.where(SCORE > 0, "unheard", "mid")
    with pytest.raises(ValueError, match=r"got \['unheard'\] besides"):
        looped("multiclass").partial_fit(X, y)


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_early_stopping_is_refused(Estimator):
    y = (SCORE > 0).astype(int)
    classes = {} if Estimator is DNNRegressor else {"classes": [0, 1]}
    with pytest.raises(ValueError, match="does not support early_stopping=True"):
        Estimator(early_stopping=True).partial_fit(X, y, **classes)


def test_other_features_are_refused_and_change_nothing():
    model = looped("regressor")
    before = weights_of(model)
    with pytest.raises(ValueError, match="3 features"):
        model.partial_fit(X[:, :3], SCORE)
    assert np.array_equal(weights_of(model), before)
    assert model.n_features_in_ == 4


def test_a_changed_architecture_is_refused():
    model = looped("regressor").set_params(hidden_layer_sizes=(6,))
    with pytest.raises(
        ValueError, match=r"hidden_layer_sizes must stay as it was.*was \(5,\) and is now \(6,\)"
    ):
        model.partial_fit(X, SCORE)


def test_after_a_plain_fit_the_optimiser_starts_afresh():
    # Without velocity from the fit, the first step is the gradient's.
    params = {"solver": "sgd", "momentum": 0.9, "nesterovs_momentum": False, "batch_size": 60}
    model = fitted("regressor", learning_rate_init=0.01, **params)
    before, slope = weights_of(model), slope_of(model, X, SCORE)
    step = weights_of(model.partial_fit(X, SCORE)) - before
    assert step == pytest.approx(-0.01 * slope, rel=1e-9, abs=1e-15)


def test_after_a_plain_fit_the_next_call_has_the_velocity_of_the_first():
    params = {"solver": "sgd", "momentum": 0.9, "nesterovs_momentum": False, "batch_size": 60}
    model = fitted("regressor", learning_rate_init=0.01, **params)
    points = [weights_of(model)]
    for _ in range(2):
        slope = slope_of(model, X, SCORE)
        points.append(weights_of(model.partial_fit(X, SCORE)))
    first, second = np.diff(points, axis=0)
    assert second == pytest.approx(0.9 * first - 0.01 * slope, rel=1e-9, abs=1e-15)


def test_the_weights_follow_the_rows_in_third_place_as_in_scikit_learn():
    y, w = CASES["binary"].y, np.linspace(0, 1, 60)
    by_position = plain("binary").partial_fit(X, y, w, ["no", "yes"])
    by_name = plain("binary").partial_fit(X, y, classes=["no", "yes"], sample_weight=w)
    assert np.array_equal(weights_of(by_position), weights_of(by_name))


# What a call costs does not grow with the calls before it.


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_call_copies_neither_curves_nor_what_the_optimiser_remembers(setting):
    model = plain("regressor", **SETTINGS[setting])
    model.partial_fit(X, SCORE).partial_fit(X, SCORE)
    curves, moments = model._states[0].curves, model._states[0].optimizer.state
    held = [model.loss_curve_, model.learning_rate_curve_, *vars(curves).values()]
    model.partial_fit(X, SCORE)
    now = model._states[0]
    assert np.shares_memory(now.optimizer.state, moments) or not moments.size
    ours = [model.loss_curve_, model.learning_rate_curve_, *vars(now.curves).values()]
    assert all(one is other for one, other in zip(ours, held, strict=True))


def test_a_call_takes_less_than_a_copy_of_what_the_optimiser_remembers():
    # The weights are copied, and two vectors of zeros made that are never touched; a copy of
    # the moments would be two vectors more. A pass over 60 rows is a sixth of one.
    model = plain("regressor", hidden_layer_sizes=(700, 700)).partial_fit(X, SCORE)
    model.partial_fit(X, SCORE)
    peak = peak_of(lambda: model.partial_fit(X, SCORE) and None)
    assert peak < 3.5 * weights_of(model).nbytes


def test_after_many_calls_a_call_takes_as_much_memory_as_at_first():
    model = plain("regressor")
    for _ in range(3):
        model.partial_fit(X, SCORE)
    first = peak_of(lambda: model.partial_fit(X, SCORE) and None)
    for curve in vars(model._states[0].curves).values():
        curve.extend([1.0] * 100_000 if curve else [])
    model.partial_fit(X, SCORE)  # which makes room in the lists for many more
    assert peak_of(lambda: model.partial_fit(X, SCORE) and None) < first + 200_000


def test_precision_single_is_kept_to():
    model = plain("regressor", precision="single").partial_fit(X, SCORE).partial_fit(X, SCORE)
    weights = weights_of(model)
    assert weights.dtype == np.float64
    assert np.array_equal(weights, weights.astype(np.float32))
    assert model._states[0].optimizer.state.dtype == np.float32


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_loop_of_calls_in_single_precision_is_one_fit(setting):
    params = {**SETTINGS[setting], "precision": "single"}
    ours, one_fit = looped("regressor", **params), fitted("regressor", **params)
    assert np.array_equal(weights_of(ours), weights_of(one_fit))


def test_best_loss_is_the_least_of_the_whole_curve():
    model = plain("regressor", learning_rate_init=0.3)
    for _ in range(12):
        model.partial_fit(X, SCORE)
        assert model.best_loss_ == min(model.loss_curve_)
    assert model.best_loss_ < model.loss_curve_[-1]


def test_after_a_refit_no_curve_is_left_of_the_search():
    X, y = many("regressor")
    model = default("regressor", max_iter=3).fit(X, y)
    assert model.recipe_.refitted[0] and model.validation_loss_curve_
    before = len(model.loss_curve_)
    model.partial_fit(X, y)
    assert model.validation_loss_curve_ is None and len(model.loss_curve_) == before + 1


def test_after_a_refit_a_call_that_fails_leaves_the_curve_of_the_search():
    X, y = many("regressor")
    model = default("regressor", max_iter=3).fit(X, y)
    kept = list(model.validation_loss_curve_)
    model.set_params(learning_rate_init=1e300)
    with pytest.raises(ValueError, match="infinite or NaN"), np.errstate(all="ignore"):
        model.partial_fit(X, y)
    assert model.validation_loss_curve_ == kept


def test_an_unscaled_column_that_comes_later_is_read_from_then_on():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2))
    late = np.column_stack([X[:, 0], np.full(200, np.nan)])
    model = DNNRegressor(scale_inputs=None, random_state=0).partial_fit(late, X[:, 0])
    assert np.array_equal(model.predict(X), model.predict(late))
    for _ in range(60):
        model.partial_fit(X, X[:, 0] - X[:, 1])
    assert model.score(X, X[:, 0] - X[:, 1]) > 0.9


def test_a_column_that_comes_later_counts_in_sparse_rows_too():
    late = np.column_stack([X[:, :2], np.full(len(X), np.nan)])
    whole = np.column_stack([X[:, :2], X[:, 2] + 1.0])
    models = [
        DNNRegressor(scale_inputs=None, random_state=0)
        .partial_fit(late, X[:, 0])
        .partial_fit(form(whole), X[:, 0])
        for form in (np.asarray, csr_array)
    ]
    dense, sparse = (model.predict(whole) for model in models)
    np.testing.assert_allclose(dense, sparse, rtol=1e-9)
    moved = whole + np.array([0.0, 0.0, 5.0])
    assert np.abs(models[1].predict(moved) - sparse).max() > 1e-6


@pytest.mark.parametrize("rows", [40, 300, 2_000, 9_000])
def test_batches_grow_with_the_rows_of_all_calls(rows):
    X = np.random.default_rng(0).normal(size=(rows, 2))
    model = DNNRegressor(hidden_layer_sizes=4, random_state=0)
    sizes = [model.partial_fit(X, X[:, 0]).recipe_.batch_size for _ in range(30)]
    first = batch_rows(rows)
    assert sizes[0] == first and sizes == sorted(sizes)
    # As fit has it for that many rows, but a call takes 32 steps at least, or as many as before.
    for calls, size in enumerate(sizes, 1):
        assert size <= max(first, min(batch_rows(calls * rows), rows // 32))
    assert (sizes[-1] > first) == (rows == 9_000)


@pytest.mark.parametrize("batch_size", [50, "auto"])
def test_batches_that_the_user_sized_stay(batch_size):
    X = np.random.default_rng(0).normal(size=(9_000, 2))
    model = DNNRegressor(hidden_layer_sizes=4, batch_size=batch_size, random_state=0)
    sizes = {model.partial_fit(X, X[:, 0]).recipe_.batch_size for _ in range(5)}
    assert sizes == {50 if batch_size == 50 else 200}


@pytest.mark.parametrize(
    "params",
    [{"label_smoothing": "0.1"}, {"label_smoothing": -0.1}, {"alpha": -1.0}, {"solver": "x"},
     {"batch_size": "no"}, {"learning_rate_init": np.nan}, {"dropout": None}],
)  # fmt: skip
def test_a_value_that_breaks_its_rule_is_refused_in_every_call(params):
    (name,) = params
    y = CASES["multiclass"].y
    model = default("multiclass").partial_fit(X, y, classes=np.unique(y))
    before = contents_of(model)
    with pytest.raises(ValueError, match=f"The '{name}' parameter of DNNClassifier must be"):
        model.set_params(**params).partial_fit(X, y)
    model.set_params(**{name: getattr(default("multiclass"), name)})
    assert contents_of(model) == before
