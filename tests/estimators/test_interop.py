"""The estimators inside scikit-learn's meta-estimators and tools, on data that come with it."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_linnerud,
    load_wine,
)
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingRegressor,
    StackingClassifier,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 (it enables the next line)
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, recall_score
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    TunedThresholdClassifierCV,
    cross_validate,
    train_test_split,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier

from skdnn import DNNBinaryClassifier, DNNClassifier, DNNRegressor
from tests.cases import UNCONVERGED, weights_of

pytestmark = UNCONVERGED
FAST = dict(
    hidden_layer_sizes=(8,), solver="lbfgs", scale_inputs="standard", max_iter=60, random_state=0
)


def halves(load, **params):
    X, y = load(return_X_y=True, **params)
    return train_test_split(X, y, test_size=0.5, random_state=0)


@pytest.fixture(scope="module")
def wine():
    return halves(load_wine)


@pytest.fixture(scope="module")
def cancer():
    return halves(load_breast_cancer)


@pytest.fixture(scope="module")
def diabetes():
    return halves(load_diabetes)


def classifier(**params):
    return DNNClassifier.plain(**{**FAST, **params})


def regressor(**params):
    return DNNRegressor.plain(
        **{**FAST, "max_iter": 30, "scale_target": True, "alpha": 10.0, **params}
    )


@pytest.mark.parametrize("method", ["sigmoid", "isotonic", "temperature"])
def test_calibration_lowers_the_loss_of_an_overconfident_network(wine, method):
    X, X_test, y, y_test = wine
    noisy = np.where(np.arange(len(y)) % 4 == 0, (y + 1) % 3, y)  # learnt by heart
    model = classifier(alpha=0.0, hidden_layer_sizes=(30,), max_iter=300)
    plain = clone(model).fit(X, noisy)
    calibrated = CalibratedClassifierCV(model, method=method, cv=3).fit(X, noisy)
    losses = [log_loss(y_test, m.predict_proba(X_test)) for m in (calibrated, plain)]
    assert losses[0] < losses[1]


def test_stacking_takes_its_probabilities(wine):
    X, X_test, y, y_test = wine
    stack = StackingClassifier(
        [("net", classifier()), ("linear", make_pipeline(StandardScaler(), LogisticRegression()))],
        final_estimator=LogisticRegression(),
        cv=3,
    ).fit(X, y)
    assert stack.score(X_test, y_test) > 0.9
    assert stack.transform(X_test).shape == (len(X_test), 6)


def test_bagging_takes_it_as_a_base(diabetes):
    X, X_test, y, y_test = diabetes
    bag = BaggingRegressor(regressor(), n_estimators=3, random_state=0).fit(X, y)
    mean = np.mean([e.predict(X_test) for e in bag.estimators_], axis=0)
    np.testing.assert_allclose(bag.predict(X_test), mean)
    assert bag.score(X_test, y_test) > 0.3


def test_adaboost_passes_it_sample_weights(wine):
    X, _, y, _ = wine
    weak = classifier(hidden_layer_sizes=(), max_iter=2, alpha=50.0)
    boosted = AdaBoostClassifier(weak, n_estimators=2, random_state=0).fit(X, y)
    first, second = boosted.estimators_
    wrong = first.predict(X) != y
    assert wrong.any()
    w = np.exp(boosted.estimator_weights_[0] * wrong)
    by_hand = clone(second).fit(X, y, w / w.sum())
    np.testing.assert_allclose(weights_of(second), weights_of(by_hand), rtol=1e-6)


def test_adaboost_takes_the_regressor(diabetes):
    X, X_test, y, y_test = diabetes
    boosted = AdaBoostRegressor(regressor(), n_estimators=3, random_state=0).fit(X, y)
    assert boosted.score(X_test, y_test) > 0.3


def test_one_vs_rest_makes_a_binary_classifier_multiclass(wine):
    X, X_test, y, y_test = wine
    model = OneVsRestClassifier(DNNBinaryClassifier.plain(**FAST)).fit(X, y)
    assert len(model.estimators_) == 3 and model.score(X_test, y_test) > 0.9


def test_multi_output_fits_one_network_for_each_target():
    X, y = load_linnerud(return_X_y=True)
    model = MultiOutputRegressor(regressor()).fit(X, y)
    alone = regressor().fit(X, y[:, 1])
    np.testing.assert_allclose(model.predict(X)[:, 1], alone.predict(X))


def test_self_training_labels_what_it_is_sure_of(cancer):
    X, X_test, y, y_test = cancer
    few = np.where(np.arange(len(y)) % 10 == 0, y, -1)
    model = SelfTrainingClassifier(classifier(alpha=1.0), threshold=0.9).fit(X, few)
    assert np.sum(model.labeled_iter_ > 0) > 100
    assert model.score(X_test, y_test) > 0.9


def test_permutation_importance_finds_a_column_of_noise(wine):
    X, X_test, y, y_test = wine
    noise = np.random.default_rng(0)
    X, X_test = (np.column_stack([noise.normal(size=len(Z)), Z]) for Z in (X, X_test))
    model = classifier(alpha=1.0).fit(X, y)
    result = permutation_importance(model, X_test, y_test, n_repeats=3, random_state=0)
    assert result.importances_mean[0] < 0.1 * result.importances_mean.max()


def test_partial_dependence_is_the_mean_prediction_over_the_rows(diabetes):
    X, _, y, _ = diabetes
    model = regressor().fit(X, y)
    result = partial_dependence(model, X, [2], grid_resolution=4)
    at = X.copy()
    at[:, 2] = result["grid_values"][0][1]
    assert result["average"][0, 1] == pytest.approx(model.predict(at).mean())


def test_a_tuned_threshold_serves_its_metric(cancer):
    X, X_test, y, y_test = cancer
    model = DNNBinaryClassifier.plain(**{**FAST, "max_iter": 4})
    tuned = TunedThresholdClassifierCV(model, scoring="balanced_accuracy", cv=3).fit(X, y)
    by_hand = model.fit(X, y).predict_proba(X_test)[:, 1] >= tuned.best_threshold_
    assert np.array_equal(tuned.predict(X_test), by_hand.astype(int))
    assert recall_score(y_test, tuned.predict(X_test), pos_label=0) > 0.85


def test_halving_search_chooses_among_its_parameters():
    X, _, y, _ = halves(load_digits)
    search = HalvingGridSearchCV(
        classifier(max_iter=10),
        {"alpha": [1e-4, 1.0, 1e5]},
        random_state=0,
        cv=2,
        min_resources=100,
    ).fit(X[:300], y[:300])
    assert search.best_params_["alpha"] < 1e5 and search.best_score_ > 0.7


def test_halving_search_takes_epochs_as_its_resource(wine):
    X, _, y, _ = wine
    search = HalvingGridSearchCV(
        classifier(solver="adam"),
        {"learning_rate_init": [1e-6, 1e-2]},
        resource="max_iter",
        max_resources=40,
        cv=3,
        random_state=0,
    ).fit(X, y)
    assert search.best_params_["learning_rate_init"] == 1e-2


@pytest.mark.usefixtures("routing")
def test_routing_brings_sample_weights_through_a_search_and_a_pipeline(wine):
    X, _, y, _ = wine
    w = np.random.default_rng(0).random(len(y))
    model = classifier().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
    pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), model)
    search = GridSearchCV(pipeline, {"dnnclassifier__alpha": [0.1]}, cv=2)
    search.fit(X, y, sample_weight=w)
    alone = classifier(alpha=0.1).fit(StandardScaler().fit_transform(X), y, w)
    np.testing.assert_allclose(weights_of(search.best_estimator_[-1]), weights_of(alone), rtol=1e-6)


@pytest.mark.usefixtures("routing")
def test_routing_refuses_weights_that_nobody_asked_for(wine):
    X, _, y, _ = wine
    with pytest.raises(ValueError, match="sample_weight"):
        cross_validate(classifier(), X, y, params={"sample_weight": np.ones(len(y))})


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_a_frame_gives_its_names_and_the_model_of_its_values(wine, frame):
    X, X_test, y, _ = wine
    names = load_wine().feature_names
    columns = {name: X[:, i] for i, name in enumerate(names)}
    model = classifier().fit(frame(columns), y)
    assert model.feature_names_in_.tolist() == names
    assert np.array_equal(weights_of(model), weights_of(classifier().fit(X, y)))
    test = frame({name: X_test[:, i] for i, name in enumerate(names)})
    assert np.array_equal(model.predict(test), classifier().fit(X, y).predict(X_test))


@pytest.mark.parametrize("series", [pd.Series, pl.Series])
def test_a_series_of_labels_is_taken(wine, series):
    X, _, y, _ = wine
    labels = [("low", "mid", "top")[label] for label in y]
    assert classifier().fit(X, series(labels)).classes_.tolist() == ["low", "mid", "top"]


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_a_frame_can_be_validated_on(wine, frame):
    X, X_test, y, y_test = wine
    given, held_out = (frame({f"x{i}": Z[:, i] for i in range(13)}) for Z in (X, X_test))
    model = classifier(solver="adam", early_stopping=True)
    model.fit(given, y, X_val=held_out, y_val=y_test)
    assert model.best_validation_score_ == model.score(held_out, y_test)


@pytest.mark.parametrize("output", ["pandas", "polars"])
def test_a_pipeline_of_frames_works(wine, output):
    X, X_test, y, y_test = wine
    with config_context(transform_output=output):
        model = make_pipeline(StandardScaler(), classifier()).fit(X, y)
        assert model.score(X_test, y_test) > 0.9
