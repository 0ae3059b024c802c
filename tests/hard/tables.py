"""Random tables, and the containers that one table may come in."""

import tempfile
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from scipy.sparse import coo_array, csc_array, csc_matrix, csr_array, csr_matrix

NAMES = "abcdefgh"


class Draw:
    """Random decisions, of one seed."""

    def __init__(self, *seed):
        self.rng = np.random.default_rng(seed)

    def chance(self, p):
        return self.rng.random() < p

    def one(self, options):
        options = list(options)
        return options[self.rng.integers(len(options))]

    def between(self, low, high):
        return int(self.rng.integers(low, high + 1))


@dataclass
class Table:
    """Columns by name: arrays of floats with NaN, or of objects with None."""

    columns: dict[str, np.ndarray]
    dtype: Any = np.float64
    categories: list[str] = field(default_factory=list)

    def __len__(self):
        return len(next(iter(self.columns.values())))

    @property
    def is_complete(self):
        """Whether there are only numbers, and none is missing."""
        return not self.categories and not any(np.isnan(x).any() for x in self.columns.values())

    def numbers(self):
        """Return the rows of a table of numbers as an array."""
        return np.column_stack(list(self.columns.values())).astype(self.dtype)

    def objects(self):
        """Return the rows as an array of objects."""
        rows = np.empty((len(self), len(self.columns)), object)
        for j, column in enumerate(self.columns.values()):
            rows[:, j] = column
        return rows

    def frame(self):
        """Return the rows as a frame of pandas."""
        return pd.DataFrame(
            {name: pd.Series(x, dtype=self.dtype_of(name)) for name, x in self.columns.items()}
        )

    def dtype_of(self, name):
        return object if name in self.categories else self.dtype

    def plain(self):
        """Return the rows in the form that all others are compared with."""
        return self.frame() if self.categories else self.numbers()

    def take(self, rows, columns=None):
        """Return some of the rows, in the given order, and maybe columns."""
        names = list(self.columns) if columns is None else [list(self.columns)[j] for j in columns]
        return Table({n: self.columns[n][rows] for n in names}, self.dtype, self.categories)


def draw_table(draw, n, d=None, categories=True, missing=True, dtype=None):
    """Return a table of n rows and at most six columns."""
    d = draw.between(1, 6) if d is None else d
    dtype = draw.one([np.float64] * 3 + [np.float32]) if dtype is None else dtype
    columns, of = {}, []
    for name in NAMES[:d]:
        if categories and draw.chance(0.4):
            columns[name] = draw_category(draw, n, missing)
            of.append(name)
        else:
            columns[name] = draw_numbers(draw, n, missing).astype(dtype)
    return Table(columns, dtype, of)


def draw_numbers(draw, n, missing):
    rng, kind = draw.rng, draw.one(["normal", "normal", "skew", "few", "zeros", "constant", "far"])
    if kind == "skew":
        x = rng.lognormal(size=n, sigma=2.0)
    elif kind == "few":
        x = rng.integers(-1, 3, n) * 1.0
    elif kind == "zeros":
        x = rng.normal(size=n) * (rng.random(n) < 0.3)
    elif kind == "constant":
        x = np.full(n, float(draw.one([0.0, 1.0, -3.5])))
    else:
        x = rng.normal(size=n) + (1000.0 if kind == "far" else 0.0)
    if missing and draw.chance(0.4):
        x[rng.random(n) < draw.one([0.1, 0.5, 1.0])] = np.nan
    return x


def draw_category(draw, n, missing):
    rng = draw.rng
    n_levels = draw.one([1, 2, 3, 8, 40])
    levels = draw.one(
        [
            [f"level {i}" for i in range(n_levels)],
            ["", " ", "nan", "None", "é", "日本", "a\nb", "0"][:n_levels],
            [False, True][:n_levels],
        ]
    )
    x = np.empty(n, object)
    x[:] = [levels[i] for i in rng.integers(0, len(levels), n)]
    if missing and draw.chance(0.4):
        x[rng.random(n) < draw.one([0.1, 0.5])] = None
    return x


# Containers


def strided(X):
    wide = np.full((2 * len(X), X.shape[1] + 1), np.nan, X.dtype)
    wide[::2, 1:] = X
    return wide[::2, 1:]


def read_only(X):
    X = X.copy()
    X.setflags(write=False)
    return X


def mapped(X):
    with tempfile.TemporaryFile() as file:
        kept = np.memmap(file, X.dtype, "w+", shape=X.shape)
    kept[:] = X
    return kept


def doubled(X):
    """Return a CSR matrix in which every entry stands twice, halved, and out of order."""
    rows = csr_array(X)
    data, indices = np.repeat(rows.data / 2, 2), np.repeat(rows.indices, 2)
    for start, stop in zip(2 * rows.indptr[:-1], 2 * rows.indptr[1:], strict=True):
        data[start:stop] = data[start:stop][::-1].copy()
        indices[start:stop] = indices[start:stop][::-1].copy()
    return csr_array((data, indices.astype(np.int64), 2 * rows.indptr.astype(np.int64)), X.shape)


def with_zeros(X):
    """Return a CSC matrix that holds every zero."""
    n, d = X.shape
    indices, indptr = np.tile(np.arange(n), d), n * np.arange(d + 1)
    return csc_array((X.T.ravel(), indices, indptr), X.shape)


# Of arrays of numbers; the first are bitwise the same, sparse ones but for rounding.
DENSE = {
    "ndarray": np.array,
    "by columns": np.asfortranarray,
    "strided": strided,
    "backwards": lambda X: X[::-1].copy()[::-1],
    "read-only": read_only,
    "memmap": mapped,
    "big-endian": lambda X: X.astype(X.dtype.newbyteorder(">")),
}
OF_DOUBLES = {
    "list": lambda X: X.tolist(),
    "tuple of rows": lambda X: tuple(map(tuple, X.tolist())),
    "objects": lambda X: X.astype(object),
}
SPARSE = {
    "csr": csr_array,
    "csc": csc_matrix,
    "coo": coo_array,
    "csr matrix": csr_matrix,
    "doubled": doubled,
    "with zeros": with_zeros,
    "lil": lambda X: csr_array(X).tolil(),
}


def of_numbers(x):
    """Return the numbers of a column of floats as Python's, with None for NaN."""
    return [None if np.isnan(value) else float(value) for value in x]


def pandas_numbers(kind):
    """Return what makes a frame whose columns of numbers are of a nullable type."""

    def make(table):
        of = "Float32" if table.dtype == np.float32 else "Float64"
        arrow = "float[pyarrow]" if of == "Float32" else "double[pyarrow]"
        frame = table.frame()
        for name, x in table.columns.items():
            if name in table.categories:
                continue
            values = pd.array(of_numbers(x), dtype=of)
            frame[name] = values if kind == "nullable" else pd.array(values, dtype=arrow)
        return frame

    return make


def pandas_categories(make_column):
    """Return what makes a frame whose categories are what `make_column` makes of them."""

    def make(table):
        frame = table.frame()
        for name in table.categories:
            frame[name] = make_column(table.columns[name])
        return frame

    return make


def as_category(x):
    return pd.Series(x).astype("category")


def as_shuffled_category(x):
    levels = sorted({value for value in x if value is not None}, reverse=True)
    more = [] if isinstance(levels[0], bool) else ["never seen"]
    return pd.Categorical(x, more + levels[1:] + levels[:1])


def as_strings(x):
    return pd.array(x, dtype="boolean" if is_boolean(x) else "string")


def as_arrow(x):
    return pd.array(x, dtype="bool[pyarrow]" if is_boolean(x) else "string[pyarrow]")


def as_nan(x):
    return np.array([np.nan if value is None else value for value in x], object)


def as_na(x):
    return np.array([pd.NA if value is None else value for value in x], object)


def is_boolean(x):
    return all(value is None or isinstance(value, bool) for value in x)


def polars_frame(text):
    """Return what makes a frame of polars whose text has a given type."""

    def make(table):
        series = []
        for name, x in table.columns.items():
            if name not in table.categories:
                dtype = pl.Float32 if table.dtype == np.float32 else pl.Float64
                series.append(pl.Series(name, of_numbers(x), dtype))
            elif is_boolean(x):
                series.append(pl.Series(name, x.tolist(), pl.Boolean))
            else:
                found = sorted({value for value in x if value is not None}, reverse=True)
                of = pl.Enum(found) if text == "enum" else text
                series.append(pl.Series(name, x.tolist(), pl.String).cast(of))
        return pl.DataFrame(series)

    return make


FRAMES = {
    "frame": Table.frame,
    "nullable frame": pandas_numbers("nullable"),
    "arrow numbers": pandas_numbers("arrow"),
    "polars": polars_frame(pl.String),
}
OF_CATEGORIES = {
    "category": pandas_categories(as_category),
    "shuffled category": pandas_categories(as_shuffled_category),
    "strings": pandas_categories(as_strings),
    "arrow": pandas_categories(as_arrow),
    "NaN among objects": pandas_categories(as_nan),
    "NA among objects": pandas_categories(as_na),
    "polars categorical": polars_frame(pl.Categorical),
    "polars enum": polars_frame("enum"),
}


def draw_container(draw, table, sparse=True):
    """Return the rows in a container, its name, and whether it is a sparse one."""
    if table.categories:
        kinds = {**FRAMES, **OF_CATEGORIES}
        if draw.chance(0.15) and table.dtype == np.float64:
            return table.objects(), "objects", False
    elif sparse and table.is_complete and draw.chance(0.4):
        name = draw.one(SPARSE)
        return SPARSE[name](table.numbers()), name, True
    elif draw.chance(0.5):
        arrays = {**DENSE, **(OF_DOUBLES if table.dtype == np.float64 else {})}
        name = draw.one(arrays)
        return arrays[name](table.numbers()), name, False
    else:
        kinds = FRAMES
    name = draw.one(kinds)
    return kinds[name](table), name, False


def draw_array(draw, X, sparse=True):
    """Return an array in a container, its name, and whether it is a sparse one."""
    kinds = {**DENSE, **(SPARSE if sparse else {}), "frame": pd.DataFrame, "polars": pl.from_numpy}
    name = draw.one(kinds)
    return kinds[name](X), name, name in SPARSE
