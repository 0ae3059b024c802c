"""What a user of scikit-learn's networks relies on, for any kind of data."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csc_array, csc_matrix, csr_array, csr_matrix
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skdnn.fit.training
from skdnn import DNNBinaryClassifier, DNNClassifier, DNNRegressor
from tests.cases import (
    CASES,
    ESTIMATORS,
    SCORE,
    SOLVERS,
    UNCONVERGED,
    X,
    classes_of,
    plain,
    weights_of,
)

pytestmark = UNCONVERGED

ZEROED = np.where(np.abs(X) < 0.6, 0.0, X)  # about half of it
FORMATS = [csr_matrix, csr_array, csc_matrix, csc_array]
LABELS = (SCORE > 0).astype(int)


def shown(model, X):
    """Return the estimator's most detailed prediction."""
    return getattr(model, "decision_function", model.predict)(X)


# Sparse input


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", CASES)
def test_sparse_is_dense_to_rounding_in_fit_and_predict(name, form, solver):
    dense, sparse = (
        plain(name, solver=solver, batch_size=13, max_iter=5).fit(data, CASES[name].y)
        for data in (ZEROED, form(ZEROED))
    )
    assert shown(sparse, form(ZEROED)) == pytest.approx(shown(dense, ZEROED), rel=1e-9, abs=1e-12)
    assert sparse.loss_ == pytest.approx(dense.loss_, rel=1e-10)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", CASES)
def test_sparse_is_dense_to_rounding_in_partial_fit(name, form):
    dense, sparse = (plain(name, batch_size=13) for _ in range(2))
    for _ in range(3):
        dense.partial_fit(ZEROED, CASES[name].y, **classes_of(name))
        sparse.partial_fit(form(ZEROED), CASES[name].y, **classes_of(name))
    assert weights_of(sparse) == pytest.approx(weights_of(dense), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("params", [{"early_stopping": True}, {"hidden_layer_sizes": ()}], ids=str)
def test_sparse_is_dense_to_rounding_in_other_settings(params):
    dense, sparse = (
        plain("multiclass", max_iter=5, **params).fit(data, CASES["multiclass"].y)
        for data in (ZEROED, csr_array(ZEROED))
    )
    assert weights_of(sparse) == pytest.approx(weights_of(dense), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_sparse_input_works_at_any_defaults(Estimator):
    y = SCORE if Estimator is DNNRegressor else LABELS
    model = Estimator(max_iter=2, random_state=0).fit(csc_array(ZEROED), y)
    assert np.array_equal(model.predict(csc_array(ZEROED)), model.predict(csr_array(ZEROED)))


@pytest.mark.parametrize("form", [csr_array, csc_array])
@pytest.mark.parametrize("solver", SOLVERS)
def test_memory_of_a_sparse_fit_is_that_of_its_entries_and_layers(form, solver):
    n, n_features, hidden = 2000, 5000, 4
    rng = np.random.default_rng(0)
    places = rng.integers(0, n, 20_000), rng.integers(0, n_features, 20_000)
    data = csr_array((rng.random(20_000), places), (n, n_features))
    y = np.arange(n) % 2
    entries = data.data.nbytes + data.indices.nbytes + data.indptr.nbytes
    layers = 8 * (n_features * hidden + hidden * 2)
    dense = 8 * n * n_features
    model = DNNBinaryClassifier.plain(hidden_layer_sizes=(hidden,), solver=solver, max_iter=2)
    data = form(data)
    tracemalloc.start()
    model.fit(data, y).predict(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # L-BFGS keeps ten pairs of vectors and their like; rows and labels are n numbers each.
    bound = 4 * entries + (40 if solver == "lbfgs" else 10) * layers + 40 * 8 * n
    assert peak < bound < 0.12 * dense


# Types


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_and_predictions_have_the_type_of_x(dtype, name, solver):
    y = CASES[name].y
    model = plain(name, solver=solver, max_iter=3).fit(X.astype(dtype), y)
    assert {a.dtype for a in (*model.coefs_, *model.intercepts_)} == {np.dtype(dtype)}
    assert shown(model, X.astype(dtype)).dtype == dtype
    if hasattr(model, "predict_proba"):
        assert model.predict_proba(X.astype(dtype)).dtype == dtype
        assert model.predict_log_proba(X.astype(dtype)).dtype == dtype


@pytest.mark.parametrize("name", CASES)
def test_float32_predicts_as_float64_does_to_its_precision(name):
    single, double = (
        plain(name, max_iter=20).fit(X.astype(dtype), CASES[name].y)
        for dtype in (np.float32, np.float64)
    )
    assert shown(single, X) == pytest.approx(shown(double, X), rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("dtype", [int, np.float16, bool, np.int8])
def test_other_numbers_become_float64(dtype):
    model = plain("regressor", max_iter=1).fit(X.astype(dtype), SCORE)
    assert model.coefs_[0].dtype == np.float64


# Targets


def test_multilabel_learns_each_label():
    y = CASES["multilabel"].y
    model = plain("multilabel", hidden_layer_sizes=(20,), solver="lbfgs").fit(X, y)
    assert (model.predict(X) == y).mean() > 0.95
    assert model.predict_proba(X).shape == y.shape


def test_multilabel_is_one_network_for_each_label_when_nothing_is_shared():
    # Without a hidden layer the labels have no weight in common.
    y = CASES["multilabel"].y
    params = {"hidden_layer_sizes": (), "solver": "lbfgs", "alpha": 1.0, "tol": 1e-8}
    together = plain("multilabel", **params).fit(X, y).predict_proba(X)
    alone = [plain("binary", **params).fit(X, labels).predict_proba(X)[:, 1] for labels in y.T]
    assert together == pytest.approx(np.column_stack(alone), abs=1e-5)


@pytest.mark.parametrize("form", [*FORMATS, pd.DataFrame, np.ndarray.tolist])
def test_multilabel_targets_may_be_sparse_a_frame_or_a_list(form):
    y = CASES["multilabel"].y
    expected = plain("multilabel", max_iter=3).fit(X, y)
    model = plain("multilabel", max_iter=3).fit(X, form(y))
    assert np.array_equal(weights_of(model), weights_of(expected))
    assert model.score(X, form(y)) == expected.score(X, y)


def test_multi_output_regression_learns_each_target():
    y = CASES["two_outputs"].y
    model = plain("two_outputs", hidden_layer_sizes=(20,), solver="lbfgs").fit(X, y)
    assert model.predict(X).shape == y.shape
    assert (r2_score(y, model.predict(X), multioutput="raw_values") > 0.9).all()


# Sample weights


WEIGHTS = np.random.default_rng(1).integers(0, 4, 60)
EXACT = [
    *({"solver": solver} for solver in SOLVERS),
    {"solver": "gd", "scale_inputs": "standard"},
    {"solver": "gd", "scale_inputs": "robust"},
]


def weighted_and_repeated(name, **params):
    """Fit the case with weights, and with each row as often as its weight says."""
    y, rows = CASES[name].y, np.repeat(np.arange(60), WEIGHTS)
    common = {"max_iter": 10, "alpha": 0.1, **params}
    whole = common["solver"] in ("sgd", "adam")
    sizes = [{"batch_size": n} if whole else {} for n in (60, len(rows))]
    return (
        plain(name, **common, **sizes[0]).fit(X, y, sample_weight=WEIGHTS),
        plain(name, **common, **sizes[1]).fit(X[rows], y[rows]),
    )


@pytest.mark.parametrize("params", EXACT, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_a_weight_of_k_is_k_rows_and_of_0_none(name, params):
    weighted, repeated = weighted_and_repeated(name, **params)
    assert weights_of(weighted) == pytest.approx(weights_of(repeated), rel=1e-7, abs=1e-9)
    assert weighted.loss_ == pytest.approx(repeated.loss_, rel=1e-7)
    assert weighted.loss_curve_ == pytest.approx(repeated.loss_curve_, rel=1e-7)


def test_a_weight_of_k_is_k_rows_for_a_scaled_target():
    weighted, repeated = weighted_and_repeated("two_outputs", solver="gd", scale_target=True)
    assert weighted.predict(X) == pytest.approx(repeated.predict(X), rel=1e-7)
    assert weighted.loss_ == pytest.approx(repeated.loss_, rel=1e-7)


@pytest.mark.parametrize("solver", ["gd", "sgd", "adam"])
@pytest.mark.parametrize("name", CASES)
def test_a_weight_of_k_is_k_rows_in_partial_fit(name, solver):
    y, rows = CASES[name].y, np.repeat(np.arange(60), WEIGHTS)
    sizes = [{} if solver == "gd" else {"batch_size": n} for n in (60, len(rows))]
    weighted, repeated = (plain(name, solver=solver, alpha=0.1, **size) for size in sizes)
    for _ in range(3):
        weighted.partial_fit(X, y, sample_weight=WEIGHTS, **classes_of(name))
        repeated.partial_fit(X[rows], y[rows], **classes_of(name))
    assert weights_of(weighted) == pytest.approx(weights_of(repeated), rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_score_is_weighted(name):
    y = CASES[name].y
    model = plain(name, max_iter=20, learning_rate_init=0.05).fit(X, y)
    rows = np.repeat(np.arange(60), WEIGHTS)
    assert model.score(X, y, WEIGHTS) == pytest.approx(model.score(X[rows], y[rows]), rel=1e-12)
    metric = r2_score if isinstance(model, DNNRegressor) else accuracy_score
    assert model.score(X, y, WEIGHTS) == pytest.approx(
        metric(y, model.predict(X), sample_weight=WEIGHTS)
    )


@pytest.mark.parametrize("solver", SOLVERS)
def test_only_the_ratios_of_weights_matter_to_the_losses(solver):
    # The penalty is divided by the total weight, so alpha grows with it.
    one, ten = (
        plain("regressor", solver=solver, alpha=a, max_iter=5).fit(X, SCORE, sample_weight=w)
        for a, w in ((0.1, WEIGHTS), (1.0, 10 * WEIGHTS))
    )
    assert weights_of(one) == pytest.approx(weights_of(ten), rel=1e-7, abs=1e-9)


def test_rows_held_out_have_a_weight():
    w = (np.arange(60) < 20).astype(float)
    model = plain("regressor", early_stopping=True, max_iter=3).fit(X, SCORE, sample_weight=w)
    without = plain("regressor", early_stopping=True, max_iter=3).fit(X[:20], SCORE[:20])
    assert model.validation_scores_ == pytest.approx(without.validation_scores_)


# Metadata routing


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("name", ["regressor", "binary", "multiclass"])
def test_weights_are_routed_through_a_pipeline(name):
    y = CASES[name].y
    model = plain(name, max_iter=5).set_fit_request(sample_weight=True)
    scaler = StandardScaler().set_fit_request(sample_weight=False)
    ours = make_pipeline(scaler, model).fit(X, y, sample_weight=WEIGHTS)[-1]
    by_hand = plain(name, max_iter=5)
    by_hand.fit(StandardScaler().fit_transform(X), y, sample_weight=WEIGHTS)
    assert np.array_equal(weights_of(ours), weights_of(by_hand))


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("Estimator", [DNNBinaryClassifier, DNNClassifier])
def test_weights_are_routed_through_a_grid_search(Estimator):
    # Half of the rows bear the wrong label, and no weight: not in training, not in scoring.
    wrong = np.arange(60) % 2 == 0
    y = np.where(wrong, 1 - LABELS, LABELS)
    model = Estimator.plain(solver="lbfgs", alpha=1.0, random_state=0)
    model.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
    search = GridSearchCV(make_pipeline(model), {f"{Estimator.__name__.lower()}__alpha": [1.0]})
    search.fit(X, y, sample_weight=1.0 - wrong)
    assert search.best_score_ > 0.85
    assert search.score(X, y, sample_weight=1.0 * wrong) < 0.15


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_weights_of_partial_fit_can_be_requested(Estimator):
    model = Estimator().set_partial_fit_request(sample_weight=True)
    assert model.get_metadata_routing().partial_fit.requests["sample_weight"] is True


# Early stopping


class Spy:
    """A scorer that keeps what it was given."""

    def __init__(self):
        self.y = None

    def __call__(self, estimator, X, y, sample_weight=None):
        self.X, self.y, self.estimator = X, y, estimator
        return estimator.score(X, y)


@pytest.mark.parametrize("Estimator", [DNNBinaryClassifier, DNNClassifier])
def test_rows_held_out_are_stratified(Estimator):
    y = np.array([0] * 80 + [1] * 20)
    for seed in range(5):
        spy = Spy()
        params = {"early_stopping": True, "max_iter": 1, "random_state": seed, "scoring": spy}
        Estimator.plain(**params).fit(np.resize(X, (100, 4)), y)
        assert np.bincount(spy.y).tolist() == [8, 2]


def test_rows_held_out_are_not_trained_on():
    spy, data = Spy(), np.arange(60.0)[:, None]
    params = {"solver": "gd", "max_iter": 1, "random_state": 0}
    model = DNNRegressor.plain(early_stopping=True, scoring=spy, **params).fit(data, SCORE)
    kept = ~np.isin(data[:, 0], spy.X[:, 0])
    without = DNNRegressor.plain(**params).fit(data[kept], SCORE[kept])
    assert kept.sum() == 54
    assert np.array_equal(weights_of(model), weights_of(without))


@pytest.mark.parametrize("name", CASES)
def test_the_best_weights_are_restored(name):
    spy = Spy()
    params = {"early_stopping": True, "validation_fraction": 0.4, "learning_rate_init": 0.1}
    model = plain(name, **params, n_iter_no_change=20, scoring=spy).fit(X, CASES[name].y)
    best = max(model.validation_scores_)
    assert model.score(spy.X, spy.y) == model.best_validation_score_ == best
    assert model.best_n_iter_ == 1 + model.validation_scores_.index(best)
    # and not at the end, or this would show nothing
    assert model.validation_scores_[-1] < best or name in ("binary", "two_classes")


@pytest.mark.parametrize("n", [10, 11, 14])
def test_too_few_rows_to_hold_out_are_refused_where_the_incumbent_does(n):
    model = plain("regressor", early_stopping=True, max_iter=1)
    if n > 10:  # a tenth of 11 rows is 2, rounded up
        assert len(model.fit(X[:n], SCORE[:n]).validation_scores_) == 1
    else:
        with pytest.raises(ValueError, match="validation set is too small"):
            model.fit(X[:n], SCORE[:n])


# Interrupts and warnings


def interrupt(monkeypatch, at_call):
    """Raise KeyboardInterrupt as Ctrl-C would, at this gradient."""
    differentiate, calls = skdnn.fit.objective.Objective.differentiate, []

    def interrupted(self, *args):
        calls.append(None)
        if len(calls) == at_call:
            raise KeyboardInterrupt
        return differentiate(self, *args)

    monkeypatch.setattr(skdnn.fit.objective.Objective, "differentiate", interrupted)


@pytest.mark.parametrize("solver", ["gd", "sgd", "adam"])
def test_an_interrupt_keeps_what_was_learnt_and_says_so(solver, monkeypatch):
    expected = plain("multiclass", solver=solver, max_iter=4).fit(X, CASES["multiclass"].y)
    interrupt(monkeypatch, at_call=5)
    model = plain("multiclass", solver=solver)
    with pytest.warns(UserWarning, match="interrupted by the user after epoch 4"):
        model.fit(X, CASES["multiclass"].y)
    assert np.array_equal(weights_of(model), weights_of(expected))
    assert model.loss_curve_ == expected.loss_curve_
    assert model.learning_rate_curve_ == expected.learning_rate_curve_
    assert (model.n_iter_, model.loss_, model.t_) == (4, expected.loss_, expected.t_)


def test_an_interrupt_within_an_epoch_keeps_its_steps(monkeypatch):
    interrupt(monkeypatch, at_call=3)
    model = plain("regressor", batch_size=20)
    with pytest.warns(UserWarning, match="after epoch 0"):
        model.fit(X, SCORE)
    assert model.n_iter_ == len(model.loss_curve_) == len(model.learning_rate_curve_) == 0
    assert np.isfinite(model.predict(X)).all()


def test_an_interrupt_keeps_what_lbfgs_learnt(monkeypatch):
    interrupt(monkeypatch, at_call=12)
    model = plain("regressor", solver="lbfgs")
    with pytest.warns(UserWarning, match=r"interrupted by the user after epoch \d+"):
        model.fit(X, SCORE)
    assert 0 < model.n_iter_ == len(model.loss_curve_) <= 11
    assert model.loss_ == pytest.approx(model.loss_curve_[-1], rel=1e-12)


def test_an_interrupt_under_early_stopping_keeps_the_best(monkeypatch):
    interrupt(monkeypatch, at_call=8)
    spy = Spy()
    model = plain("regressor", early_stopping=True, refit=True, scoring=spy)
    with pytest.warns(UserWarning, match="after epoch 7"):
        model.fit(X, SCORE)
    assert model.score(spy.X, spy.y) == max(model.validation_scores_)


def test_an_interrupted_fit_can_go_on(monkeypatch):
    with monkeypatch.context() as patch:
        interrupt(patch, at_call=4)
        model = plain("regressor", warm_start=True)
        with pytest.warns(UserWarning, match="after epoch 3"):
            model.fit(X, SCORE)
    expected = plain("regressor", max_iter=5).fit(X, SCORE)
    assert np.array_equal(
        weights_of(model.set_params(max_iter=2).fit(X, SCORE)), weights_of(expected)
    )


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_fit_that_converges_does_not_warn(solver, recwarn):
    params = {"hidden_layer_sizes": (), "learning_rate_init": 0.1, "max_iter": 2000}
    model = plain("regressor", solver=solver, alpha=1.0, **params).fit(X, SCORE)
    assert model.n_iter_ < 2000
    assert not [w for w in recwarn if issubclass(w.category, ConvergenceWarning)]


# Feature names


@pytest.mark.parametrize("Estimator", ESTIMATORS)
@pytest.mark.parametrize("early_stopping", [False, True])
def test_feature_names_are_kept_and_checked(Estimator, early_stopping):
    # Every warning but that of convergence is an error here.
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    y = SCORE if Estimator is DNNRegressor else LABELS
    model = Estimator(early_stopping=early_stopping, max_iter=2, random_state=0).fit(frame, y)
    assert model.feature_names_in_.tolist() == ["a", "b", "c", "d"]
    model.predict(frame)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[["b", "a", "c", "d"]])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(X)


def test_without_names_there_are_none():
    assert not hasattr(plain("regressor", max_iter=1).fit(X, SCORE), "feature_names_in_")


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_one_row_is_answered_stays_when_another_is_asked_about(case):
    model = case.Estimator(max_iter=3, random_state=0).fit(X, case.y)
    names = ("predict", "decision_function", "predict_proba", "predict_log_proba")
    asked = [getattr(model, name) for name in names if hasattr(model, name)]
    answers = [[ask(X[i : i + 1]) for i in range(20)] for ask in asked]
    for ask, each in zip(asked, answers, strict=True):
        np.testing.assert_array_equal(np.concatenate(each), [ask(x[None])[0] for x in X[:20]])


def test_threads_ask_about_one_row_at_once():
    model = DNNClassifier(max_iter=3, random_state=0).fit(X, LABELS)
    alone = [model.predict_proba(x[None]) for x in X]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda x: model.predict_proba(x[None]), [*X] * 5))
    np.testing.assert_array_equal(together, alone * 5)
