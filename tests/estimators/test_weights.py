"""The weights are one thing: what is written there predicts, and is gone on from."""

import pickle

import numpy as np
import pytest

from tests.cases import (
    CASES,
    ESTIMATORS,
    UNCONVERGED,
    X,
    classes_of,
    default,
    many,
    outputs_of,
    plain,
    weights_of,
)

pytestmark = UNCONVERGED

VIEWS = ["coefs_", "weights_", "biases_", "intercepts_"]
VIEW = pytest.mark.parametrize("view", VIEWS)
STATES = {
    "plain": lambda name: plain(name, max_iter=3),
    "average": lambda name: plain(name, max_iter=3, average_decay=0.9),
    "single": lambda name: plain(name, max_iter=3, precision="single"),
    "sgd": lambda name: plain(name, max_iter=3, solver="sgd"),
    "early stopping": lambda name: plain(name, max_iter=3, early_stopping=True),
    "defaults": default,
    "no refit": lambda name: default(name, refit=False),
    "no average": lambda name: default(name, average_decay=0.0, precision=None, refit=False),
}
STATE = pytest.mark.parametrize("state", STATES)


def fitted(state, name, **params):
    return STATES[state](name).set_params(**params).fit(*many(name))


def values(model, view):
    """Return other values for the arrays of a view."""
    rng = np.random.default_rng(3)
    return [rng.normal(size=a.shape).astype(a.dtype) for a in getattr(model, view)]


def write_in_place(model, view, new):
    for array, value in zip(getattr(model, view), new, strict=True):
        array[...] = value


def assign_entries(model, view, new):
    for l, value in enumerate(new):
        getattr(model, view)[l] = value


def assign(model, view, new):
    setattr(model, view, new)


WAYS = {way.__name__: way for way in (write_in_place, assign_entries, assign)}
WAY = pytest.mark.parametrize("way", WAYS)


def output_of(layers, biases, X):
    """Return the raw output of a relu network, from its weights alone."""
    for W, b in zip(layers[:-1], biases[:-1], strict=True):
        X = np.maximum(X @ W + b, 0.0)
    return X @ layers[-1] + biases[-1]


@VIEW
@WAY
def test_what_is_written_predicts(view, way):
    model = plain("regressor", max_iter=2).fit(X, CASES["regressor"].y)
    WAYS[way](model, view, values(model, view))
    by_hand = output_of(model.coefs_, model.intercepts_, X)[:, 0]
    assert model.predict(X) == pytest.approx(by_hand, rel=1e-12)


@VIEW
@STATE
@WAY
def test_every_view_shows_what_is_written(view, state, way):
    model = fitted(state, "multiclass")
    new = values(model, view)
    WAYS[way](model, view, new)
    assert all(map(np.array_equal, getattr(model, view), new))
    for W, coef in zip(model.weights_, model.coefs_, strict=True):
        assert np.array_equal(W.T, coef) and np.shares_memory(W, coef)
    for b, intercept in zip(model.biases_, model.intercepts_, strict=True):
        assert np.array_equal(b[:, 0], intercept) and np.shares_memory(b, intercept)


def partially_fitted(state, name):
    model = STATES[state](name).set_params(early_stopping=False)
    return model.partial_fit(*many(name), **classes_of(name))


FIRST = {
    "a fit": fitted,
    "a fit that remembers": lambda state, name: fitted(state, name, warm_start=True),
    "a partial fit": partially_fitted,
}


@pytest.mark.parametrize("name", ["regressor", "multiclass"])
@STATE
@pytest.mark.parametrize("view", ["coefs_", "biases_"])
@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("go_on", ["warm_start", "partial_fit"])
def test_what_is_written_is_gone_on_from(name, state, view, first, go_on):
    rate = {"learning_rate_init": 1e-12, "weight_decay": 0.0, "max_iter": 1, "momentum": 0.0}
    model = FIRST[first](state, name)
    write_in_place(model, view, values(model, view))
    before = weights_of(model)
    if name != "regressor":
        model.set_params(calibrate=False)
    if go_on == "warm_start":
        model.set_params(warm_start=True, **rate).fit(*many(name))
    else:
        model.set_params(early_stopping=False, **rate).partial_fit(*many(name))
    assert weights_of(model) == pytest.approx(before, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("state", ["average", "single", "defaults", "no refit"])
@pytest.mark.parametrize("way", ["write_in_place", "assign_entries"])
@pytest.mark.parametrize("go_on", ["warm_start", "partial_fit"])
def test_to_write_in_place_is_to_assign(state, way, go_on):
    """What the optimiser remembers is of the old weights, and is dropped.

    Where the weights that predict are those that were trained, as without an average, writing
    in place cannot be told from training.
    """
    ends = []
    for how in (way, "assign"):
        model = fitted(state, "multiclass", warm_start=True)
        WAYS[how](model, "coefs_", values(model, "coefs_"))
        if go_on == "partial_fit":
            model.set_params(early_stopping=False).partial_fit(*many("multiclass"))
        else:
            model.fit(*many("multiclass"))
        ends.append(weights_of(model))
    assert np.array_equal(*ends)


@STATE
def test_what_is_written_is_in_the_pickle(state):
    model = fitted(state, "multiclass", warm_start=True)
    write_in_place(model, "coefs_", values(model, "coefs_"))
    copy = pickle.loads(pickle.dumps(model))
    assert np.array_equal(weights_of(copy), weights_of(model))
    assert np.array_equal(outputs_of(copy, X), outputs_of(model, X))
    ours, theirs = (weights_of(m.fit(*many("multiclass"))) for m in (model, copy))
    assert np.array_equal(ours, theirs)


@STATE
@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("go_on", ["warm_start", "partial_fit"])
def test_to_go_on_changes_no_array_that_was_taken_before(state, first, go_on):
    model = FIRST[first](state, "multiclass")
    kept, copies = model.coefs_, [W.copy() for W in model.coefs_]
    if go_on == "warm_start":
        model.set_params(warm_start=True).fit(*many("multiclass"))
    else:
        model.set_params(early_stopping=False).partial_fit(*many("multiclass"))
    assert all(map(np.array_equal, kept, copies))
    assert not all(map(np.array_equal, kept, model.coefs_))


def test_what_is_written_between_two_partial_fits_holds():
    name = "regressor"
    ours, theirs = (default(name).partial_fit(*many(name)) for _ in range(2))
    new = values(ours, "coefs_")
    ours.coefs_[0][...] = new[0]
    theirs.coefs_ = [new[0], *theirs.coefs_[1:]]
    for model in (ours, theirs):
        model.partial_fit(*many(name))
    assert np.array_equal(weights_of(ours), weights_of(theirs))


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_the_weights_of_one_of_several_networks_count_in_the_mean(Estimator):
    name = {"DNNRegressor": "regressor", "DNNBinaryClassifier": "binary"}
    name = name.get(Estimator.__name__, "multiclass")
    model = plain(name, n_estimators=2, max_iter=3).fit(X, CASES[name].y)
    second = outputs_of(model.estimators_[1], X)
    for view in ("coefs_", "intercepts_"):
        for array in getattr(model.estimators_[0], view):
            array[...] = 0.0
    assert outputs_of(model, X) == pytest.approx(second / 2, rel=1e-12)


@VIEW
def test_an_array_of_another_shape_is_refused_and_nothing_is_written(view):
    model = plain("regressor", max_iter=2).fit(X, CASES["regressor"].y)
    before = weights_of(model)
    shapes = [a.shape for a in getattr(model, view)]
    with pytest.raises(ValueError, match=rf"{view} must be arrays of shapes .*{shapes[0][0]}"):
        setattr(model, view, [np.ones((9, 9)) for _ in shapes])
    with pytest.raises(ValueError, match="shape"):
        getattr(model, view)[0] = np.ones((9, 9))
    assert np.array_equal(weights_of(model), before)


def test_classes_are_known_to_partial_fit_after_the_weights_were_written():
    model = default("multiclass").partial_fit(X, CASES["multiclass"].y, **classes_of("multiclass"))
    model.coefs_[0] = np.zeros_like(model.coefs_[0])
    assert model.partial_fit(X, CASES["multiclass"].y).classes_.tolist() == ["low", "mid", "top"]
