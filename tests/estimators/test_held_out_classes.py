"""Early stopping where classes are rare: who is held out, and who can judge."""

import warnings
from contextlib import nullcontext

import numpy as np
import pytest
from sklearn.exceptions import UndefinedMetricWarning

from skdnn import DNNBinaryClassifier, DNNClassifier, DNNRegressor

rng = np.random.default_rng(0)
CENTRES = 6.0 * rng.normal(size=(10, 5))
# Ten classes of 15 rows each, and 40 of one row.
X = np.concatenate(
    [CENTRES.repeat(15, axis=0) + rng.normal(size=(150, 5)), rng.normal(size=(40, 5))]
)
Y = np.append(np.repeat(np.arange(10), 15), 10 + np.arange(40))


class Seen:
    """A score that keeps the labels that it is asked about."""

    def __call__(self, estimator, X, y):
        self.y = y
        return estimator.score(X, y)


def fitted(X, y, **params):
    return DNNClassifier(random_state=0, max_iter=3, **params).fit(X, y)


@pytest.mark.parametrize("seed", range(5))
def test_the_only_row_of_a_class_is_never_held_out(seed):
    seen = Seen()
    DNNClassifier(random_state=seed, max_iter=1, scoring=seen).fit(X, Y)
    assert set(seen.y) <= set(range(10))


@pytest.mark.parametrize("n_rows", [2, 3])
@pytest.mark.parametrize("fraction", [0.1, 0.5])
def test_no_class_judges_that_is_not_trained_on(n_rows, fraction):
    y = np.repeat(np.arange(40), n_rows)
    rows = rng.normal(size=(len(y), 3))
    seen = Seen()
    model = DNNClassifier(random_state=0, max_iter=1, scoring=seen, validation_fraction=fraction)
    model.fit(rows, y)
    counts = np.unique(seen.y, return_counts=True)[1]
    assert counts.max() < n_rows
    assert model.recipe_.n_held_out >= len(seen.y) > 0


@pytest.mark.parametrize("n_shared", [0, 2, 3, 4, 5])
@pytest.mark.filterwarnings("ignore:The number of unique classes:UserWarning")
def test_where_all_rows_are_the_only_ones_of_their_class_none_is_held_out(n_shared):
    y = np.maximum(np.arange(80) - n_shared + 1, 0)
    model = fitted(X[:80], y)
    assert model.recipe_.early_stopping == (n_shared >= 4)
    assert len(model.classes_) == len(set(y)) and np.isfinite(model.predict_proba(X)).all()
    refused = pytest.raises(ValueError, match=f"of 80 rows there are {n_shared}")
    with nullcontext() if n_shared >= 4 else refused:
        fitted(X[:80], y, early_stopping=True)


def test_rare_classes_do_not_decide_the_best_epoch():
    assert DNNClassifier(random_state=0).fit(X, Y).score(X[:150], Y[:150]) > 0.98


def test_a_class_of_weight_zero_is_not_held_out():
    y = np.digitize(X[:, 0], [-3.0, 3.0])
    seen = Seen()
    DNNClassifier(random_state=0, max_iter=1, scoring=seen, class_weight={0: 0.0}).fit(X, y)
    assert 0 not in seen.y


@pytest.mark.parametrize("weights", [None, np.ones(190)])
def test_validation_rows_of_weight_zero_alone_are_refused(weights):
    y = (X[:, 0] > 0).astype(int)
    zero = y == 0
    model = DNNClassifier(class_weight={0: 0.0}, random_state=0, max_iter=2)
    with pytest.raises(ValueError, match=r"class_weight must be > 0 .* X_val has rows of"):
        model.fit(X, y, sample_weight=weights, X_val=X[zero], y_val=y[zero])


RARE = np.where(X[:, 0] > 0, 1, 0)
RARE[0] = 2


@pytest.mark.parametrize(
    "scoring",
    [
        *("neg_log_loss", "neg_brier_score", "top_k_accuracy", "roc_auc_ovo", "f1_macro"),
        *("d2_log_loss_score", "d2_brier_score"),
    ],
)
@pytest.mark.parametrize("given", [False, True])
def test_a_scorer_that_needs_every_class_knows_those_of_the_fit(scoring, given):
    validation = {"X_val": X[1:60], "y_val": RARE[1:60]} if given else {}
    model = DNNClassifier(random_state=0, max_iter=3, scoring=scoring)
    assert np.isfinite(model.fit(X, RARE, **validation).best_validation_score_)


def test_a_scorer_that_cannot_do_without_a_class_says_which():
    scoring = "roc_auc_ovr"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = fitted(X, RARE, scoring=scoring)
    said = {str(w.message) for w in caught if w.category is UndefinedMetricWarning}
    (message,) = said
    assert f"scoring={scoring!r}" in message
    assert "none of [2]" in message
    assert model.best_n_iter_ == 3


@pytest.mark.parametrize("Estimator", [DNNRegressor, DNNBinaryClassifier, DNNClassifier])
@pytest.mark.parametrize(
    "params", [{}, {"solver": "sgd"}, {"activation": "gelu"}, {"n_estimators": 2}]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_users_errstate_is_of_no_account(Estimator, params, dtype):
    y = X[:, 1] if Estimator is DNNRegressor else (X[:, 1] > 0).astype(int)
    model = Estimator(random_state=0, max_iter=20, **params)
    expected = model.fit(X.astype(dtype), y).predict(X.astype(dtype))
    with np.errstate(all="raise"):
        got = model.fit(X.astype(dtype), y).predict(X.astype(dtype))
        if "n_estimators" not in params:
            model.partial_fit(X.astype(dtype), y)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(("depth", "seed"), [(16, 0), (16, 1), (16, 2), (24, 0), (30, 0), (30, 1)])
def test_deep_networks_are_trained_at_the_defaults(depth, seed):
    rows = rng.normal(size=(300, 3))
    targets = rows @ [1.0, -2.0, 0.5]
    model = DNNRegressor(hidden_layer_sizes=(32,) * depth, random_state=seed)
    assert model.fit(rows, targets).score(rows, targets) > 0.95
