"""A table as it is: categories and missing values, from any container."""

import pickle
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import _safe_indexing

from skdnn import DNNBinaryClassifier, DNNClassifier, DNNRegressor
from skdnn.door import read_at_a_glance, read_inputs
from skdnn.encodings import Ramps, learn_ramps
from skdnn.inputs import SCALERS
from skdnn.means import LevelSums, folds_of
from skdnn.verify import check_gradients

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
ESTIMATORS = [DNNRegressor, DNNBinaryClassifier, DNNClassifier]
EACH = pytest.mark.parametrize("Estimator", ESTIMATORS)
N = 240
rng = np.random.default_rng(0)
CITIES = np.array(["Rome", "Bern", "Oslo", "Graz"])
WHERE = rng.integers(0, 4, N)
SIZE = rng.lognormal(size=N)
VISITS = rng.integers(0, 9, N)
OPEN = rng.random(N) < 0.5
Y = np.array([3.0, 0.0, -2.0, 1.0])[WHERE] + np.log(SIZE) - 0.3 * VISITS + OPEN
TARGETS = {
    DNNRegressor: Y,
    DNNBinaryClassifier: np.where(Y > 0, "yes", "no"),
    DNNClassifier: np.digitize(Y, [-1, 1]),
}
FRAME = pd.DataFrame({"size": SIZE, "city": CITIES[WHERE], "visits": VISITS, "open": OPEN})
MANY = [f"film {i:03}" for i in rng.integers(0, 60, N)]


def model(Estimator, **params):
    return Estimator(**{"hidden_layer_sizes": (8,), "max_iter": 8, "random_state": 0, **params})


def fitted(Estimator, X=FRAME, **params):
    return model(Estimator, **params).fit(X, TARGETS[Estimator])


def answers(fitted, X):
    return fitted.predict_proba(X) if hasattr(fitted, "predict_proba") else fitted.predict(X)


# Any container


def as_array(frame):
    return frame.astype(object).to_numpy()


CONTAINERS = {
    "categories": FRAME.astype({"city": "category"}),
    "categories in another order": FRAME.assign(
        city=pd.Categorical(FRAME.city, ["Oslo", "Rome", "Paris", "Graz", "Bern"])
    ),
    "objects": FRAME.astype({"city": object, "open": object}),
    "strings": FRAME.astype({"city": "string", "visits": "Int64", "open": "boolean"}),
    "arrow": FRAME.convert_dtypes(dtype_backend="pyarrow"),
    "polars": pl.from_pandas(FRAME),
    "polars categories": pl.from_pandas(FRAME).with_columns(pl.col("city").cast(pl.Categorical)),
    "polars enums": pl.from_pandas(FRAME).with_columns(pl.col("city").cast(pl.Enum(CITIES))),
}


@EACH
@pytest.mark.parametrize("container", CONTAINERS)
def test_the_same_values_make_the_same_model_in_any_container(Estimator, container):
    ours = fitted(Estimator)
    theirs = fitted(Estimator, CONTAINERS[container])
    assert ours.categories_ == theirs.categories_
    assert_array_equal(answers(ours, FRAME), answers(theirs, FRAME))
    assert_array_equal(answers(ours, CONTAINERS[container]), answers(theirs, FRAME))


TABLES = {
    "table": pa.Table.from_pandas(FRAME),
    "batch": pa.RecordBatch.from_pandas(FRAME),
    "table of dictionaries": pa.Table.from_pandas(FRAME.astype({"city": "category"})),
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables_of_pyarrow_are_frames(kind):
    ours, theirs = fitted(DNNRegressor, TABLES[kind]), fitted(DNNRegressor)
    assert ours.categories_ == theirs.categories_
    assert ours.feature_names_in_.tolist() == theirs.feature_names_in_.tolist()
    assert_array_equal(ours.predict(TABLES[kind]), theirs.predict(FRAME))
    assert_array_equal(theirs.predict(TABLES[kind]), theirs.predict(FRAME))
    swapped = TABLES[kind].select(["city", "size", "visits", "open"])
    for model in (ours, theirs):
        with pytest.raises(ValueError, match="in the same order"):
            model.predict(swapped)


@pytest.mark.parametrize("scaling", [*SCALERS, None])
@pytest.mark.parametrize("method", ["predict", "score", "partial_fit", "warm start", "X_val"])
def test_a_sparse_matrix_has_no_gaps_where_fit_has_seen_some(method, scaling):
    X = np.where(rng.random((N, 3)) < 0.1, np.nan, rng.normal(size=(N, 3)))
    later = np.where(rng.random((N, 3)) < 0.5, 0.0, rng.normal(size=(N, 3)))
    params = {"scale_inputs": scaling, "precision": None, "weight_decay": 0.0}
    answers = []
    for rows in (later, csr_array(later)):
        ours = model(DNNRegressor, warm_start=method == "warm start", **params)
        if method == "X_val":
            answers.append(ours.fit(X, Y, X_val=rows, y_val=Y).validation_loss_curve_)
            continue
        ours.fit(X, Y)
        if method == "predict":
            answers.append(ours.predict(rows))
        elif method == "score":
            answers.append(ours.score(rows, Y))
        else:
            again = ours.fit if method == "warm start" else ours.partial_fit
            answers.append(again(rows, Y).predict(later))
    assert_allclose(answers[1], answers[0], rtol=1e-5, atol=1e-5)


WITHOUT_ROWS = {
    **{kind: frame.head(0) for kind, frame in CONTAINERS.items()},
    **{kind: table.slice(0, 0) for kind, table in TABLES.items()},
    "array of objects": as_array(FRAME)[:0],
    "numbers alone": FRAME[["size", "visits"]].head(0),
    "numbers alone, polars": pl.from_pandas(FRAME[["size", "visits"]]).head(0),
    "array of numbers": np.empty((0, 2)),
    "array of single precision": np.empty((0, 2), np.float32),
    "sparse": csr_array((0, 2)),
}


@pytest.mark.parametrize("method", ["predict", "score", "fit", "partial_fit"])
@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("kind", WITHOUT_ROWS)
def test_no_rows_are_refused_in_any_container(kind, named, method):
    X = WITHOUT_ROWS[kind]
    which, of_fit = ([1, 3], FRAME) if X.shape[1] == 4 else (None, FRAME[["size", "visits"]])
    params = {"categorical_features": which, "max_iter": 1}
    ours = fitted(DNNRegressor, of_fit if named else of_fit.to_numpy(), **params)
    with pytest.raises(ValueError, match=r"minimum of 1 is required|feature names"):
        getattr(ours, method)(X, *([] if method == "predict" else [np.empty(0)]))


@EACH
@pytest.mark.parametrize("which", [[1, 3], [False, True, False, True], np.array([3, 1]), [-3, -1]])
def test_an_array_has_the_categories_that_it_is_told_to_have(Estimator, which):
    ours = fitted(Estimator)
    theirs = fitted(Estimator, as_array(FRAME), categorical_features=which)
    assert ours.categories_ == theirs.categories_
    assert_array_equal(answers(ours, FRAME), answers(theirs, as_array(FRAME)))
    assert_array_equal(answers(ours, FRAME), answers(theirs, as_array(FRAME).tolist()))


@pytest.mark.parametrize("names", [["city", "open"], ["visits"], ["city", 3], []])
def test_the_columns_that_are_named_are_the_categories(names):
    frame = FRAME.assign(city=WHERE, open=OPEN * 1)
    numbers = {frame.columns.get_loc(name) if isinstance(name, str) else name for name in names}
    categories = fitted(DNNRegressor, frame, categorical_features=names).categories_
    assert {j for j, levels in enumerate(categories) if levels is not None} == numbers


def test_numbers_may_be_categories():
    X = np.c_[SIZE, WHERE]
    ours = fitted(DNNRegressor, X, categorical_features=[1])
    assert ours.categories_ == [None, [0.0, 1.0, 2.0, 3.0]]
    assert ours.input_names_[-4:] == ["x1=0.0", "x1=1.0", "x1=2.0", "x1=3.0"]
    assert not np.array_equal(ours.predict(X), fitted(DNNRegressor, X).predict(X))


LETTERS = np.array(["a", "b", "c", "d"])[WHERE]
CODES = np.where(WHERE == 0, np.nan, WHERE)


def beside(values):
    return pd.DataFrame({"size": SIZE, "code": values})


NUMBERS_WITH_NAN = {
    "NumPy": beside(CODES),
    "category": beside(pd.Categorical(CODES)),
    "objects": beside(pd.Series([None if w == 0 else float(w) for w in WHERE], dtype=object)),
    "nullable": beside(pd.array(CODES, "Float64")),
    "nullable with NaN": beside(pd.arrays.FloatingArray(CODES.copy(), np.zeros(N, bool))),
    "arrow": beside(pd.array(pa.array(CODES, from_pandas=True), pd.ArrowDtype(pa.float64()))),
    "arrow with NaN": beside(pd.arrays.ArrowExtensionArray(pa.array(CODES))),
    "polars": pl.DataFrame({"size": SIZE, "code": pl.Series(CODES, nan_to_null=True)}),
    "polars with NaN": pl.DataFrame({"size": SIZE, "code": CODES}),
    "array": np.c_[SIZE, CODES],
    "array of objects": np.c_[SIZE, CODES].astype(object),
    "decimals": beside([None if w == 0 else Decimal(int(w)) for w in WHERE]),
}


@pytest.mark.parametrize("container", NUMBERS_WITH_NAN)
@pytest.mark.parametrize("which", [[1], None])
def test_nan_is_missing_and_no_level_in_any_container(container, which):
    X, known = NUMBERS_WITH_NAN[container], NUMBERS_WITH_NAN["NumPy"]
    ours = fitted(DNNRegressor, X, categorical_features=which)
    assert ours.categories_ == [None, [1.0, 2.0, 3.0] if which else None]
    theirs = fitted(DNNRegressor, known, categorical_features=which)
    assert_array_equal(ours.predict(X), theirs.predict(known))


def test_any_number_of_rows_of_polars_has_the_same_levels():
    film = np.array([f"film {i:03}" for i in range(60)])[np.arange(3000) % 60]
    size, holes = np.linspace(0, 1, 3000), np.arange(3000) % 7 == 0
    frame = pd.DataFrame({"size": size, "film": pd.Series(film).mask(holes, None)})
    y = size + np.arange(3000) % 60
    ours = model(DNNRegressor).fit(frame, y)
    for kind in (pl.String, pl.Categorical, pl.Enum(sorted(set(film)))):
        polars = pl.from_pandas(frame).with_columns(pl.col("film").cast(kind))
        assert model(DNNRegressor).fit(polars, y).categories_ == ours.categories_
        assert_array_equal(ours.predict(polars), ours.predict(frame))
        assert_array_equal(ours.predict(polars[:9]), ours.predict(frame[:9]))


@pytest.mark.skipif(not hasattr(pl, "Int128"), reason="polars before 1.18 has none")
def test_integers_of_128_bits_are_numbers():
    frame = pl.DataFrame({"visits": VISITS}).with_columns(pl.col("visits").cast(pl.Int128))
    ours = fitted(DNNRegressor, frame)
    assert_array_equal(ours.predict(frame), ours.predict(pd.DataFrame({"visits": VISITS})))


TEXTS = {
    "text": LETTERS,
    "bytes": LETTERS.astype("S"),
    "objects": LETTERS.astype(object),
}


@EACH
@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("scaling", [*SCALERS, None])
def test_a_table_may_be_of_categories_alone(Estimator, kind, scaling):
    X = np.c_[TEXTS[kind], TEXTS[kind]]
    ours = fitted(Estimator, X, categorical_features=[0, 1], scale_inputs=scaling)
    assert ours.categories_ == [["a", "b", "c", "d"]] * 2
    frame = pd.DataFrame({"one": LETTERS, "two": LETTERS})
    assert_array_equal(
        answers(fitted(Estimator, frame, scale_inputs=scaling), frame), answers(ours, X)
    )


@EACH
@pytest.mark.parametrize("scaling", [*SCALERS, None])
@pytest.mark.parametrize("value", ["a", None])
def test_a_table_that_says_nothing_is_answered_by_a_constant(Estimator, scaling, value):
    ours = fitted(Estimator, pd.DataFrame({"code": [value] * N}), scale_inputs=scaling)
    assert ours.input_names_ == ["nothing"]
    said = answers(ours, pd.DataFrame({"code": ["a", "b", None]}))
    assert_array_equal(said, said[[0, 0, 0]])


@pytest.mark.parametrize("which", [(1,), np.array([1]), pd.Index([1]), {1}, [False, True]])
def test_lists_of_rows_have_the_categories_that_they_are_told_to_have(which):
    rows = [list(row) for row in zip(SIZE.tolist(), LETTERS.tolist(), strict=True)]
    assert fitted(DNNRegressor, rows, categorical_features=which).categories_[1] == list("abcd")


def test_intervals_are_categories():
    frame = FRAME.assign(size=pd.cut(FRAME["size"], [0, 1, 2, 100]))
    assert fitted(DNNRegressor, frame).categories_[0] == ["(0, 1]", "(1, 2]", "(2, 100]"]


def test_what_the_inputs_are_is_told_by_name():
    frame = FRAME.assign(size=FRAME["size"].where(VISITS > 0))
    names = fitted(DNNRegressor, frame, scale_inputs="standard").input_names_
    assert names == [
        "size", "visits", "size is missing",
        "city=Bern", "city=Graz", "city=Oslo", "city=Rome", "open=False", "open=True",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", [*SCALERS, None])
@EACH
def test_a_name_for_every_column_of_the_first_weights(Estimator, kind):
    ours = fitted(Estimator, FRAME.assign(film=MANY), scale_inputs=kind)
    assert len(ours.input_names_) == ours.weights_[0].shape[1]
    assert len(set(ours.input_names_)) == len(ours.input_names_)
    assert ours.n_features_in_ == 5


def test_categories_are_learnt():
    assert model(DNNRegressor, max_iter=60).fit(FRAME, Y).score(FRAME, Y) > 0.9
    numbers = FRAME[["size", "visits"]]
    assert model(DNNRegressor, max_iter=60).fit(numbers, Y).score(numbers, Y) < 0.6


# Missing values


def without(frame, share=0.2):
    holes = np.random.default_rng(1).random(frame.shape) < share
    return frame.astype(object).mask(holes, None)


@EACH
@pytest.mark.parametrize("kind", [*SCALERS, None])
def test_what_is_missing_is_learnt_whatever_stands_for_it(Estimator, kind):
    holes = without(FRAME)
    nullable = holes.astype(
        {"size": "Float64", "city": "string", "visits": "Int64", "open": "boolean"}
    )
    ours = fitted(Estimator, nullable, scale_inputs=kind)
    assert np.isfinite(answers(ours, nullable)).all()
    assert "size is missing" in ours.input_names_ and "city=missing" in ours.input_names_
    polars = pl.from_pandas(nullable)
    assert_array_equal(answers(ours, polars), answers(ours, nullable))
    floats = holes.astype({"size": float, "visits": float})
    assert_array_equal(answers(ours, floats), answers(ours, nullable))


@EACH
@pytest.mark.parametrize("kind", [*SCALERS, None])
def test_what_fit_never_saw_missing_may_be_missing(Estimator, kind):
    ours = fitted(Estimator, scale_inputs=kind)
    assert np.isfinite(answers(ours, without(FRAME, 1.0))).all()


@pytest.mark.parametrize("kind", SCALERS)
def test_a_missing_number_is_answered_as_the_center(kind):
    X = np.c_[SIZE, VISITS.astype(float)]
    ours = fitted(DNNRegressor, X, scale_inputs=kind)
    center = ours._model.inputs.center
    assert_allclose(ours.predict(np.full((1, 2), np.nan)), ours.predict(center[None]), rtol=1e-6)


@pytest.mark.parametrize("kind", [*SCALERS, None])
@pytest.mark.parametrize("useless", [np.nan, None, "constant", "one level"])
def test_a_column_that_says_nothing_changes_nothing(kind, useless):
    if useless == "constant" and kind != "piecewise":
        pytest.skip("a constant column is 0, as long as it stays what it was")
    column = 7.0 if useless == "constant" else useless
    ours = fitted(DNNRegressor, FRAME.assign(nothing=column), scale_inputs=kind)
    unlike = "another" if isinstance(column, str) else 5.0
    same, other = (ours.predict(FRAME.assign(nothing=value)) for value in (column, unlike))
    assert_array_equal(same, other)


ABSENT = {
    "objects": pd.Series([None] * N, dtype=object),
    "strings": pd.Series([None] * N, dtype="string"),
    "categories": pd.Categorical([None] * N),
    "NaN": np.full(N, np.nan),
}


@pytest.mark.parametrize("container", ["objects", "strings", "categories"])
def test_a_column_of_text_that_fit_saw_missing_throughout_may_hold_text(container):
    ours = fitted(DNNRegressor, FRAME.assign(note=ABSENT[container]))
    assert not any("note" in name for name in ours.input_names_)
    assert_array_equal(ours.predict(FRAME.assign(note="text")), ours.predict(FRAME.assign(note=5)))


@pytest.mark.parametrize("container", ABSENT)
def test_a_category_that_fit_has_seen_may_be_missing_throughout(container):
    ours = fitted(DNNRegressor, FRAME)
    missing = ours.predict(FRAME.assign(city=None))
    assert_array_equal(ours.predict(FRAME.assign(city=ABSENT[container])), missing)


@pytest.mark.parametrize("where", ["X", "X_val", "both"])
def test_rows_to_validate_on_that_lie_elsewhere_are_told_of_beside_gaps_too(where):
    frame, elsewhere = FRAME.copy(), FRAME.assign(visits=1e6 + VISITS)
    if where != "X_val":
        frame["visits"] = frame["visits"].where(VISITS > 2)
    if where != "X":
        elsewhere["visits"] = elsewhere["visits"].where(VISITS > 2)
    with pytest.warns(UserWarning, match=r"All rows of X_val lie .* in the columns \[2\]"):
        model(DNNRegressor).fit(frame, Y, X_val=elsewhere, y_val=Y)


def test_na_in_an_array_of_objects_is_missing():
    floats = np.c_[SIZE, VISITS]
    objects = floats.astype(object)
    floats[::3, 0] = np.nan
    objects[::3, 0], objects[::6, 0] = pd.NA, None
    ours = fitted(DNNRegressor, objects)
    assert_array_equal(ours.predict(objects), fitted(DNNRegressor, floats).predict(floats))


def test_a_weight_of_0_is_absence_for_levels_and_gaps_too():
    w = np.ones(N)
    w[:3] = 0.0
    frame = FRAME.copy()
    frame.loc[:2, "city"] = "Atlantis"
    frame.loc[:2, "size"] = np.nan
    ours = model(DNNRegressor).fit(frame, Y, sample_weight=w)
    assert ours.categories_[1] == sorted(CITIES)
    assert "size is missing" not in ours.input_names_


# Levels


def crossed(fitted, frame, w, Z):
    """Return the means of Z that rows are trained with."""
    inputs, X, folds = fitted._model.inputs, fitted._read_rows(frame), folds_of(w, len(frame))
    sums = [LevelSums.of(X[:, j], n, w, Z, Z[-1], folds) for j, n in inputs.told]
    return inputs.crossed(X, folds, inputs.tables(sums))


@EACH
@pytest.mark.parametrize("kind", [*SCALERS, None])
def test_rows_of_weight_0_change_nothing_of_the_coordinates(Estimator, kind):
    frame = FRAME.assign(film=MANY, size=FRAME["size"].where(VISITS > 0))
    strange = frame[:7].assign(size=1e9, city="Atlantis", film=None, visits=-9)
    rows = pd.concat([strange, frame], ignore_index=True)
    y = np.r_[TARGETS[Estimator][-7:], TARGETS[Estimator]]
    w = np.r_[np.zeros(7), np.random.default_rng(0).random(N)]
    ours = model(Estimator, scale_inputs=kind).fit(rows, y, sample_weight=w)
    theirs = model(Estimator, scale_inputs=kind).fit(frame, y[7:], sample_weight=w[7:])
    assert ours.categories_ == theirs.categories_
    assert ours.input_names_ == theirs.input_names_
    assert_allclose(
        ours._model.inputs(ours._read_rows(frame)), theirs._model.inputs(ours._read_rows(frame))
    )
    told = [
        crossed(one, X, of, Z)[-N:]
        for one, X, of, Z in (
            (ours, rows, w, np.arange(N + 7.0)[:, None]),
            (theirs, frame, w[7:], np.arange(7, N + 7.0)[:, None]),
        )
    ]
    assert_allclose(*told)


@EACH
def test_a_level_that_is_not_known_has_no_column(Estimator):
    ours = fitted(Estimator)
    unknown = FRAME.assign(city="Atlantis")
    assert_array_equal(ours._model.inputs(ours._read_rows(unknown))[:, -6:-2], 0.0)
    assert np.isfinite(answers(ours, unknown)).all()


@EACH
def test_many_levels_are_told_by_means_of_y(Estimator):
    frame = FRAME.assign(film=MANY)
    ours = fitted(Estimator, frame)
    m = ours.n_outputs_
    assert [name for name in ours.input_names_ if "film" in name] == [
        f"film: mean of output {k}" for k in range(m)
    ]
    means = ours._model.inputs.categories[2].means
    assert means.shape == (62, m)
    assert_allclose(means[-1], means[-2])  # nothing was missing: the mean of all rows


def test_rows_do_not_tell_themselves_by_their_means():
    noise = np.random.default_rng(0).normal(size=N)
    single = pd.DataFrame({"id": [f"id {i}" for i in range(N)], "size": SIZE})
    ours = model(DNNRegressor, max_iter=30).fit(single, noise)
    assert ours.score(single, noise) < 0.3


TYPED = FRAME.assign(city=pd.Categorical(FRAME.city, CITIES))


POLARS_TYPED = pl.from_pandas(FRAME).with_columns(pl.col("city").cast(pl.Enum(CITIES)))


@pytest.mark.parametrize("typed", [TYPED, POLARS_TYPED], ids=["pandas", "polars"])
def test_levels_beyond_the_first_call_of_partial_fit_are_those_of_the_type(typed):
    known = np.flatnonzero(FRAME.city != "Oslo")
    ours = model(DNNRegressor).partial_fit(_safe_indexing(typed, known), Y[known])
    assert ours.categories_[1] == sorted(CITIES)
    for _ in range(100):
        ours.partial_fit(typed, Y)
    assert ours.score(typed, Y) > 0.8


def test_levels_without_a_type_are_those_of_the_first_call_of_partial_fit():
    untyped = model(DNNRegressor).partial_fit(FRAME[FRAME.city != "Oslo"], Y[FRAME.city != "Oslo"])
    assert untyped.categories_[1] == ["Bern", "Graz", "Rome"]
    assert np.isfinite(untyped.partial_fit(FRAME, Y).predict(FRAME)).all()


# Numbers as real columns have them


def test_a_heavy_tail_is_kept():
    draw = np.random.default_rng(0)
    x = np.r_[draw.normal(size=5000), 30 * draw.normal(size=50)][:, None]
    ours = DNNRegressor(random_state=0, scale_inputs="piecewise").fit(x, x[:, 0])
    asked = np.array([1.0, 10.0, 30.0, 60.0])
    assert_allclose(ours.predict(asked[:, None]), asked, rtol=0.05)


def test_an_error_in_one_row_does_no_harm():
    draw = np.random.default_rng(0)
    X = draw.normal(size=(2000, 3))
    y = np.sin(2 * X[:, 0]) + X[:, 1] + 0.1 * draw.normal(size=2000)
    spoilt = X.copy()
    spoilt[7, 0] = 1e6
    with_it = DNNRegressor(random_state=0, scale_inputs="piecewise").fit(spoilt, y)
    without_it = DNNRegressor(random_state=0, scale_inputs="piecewise").fit(X[8:], y[8:])
    assert with_it.score(X[8:], y[8:]) > without_it.score(X[8:], y[8:]) - 0.02


def test_a_growing_series_goes_on():
    t = np.arange(1200.0)
    series = 300 + 0.1 * t + 3 * np.sin(t / 8)
    lags = np.stack([series[i : i - 6] for i in range(6)], axis=1)
    ours = DNNRegressor(random_state=0, scale_inputs="piecewise").fit(lags[:900], series[6:906])
    assert np.abs(ours.predict(lags[900:]) - series[906:]).max() < 6.0


SHAPES = {
    "a normal one": lambda draw: draw.normal(size=1000),
    "one that no value of is below 0": lambda draw: draw.lognormal(sigma=2.0, size=1000),
    "one with an error": lambda draw: np.r_[draw.normal(size=999), 1e9],
    "mostly 0": lambda draw: np.where(draw.random(1000) < 0.7, 0.0, draw.exponential(size=1000)),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_far_away_the_answer_does_not_explode(shape, side):
    x = SHAPES[shape](np.random.default_rng(0))
    y = np.argsort(np.argsort(x)) / len(x)
    ours = model(DNNRegressor, max_iter=40, scale_inputs="piecewise").fit(x[:, None], y)
    out = ours.predict(side * np.geomspace(1, 1e300, 100)[:, None])
    assert np.abs(out).max() < 20.0


@pytest.mark.parametrize("knots", [[0, 1, 2], [0, 1, 30], [0, 29, 30], [-1e9, 0, 1, 3, 1e12]])
def test_ramps_go_on_as_far_on_either_side(knots):
    x = np.linspace(-1e3, 1e3, 2001)[:, None] * max(1.0, abs(knots[0]))
    ours = Ramps([np.array(knots, float)]).positions(x)
    mirrored = Ramps([-np.array(knots[::-1], float)]).positions(-x)
    assert_allclose(ours, len(knots) - 1 - mirrored, atol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("frequent", [0.0, 1.0, 9.0])
def test_a_frequent_value_leaves_knots_to_the_others(frequent, weighted):
    others = np.random.default_rng(0).uniform(0.0, 3.0, 1000)
    if weighted:  # a row of weight 9,000 counts as so many
        x, w = np.append(others, frequent), np.append(np.ones(1000), 9000.0)
    else:
        x, w = np.append(others, np.full(9000, frequent)), None
    (knots,) = learn_ramps(x[:, None], w).knots
    assert frequent in knots
    among = knots[(knots > 0.0) & (knots < 3.0) & (knots != frequent)]
    assert len(among) >= 6
    shares = np.searchsorted(np.sort(others), among) / 1000
    assert np.diff(shares).max() < 0.31


@pytest.mark.parametrize("most", [300, 500, 700])
def test_a_column_of_every_magnitude_has_finite_positions(most):
    draw = np.random.default_rng(0)
    x = np.exp(draw.uniform(-most, most, (1000, 1))) * draw.choice([-1.0, 1.0], (1000, 1))
    ramps = learn_ramps(x, None)
    assert np.isfinite(ramps.positions(x)).all()
    assert (ramps.edges[-1] > 0).all()
    assert np.isfinite(DNNRegressor(random_state=0).fit(x, np.sign(x[:, 0])).predict(x)).all()


def test_far_away_the_answer_stays():
    x = np.random.default_rng(0).normal(size=(1000, 1))
    ours = DNNRegressor(random_state=0, scale_inputs="piecewise").fit(x, x[:, 0])
    out = ours.predict(np.geomspace(50, 1e300, 50)[:, None])
    assert np.abs(np.diff(out)).max() < 1e-2 * abs(out[0])
    assert out[0] > ours.predict([[3.0]])[0] > ours.predict([[2.0]])[0]


def test_ramps_follow_the_rows():
    X = np.random.default_rng(0).normal(size=(2000, 2))
    y = X[:, 0]
    widths = [
        model(DNNRegressor, scale_inputs="piecewise").fit(X[:n], y[:n]).weights_[0].shape[1]
        for n in (100, 200, 400, 2000)
    ]
    assert widths == [2, 2 + 2 * 3, 2 + 2 * 6, 2 + 2 * 8]


# The rest of the package


@EACH
def test_what_is_fitted_can_be_kept(Estimator):
    ours = fitted(Estimator, without(FRAME.assign(film=MANY)))
    copy = pickle.loads(pickle.dumps(ours))
    frame = without(FRAME.assign(film=MANY), 0.5)
    assert_array_equal(answers(ours, frame), answers(copy, frame))
    assert copy.categories_ == ours.categories_


@EACH
def test_several_networks_and_rows_to_validate_on(Estimator):
    y = TARGETS[Estimator]
    one = model(Estimator, n_estimators=2).fit(FRAME, y, X_val=FRAME[:50], y_val=y[:50])
    other = model(Estimator, n_estimators=2).fit(
        pl.from_pandas(FRAME), y, X_val=pl.from_pandas(FRAME[:50]), y_val=y[:50]
    )
    assert_array_equal(answers(one, FRAME), answers(other, FRAME))


def rome(model, X, y):
    return float(model.score(X, y) + 10 * (X["city"] == "Rome").mean())


@pytest.mark.parametrize("scoring", ["r2", rome])
def test_a_scorer_reads_the_rows_as_they_were_given(scoring):
    ours = model(DNNRegressor, scoring=scoring).fit(FRAME, Y, X_val=FRAME, y_val=Y)
    expected = rome(ours, FRAME, Y) if scoring is rome else ours.score(FRAME, Y)
    assert ours.best_validation_score_ == pytest.approx(expected, rel=1e-6)


@EACH
def test_a_warm_start_goes_on_with_the_same_levels(Estimator):
    y = TARGETS[Estimator]
    ours = model(Estimator, warm_start=True, early_stopping=False).fit(FRAME, y)
    ours.fit(FRAME.assign(city=FRAME.city.replace("Bern", "Basel")), y)
    assert ours.categories_[1] == sorted(CITIES)


def test_other_categorical_features_are_refused_by_a_warm_start():
    ours = fitted(DNNRegressor, warm_start=True)
    with pytest.raises(ValueError, match="categorical_features must stay as it was"):
        ours.set_params(categorical_features=["city"]).fit(FRAME, Y)


def test_a_pipeline_and_a_cross_validation_take_a_frame():
    assert cross_val_score(model(DNNRegressor), FRAME, Y, cv=2).shape == (2,)
    numbers = FRAME[["size", "visits"]]
    scaled = make_pipeline(StandardScaler().set_output(transform="pandas"), model(DNNRegressor))
    assert scaled.fit(numbers, Y).predict(numbers).shape == (N,)


def test_importances_and_partial_dependence_take_a_frame():
    ours = model(DNNRegressor, max_iter=40).fit(FRAME, Y)
    importance = permutation_importance(ours, FRAME, Y, n_repeats=2, random_state=0)
    assert importance.importances_mean.argmax() == 1
    found = partial_dependence(ours, FRAME, ["city"], categorical_features=["city"])
    order = found["grid_values"][0][np.argsort(found["average"][0])]
    assert order[0] == "Oslo" and order[-1] == "Rome"


@EACH
def test_the_gradients_of_a_table_are_right(Estimator):
    frame = without(FRAME.assign(film=MANY))
    ours = fitted(Estimator, frame, hidden_layer_sizes=(4,))
    assert check_gradients(ours, frame, TARGETS[Estimator]).max_relative_error < 1e-5


# A few rows


FEW = {
    **CONTAINERS,
    "integers for names": FRAME.set_axis(range(4), axis=1),
    "array of objects": as_array(FRAME),
    "array": np.c_[SIZE, WHERE],
    "single precision": FRAME.astype({"size": np.float32, "visits": np.float32}),
    "far out": FRAME.assign(size=1e30),
    "sparse": FRAME.astype({"size": pd.SparseDtype(float, 1.0)}),
    **{f"gaps of {kind}": frame for kind, frame in NUMBERS_WITH_NAN.items()},
}


def first(X, n=3):
    return X.head(n) if hasattr(X, "head") else X[:n]


@pytest.mark.parametrize("which", [[1], "from_dtype"])
@pytest.mark.parametrize("container", FEW)
def test_few_rows_are_read_as_many(container, which):
    X = FEW[container]
    which = [1] if isinstance(X, np.ndarray) else which
    ours = fitted(DNNRegressor, X, categorical_features=which)
    few, many = ours._read_rows(first(X)), read_inputs(ours, X)[:3]
    assert_array_equal(ours._model.inputs(few), ours._model.inputs(many))


@pytest.mark.parametrize("container", [*CONTAINERS, "array of objects"])
def test_few_rows_of_usual_values_are_read_at_a_glance(container):
    ours = fitted(DNNRegressor, FEW[container], categorical_features=[1, 3])
    names = ours._feature_names
    assert read_at_a_glance(first(FEW[container]), ours._model.inputs.columns, names) is not None


ODD = {
    "text": {"size": "large"},
    "a date": {"size": pd.Timestamp("2020-01-01")},
    "a complex number": {"size": 1j},
    "a list": {"size": [1.0]},
    "infinity": {"size": np.inf},
    "a number for text": {"city": 3},
    "a list for text": {"city": ["Rome"]},
    "another column": {"rooms": 3},
}


@pytest.mark.parametrize("odd", ODD)
def test_a_single_row_is_refused_as_many_are(odd):
    ours = fitted(DNNRegressor)
    rows = pd.DataFrame([{**FRAME.iloc[0].to_dict(), **ODD[odd]}])
    said = []
    for X in (rows, pd.concat([rows] * 20)):
        with pytest.raises(ValueError, match=r"X|feature names") as refused:
            ours.predict(X)
        said.append(refused)
    assert str(said[0].value) == str(said[1].value)


# What is refused


REFUSED = {
    "another order": (FRAME[["city", "size", "visits", "open"]], "must be in the same order"),
    "a column less": (FRAME[["size", "city"]], "Feature names seen at fit time, yet now missing"),
    "a column more": (FRAME.assign(z=1), "Feature names unseen at fit time"),
    "text in the place of numbers": (FRAME.assign(size="big"), r"X\['size'\] must hold numbers"),
    "dates": (FRAME.assign(size=pd.Timestamp(0)), r"X\['size'\] must hold numbers or categ"),
    "dates as categories": (FRAME.assign(city=pd.Timestamp(0)), r"X\['city'\] must hold numbers"),
    "lists": (FRAME.assign(size=[[1.0]] * N), r"X\['size'\] must hold numbers"),
    "lists as categories": (FRAME.assign(city=[["a"]] * N), r"X\['city'\] must hold one value"),
    "infinity": (FRAME.assign(size=np.inf), r"X contains infinity.*X\['size'\]"),
    "a sparse matrix": (csr_array(np.ones((2, 4))), "X must be dense"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_what_does_not_fit_is_refused_by_column(case):
    X, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        fitted(DNNRegressor).predict(X)


@pytest.mark.parametrize(
    ("of_fit", "later"),
    [(WHERE, WHERE.astype(str)), (WHERE.astype(str), WHERE), (OPEN, OPEN.astype(str))],
    ids=["numbers", "text", "booleans"],
)
@pytest.mark.parametrize("container", [pd.DataFrame, pl.DataFrame])
def test_levels_of_another_type_than_those_of_fit_are_refused(container, of_fit, later):
    frame, other = ({"size": SIZE, "code": values} for values in (of_fit, later))
    ours = fitted(DNNRegressor, container(frame), categorical_features=["code"])
    with pytest.raises(ValueError, match=r"X\['code'\] must hold categories of the type that fit"):
        ours.predict(container(other))


def test_a_column_of_two_types_is_refused_by_name():
    with pytest.raises(ValueError, match=r"X\['city'\] must hold .*; got int and str"):
        fitted(DNNRegressor, FRAME.assign(city=[1, "a"] * (N // 2)))


@pytest.mark.parametrize("which", [["nowhere"], [9], [True], [1.5], "all"])
def test_categorical_features_that_there_are_not_are_refused(which):
    with pytest.raises(ValueError, match="categorical_features"):
        fitted(DNNRegressor, categorical_features=which)


def test_columns_that_are_no_longer_categories_by_type_are_read_by_value():
    ours = fitted(DNNRegressor, FRAME.astype({"city": "category"}))
    assert_array_equal(ours.predict(FRAME), ours.predict(FRAME.astype({"city": object})))


FEW_AND_MANY = {
    "no dates": lambda k: pl.DataFrame({"a": pl.Series([None] * k, dtype=pl.Date), "c": ["u"] * k}),
    "no dates, pyarrow": lambda k: pd.DataFrame(
        {"a": pd.Series([None] * k, dtype="date32[pyarrow]"), "c": ["u"] * k}
    ),
    "dates out of range": lambda k: pl.DataFrame(
        {"a": pl.Series([5_000_000] * k, dtype=pl.Int32).cast(pl.Date), "c": ["u"] * k}
    ),
    "durations out of range": lambda k: pl.DataFrame(
        {"a": pl.Series([2**62] * k).cast(pl.Duration("ms")), "c": ["u"] * k}
    ),
    "NaN for text": lambda k: pl.DataFrame({"a": [1.0] * k, "c": [np.nan] * k}),
    "another type declared": lambda k: pd.DataFrame(
        {"a": [1.0] * k, "c": pd.Categorical(["u"] * k, ["u", 1])}
    ),
    "null text": lambda k: pl.DataFrame(
        {"a": [1.0] * k, "c": pl.Series([None] * k, dtype=pl.String)}
    ),
    "NA": lambda k: pd.DataFrame({"a": pd.array([None] * k, "Float64"), "c": ["u"] * k}),
}


@pytest.mark.parametrize("frame", FEW_AND_MANY.values(), ids=FEW_AND_MANY)
def test_few_rows_are_answered_or_refused_as_many_are(frame):
    df = pd.DataFrame({"a": np.linspace(0, 1, 200), "c": ["u", "v"] * 100})
    model = DNNRegressor(max_iter=2, random_state=0).fit(df, df["a"])

    def said(k):
        try:
            return round(float(model.predict(frame(k))[0]), 9)
        except ValueError as error:
            return str(error)

    many = said(17)
    assert said(1) == said(16) == many
    assert isinstance(many, float) or many.startswith("X['a'] must hold numbers or categories")


def test_a_level_that_is_declared_and_not_there_may_be_of_another_type():
    df = pd.DataFrame({"c": pd.Categorical(["u", "v"] * 50, ["u", "v", 1])})
    model = DNNRegressor(max_iter=2, random_state=0).fit(df, np.arange(100.0))
    assert model.categories_ == [["u", "v"]]
