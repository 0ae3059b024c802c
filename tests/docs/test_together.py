"""Every cell of the table of what goes with what does as it says."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array, issparse

import skdnn
from skdnn.inspection import input_gradient
from skdnn.onnx import register
from tests.cases import UNCONVERGED

pytestmark = [UNCONVERGED, pytest.mark.filterwarnings("ignore:.*sparse.*")]
PAGE = Path(__file__).parents[2] / "docs" / "together.md"
TABLE = [
    [cell.strip(" `") for cell in line.strip().strip("|").split("|")]
    for line in PAGE.read_text(encoding="utf-8").splitlines()
    if line.startswith("|") and "---" not in line
]

rng = np.random.default_rng(0)
X = rng.normal(size=(120, 4))
Y = np.stack([X[:, 0], X[:, 1]], axis=1)
SMALL = {"hidden_layer_sizes": (4,), "max_iter": 3, "random_state": 0}
FRAME = pd.DataFrame(X, columns=list("abcd"))

TABLE_OF_ALL = FRAME.assign(
    word=np.array(["x", "y", "z"])[np.arange(120) % 3], b=FRAME["b"].mask(np.arange(120) % 5 == 0)
)

# Of every row of the table: the estimator's name, its parameters, X and y.
ROWS = {
    "an array": ("DNNRegressor", {}, X, X[:, 0]),
    "a frame of numbers": ("DNNRegressor", {}, FRAME, X[:, 0]),
    "categories and gaps": ("DNNRegressor", {}, TABLE_OF_ALL, X[:, 0]),
    "a sparse X": ("DNNRegressor", {}, csr_array(X), X[:, 0]),
    "several networks": ("DNNClassifier", {"n_estimators": 2}, X, (X[:, 0] > 0) * 1),
    "several targets": ("DNNRegressor", {}, X, Y),
    "several labels a row": ("DNNBinaryClassifier", {}, X, (Y > 0) * 1),
    "float32": ("DNNRegressor", {}, np.float32(X), X[:, 0]),
}


def made(row, module=skdnn, prefix=""):
    """Return the estimator of a row, unfitted, and its rows."""
    name, params, *rows = ROWS[row]
    return getattr(module, prefix + name)(**SMALL, **params), *rows


def fitted(row):
    model, X, y = made(row)
    return model.fit(X, y), X


def by_onnx(row, tmp_path):
    skl2onnx, runtime = pytest.importorskip("skl2onnx"), pytest.importorskip("onnxruntime")
    model, X = fitted(row)
    register()
    X = X.toarray() if issparse(X) else X
    options = {"zipmap": False} if hasattr(model, "classes_") else None
    graph = skl2onnx.to_onnx(model, X[:1], options=options)
    session = runtime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    given = {c: X[[c]].to_numpy() for c in X} if isinstance(X, pd.DataFrame) else {"X": X}
    found, predicted = session.run(None, given)[0], model.predict(X)
    np.testing.assert_allclose(found.reshape(predicted.shape), predicted, rtol=1e-4, atol=1e-5)


def by_module(row, tmp_path):
    torch = pytest.importorskip("torch")
    from skdnn.torch import to_module

    model, X = fitted(row)
    module, says = to_module(model), getattr(model, "decision_function", model.predict)
    rows = torch.tensor(X.toarray()) if issparse(X) else module.rows(X)
    found = module(rows).detach().numpy()
    np.testing.assert_allclose(found, says(X), rtol=1e-5, atol=1e-6)


def by_gradient(row, tmp_path):
    model, X = fitted(row)
    gradient = input_gradient(model, X)
    if row == "categories and gaps":
        assert np.array_equal(
            np.isfinite(gradient), X.drop(columns="word").assign(w=np.nan).notna()
        )
    else:
        assert np.isfinite(gradient).all()


def by_dask(row, tmp_path):
    pytest.importorskip("dask")
    pytest.importorskip("distributed")
    import dask.array as da
    import dask.dataframe as dd

    import skdnn.dask

    model, X, y = made(row, skdnn.dask, "Dask")
    if isinstance(X, pd.DataFrame):
        rows = dd.from_pandas(X, npartitions=2)
    elif issparse(X):
        rows = da.from_array(X.toarray(), chunks=(60, -1)).map_blocks(csr_array)
    else:
        rows = da.from_array(X, chunks=(60, -1))
    y = da.from_array(y, chunks=(60, *y.shape[1:]))
    model.fit(rows, y)
    assert len(model.to_local().predict(X)) == len(y)


def by_checkpoint(row, tmp_path):
    model, X, y = made(row)
    model.set_callbacks(skdnn.Checkpoint(tmp_path / "fit.checkpoint"))
    first = model.fit(X, y).predict(X)
    assert (tmp_path / "fit.checkpoint").exists()
    assert np.array_equal(model.fit(X, y).predict(X), first)


WAYS = {
    "ONNX": by_onnx,
    "to_module": by_module,
    "input_gradient": by_gradient,
    "dask": by_dask,
    "Checkpoint": by_checkpoint,
}
CELLS = [
    pytest.param(row[0], WAYS[way], cell, id=f"{row[0]}-{way}")
    for row in TABLE[1:]
    for way, cell in zip(TABLE[0][1:], row[1:], strict=True)
]


@pytest.mark.parametrize(("row", "way", "cell"), CELLS)
def test_cell_does_as_it_says(row, way, cell, tmp_path):
    if cell == "works":
        way(row, tmp_path)
        return
    error, _, message = cell.partition(": ")
    with pytest.raises(getattr(__import__("builtins"), error), match=re.escape(message)):
        way(row, tmp_path)


def test_table_has_a_row_for_everything_that_is_tried():
    assert [row[0] for row in TABLE[1:]] == [*ROWS]
