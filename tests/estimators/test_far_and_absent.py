"""Rows that count for nothing, targets that do not vary, and values at the ends of a type."""

import copy
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from skdnn import DNNClassifier, DNNRegressor
from skdnn.inputs import SCALERS, fit_inputs

rng = np.random.default_rng(0)
X = rng.normal(size=(120, 3))
y = 2.0 * X[:, 0] + 1.0
LOSSES = ["squared_error", "absolute_error", "huber", "quantile", "poisson"]
EVERY_LOSS = pytest.mark.parametrize("loss", LOSSES)
EVERY_SCALER = pytest.mark.parametrize("method", SCALERS)


def regressor(**params):
    return DNNRegressor(**{"hidden_layer_sizes": (8,), "random_state": 0, "max_iter": 3, **params})


# What does not vary


@EVERY_LOSS
@pytest.mark.parametrize("constant", [0.1, 1e-12, 5000, 0.0, 1e300])
def test_a_constant_target_is_predicted_exactly(loss, constant):
    if loss in ("squared_error", "huber") and constant == 1e300:
        constant = -1e-300
    model = regressor(loss=loss).fit(X, np.full(len(X), constant))
    assert (model.predict(X) == constant).all()


def test_a_constant_target_beside_another_is_predicted_exactly():
    predicted = regressor(max_iter=60).fit(X, np.column_stack([np.full(len(X), 0.1), y])).predict(X)
    assert (predicted[:, 0] == 0.1).all()
    assert np.corrcoef(predicted[:, 1], y)[0, 1] > 0.9


@EVERY_LOSS
@pytest.mark.parametrize("first", [1, 40])
def test_a_target_that_was_constant_is_learnt_when_it_varies(loss, first):
    targets = np.exp(y / 2.0)
    model = regressor(loss=loss).partial_fit(X[:first], np.full(first, targets[0]))
    for _ in range(80):
        model.partial_fit(X, targets)
    assert np.corrcoef(model.predict(X), targets)[0, 1] > 0.8
    assert model.loss_ > 0


def test_validation_rows_of_a_constant_target_have_their_loss():
    model = regressor().fit(X, np.full(len(X), 5.0), X_val=X, y_val=y)
    assert model.validation_loss_curve_[-1] == pytest.approx(
        0.5 * np.mean((y - 5.0) ** 2), rel=0.01
    )


# Rows of weight 0


@pytest.mark.parametrize("solver", ["adam", "sgd", "gd", "lbfgs"])
@pytest.mark.parametrize("method", [None, *SCALERS])
@pytest.mark.parametrize("form", [np.asarray, csr_array])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_row_of_weight_zero_decides_nothing(solver, method, form):
    w = np.ones(len(X))
    w[0] = 0.0
    far, odd = X.copy(), y.copy()
    far[0], odd[0] = (1e60, 1e200) if method else (1e30, 1e150)
    params = dict(solver=solver, scale_inputs=method, random_state=0, max_iter=3)
    params |= {} if solver in ("adam", "sgd") else {"learning_rate": "constant"}
    one = DNNRegressor(**params).fit(form(far), odd, sample_weight=w)
    other = DNNRegressor(**params).fit(form(X), y, sample_weight=w)
    np.testing.assert_array_equal(one.predict(X), other.predict(X))


@pytest.mark.parametrize("unit", [1e-320, 1e-50, 1e-46, 1.0, 1e38, 1e300])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_only_ratios_of_weights_matter(unit, dtype):
    w = 2.0 ** np.floor(np.log2(unit)) * rng.integers(1, 3, len(X))
    w = np.maximum(w, np.finfo(float).smallest_subnormal)
    model = DNNClassifier(alpha=0.0, random_state=0, max_iter=3)
    classes = (y > 1).astype(int)
    plain = w / w.max()
    one = model.fit(X.astype(dtype), classes, sample_weight=w).predict_proba(X)
    other = model.fit(X.astype(dtype), classes, sample_weight=plain).predict_proba(X)
    np.testing.assert_array_equal(one, other)


def test_a_weight_beyond_all_others_decides_alone():
    w = np.ones(len(X))
    w[0] = 1e60
    model = DNNRegressor(random_state=0, max_iter=3).fit(X, y, sample_weight=w)
    assert model.predict(X[:1])[0] == pytest.approx(y[0])


@pytest.mark.parametrize("unit", [1e-46, 1e-300])
def test_weights_of_next_to_nothing_beside_alpha_are_refused(unit):
    with pytest.raises(ValueError, match=r"alpha=0\.0001 is divided by the total weight"):
        regressor().fit(X, y, sample_weight=np.full(len(X), unit))


@pytest.mark.parametrize("factor", ["a", np.nan, np.array([1.0, 2.0]), None])
def test_a_schedule_that_returns_no_number_is_named(factor):
    with pytest.raises(ValueError, match="'learning_rate' parameter must be a function"):
        regressor(learning_rate=lambda p: factor).fit(X, y)


def test_large_class_weights_beside_weights_are_finite():
    weights = {0: 1e308, 1: 1e308}
    model = DNNClassifier(class_weight=weights, random_state=0, max_iter=3)
    model.fit(X, (y > 1).astype(int), sample_weight=np.linspace(1.0, 1.9, len(X)))
    assert np.isfinite(model.loss_)


@pytest.mark.parametrize("method", [None, *SCALERS])
@pytest.mark.parametrize("form", [np.asarray, csr_array])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_of_weight_zero_stay_as_they_were_in_the_users_arrays(method, form, dtype):
    w, given, targets = (y > 1).astype(float), form(X.astype(dtype)), y.copy()
    before = np.array(given.data if form is csr_array else given)
    regressor(scale_inputs=method).fit(given, targets, sample_weight=w)
    np.testing.assert_array_equal(given.data if form is csr_array else given, before)
    np.testing.assert_array_equal(targets, y)


# The ends of a type


@EVERY_SCALER
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("form", [np.asarray, csr_array])
def test_an_encoding_is_finite_and_monotone_to_the_largest_float(method, dtype, form):
    with np.errstate(all="ignore"):
        inputs = fit_inputs((3.0 * X[:, :1] + 1.0).astype(dtype), None, method)
    top = np.log10(np.finfo(dtype).max)
    x = 10.0 ** np.linspace(-3, np.nextafter(top, 0), 500)
    column = np.concatenate([-x[::-1], [0.0], x]).astype(dtype)[:, None]
    with np.errstate(all="ignore"):
        z = inputs(form(column))
        z = z if form is np.asarray else z.toarray() + inputs.origin(form(column))
    assert np.isfinite(z).all()
    assert (np.diff(z, axis=0) >= -4.0 * np.finfo(dtype).eps * np.abs(z).max(axis=0)).all()
    assert z[-1, 0] > z[len(x), 0] > z[0, 0]


@EVERY_SCALER
@pytest.mark.parametrize("far", [1e3, 1e7, 1.7e9, 1e12])
def test_a_sparse_column_far_from_zero_is_learnt_as_a_dense_one(method, far):
    moved = X + np.array([far, 0.0, 0.0])
    one, other = (
        DNNRegressor(scale_inputs=method, random_state=0).fit(form(moved), y).score(form(moved), y)
        for form in (np.asarray, csr_array)
    )
    assert one > 0.95
    assert other == pytest.approx(one, abs=0.02)


@EVERY_SCALER
@pytest.mark.parametrize("unit", [5e-324, 1e-310, 1e-300, 1e-40, 1e300])
def test_columns_and_targets_of_any_unit_are_learnt(method, unit):
    far = np.round(X * 1e3) * unit if unit == 5e-324 else X * unit
    assert DNNRegressor(scale_inputs=method, random_state=0).fit(far, y).score(far, y) > 0.9


@EVERY_SCALER
def test_columns_at_the_ends_of_float64_are_learnt(method):
    far = np.column_stack([np.sign(X[:, 0]) * 1.5e308, X[:, 1] * 1e-200, X[:, 2] * 1e155])
    targets = np.sign(X[:, 0]) + X[:, 1]
    model = DNNRegressor(scale_inputs=method, random_state=0).fit(far, targets)
    assert model.score(far, targets) > 0.9


@pytest.mark.parametrize("far", [1e39, 1e60, 1e300])
@pytest.mark.parametrize("method", [None, *SCALERS])
def test_a_float32_model_answers_float64_values_beyond_it(method, far):
    model = regressor(scale_inputs=method).fit(X.astype(np.float32), y)
    assert np.isfinite(model.predict(far * np.sign(X))).all()


def test_targets_beyond_the_type_of_X_are_refused():
    with pytest.raises(ValueError, match="y must fit into float32"):
        regressor().fit(X.astype(np.float32), 1e40 * y)


@pytest.mark.parametrize("call", ["fit", "partial_fit"])
def test_targets_that_float32_cannot_tell_apart_are_warned_of(call):
    with pytest.warns(UserWarning, match="Predictions are float32.*pass X as float64, or subtract"):
        getattr(regressor(), call)(X.astype(np.float32), 1.7e9 + 10 * y)


def test_targets_are_centred_in_their_own_type():
    far, near = (regressor().fit(X.astype(np.float32), at + y) for at in (1e5, 0.0))
    np.testing.assert_allclose(far.predict(X) - 1e5, near.predict(X), atol=0.02)


def test_the_type_of_validation_rows_changes_no_loss():
    target = 1.7e9 + 10 * y
    losses = [
        regressor().fit(X, target, X_val=X.astype(dtype), y_val=target).validation_loss_curve_
        for dtype in (np.float32, np.float64)
    ]
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_targets_whose_square_is_beyond_float64_are_refused():
    with pytest.raises(ValueError, match="y must not spread so far"):
        regressor().fit(X, 1e160 * y)


def test_a_last_step_too_far_is_an_error():
    params = dict(loss="poisson", solver="sgd", scale_inputs=None, scale_target=False)
    params |= dict(activation="softplus", early_stopping=False, max_iter=1)
    params |= dict(learning_rate="constant", learning_rate_init=0.5, average_decay=0.0)
    raised = 0
    for seed in range(10):
        draw = np.random.default_rng(seed)
        wide, counts = 10.0 * draw.normal(size=(130, 1)), draw.poisson(3, 130)
        model = regressor(**{**params, "random_state": seed})
        try:
            assert np.isfinite(model.fit(wide, counts).predict(wide)).all()
        except ValueError:
            raised += 1
            assert not hasattr(model, "loss_")
    assert raised


# Copies


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_a_model_mapped_from_a_file_is_trained_on(solver, tmp_path):
    joblib.dump(regressor(solver=solver).partial_fit(X, y), tmp_path / "model")
    mapped = joblib.load(tmp_path / "model", mmap_mode="r").partial_fit(X, y)
    twice = regressor(solver=solver).partial_fit(X, y).partial_fit(X, y)
    np.testing.assert_array_equal(mapped.predict(X), twice.predict(X))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_training_a_copy_leaves_the_original(copied):
    model = regressor().partial_fit(X, y).partial_fit(X, y)
    before = pickle.dumps(model)
    one = copied(model).partial_fit(X, y)
    assert pickle.dumps(model) == before
    np.testing.assert_array_equal(one.predict(X), model.partial_fit(X, y).predict(X))


def test_training_one_of_several_networks_leaves_the_whole():
    model = regressor(n_estimators=2).fit(X, y)
    before = pickle.dumps(model)
    model.estimators_[0].partial_fit(X, y)
    assert pickle.dumps(model) == before


def test_weights_that_do_not_fit_are_not_written_half():
    model = regressor().fit(X, y)
    before = pickle.dumps(model)
    for odd in (np.full(model.coefs_[1].shape, "x", object), 1j * model.coefs_[1]):
        with pytest.raises(TypeError, match="coefs_"):
            model.coefs_ = [0.0 * model.coefs_[0], odd]
    assert pickle.dumps(model) == before


def test_names_of_columns_stay_when_an_array_follows_a_frame():
    frame = pd.DataFrame(X, columns=list("abc"))
    with pytest.warns(UserWarning, match="valid feature names"):
        model = regressor().partial_fit(frame, y).partial_fit(X, y)
    assert list(model.feature_names_in_) == list("abc")
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[["c", "b", "a"]])


def test_a_frame_of_sparse_columns_is_that_of_its_values():
    frame = pd.DataFrame(X.round(), columns=list("abc"))
    for fill in (0.0, 1.0):
        sparse = frame.astype(pd.SparseDtype(float, fill))
        one, other = (regressor().fit(part, y).predict(part) for part in (sparse, frame))
        np.testing.assert_allclose(one, other, rtol=1e-4)
