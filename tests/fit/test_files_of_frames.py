"""Frames that come one after the other, and Parquet files, fit as the same table in memory."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from skdnn import DNNClassifier, DNNRegressor
from skdnn.files import parquet, store
from skdnn.fit import blocks
from tests.cases import UNCONVERGED, contents_of

pytestmark = UNCONVERGED

N = 700
rng = np.random.default_rng(0)
TABLE = pd.DataFrame(rng.normal(size=(N, 3)), columns=list("abc"))
TABLE["many"] = rng.integers(0, 9, N)
TABLE.loc[::7, "b"] = np.nan
TABLE["y"] = TABLE["a"] - TABLE["many"] + rng.normal(size=N)
TABLE["label"] = np.where(TABLE["y"] > 0, "yes", "no")
TABLE["w"] = rng.uniform(0.5, 2.0, N)
SMALL = {"hidden_layer_sizes": (6,), "max_iter": 3, "random_state": 0}


@pytest.fixture(autouse=True)
def pools(monkeypatch):
    """Have pools of 256 rows."""
    monkeypatch.setattr(blocks, "LEAST_ROWS", 256)
    monkeypatch.setattr(blocks, "MOST_ROWS", 256)


def in_pandas(table, path):
    return (table[start : start + 90] for start in range(0, len(table), 90))


def in_polars(table, path):
    return (pl.from_pandas(frame) for frame in in_pandas(table, path))


def in_parquet(table, path):
    pytest.importorskip("pyarrow")
    for i, frame in enumerate(in_pandas(table, path)):
        frame.to_parquet(path / f"{i:03}.parquet", index=False)
    return parquet(path)


KINDS = pytest.mark.parametrize("kind", [in_pandas, in_polars, in_parquet])
FEATURES = ["a", "b", "c", "many"]


@KINDS
@pytest.mark.parametrize("n", [200, N])
def test_numbers_are_fitted_as_in_memory(kind, n, tmp_path):
    table = TABLE.head(n)
    rows = store(kind(table.drop(columns="label"), tmp_path), target="y", sample_weight="w")
    ours = DNNRegressor(**SMALL).fit(rows.X, rows.y, rows.sample_weight)
    theirs = DNNRegressor(**SMALL).fit(table[FEATURES], table["y"], table["w"])
    assert contents_of(ours) == contents_of(theirs)
    assert np.array_equal(ours.predict(rows.X), theirs.predict(table[FEATURES]))
    expected = theirs.score(table[FEATURES], table["y"], table["w"])
    assert ours.score(rows.X, rows.y, rows.sample_weight) == pytest.approx(expected)


@KINDS
def test_labels_are_fitted_as_in_memory(kind, tmp_path):
    rows = store(kind(TABLE.drop(columns=["y", "w"]), tmp_path), target="label")
    ours = DNNClassifier(**SMALL).fit(rows.X, rows.y)
    theirs = DNNClassifier(**SMALL).fit(TABLE[FEATURES], TABLE["label"])
    assert np.array_equal(ours.predict_proba(rows.X), theirs.predict_proba(TABLE[FEATURES]))
    assert ours.classes_.tolist() == ["no", "yes"]


def test_partial_fit_keeps_the_names():
    rows = store(in_pandas(TABLE[[*FEATURES, "y"]], None), target="y")
    model = DNNRegressor(**SMALL).partial_fit(rows.X, rows.y)
    assert model.feature_names_in_.tolist() == FEATURES and model.t_ == N


def test_one_frame_is_held_at_a_time():
    alive = []

    def frames():
        for _ in range(3):
            yield TABLE[["a", "y"]]
            alive.append(1)

    rows = store(frames(), target="y")
    assert len(alive) == 3 and rows.X.shape == (3 * N, 1)


def test_files_stay_where_they_are_asked_to(tmp_path):
    store([TABLE[["a", "y"]]], target="y", folder=tmp_path / "kept")
    assert (tmp_path / "kept" / "X.dat").stat().st_size == 8 * N


def test_float32_stays():
    assert store([TABLE[["a", "y"]].astype(np.float32)], target="y").X.dtype == np.float32


REFUSED = {
    "text": (lambda: [TABLE], "y", "column 'label' of frame 0"),
    "dates": (lambda: [TABLE[["y"]].assign(d=pd.Timestamp("2020-01-01"))], "y", "column 'd'"),
    "other columns": (
        lambda: [TABLE[["a", "y"]], TABLE[["b", "y"]]], "y", r"frame 1 has \['b'\]",
    ),
    "no target": (lambda: [TABLE[["a"]]], "y", "target must be a column of frame 0"),
    "no rows": (lambda: [], "y", "frames must have rows"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_unfit_is_refused_by_name(kind):
    frames, target, message = REFUSED[kind]
    with pytest.raises(ValueError, match=message):
        store(frames(), target)
