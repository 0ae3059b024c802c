"""Files of fitted models: pickles that carry their version, and skops."""

import copy
import io
import pickle
import warnings

import joblib
import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.exceptions import InconsistentVersionWarning

import skdnn
from skdnn.model import Model
from tests.cases import (
    CASES,
    ESTIMATORS,
    UNCONVERGED,
    X,
    classes_of,
    contents_of,
    default,
    differing,
    many,
    outputs_of,
    plain,
    weights_of,
)

pytestmark = UNCONVERGED

FITS = {
    "defaults": lambda name: default(name).fit(*many(name)),
    "plain": lambda name: plain(name, max_iter=3).fit(X, CASES[name].y),
    "lbfgs": lambda name: plain(name, solver="lbfgs", max_iter=3).fit(X, CASES[name].y),
    "several": lambda name: default(name, n_estimators=2).fit(*many(name)),
    "robust": lambda name: default(name, scale_inputs="robust").fit(*many(name)),
    "float32": lambda name: default(name).fit(X.astype(np.float32), CASES[name].y),
    "sparse": lambda name: default(name).fit(csr_array(X), CASES[name].y),
    "warm start": lambda name: default(name, warm_start=True).fit(*many(name)),
    "partial fit": lambda name: default(name).partial_fit(*many(name), **classes_of(name)),
    "not fitted": default,
}
FIT = pytest.mark.parametrize("fit", FITS)
NAME = pytest.mark.parametrize("name", CASES)


def through_pickle(model):
    return pickle.loads(pickle.dumps(model))


def through_joblib(model):
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    return joblib.load(file)


@NAME
@FIT
@pytest.mark.parametrize("through", [through_pickle, through_joblib, copy.deepcopy])
def test_a_copy_holds_what_the_model_does(name, fit, through):
    model = FITS[fit](name)
    again = through(model)
    assert not differing(contents_of(again), contents_of(model))
    if fit != "not fitted":
        assert np.array_equal(outputs_of(again, X), outputs_of(model, X))


@NAME
@pytest.mark.parametrize("fit", [name for name in FITS if name != "not fitted"])
def test_a_model_is_made_again_from_its_plain_state(name, fit):
    model = FITS[fit](name)._model
    again = Model.of_plain(model.plain())
    assert np.array_equal(again.outputs(X), model.outputs(X))


@NAME
@pytest.mark.parametrize("fit", ["warm start", "partial fit"])
def test_a_copy_goes_on_as_the_model_does(name, fit):
    model = FITS[fit](name)
    again = through_pickle(model)
    for one in (model, again):
        if fit == "warm start":
            one.fit(*many(name))
        else:
            one.partial_fit(*many(name))
    assert np.array_equal(weights_of(again), weights_of(model))


# Versions


def states_of(model):
    """Return what a pickle of the model holds, by name."""
    return model.__getstate__()


@FIT
@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_a_pickle_carries_the_version_as_text(Estimator, fit):
    name = next(name for name, case in CASES.items() if case.Estimator is Estimator)
    state = states_of(FITS[fit](name))
    assert skdnn.__version__ in [value for value in state.values() if isinstance(value, str)]


@pytest.mark.parametrize("fit", FITS)
def test_a_pickle_of_another_version_warns_and_loads(fit, monkeypatch):
    model = FITS[fit]("multiclass")
    with monkeypatch.context() as patch:
        patch.setattr("skdnn.attributes.__version__", "99.1")
        content = pickle.dumps(model)
    with pytest.warns(InconsistentVersionWarning, match=r"DNNClassifier.*99\.1") as caught:
        again = pickle.loads(content)
    assert len(caught) == 1
    assert caught[0].message.original_sklearn_version == "99.1"
    assert caught[0].message.current_sklearn_version == skdnn.__version__
    assert caught[0].filename == __file__
    if fit != "not fitted":
        assert np.array_equal(again.predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize("fit", FITS)
def test_a_pickle_of_this_version_does_not_warn(fit):
    content = pickle.dumps(FITS[fit]("multiclass"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pickle.loads(content)


@pytest.mark.parametrize("fit", FITS)
def test_the_version_is_not_an_attribute(fit):
    model = through_pickle(FITS[fit]("multiclass"))
    assert not [name for name in vars(model) if "version" in name]


def test_a_file_of_0_1_0_is_loaded_or_refused_by_name():
    """Those had a network, a scaler and a state, and no model."""
    model = plain("regressor", max_iter=2)
    old = {**model.get_params(), "_network": object(), "_scaler": None, "n_features_in_": 4}
    with pytest.warns(InconsistentVersionWarning):
        try:
            model.__setstate__(old)
        except Exception as error:
            assert "0.1.0" in str(error)
            return
    assert np.isfinite(model.predict(X)).all()


# skops


@NAME
@pytest.mark.parametrize("fit", FITS)
def test_skops_has_to_trust_the_estimators_class_alone(name, fit):
    skops = pytest.importorskip("skops.io")
    model = FITS[fit](name)
    content = skops.dumps(model)
    names = skops.get_untrusted_types(data=content)
    assert names == [f"skdnn.estimators.{type(model).__name__}"]
    again = skops.loads(content, trusted=names)
    assert again.get_params() == model.get_params()
    if fit != "not fitted":
        assert np.array_equal(outputs_of(again, X), outputs_of(model, X))
        assert again.recipe_ == model.recipe_
