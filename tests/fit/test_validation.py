"""Validation: the user's own rows or a fraction, any score, the best weights, the refit."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.metrics import (
    balanced_accuracy_score,
    get_scorer,
    log_loss,
    make_scorer,
    mean_absolute_error,
)
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skdnn import DNNBinaryClassifier, DNNClassifier, DNNRegressor
from tests.cases import UNCONVERGED, weights_of

pytestmark = UNCONVERGED

X, X_val, y, y_val = train_test_split(*load_wine(return_X_y=True), random_state=0)
SCALER = StandardScaler().fit(X)
X, X_val = SCALER.transform(X), SCALER.transform(X_val)
OWN = {"X_val": X_val, "y_val": y_val}


def classifier(Estimator=DNNClassifier, **params):
    params = {"max_iter": 15, "learning_rate_init": 0.01, **params}
    return Estimator.plain(hidden_layer_sizes=(6,), random_state=0, **params)


def stopping(**params):
    return classifier(early_stopping=True, n_iter_no_change=np.inf, **params)


# The curve


def test_validation_loss_is_recorded_without_early_stopping():
    assert len(classifier().fit(X, y, **OWN).validation_loss_curve_) == 15


def test_there_is_no_validation_curve_without_validation_rows():
    assert classifier().fit(X, y).validation_loss_curve_ is None


@pytest.mark.parametrize("epochs", [1, 4])
def test_validation_loss_is_that_of_the_weights_at_the_epochs_end(epochs):
    model = classifier(max_iter=epochs).fit(X, y, **OWN)
    loss = log_loss(y_val, model.predict_proba(X_val))
    assert model.validation_loss_curve_[-1] == pytest.approx(loss, rel=1e-10)


def test_validation_loss_leaves_out_the_penalty():
    model = classifier(alpha=10.0).fit(X, y, **OWN)
    loss = log_loss(y_val, model.predict_proba(X_val))
    assert model.validation_loss_curve_[-1] == pytest.approx(loss, rel=1e-10)


def test_validation_weights_weigh_the_validation_loss():
    w = np.random.default_rng(0).random(len(y_val))
    model = classifier().fit(X, y, **OWN, sample_weight_val=w)
    loss = log_loss(y_val, model.predict_proba(X_val), sample_weight=w)
    assert model.validation_loss_curve_[-1] == pytest.approx(loss, rel=1e-10)


def test_watching_changes_nothing():
    watched, alone = classifier().fit(X, y, **OWN), classifier().fit(X, y)
    assert np.array_equal(weights_of(watched), weights_of(alone))


def test_validation_loss_of_a_scaled_target_is_in_units_of_y():
    data = load_diabetes(return_X_y=True)
    X, X_val, y, y_val = train_test_split(*data, random_state=0)
    model = DNNRegressor.plain(scale_target=True, max_iter=3, random_state=0)
    model.fit(X, y, X_val=X_val, y_val=y_val)
    loss = np.mean((model.predict(X_val) - y_val) ** 2) / 2
    assert model.validation_loss_curve_[-1] == pytest.approx(loss, rel=1e-10)


# The rows


def test_all_training_rows_are_trained_on_beside_the_users_own():
    model = stopping(tol=0.0).fit(X, y, **OWN)
    plain = classifier(n_iter_no_change=np.inf).fit(X, y)
    assert model.loss_curve_ == plain.loss_curve_


@pytest.mark.parametrize("given, missing", [("X_val", "y_val"), ("y_val", "X_val")])
def test_half_a_validation_set_is_refused(given, missing):
    with pytest.raises(ValueError, match=rf"{missing} is None"):
        classifier().fit(X, y, **{given: OWN[given]})


def test_validation_rows_of_another_width_are_refused():
    with pytest.raises(ValueError, match=r"13 features"):
        classifier().fit(X, y, X_val=X_val[:, 1:], y_val=y_val)


def test_a_class_that_only_validation_rows_have_is_refused():
    with pytest.raises(ValueError, match=r"got \[7\]"):
        classifier().fit(X, y, X_val=X_val, y_val=np.full_like(y_val, 7))


def test_validation_rows_are_refused_by_lbfgs():
    with pytest.raises(ValueError, match=r"X_val .*lbfgs"):
        classifier(solver="lbfgs").fit(X, y, **OWN)


@pytest.mark.usefixtures("routing")
def test_a_pipeline_transforms_the_validation_rows():
    raw, raw_val = SCALER.inverse_transform(X), SCALER.inverse_transform(X_val)
    model = stopping().set_fit_request(X_val=True, y_val=True)
    steps = [("scale", StandardScaler()), ("net", model)]
    pipeline = Pipeline(steps, transform_input=["X_val"])
    pipeline.fit(raw, y, X_val=raw_val, y_val=y_val)
    by_hand = stopping().fit(X, y, **OWN)
    np.testing.assert_allclose(
        pipeline[-1].validation_loss_curve_, by_hand.validation_loss_curve_, rtol=1e-9
    )


# The score


def test_the_score_of_weighted_rows_is_weighted():
    w = np.random.default_rng(0).random(len(y_val))
    model = stopping().fit(X, y, **OWN, sample_weight_val=w)
    assert model.best_validation_score_ == pytest.approx(model.score(X_val, y_val, w), rel=1e-12)


def test_loss_as_score_is_the_negative_validation_loss():
    model = stopping(scoring="loss").fit(X, y, **OWN)
    assert model.validation_scores_ == [-loss for loss in model.validation_loss_curve_]


@pytest.mark.parametrize(
    "scoring", ["balanced_accuracy", "neg_log_loss", "roc_auc_ovr", "f1_macro"]
)
def test_scoring_takes_the_name_of_any_scorer(scoring):
    model = stopping(scoring=scoring).fit(X, y, **OWN)
    assert model.best_validation_score_ == pytest.approx(get_scorer(scoring)(model, X_val, y_val))


def test_scoring_takes_a_scorer():
    model = stopping(scoring=make_scorer(balanced_accuracy_score)).fit(X, y, **OWN)
    score = balanced_accuracy_score(y_val, model.predict(X_val))
    assert model.best_validation_score_ == pytest.approx(score)


def test_scoring_takes_a_function_of_estimator_X_and_y():
    def score(estimator, X, y):
        return -mean_absolute_error(y, estimator.predict_proba(X) @ [0, 1, 2])

    model = stopping(scoring=score).fit(X, y, **OWN)
    assert model.best_validation_score_ == pytest.approx(score(model, X_val, y_val))


def test_the_score_decides_which_epoch_is_best():
    asked = iter([0.1, 0.2, 0.9, 0.3, 0.4])
    model = stopping(scoring=lambda *_: next(asked), max_iter=5).fit(X, y, **OWN)
    assert model.best_n_iter_ == 3


# The best weights


@pytest.mark.parametrize("average_decay", [0.0, 0.9])
@pytest.mark.parametrize("solver", ["gd", "sgd", "adam"])
def test_best_weights_are_restored(solver, average_decay):
    asked = iter([0.1, 0.2, 0.9, 0.3, 0.4])
    params = dict(solver=solver, average_decay=average_decay)
    model = stopping(scoring=lambda *_: next(asked), max_iter=5, **params).fit(X, y, **OWN)
    best = classifier(max_iter=3, **params).fit(X, y)
    assert np.array_equal(weights_of(model), weights_of(best))


# The refit


@pytest.mark.parametrize("scale_inputs", [None, "robust"])
@pytest.mark.parametrize("average_decay", [0.0, 0.9])
@pytest.mark.parametrize("solver", ["gd", "sgd", "adam"])
def test_a_refit_is_a_fit_on_all_rows_for_the_best_number_of_epochs(
    solver, average_decay, scale_inputs
):
    params = dict(
        solver=solver, average_decay=average_decay, scale_inputs=scale_inputs, dropout=0.2
    )
    refitted = stopping(refit=True, **params).fit(X, y)
    plain = classifier(max_iter=refitted.best_n_iter_, n_iter_no_change=np.inf, **params).fit(X, y)
    assert np.array_equal(weights_of(refitted), weights_of(plain))


def test_a_refit_keeps_the_pace_of_the_schedule():
    refitted = stopping(refit=True, learning_rate="cosine").fit(X, y)
    rates = [0.01 * (1 + np.cos(np.pi * e / 15)) / 2 for e in range(refitted.best_n_iter_)]
    np.testing.assert_allclose(refitted.learning_rate_curve_, rates)


def test_a_refit_takes_the_curves_of_validation_from_the_search():
    refitted, searched = stopping(refit=True).fit(X, y), stopping().fit(X, y)
    assert refitted.validation_scores_ == searched.validation_scores_
    assert refitted.validation_loss_curve_ == searched.validation_loss_curve_


def test_there_is_no_refit_after_the_users_own_rows_unasked():
    refitted, searched = (stopping(refit=r).fit(X, y, **OWN) for r in ("auto", False))
    assert np.array_equal(weights_of(refitted), weights_of(searched))


def test_labels_that_go_together_are_validated():
    X, y = load_breast_cancer(return_X_y=True)
    X = SCALER.fit_transform(X)[:80]
    Y = np.column_stack([y[:80], X[:, 0] > 0]).astype(int)
    model = stopping(Estimator=DNNBinaryClassifier).fit(X[:60], Y[:60], X_val=X[60:], y_val=Y[60:])
    assert model.best_validation_score_ == model.score(X[60:], Y[60:])


@pytest.mark.parametrize("n, margin", [(100, 32), (3000, 3)])
def test_a_search_goes_on_for_50_steps_or_3_epochs_past_the_best(n, margin):
    rng = np.random.default_rng(0)
    model = DNNRegressor(hidden_layer_sizes=8, refit=False, max_iter=300, random_state=0)
    model.fit(rng.normal(size=(n, 5)), rng.normal(size=n))
    assert margin == max(np.ceil(50 * model.recipe_.batch_size / (0.8 * n)), 3)
    assert model.n_iter_ == model.best_n_iter_ + margin
