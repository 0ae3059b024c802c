"""Tables with categories and gaps: their gradients, and the model in PyTorch and as ONNX."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

from skdnn import DNNBinaryClassifier, DNNClassifier, DNNRegressor
from skdnn.inputs import SCALERS
from skdnn.inspection import (
    SensitivitiesDisplay,
    input_gradient,
    integrated_gradients,
    sensitivities,
)
from skdnn.onnx import register
from tests.cases import UNCONVERGED

pytestmark = UNCONVERGED
NUMBERS, CATEGORIES = ["size", "price"], ["word", "many", "flag", "code"]
SCALED = pytest.mark.parametrize("scale_inputs", [None, *SCALERS])


@cache
def table():
    """A table whose columns hold numbers, text, Booleans and codes, with gaps in most."""
    rng, n = np.random.default_rng(0), 300
    frame = pd.DataFrame(
        {
            "size": rng.normal(size=n),
            "word": np.array(["red", "green", "blue"])[rng.integers(0, 3, n)],
            "price": rng.lognormal(size=n),
            "many": [f"L{k}" for k in rng.integers(0, 50, n)],
            "flag": rng.integers(0, 2, n) > 0,
            "code": rng.choice([3, 7, 11], n),
        }
    )
    y = frame["size"] + 2.0 * (frame["word"] == "red") + frame["price"] * frame["flag"]
    frame.loc[::7, "price"] = np.nan
    frame.loc[::9, "word"] = None
    return frame, y.to_numpy()


def new_rows():
    """Rows that no fit has seen: none at a knot, one with a new level, gaps where none were."""
    frame, _ = table()
    rows = frame[:40].assign(size=lambda t: t["size"] + 0.01, price=lambda t: t["price"] + 0.01)
    rows.loc[2, "many"] = "another"
    rows.loc[3, "size"] = np.nan
    return rows


TARGETS = {
    "regressor": (DNNRegressor, lambda y: y),
    "binary": (DNNBinaryClassifier, lambda y: np.where(y > 1, "yes", "no")),
    "multiclass": (DNNClassifier, lambda y: np.digitize(y, [0.5, 2.0])),
}
KIND = pytest.mark.parametrize("kind", TARGETS)


@cache
def fitted(kind, scale_inputs="piecewise", n_estimators=1):
    Estimator, made = TARGETS[kind]
    model = Estimator(
        hidden_layer_sizes=(6, 5),
        activation="tanh",
        max_iter=4,
        scale_inputs=scale_inputs,
        n_estimators=n_estimators,
        categorical_features=CATEGORIES,
        random_state=0,
    )
    frame, y = table()
    return model.fit(frame, made(y))


def says(model, X):
    return getattr(model, "decision_function", model.predict)(X)


# ------------------------------------------------------------------------------- gradients


@KIND
@SCALED
def test_gradient_in_numbers_is_that_of_differences(kind, scale_inputs):
    model, rows, h = fitted(kind, scale_inputs), new_rows(), 1e-6
    for j, name in [(0, "size"), (2, "price")]:
        left, right = (rows.assign(**{name: rows[name] + d}) for d in (-h, h))
        theirs = (says(model, right) - says(model, left)) / (2 * h)
        there = rows[name].notna().to_numpy()
        ours = input_gradient(model, rows)[..., j]
        assert np.max(np.abs(ours - theirs)[there]) <= 1e-5 * np.max(np.abs(theirs[there]))
        assert np.isnan(ours[~there]).all()


@KIND
def test_categories_have_no_gradient(kind):
    gradient = input_gradient(fitted(kind), new_rows())
    assert np.isnan(gradient[..., [1, 3, 4, 5]]).all()


@KIND
@SCALED
def test_attributions_of_a_table_are_complete(kind, scale_inputs):
    model, rows = fitted(kind, scale_inputs), new_rows()
    baseline = rows[7:8]
    sums = integrated_gradients(model, rows, baseline).sum(axis=-1)
    change = says(model, rows) - says(model, baseline)
    assert np.max(np.abs(sums - change)) <= 1e-3 * np.max(np.abs(change))


def test_baseline_of_a_table_is_the_centre_and_no_known_level():
    model, rows = fitted("regressor"), new_rows()
    baseline = pd.DataFrame(
        {
            "size": [table()[0]["size"].mean()],
            "word": ["none"],
            "price": [table()[0]["price"].mean()],
            **{"many": ["none"], "flag": [2], "code": [0]},
        }
    )
    given = integrated_gradients(model, rows, baseline)
    np.testing.assert_allclose(integrated_gradients(model, rows), given, atol=1e-9)


def test_a_column_as_in_the_baseline_has_no_part_in_a_table():
    rows = new_rows()
    shares = integrated_gradients(fitted("regressor"), rows[:1], rows[:1].assign(word="green"))
    assert shares[0, 1] != 0.0
    assert not shares[0, [0, 2, 3, 4, 5]].any()


def test_a_gap_has_a_part_of_its_own():
    model, rows = fitted("regressor"), new_rows()
    filled = rows[:1].assign(price=model._model.inputs.fill[1])
    assert rows["price"].isna()[0]
    shares = integrated_gradients(model, rows[:1], filled)
    change = model.predict(rows[:1]) - model.predict(filled)
    assert shares[0, 2] == pytest.approx(change[0], rel=1e-3)


def test_sensitivities_are_those_where_there_is_a_number():
    model, rows = fitted("regressor"), new_rows()
    found, gradient = sensitivities(model, rows), input_gradient(model, rows)
    np.testing.assert_allclose(found.mean[[0, 2]], np.nanmean(gradient[:, [0, 2]], axis=0))
    np.testing.assert_allclose(found.deviation[[0, 2]], rows[NUMBERS].std(ddof=0))
    for name in ("mean", "mean_absolute", "minimum", "maximum", "increasing", "deviation"):
        assert np.isnan(found[name][[1, 3, 4, 5]]).all()


def test_numbers_alone_are_drawn():
    plt = pytest.importorskip("matplotlib.pyplot")
    display = SensitivitiesDisplay.from_estimator(fitted("regressor"), new_rows())
    assert {label.get_text() for label in display.ax_.get_yticklabels()} == set(NUMBERS)
    plt.close("all")


# --------------------------------------------------------------------------------- PyTorch


@KIND
@SCALED
@pytest.mark.parametrize("n_estimators", [1, 2])
def test_module_of_a_table_says_what_the_model_says(kind, scale_inputs, n_estimators):
    pytest.importorskip("torch")
    from skdnn.torch import to_module

    model = fitted(kind, scale_inputs, n_estimators)
    module, rows = to_module(model), new_rows()
    np.testing.assert_allclose(
        module(module.rows(rows)).detach().numpy(), says(model, rows), rtol=1e-10, atol=1e-10
    )


@SCALED
def test_categories_alone_are_a_table_too(scale_inputs):
    pytest.importorskip("torch")
    from skdnn.torch import to_module

    frame, y = table()
    words, model = frame[["word", "many"]], DNNRegressor(max_iter=3, random_state=0)
    model.set_params(scale_inputs=scale_inputs).fit(words, y)
    module = to_module(model)
    found = module(module.rows(words)).detach().numpy()
    np.testing.assert_allclose(found, model.predict(words), rtol=1e-10)
    shares = integrated_gradients(model, words, words[:1])
    change = model.predict(words) - model.predict(words[:1])
    assert np.max(np.abs(shares.sum(axis=1) - change)) <= 1e-3 * np.max(np.abs(change))


@SCALED
def test_a_table_that_says_nothing_is_a_constant_elsewhere_too(scale_inputs):
    pytest.importorskip("torch")
    from skdnn.torch import to_module

    nothing, y = pd.DataFrame({"word": ["red"] * 300, "many": ["L1"] * 300}), table()[1]
    model = DNNRegressor(max_iter=3, random_state=0, scale_inputs=scale_inputs).fit(nothing, y)
    module = to_module(model)
    found = module(module.rows(nothing)).detach().numpy()
    np.testing.assert_allclose(found, model.predict(nothing), rtol=1e-10)
    assert not integrated_gradients(model, nothing).any()
    skl2onnx, runtime = pytest.importorskip("skl2onnx"), pytest.importorskip("onnxruntime")
    register()
    graph = skl2onnx.to_onnx(model, nothing[:1]).SerializeToString()
    session = runtime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    found = session.run(None, {name: nothing[[name]].to_numpy(object) for name in nothing})[0]
    np.testing.assert_allclose(found[:, 0], model.predict(nothing), rtol=1e-5)


def test_codes_in_an_array_are_levels_too():
    torch = pytest.importorskip("torch")
    from skdnn.torch import to_module

    frame, y = table()
    X = frame[["size", "code"]].to_numpy(float)
    model = DNNRegressor(categorical_features=[1], max_iter=3, random_state=0).fit(X, y)
    module = to_module(model)
    levels = torch.tensor(np.column_stack([X[:, 0], np.searchsorted([3, 7, 11], X[:, 1])]))
    assert torch.equal(module.rows(X), levels)
    np.testing.assert_allclose(module(levels).detach().numpy(), model.predict(X), rtol=1e-10)


# ------------------------------------------------------------------------------------ ONNX


def by_graph(model, rows, dtype):
    """Return what the graph of a model gives for rows, an input for every column."""
    skl2onnx, runtime = pytest.importorskip("skl2onnx"), pytest.importorskip("onnxruntime")
    register()
    rows = rows.astype({name: dtype for name in NUMBERS})
    rows["word"] = rows["word"].fillna("")  # as ONNX has no other way to say that text is missing
    options = {"zipmap": False} if hasattr(model, "classes_") else None
    graph = skl2onnx.to_onnx(model, rows[:1], options=options)
    session = runtime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {c: rows[[c]].to_numpy() for c in rows})


@KIND
@SCALED
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_graph_of_a_table_says_what_the_model_says(kind, scale_inputs, dtype):
    model, rows = fitted(kind, scale_inputs), new_rows().astype({name: dtype for name in NUMBERS})
    found = by_graph(model, rows, dtype)
    theirs = model.predict_proba(rows) if kind != "regressor" else model.predict(rows)[:, None]
    close = 1e-13 if dtype == np.float64 else 2e-6
    assert np.max(np.abs(found[-1] - theirs)) <= close * np.max(np.abs(theirs))
    if kind != "regressor":
        assert np.array_equal(found[0], model.predict(rows))


def test_graph_of_codes_in_an_array_has_one_input():
    skl2onnx, runtime = pytest.importorskip("skl2onnx"), pytest.importorskip("onnxruntime")
    register()
    frame, y = table()
    X = frame[["size", "code"]].to_numpy(float)
    model = DNNRegressor(categorical_features=[1], max_iter=3, random_state=0).fit(X, y)
    graph = skl2onnx.to_onnx(model, X[:1]).SerializeToString()
    session = runtime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    X[:3, 1] = [np.nan, 5.0, 7.0]
    found = session.run(None, {"X": X})[0][:, 0]
    np.testing.assert_allclose(found, model.predict(X), rtol=1e-13)
