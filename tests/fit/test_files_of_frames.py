"""Frames that come one after the other, and Parquet files, fit as the same table in memory."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.model_selection import cross_val_score

from skdnn import DNNBinaryClassifier, DNNClassifier, DNNRegressor
from skdnn.files import _Growing, parquet, store
from skdnn.fit import blocks
from tests.cases import UNCONVERGED, contents_of, outputs_of

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


CATEGORIES = TABLE[["a", "b", "w", "label", "y"]].assign(
    city=pd.Series(rng.choice(["Rome", "Bern", "Oslo"], N)).where(rng.random(N) < 0.9, None),
    film=[f"film {i}" for i in rng.integers(0, 60, N)],
    open=rng.random(N) < 0.5,
    size=pd.Categorical(rng.choice(["M", "S", "L"], N), ["S", "M", "L", "XL"]),
)
CATEGORIES.loc[N - 1, ["film", "w"]] = "a film that weighs nothing", 0.0
CATEGORIES["y"] += CATEGORIES["film"].str.len()
MIXED = ["a", "b", "city", "film", "open", "size"]
ESTIMATORS = {DNNRegressor: "y", DNNBinaryClassifier: "label", DNNClassifier: "label"}


@KINDS
@pytest.mark.parametrize("Estimator", ESTIMATORS)
@pytest.mark.parametrize("n", [200, N])
def test_categories_are_fitted_as_in_memory(kind, Estimator, n, tmp_path):
    table, target = CATEGORIES.tail(n).reset_index(drop=True), ESTIMATORS[Estimator]
    rows = store(kind(table[[*MIXED, target, "w"]], tmp_path), target, sample_weight="w")
    ours = Estimator(**SMALL).fit(rows.X, rows.y, rows.sample_weight)
    theirs = Estimator(**SMALL).fit(table[MIXED], table[target], table["w"])
    assert outputs_of(ours, rows.X).tobytes() == outputs_of(theirs, table[MIXED]).tobytes()
    assert ours.categories_ == theirs.categories_ and ours.loss_curve_ == theirs.loss_curve_
    assert ours._model.inputs.told and len(ours.categories_[2]) == 3


def rome(model, X, y):
    return float(np.mean(model.predict(X[X["city"] == "Rome"])))


@pytest.mark.parametrize("options", [{"scoring": rome}, {"categorical_features": ["film"]}])
def test_options_about_categories_are_those_of_rows_in_memory(options):
    features = MIXED if "scoring" in options else ["a", "film"]
    rows = store(in_pandas(CATEGORIES[[*features, "y"]], None), "y")
    ours = DNNRegressor(**SMALL, **options).fit(rows.X, rows.y)
    theirs = DNNRegressor(**SMALL, **options).fit(CATEGORIES[features], CATEGORIES["y"])
    assert contents_of(ours) == contents_of(theirs)


def test_a_warm_start_goes_on_with_the_same_categories():
    rows, halves = store(in_pandas(CATEGORIES[[*MIXED, "y"]], None), "y"), []
    for X, y in ((rows.X, rows.y), (CATEGORIES[MIXED], CATEGORIES["y"])):
        model = DNNRegressor(**SMALL, warm_start=True, refit=False).fit(X, y)
        halves.append(contents_of(model.fit(X, y)))
    assert halves[0] == halves[1]


INDICES = {
    "a slice": slice(5, 8),
    "numbers": np.array([6, 2, 400]),
    "a mask": np.arange(N) % 9 == 0,
}


@pytest.mark.parametrize("kind", INDICES)
def test_rows_that_are_taken_are_a_frame(kind):
    X = store(in_pandas(CATEGORIES[[*MIXED, "y"]], None), "y").X
    numbers = np.arange(N)[INDICES[kind]]
    ours, theirs = X[INDICES[kind]], CATEGORIES[MIXED].iloc[numbers].reset_index(drop=True)
    assert ours["film"].tolist() == theirs["film"].tolist()
    pd.testing.assert_frame_equal(ours[["a", "b"]], theirs[["a", "b"]])
    assert np.asarray(X)[:, 3].tolist() == CATEGORIES["film"].tolist()


@pytest.mark.parametrize(
    "which", [(slice(None), 0), "a", ["a", "b"], (slice(3), "a"), None, [[0]], 0.5]
)
def test_columns_are_not_taken_of_a_table_on_a_disk(which):
    with pytest.raises(IndexError, match="by its rows alone"):
        store(in_pandas(CATEGORIES[[*MIXED, "y"]], None), "y").X[which]


def test_splits_of_stored_rows_are_those_of_the_table():
    rows = store(in_pandas(CATEGORIES[[*MIXED, "label"]], None), "label")
    scores = [
        cross_val_score(DNNClassifier(**SMALL), X, y, cv=3)
        for X, y in ((rows.X, rows.y), (CATEGORIES[MIXED], CATEGORIES["label"]))
    ]
    assert scores[0].tolist() == scores[1].tolist()


def test_partial_fit_knows_the_levels_of_all_frames():
    rows = store(in_pandas(CATEGORIES[[*MIXED, "y"]], None), "y")
    model = DNNRegressor(**SMALL).partial_fit(rows.X, rows.y)
    assert len(model.categories_[3]) == CATEGORIES["film"].nunique() and model.t_ == N


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


@pytest.mark.parametrize("other", [TABLE[["a", "y"]].head(9) + 1, TABLE[["label", "w"]]])
def test_rows_stay_what_they_are_where_others_follow_in_their_folder(other, tmp_path):
    rows = store([TABLE[["a", "y"]]], target="y", folder=tmp_path)
    try:
        store([other, other.assign(more=1.0)], target="y", folder=tmp_path)
    except ValueError:
        assert store([other.set_axis(["a", "y"], axis=1)], "y", folder=tmp_path).X.shape[0] < 2 * N
    pd.testing.assert_frame_equal(rows.X[:], TABLE[["a"]])
    assert np.array_equal(rows.y, TABLE["y"])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["X.dat", "y.dat"]


# What a column has in frames that come one after the other.
WORDS, NOTHING, HALVES = ["no", "yes", "no"], [None] * 3, [0.5, np.nan, 1.5]
PARTS = {
    "objects without a value, then numbers": (NOTHING, HALVES),
    "NaN, then text": ([np.nan] * 3, WORDS),
    "nothing, NaN and text": (NOTHING, [np.nan] * 3, NOTHING, WORDS, NOTHING),
    "no row, then text": ([], WORDS),
    "nothing at all": (NOTHING, NOTHING),
    "only NaN": ([np.nan] * 3,) * 2,
    "numbers, then nothing": (HALVES, NOTHING),
    "text, then NaN": (WORDS, [np.nan] * 3),
    "integers, then floats": ([1, 2, 3], HALVES),
    "single precision, then double": (np.array([0.1, 1 / 3, 5], np.float32), [0.1, 1 / 3, 5]),
}  # fmt: skip


@pytest.mark.parametrize("kind", PARTS)
@pytest.mark.filterwarnings("ignore:The behavior of .* concatenation:FutureWarning")  # pandas 2
@pytest.mark.parametrize("library", [pd.DataFrame, pl.DataFrame, "pyarrow"])
def test_a_column_holds_what_all_its_frames_tell(kind, library):
    parts = [pd.DataFrame({"a": part, "b": np.arange(len(part)) + 0.5}) for part in PARTS[kind]]
    expected = DNNRegressor(**SMALL).fit(pd.concat(parts), np.arange(sum(map(len, parts))))
    if library == "pyarrow":
        library = pytest.importorskip("pyarrow").Table.from_pandas
    frames = [library(part.assign(y=0)) for part in parts]
    rows = store(frames, target="y")
    ours = DNNRegressor(**SMALL).fit(rows.X, np.arange(len(rows.X)))
    assert ours.categories_ == expected.categories_
    if rows.X.levels[0] is None:
        expected = pd.concat(parts)["a"].to_numpy(float)
        assert np.array_equal(rows.X[:]["a"], expected, equal_nan=True)


TARGETS = {
    "text": [["b", "a"], ["c", "b"]],
    "truth values": [[True, False], [True, True]],
    "integers": [[1, 2], [3, 1]],
    "integers beyond what floats tell apart": [[2**60 + 1, 2**60 + 2], [2**60 + 3, 5]],
    "unsigned ones": [np.array([2**64 - 1, 2**64 - 2], np.uint64), np.array([0, 1], np.uint64)],
    "integers, then floats": [[1, 2], [0.5, 1.0]],
    "floats, then integers": [[0.5, 1.0], [1, 2]],
    "objects that are integers": [np.array([2**60 + 1, 3], object), [2, 1]],
    "no object, then integers": [np.array([], object), [2**53, 2**53 + 1]],
    "no integer, then text": [np.array([], int), ["b", "a"]],
    "small integers, then large ones": [np.array([1, 2], np.int8), [1000, 2]],
}


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("library", [pd.DataFrame, pl.DataFrame, "pyarrow"])
def test_targets_are_those_of_the_frames_together(kind, library):
    parts = [pd.DataFrame({"a": [0.5, 1.5][: len(part)], "y": part}) for part in TARGETS[kind]]
    if library == "pyarrow":
        library = pytest.importorskip("pyarrow").Table.from_pandas
    expected = pd.concat([part for part in parts if len(part)])["y"].to_numpy()
    y = store(map(library, parts), "y").y
    assert np.asarray(y).tolist() == expected.tolist()
    assert np.asarray(y).dtype.kind in (expected.dtype.kind, "U", "i")


FRAMES = {
    "unsigned and signed": [np.array([2**63 + 1], np.uint64), np.array([-1])],
    "integers, then floats": [[2**60 + 1], [0.5]],
    "floats, then integers": [[0.5], [2**60 + 1]],
}


@pytest.mark.parametrize("kind", FRAMES)
def test_integers_that_would_be_others_as_floats_are_refused(kind, tmp_path):
    frames = [pd.DataFrame({"a": 1.0, "y": part}) for part in FRAMES[kind]]
    with pytest.raises(ValueError, match="y must be integers throughout, or text"):
        store(frames, "y", folder=tmp_path)
    assert not [*tmp_path.iterdir()]


def test_two_at_once_in_one_folder_are_each_their_own(tmp_path):
    found = {}

    def frames(value):
        for i in range(4):
            yield TABLE[["a", "y"]].assign(a=value)
            if i == 2 and value:
                found[0.0] = store(frames(0.0), "y", folder=tmp_path)

    found[1.0] = store(frames(1.0), "y", folder=tmp_path)
    for value, rows in found.items():
        assert set(rows.X[:]["a"]) == {value} and len(rows.y) == 4 * N
    assert sorted(file.name for file in tmp_path.iterdir()) == ["X.dat", "y.dat"]


@pytest.mark.parametrize("after", range(1, 5))
def test_a_full_disk_leaves_nothing_and_is_named(after, tmp_path, monkeypatch):
    frames = [TABLE[["a", "y"]].astype(np.float32), TABLE[["a", "y"]]]
    written, tofile = [], _Growing._write

    def full(self, values):
        written.append(self.path)
        if len(written) == after:
            (tmp_path / "gone").mkdir()
            self.parts.append(tmp_path / "gone")  # which cannot be written to
        tofile(self, values)

    monkeypatch.setattr(_Growing, "_write", full)
    monkeypatch.setattr(Path, "unlink", lambda self, missing_ok: [
        os.rmdir, os.remove][self.is_file()](self) if self.exists() else None)  # fmt: skip
    with pytest.raises(OSError, match=r"[Xy]\.dat"):
        store(frames, "y", folder=tmp_path)
    assert not [*tmp_path.iterdir()]


def test_the_index_of_a_frame_is_no_column(tmp_path):
    pa = pytest.importorskip("pyarrow")
    some = TABLE[["a", "y"]][TABLE["a"] > 0]
    some.to_parquet(tmp_path / "0.parquet")
    TABLE[["a", "y"]].to_parquet(tmp_path / "1.parquet")
    for frames in (parquet(tmp_path), [pa.Table.from_pandas(some), TABLE[["a", "y"]]]):
        rows = store(frames, "y")
        assert rows.X.names.tolist() == ["a"] and len(rows.y) == N + len(some)


def test_an_index_with_a_name_is_a_column(tmp_path):
    pa = pytest.importorskip("pyarrow")
    table = TABLE[["a", "y", "many"]].set_index("many")
    table.to_parquet(tmp_path / "0.parquet")
    for frames in (parquet(tmp_path), [pa.Table.from_pandas(table)]):
        assert store(frames, "y").X.names.tolist() == ["a", "many"]
    assert store(parquet(tmp_path, columns=["many", "a"]), "many").X.names.tolist() == ["a"]


@pytest.mark.parametrize("year", [2020, "2020"])
def test_the_names_of_folders_are_no_columns_where_files_have_these_or_are_named(year, tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "year=2020").mkdir()
    path = tmp_path / "year=2020" / "0.parquet"
    TABLE[["a", "y"]].assign(year=year).to_parquet(path)
    assert store(parquet(tmp_path), "y").X.names.tolist() == ["a", "year"]
    TABLE[["a", "y"]].to_parquet(path)
    for read in (path, path.parent):
        assert store(parquet(read), "y").X.names.tolist() == ["a"]


def test_the_names_of_folders_are_columns(tmp_path):
    pytest.importorskip("pyarrow")
    table = CATEGORIES[["a", "size", "y"]].assign(size=CATEGORIES["size"].astype(str), year=N * [2])
    table.to_parquet(tmp_path, partition_cols=["size", "year"])
    rows = store(parquet(tmp_path), "y")
    ours = rows.X[:].assign(y=rows.y).sort_values("y", ignore_index=True)
    theirs = table.sort_values("y", ignore_index=True)
    assert ours["size"].tolist() == theirs["size"].tolist()
    assert rows.X.names.tolist() == ["a", "year", "size"] or set(rows.X.names) == {*table} - {"y"}
    assert store(parquet(tmp_path, columns=["a", "y"]), "y").X.names.tolist() == ["a"]


def test_files_of_other_columns_are_not_made_those_of_the_first(tmp_path):
    pytest.importorskip("pyarrow")
    TABLE[["a", "y"]].to_parquet(tmp_path / "0.parquet")
    TABLE[["a", "b", "y"]].to_parquet(tmp_path / "1.parquet")
    with pytest.raises(ValueError, match=r"frame 1 has \['a', 'b'\]"):
        store(parquet(tmp_path), "y")
    with pytest.raises(ValueError, match=r"columns must be in every file; .*0.parquet has no"):
        store(parquet(tmp_path, columns=["a", "b", "y"]), "y")
    assert store(parquet(tmp_path, columns=["a", "y"]), "y").X.shape == (2 * N, 1)


def test_float32_stays():
    assert store([TABLE[["a", "y"]].astype(np.float32)], target="y").X.dtype == np.float32


REFUSED = {
    "text in the place of numbers": (
        lambda: [TABLE[["a", "y"]], TABLE[["label", "y"]].set_axis(["a", "y"], axis=1)],
        "y", r"frames\[1\]\['a'\] must hold numbers; got text such as 'no'",
    ),
    "numbers in the place of text": (
        lambda: [TABLE[["label", "y"]], TABLE[["a", "y"]].set_axis(["label", "y"], axis=1)],
        "y", r"frames\[1\]\['label'\] must hold categories of the type that fit has seen",
    ),
    "dates": (
        lambda: [TABLE[["y"]].assign(d=pd.Timestamp("2020-01-01"))], "y", r"frames\[0\]\['d'\]",
    ),
    "other columns": (
        lambda: [TABLE[["a", "y"]], TABLE[["b", "y"]]], "y", r"frame 1 has \['b'\]",
    ),
    "text after numbers in the target": (
        lambda: [TABLE[["a", "y"]], TABLE[["a"]].assign(y="1")], "y", r"frames\[1\]\['y'\] must",
    ),
    "numbers after text in the target": (
        lambda: [TABLE[["a"]].assign(y="1"), TABLE[["a"]].assign(y=1)],
        "y", r"frames\[1\]\['y'\] must",
    ),
    "truth values after numbers": (
        lambda: [TABLE[["a", "y"]], TABLE[["y"]].assign(a=True)[["a", "y"]]],
        "y", r"frames\[1\]\['a'\] must hold numbers",
    ),
    "numbers after truth values": (
        lambda: [TABLE[["y"]].assign(a=True)[["a", "y"]], TABLE[["a", "y"]]],
        "y", r"frames\[1\]\['a'\] must hold categories of one type",
    ),
    "integers of 65 bits": (
        lambda: [pd.DataFrame({"a": [1.0], "y": [2**65]}, dtype=object)], "y", "of 64 bits",
    ),
    "a label that is missing": (
        lambda: [TABLE[["a", "label"]], TABLE[["a"]].assign(label=["no", None] * (N // 2))],
        "label", r"frames\[1\]\['label'\] must have no missing",
    ),
    "a number that is missing": (
        lambda: [TABLE[["a", "b"]]], "b", r"frames\[0\]\['b'\] must have no missing",
    ),
    "two columns of one name": (
        lambda: [TABLE[["a", "a", "y"]]], "y", r"frame 0 has two \['a'\]",
    ),
    "nothing beside the target": (lambda: [TABLE[["y"]]], "y", "columns beside the target"),
    "no target": (lambda: [TABLE[["a"]]], "y", "target must be a column of frame 0"),
    "no rows": (lambda: [], "y", "frames must have rows"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_unfit_is_refused_by_name(kind):
    frames, target, message = REFUSED[kind]
    with pytest.raises(ValueError, match=message):
        store(frames(), target)


@pytest.mark.parametrize("frames", [TABLE, pl.from_pandas(TABLE), ["a", "b"], [TABLE.to_numpy()]])
def test_what_is_no_frame_is_refused(frames):
    with pytest.raises(TypeError, match="frames must be"):
        store(frames, "y")
