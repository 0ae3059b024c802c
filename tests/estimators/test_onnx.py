"""A fitted model as an ONNX graph says what the model says, in both precisions."""

import sys

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtr
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.ensemble import BaggingRegressor, StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skdnn import DNNClassifier, DNNRegressor
from skdnn.activations import ACTIVATIONS, Tanh
from skdnn.inputs import SCALERS
from skdnn.onnx import register
from tests.cases import CASES, UNCONVERGED, X, default, many, plain

skl2onnx = pytest.importorskip("skl2onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytestmark = UNCONVERGED
register()

ROWS = np.float32(X).astype(float)  # that both precisions can hold
PRECISION = pytest.mark.parametrize("dtype", [np.float32, np.float64])
CLOSE = {np.float32: 1e-6, np.float64: 1e-14}
FITS = {
    "defaults": lambda name: default(name).fit(*many(name)),
    "several": lambda name: default(name, n_estimators=2).fit(*many(name)),
    "no hidden layer": lambda name: default(name, hidden_layer_sizes=()).fit(*many(name)),
    **{
        str(method): lambda name, method=method: plain(name, max_iter=3, scale_inputs=method).fit(
            X, CASES[name].y
        )
        for method in (None, *SCALERS)
    },
}


def graph_of(model, sample, **options):
    """Return what runs the model's graph on arrays or a frame."""
    options = {"zipmap": False, **options} if hasattr(model, "classes_") else options
    graph = skl2onnx.to_onnx(model, sample, options=options or None)
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )

    def run(X):
        given = {c: X[[c]].to_numpy() for c in X} if isinstance(X, pd.DataFrame) else {"X": X}
        return session.run(None, given)

    return run


def assert_same(model, X, close, **options):
    """Hold the graph to the model: labels equal, numbers within a part of the largest."""
    found = graph_of(model, X[:1], **options)(X)
    numbers = found[-1]
    if hasattr(model, "classes_"):
        theirs = model.predict_proba(X)
        assert np.array_equal(found[0], model.predict(X))
    else:
        theirs = model.predict(X).reshape(len(X), -1)
    assert numbers.shape == theirs.shape
    assert np.max(np.abs(numbers - theirs)) <= close * max(np.max(np.abs(theirs)), 1e-30)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("fit", FITS)
@PRECISION
def test_graph_says_what_the_model_says(name, fit, dtype):
    assert_same(FITS[fit](name), ROWS.astype(dtype), CLOSE[dtype])


@pytest.mark.parametrize("activation", ACTIVATIONS)
@PRECISION
def test_graph_has_every_activation(activation, dtype):
    model = plain("multiclass", activation=activation, max_iter=2).fit(X, CASES["multiclass"].y)
    assert_same(model, (30 * ROWS).astype(dtype), CLOSE[dtype])


def test_gelu_in_double_precision_is_exact_to_rounding():
    model = DNNRegressor.plain(hidden_layer_sizes=(1,), activation="gelu", max_iter=1)
    model.fit(np.zeros((2, 1)), [0.0, 1.0])
    z = np.concatenate([np.linspace(-40.0, 40.0, 4001), np.logspace(-300, 3, 200)])[:, None]
    model.weights_, model.biases_ = [np.ones((1, 1))] * 2, [np.zeros((1, 1))] * 2
    found = graph_of(model, z[:1])(z)[-1]
    np.testing.assert_allclose(found, z * ndtr(z), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize(
    "params",
    [
        {"loss": "gamma"},
        {"loss": "tweedie"},
        {"loss": "huber"},
        {"loss": "quantile", "quantile": [0.2, 0.5, 0.8]},
        {"scale_target": False},
    ],
)
@PRECISION
def test_graph_has_every_output(params, dtype):
    model = default("regressor", **params).fit(X, np.exp(CASES["regressor"].y))
    assert_same(model, ROWS.astype(dtype), CLOSE[dtype])


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_model_fitted_in_float32_has_a_graph(kind):
    model = default("multiclass").fit(X.astype(np.float32), CASES["multiclass"].y)
    assert_same(model, ROWS.astype(kind), 1e-6)


def test_integers_are_rows_too():
    rows = (10 * X).astype(np.int64)
    model = default("regressor").fit(rows, CASES["regressor"].y)
    assert_same(model, rows, 1e-6)


def test_far_out_the_graph_says_what_the_model_says():
    model = default("multiclass").fit(*many("multiclass"))
    assert_same(model, np.array([[1e30, -1e30, 1e5, 0.0]]), 1e-14)


LABELS = {
    "integers": [-7, 0, 12],
    "unsigned": np.array([3, 1, 2], np.uint8),
    "floats": [1.0, 2.0, 5.0],
    "text": ["à la carte", "b", "c c"],
    "objects": np.array(["x", "yy", "zzz"], object),
    "booleans": [False, True, True],
}


@pytest.mark.parametrize("labels", LABELS)
def test_labels_of_any_kind_are_in_the_graph(labels):
    y = np.asarray(LABELS[labels])[np.arange(60) % 3]
    assert_same(default("multiclass").fit(X, y), ROWS, 1e-14)


def test_zipmap_names_the_probability_of_every_label():
    model = default("multiclass").fit(*many("multiclass"))
    rows = np.float32(ROWS)  # onnxruntime makes such maps in single precision alone
    _, found = graph_of(model, rows[:1], zipmap=True)(rows)
    theirs = [dict(zip(model.classes_, p, strict=True)) for p in model.predict_proba(ROWS)]
    assert found == [pytest.approx(p, rel=1e-5) for p in theirs]


@pytest.mark.parametrize("name", ["binary", "multilabel", "multiclass"])
def test_raw_scores_are_the_decision(name):
    model = default(name).fit(*many(name))
    scores = graph_of(model, ROWS[:1], raw_scores=True)(ROWS)[1]
    theirs = model.decision_function(ROWS)
    theirs = np.stack([-theirs, theirs], axis=1) if theirs.ndim == 1 else theirs
    np.testing.assert_allclose(scores, theirs, rtol=1e-12, atol=1e-12)


def test_labels_can_be_numbered():
    model = default("multiclass").fit(*many("multiclass"))
    numbers = graph_of(model, ROWS[:1], nocl=True)(ROWS)[0]
    assert np.array_equal(model.classes_[numbers.astype(int)], model.predict(ROWS))


NET = DNNClassifier(hidden_layer_sizes=(5,), max_iter=4, random_state=0)
AMONG = {
    "pipeline": make_pipeline(StandardScaler(), NET),
    "columns": make_pipeline(
        ColumnTransformer([("few", StandardScaler(), [0, 2])], remainder="passthrough"), NET
    ),
    "calibrated": CalibratedClassifierCV(NET, cv=2),
    "stacked": StackingClassifier([("net", NET), ("line", LogisticRegression())], cv=2),
    "voting": VotingClassifier(
        [("net", NET), ("line", LogisticRegression())], voting="soft", flatten_transform=False
    ),
    "searched": GridSearchCV(NET, {"alpha": [0.0, 1e-3]}, cv=2),
    "searched pipeline": GridSearchCV(
        make_pipeline(StandardScaler(), NET), {"dnnclassifier__alpha": [0.0, 1e-3]}, cv=2
    ),
}


@pytest.mark.parametrize("among", AMONG)
def test_graph_within_other_estimators_says_what_they_say(among):
    assert_same(AMONG[among].fit(ROWS, CASES["multiclass"].y), np.float32(ROWS), 2e-6)


def test_graph_of_bagged_networks_says_what_they_say():
    net = DNNRegressor(hidden_layer_sizes=(5,), max_iter=4, random_state=0)
    model = BaggingRegressor(net, n_estimators=2, random_state=0)
    assert_same(model.fit(ROWS, CASES["regressor"].y), np.float32(ROWS), 2e-6)


def test_a_frame_has_an_input_for_every_column():
    frame = pd.DataFrame(np.float32(X), columns=list("abcd"))
    assert_same(default("regressor").fit(frame, CASES["regressor"].y), frame, 1e-6)


def test_a_frame_with_words_goes_through_a_pipeline():
    frame = pd.DataFrame(np.float32(X), columns=list("abcd"))
    frame["word"] = np.array(["x", "y", "z"])[np.arange(60) % 3]
    words = make_column_transformer((OneHotEncoder(), ["word"]), remainder="passthrough")
    model = make_pipeline(words, default("regressor"))
    assert_same(model.fit(frame, CASES["regressor"].y), frame, 1e-6)


@pytest.mark.parametrize("opset", [11, 13, 18, 21])
def test_graph_is_made_in_older_opsets(opset):
    model = default("multiclass").fit(*many("multiclass"))
    graph = skl2onnx.to_onnx(model, ROWS[:1], target_opset=opset)
    assert graph.opset_import[0].version <= opset


class MyTanh(Tanh):
    """An activation of the user's own."""


def test_an_activation_of_ones_own_is_refused(monkeypatch):
    monkeypatch.setitem(ACTIVATIONS, "tanh", MyTanh())
    model = plain("regressor", activation="tanh", max_iter=2).fit(X, CASES["regressor"].y)
    with pytest.raises(ValueError, match="one that has a form in ONNX; got MyTanh"):
        skl2onnx.to_onnx(model, ROWS[:1])


def test_without_skl2onnx_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'skdnn\[onnx\]'"):
        register()
