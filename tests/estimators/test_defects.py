"""Twelve defects of scikit-learn's MLPClassifier and MLPRegressor that users need not meet here.

Every test says in its docstring what scikit-learn 1.9 does, and shows it where that costs
little: `theirs` is asserted for 1.9 alone, so a release that mends it breaks no test.
"""

import pickle

import numpy as np
import pytest
import sklearn
from sklearn.datasets import make_friedman1
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

from skdnn import DNNClassifier, DNNRegressor
from skdnn.verify import check_gradients
from tests.cases import CASES, ESTIMATORS, SCORE, UNCONVERGED, X, classes_of, plain, weights_of

pytestmark = UNCONVERGED

SMALL = {"hidden_layer_sizes": (5,), "random_state": 0}
LABELS = CASES["multiclass"].y


def theirs(shown):
    """Assert that scikit-learn 1.9 has the defect; other versions may not."""
    if sklearn.__version__.startswith("1.9."):
        assert shown


# 1. The gradient of several targets (scikit-learn issue 8349)


def test_the_gradient_of_several_targets_is_that_of_the_loss():
    """Their loss is the mean over the targets, their gradient that of the sum.

    With y in the first of two columns and the prediction in the second, loss_ is half of
    the loss of y alone, and the steps are the same.
    """
    params = {"hidden_layer_sizes": (), "solver": "sgd", "alpha": 0.0, "max_iter": 1}
    params |= {"batch_size": 60, "random_state": 0, "learning_rate_init": 1e-12}
    for Estimator in (MLPRegressor, DNNRegressor.plain):
        model = Estimator(**params).fit(X, CASES["two_outputs"].y)
        residuals = model.predict(X) - CASES["two_outputs"].y
        ratio = model.loss_ / (0.5 * np.mean(np.sum(residuals**2, axis=1)))
        if Estimator is MLPRegressor:
            theirs(ratio == pytest.approx(0.5))
        else:
            assert ratio == pytest.approx(1.0)
    model = plain("two_outputs", max_iter=3).fit(X, CASES["two_outputs"].y)
    check = check_gradients(model, X, CASES["two_outputs"].y, method="complex-step")
    assert check.max_relative_error < 1e-12


# 2. Single precision


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_float32_stays_float32(solver):
    """Their lbfgs returns float64 weights, and the moments of Adam are float64.

    So are all gradients of a float32 X with a float64 y.
    """
    X32, params = X.astype(np.float32), {"solver": solver, "max_iter": 2}
    model = MLPRegressor(**SMALL, **params).fit(X32, SCORE)
    moments = model._optimizer.ms[0] if solver == "adam" else model.coefs_[0]
    theirs((moments.dtype == np.float64) == (solver != "sgd"))
    ours = plain("regressor", warm_start=True, **params).fit(X32, SCORE)
    assert {a.dtype for a in (*ours.coefs_, *ours.intercepts_)} == {np.dtype(np.float32)}
    assert len(pickle.dumps(ours)) < len(pickle.dumps(plain("regressor", **params, warm_start=True)
        .fit(X, SCORE)))  # fmt: skip


# 3. partial_fit under lbfgs


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_there_is_no_partial_fit_under_lbfgs(Estimator):
    """MLPRegressor has it, because of a condition that is never called, and runs a whole fit."""
    theirs(hasattr(MLPRegressor(solver="lbfgs"), "partial_fit"))
    assert not hasattr(Estimator(solver="lbfgs"), "partial_fit")
    assert hasattr(Estimator(solver="adam"), "partial_fit")


# 4. Weights of zero and below


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_a_mini_batch_may_weigh_nothing(solver):
    """Theirs divides by the weight of the batch: ZeroDivisionError."""
    w, params = np.repeat([0.0, 1.0], [20, 40]), {"batch_size": 20, "shuffle": False}
    try:
        MLPRegressor(**SMALL, **params, solver=solver, max_iter=2).fit(X, SCORE, sample_weight=w)
        failed = False
    except ZeroDivisionError:
        failed = True
    theirs(failed)
    model = plain("regressor", **params, solver=solver).fit(X, SCORE, sample_weight=w)
    assert np.isfinite(weights_of(model)).all()
    assert model.score(X, SCORE, w) > 0.5


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_negative_weight_is_refused(name, method):
    """Theirs takes it, and climbs the loss of that row."""
    w = np.where(np.arange(60) == 7, -1.0, 1.0)
    MLPRegressor(**SMALL, max_iter=1).fit(X, SCORE, sample_weight=w)
    classes = classes_of(name) if method == "partial_fit" else {}
    with pytest.raises(ValueError, match="Negative values in data passed to `sample_weight`"):
        getattr(plain(name), method)(X, CASES[name].y, sample_weight=w, **classes)


def test_weights_that_are_all_zero_are_refused_by_name():
    """Theirs speaks of sample weights, and of no number of rows."""
    nothing = np.zeros(60)
    with pytest.raises(ValueError, match=r"sample_weight must not be zero .* all 60 weights"):
        plain("regressor").fit(X, SCORE, sample_weight=nothing)
    with pytest.raises(ValueError, match="sample_weight_val must not be zero"):
        plain("regressor").fit(X, SCORE, X_val=X, y_val=SCORE, sample_weight_val=nothing)


# 5. One objective for every batch size


def test_the_penalty_is_the_same_for_every_batch_size():
    """Theirs divides the L2 term by the rows of the batch: a sixth of them, six times the alpha.

    Run to the end, the weights are a fraction of what they are with full batches.
    """
    params = {"hidden_layer_sizes": (), "solver": "sgd", "momentum": 0.0, "alpha": 100.0}
    params |= {"max_iter": 600, "tol": 0, "n_iter_no_change": np.inf, "learning_rate_init": 0.01}

    def end(Estimator, batch_size):
        model = Estimator(**params, batch_size=batch_size, random_state=0).fit(X, SCORE)
        return model.coefs_[0][:, 0]

    full, batches = (np.linalg.norm(end(MLPRegressor, b)) for b in (60, 10))
    theirs(batches < 0.5 * full)
    full, batches = (end(DNNRegressor.plain, b) for b in (60, 10))
    assert np.linalg.norm(batches - full) < 0.05 * np.linalg.norm(full)


# 6. partial_fit draws


def test_partial_fit_draws_another_order_each_time():
    """Theirs starts the generator anew in every call where random_state is an int.

    With one row a step and no momentum, two calls from the same weights differ only by
    the order of the rows: theirs end in the same point.
    """
    params = {**SMALL, "solver": "sgd", "momentum": 0.0, "batch_size": 1}

    def ends(model):
        model.partial_fit(X, SCORE)
        start = [a.copy() for a in (*model.coefs_, *model.intercepts_)]
        for _ in range(2):
            for array, value in zip((*model.coefs_, *model.intercepts_), start, strict=True):
                array[...] = value
            yield weights_of(model.partial_fit(X, SCORE))

    theirs(np.array_equal(*ends(MLPRegressor(**params))))
    assert not np.array_equal(*ends(DNNRegressor.plain(**params)))


# 7. warm_start


@pytest.mark.parametrize("sizes", [(6,), (5, 5), ()], ids=str)
def test_a_changed_architecture_is_an_error_that_says_so(sizes):
    """Theirs goes on silently with the old widths, and fails obscurely for another depth.

    With one layer more it is "unsupported operand type(s)", with one less an IndexError.
    """
    model = MLPRegressor(**SMALL, warm_start=True, max_iter=1).fit(X, SCORE)
    try:
        model.set_params(hidden_layer_sizes=sizes).fit(X, SCORE)
        silent, message = True, ""
    except (TypeError, IndexError, ValueError) as error:
        silent, message = False, str(error)
    theirs(silent == (sizes == (6,)) and "layer" not in message)
    model = plain("regressor", warm_start=True, max_iter=1).fit(X, SCORE)
    with pytest.raises(ValueError, match=r"hidden_layer_sizes must stay as it was.*warm_start"):
        model.set_params(hidden_layer_sizes=sizes).fit(X, SCORE)


def test_a_later_fit_starts_counting_epochs_without_improvement_from_none():
    """Theirs keeps the count that ended the last fit, and stops after one epoch."""
    params = {"warm_start": True, "tol": 1e9, "n_iter_no_change": 3}
    model = MLPRegressor(**SMALL, **params).fit(X, SCORE)
    theirs(model.fit(X, SCORE).n_iter_ == 1)
    model = plain("regressor", **params).fit(X, SCORE)
    assert model.fit(X, SCORE).n_iter_ == 4


def test_adam_goes_on_with_what_it_remembers():
    """Theirs makes a new optimiser for every fit (scikit-learn issue 6091)."""

    def two_and_four(Estimator):
        params = {"warm_start": True, "n_iter_no_change": np.inf, "shuffle": False}
        model = Estimator(**SMALL, **params)
        in_two = weights_of(model.set_params(max_iter=2).fit(X, SCORE).fit(X, SCORE))
        in_one = weights_of(Estimator(**SMALL, **params).set_params(max_iter=4).fit(X, SCORE))
        return np.array_equal(in_two, in_one)

    theirs(not two_and_four(MLPRegressor))
    assert two_and_four(DNNRegressor.plain)


# 8. When a fit ends


def test_n_iter_no_change_is_the_number_of_epochs_without_improvement():
    """Theirs waits for one more: with the first epoch, seven for n_iter_no_change=5."""
    params = {"tol": 1e9, "n_iter_no_change": 5}
    theirs(MLPRegressor(**SMALL, **params).fit(X, SCORE).n_iter_ == 7)
    assert plain("regressor", **params).fit(X, SCORE).n_iter_ == 6


def test_a_score_that_is_nan_does_not_go_on_for_ever():
    """Theirs takes a NaN for an improvement, so that it never stops."""

    class Nan(MLPRegressor):
        def _score(self, *args, **kwargs):
            return np.nan

    params = {"early_stopping": True, "n_iter_no_change": 5, "max_iter": 30}
    theirs(Nan(**SMALL, **params).fit(X, SCORE).n_iter_ == 30)
    model = plain("regressor", **params, scoring=lambda *_: np.nan)
    with pytest.warns(RuntimeWarning, match="No epoch's validation score was a number"):
        assert model.fit(X, SCORE).n_iter_ == 6


# 9. loss_curve_ and loss_


def test_loss_is_that_of_the_weights_that_predict():
    """Theirs is the mean over the batches of the last epoch, each before its step."""
    params = {"solver": "sgd", "batch_size": 10, "learning_rate_init": 0.01, "max_iter": 3}
    for Estimator in (MLPRegressor, DNNRegressor.plain):
        model = Estimator(**SMALL, **params, alpha=0.0).fit(X, SCORE)
        ratio = model.loss_ / (0.5 * np.mean((model.predict(X) - SCORE) ** 2))
        if Estimator is MLPRegressor:
            theirs(ratio > 1.1)
        else:
            assert ratio == pytest.approx(1.0, rel=1e-12)


def test_the_curve_of_mini_batches_is_weighted_by_the_sample_weights():
    """Theirs weighs the mean loss of a batch by its rows, whatever their weights.

    The first batch is easy and weighs little, the second is not.
    """
    data, y = np.ones((40, 1)), np.repeat([0.0, 10.0], 20)
    w = np.repeat([0.01, 1.0], 20)
    params = {"batch_size": 20, "shuffle": False, "learning_rate_init": 1e-12, "max_iter": 1}
    for Estimator in (MLPRegressor, DNNRegressor.plain):
        model = Estimator(**SMALL, **params, alpha=0.0).fit(data, y, sample_weight=w)
        expected = 0.5 * np.average((model.predict(data) - y) ** 2, weights=w)
        if Estimator is MLPRegressor:
            theirs(model.loss_curve_[0] < 0.6 * expected)
        else:
            assert model.loss_curve_[0] == pytest.approx(expected)


# 10. Domains, saturation, parameters after fit, pickles


def test_poisson_refuses_negative_targets():
    """Theirs takes them, and maximises what has no maximum."""
    MLPRegressor("poisson", **SMALL, max_iter=1).fit(X, SCORE)
    with pytest.raises(ValueError, match="y must be >= 0 for loss='poisson'"):
        plain("poisson").fit(X, SCORE)


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize("name", ["binary", "multilabel", "two_classes", "multiclass"])
def test_a_logarithm_of_a_probability_is_finite(name):
    """Theirs is the logarithm of a probability that has rounded to 0: -inf."""
    params = {"solver": "lbfgs", "alpha": 0.0, "max_iter": 100}
    far = 1e4 * X
    model = MLPClassifier(**SMALL, **params).fit(X, CASES[name].y)
    theirs(np.isneginf(model.predict_log_proba(far)).any())
    model = plain(name, **params).fit(X, CASES[name].y)
    assert (model.predict_proba(far) == 0).any()
    assert np.isfinite(model.predict_log_proba(far)).all()


@pytest.mark.parametrize("change", [{"activation": "tanh"}, {"hidden_layer_sizes": (9,)}], ids=str)
@pytest.mark.parametrize("name", ["regressor", "poisson", "binary", "multiclass"])
def test_parameters_that_are_set_after_fit_do_not_change_what_was_fitted(name, change):
    """Theirs predicts with another activation from the next call on."""
    model = MLPRegressor(**SMALL, max_iter=2).fit(X, SCORE)
    before = model.predict(X)
    changed = not np.array_equal(model.set_params(**change).predict(X), before)
    theirs(changed == ("activation" in change))
    model = plain(name, max_iter=2).fit(X, CASES[name].y)
    before = model.predict(X)
    assert np.array_equal(model.set_params(**change).predict(X), before)


def test_a_pickle_holds_the_weights_and_little_else():
    """Theirs holds Adam's moments and the best weights too, and a copy: 4.1 times the weights."""
    for Estimator in (MLPClassifier, DNNClassifier.plain):
        model = Estimator(hidden_layer_sizes=(500,), max_iter=2).fit(X, LABELS)
        ratio = len(pickle.dumps(model)) / weights_of(model).nbytes
        if Estimator is MLPClassifier:
            theirs(ratio > 4)
        else:
            assert ratio < 1.1


# 11. Tags


def test_the_tags_say_that_several_targets_are_taken():
    """Theirs do not, so check_estimator tests none of it."""
    theirs(not get_tags(MLPRegressor()).target_tags.multi_output)
    assert get_tags(DNNRegressor()).target_tags.multi_output


# 12. Targets far from 0 and 1


def test_a_target_of_any_unit_is_learnt_at_the_default_rate_and_epochs():
    """Theirs starts from 0 and steps by a thousandth, to end below the mean as a prediction."""
    data, y = make_friedman1(400, noise=1.0, random_state=0)
    y = 100_000.0 + 10_000.0 * y

    def score(model):
        model = make_pipeline(StandardScaler(), model)
        return model.fit(data[:300], y[:300]).score(data[300:], y[300:])

    theirs(score(MLPRegressor(random_state=0)) < 0)
    assert score(DNNRegressor.plain(random_state=0, scale_target=True)) > 0.7
