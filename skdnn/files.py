"""Frames that come one after the other, and Parquet files, as rows on a disk to fit.

What cannot be read from any row on is written once, as numbers, to a file that can; every
estimator takes the result. For :func:`parquet` install the extra ``files``.

Examples
--------
>>> import numpy as np
>>> import pandas as pd
>>> from skdnn import DNNRegressor
>>> from skdnn.files import store
>>> rng = np.random.default_rng(0)
>>> def frames():
...     for _ in range(5):
...         a, b = rng.normal(size=(2, 200))
...         yield pd.DataFrame({"a": a, "b": b, "sum": a + b})
>>> rows = store(frames(), target="sum")
>>> rows.X.shape
(1000, 2)
>>> DNNRegressor(random_state=0).fit(rows.X, rows.y).score(rows.X, rows.y) > 0.9
True
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skdnn.columns import Column
from skdnn.core.activations import Array

__all__ = ["Stored", "Table", "parquet", "store"]

BATCH = 1 << 16  # rows of a Parquet file to read at once
MOST_LEVELS = 1 << 24  # whose numbers float32 holds


class _Folder:
    """A folder that goes with the last reference to it."""

    def __init__(self) -> None:
        self.path: str = tempfile.mkdtemp(prefix="skdnn-")
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


class Table:
    """Columns of numbers and categories in a file, read by slices of rows.

    Parameters
    ----------
    values : ndarray of shape (n_samples, n_features)
        A map of the file: numbers, and for a category the number of its level, NaN for none.
    names : list of str
        The columns' names.
    levels : list of (list or None)
        For every column its levels in the order of their numbers; None for a column of numbers.
    folder : object
        Keeps the file for as long as it is held.
    """

    def __init__(
        self,
        values: NDArray[Any],
        names: list[str],
        levels: list[list[Any] | None],
        folder: Any,
    ) -> None:
        self.values: Any = values
        self.folder: Any = folder
        self.names: NDArray[Any] = np.array(names, object)
        self.levels: list[list[Any] | None] = levels
        self.shape: Any = values.shape
        self.dtype: Any = values.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """Return rows, as an array in memory: for categories the numbers of their levels."""
        return np.array(self.values[rows])

    def frame(self, rows: slice) -> Any:
        """Return rows, as a frame of pandas that has the columns' names."""
        return self.framed(self[rows])

    def framed(self, values: NDArray[Any]) -> Any:
        """Return an array of rows as such a frame."""
        import pandas as pd  # type: ignore[import-untyped]

        if not any(self._types):
            return pd.DataFrame(values, columns=self.names)
        columns = {}
        for name, x, of in zip(self.names, values.T, self._types, strict=True):
            if of is not None:
                x = np.where(np.isnan(x), -1, x).astype(np.intp)
                x = pd.Categorical.from_codes(x, dtype=of)
            columns[name] = x
        return pd.DataFrame(columns)

    @cached_property
    def _types(self) -> list[Any]:
        """The types of the columns that hold categories; None for those of numbers."""
        import pandas as pd

        return [
            None if levels is None else pd.CategoricalDtype(pd.Index(levels))
            for levels in self.levels
        ]


class Labels:
    """Labels, as their numbers in a file, read by slices of rows."""

    def __init__(self, codes: NDArray[Any], labels: NDArray[Any], folder: Any) -> None:
        self.codes: Any = codes
        self.labels: Any = labels
        self.folder: Any = folder
        self.shape: Any = codes.shape
        self.dtype: Any = labels.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """Return rows, as an array in memory."""
        return self.labels[self.codes[rows]]


@dataclass(frozen=True)
class Stored:
    """Rows on a disk, to be given to an estimator.

    Attributes
    ----------
    X : Table
        All columns but the other two.
    y : array-like of shape (n_samples,)
        The target: a map of numbers, or labels.
    sample_weight : ndarray of shape (n_samples,) or None
        A map of the weights.
    """

    X: Table
    y: Any
    sample_weight: Any = None


def store(
    frames: Iterable[Any],
    target: str,
    sample_weight: str | None = None,
    folder: str | os.PathLike[str] | None = None,
) -> Stored:
    """Write frames to a file, one after the other, as rows that can be fitted.

    Parameters
    ----------
    frames : iterable of DataFrame, or of tables or record batches of pyarrow
        Of pandas, polars or pyarrow, with the same columns. It is gone through once, and one
        frame is held at a time. Strings, truth values and what has a type of categories are
        categories, as in `fit`; all else is numbers. Values may be missing.
    target : str
        The column that is y: numbers, or labels of any kind.
    sample_weight : str, optional
        The column of the weights.
    folder : path, optional
        Where the files are to stay; by default they go when nothing refers to them any more.

    Returns
    -------
    Stored
        ``X``, ``y`` and ``sample_weight``. X is float32 if all columns of numbers in the first
        frame are, to which later frames are rounded, and float64 otherwise.

    Raises
    ------
    ValueError
        If there are no rows, if a frame has other columns than the first, or if a column of X
        holds neither numbers nor categories of one type; it names the frame and the column.
    """
    holder = None
    if folder is None:
        holder = _Folder()
        folder = holder.path
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    names: list[str] = []
    writers: list[_Writer] = []
    dtype: Any = None
    codes: dict[Any, int] = {}
    n, numeric = 0, True
    paths = [path / f"{name}.dat" for name in ("X", "y", "sample_weight")]
    with open(paths[0], "wb") as x, open(paths[1], "wb") as of_y, open(paths[2], "wb") as of_w:
        for i, frame in enumerate(frames):
            columns = _columns(frame)
            others = [name for name in columns if name not in (target, sample_weight)]
            names = names or others
            _check(columns, i, others, names, target, sample_weight)
            of_x = [Column(columns[name], f"column {name!r} of frame {i}") for name in names]
            writers = writers or [_Writer(column.holds_categories()) for column in of_x]
            parts = [write(column) for write, column in zip(writers, of_x, strict=True)]
            y = columns[target].to_numpy()
            if dtype is None:
                numbers = [p for p, of in zip(parts, writers, strict=True) if of.number is None]
                single = bool(numbers) and all(part.dtype == np.float32 for part in numbers)
                dtype = np.dtype(np.float32 if single else np.float64)
                numeric = y.dtype.kind in "biuf"
            np.column_stack(parts).astype(dtype, copy=False).tofile(x)
            if not numeric:
                y = np.array([codes.setdefault(label, len(codes)) for label in y], np.int32)
            y.astype(np.float64 if numeric else np.int32, copy=False).tofile(of_y)
            if sample_weight is not None:
                columns[sample_weight].to_numpy().astype(np.float64).tofile(of_w)
            n += len(y)
    if not n:
        raise ValueError("frames must have rows; there is none.")
    values = np.memmap(paths[0], dtype, "r", shape=(n, len(names)))
    X = Table(values, names, [writer.levels for writer in writers], holder)
    y = np.memmap(paths[1], np.float64 if numeric else np.int32, "r", shape=(n,))
    w = None
    if sample_weight is not None:
        w = np.memmap(paths[2], np.float64, "r", shape=(n,))
    return Stored(X, y if numeric else Labels(y, np.array(list(codes)), holder), w)


class _Writer:
    """Makes numbers of a column of every frame, by numbers that it gives to levels as they come.

    Parameters
    ----------
    categorical : bool
        Whether the column holds categories.
    """

    def __init__(self, categorical: bool) -> None:
        self.number: dict[Any, float] | None = {} if categorical else None

    def __call__(self, column: Column) -> Array:
        """Return the values of a column as floats, NaN where there is none."""
        if self.number is None:
            return column.numbers()
        for level in column.levels(None, declared=False):
            self.number.setdefault(level, float(len(self.number)))
        if len(self.number) > MOST_LEVELS:
            raise ValueError(f"{column.label} must have at most {MOST_LEVELS} levels so far.")
        return column.codes(self.number)

    @property
    def levels(self) -> list[Any] | None:
        """The levels in the order of their numbers; None for a column of numbers."""
        return None if self.number is None else list(self.number)


def parquet(path: str | os.PathLike[str], columns: list[str] | None = None) -> Iterator[Any]:
    """Yield what is in a Parquet file, or in a folder of them, some rows at a time.

    Parameters
    ----------
    path : path
        Of the file or the folder.
    columns : list of str, optional
        Which columns to read; all by default.

    Yields
    ------
    pyarrow.RecordBatch
        At most 65,536 rows.
    """
    import pyarrow.dataset  # type: ignore[import-untyped]

    dataset = pyarrow.dataset.dataset(path, format="parquet")
    yield from dataset.to_batches(
        columns=columns, batch_size=BATCH, batch_readahead=1, fragment_readahead=1
    )


def _columns(frame: Any) -> dict[str, Any]:
    """Return the columns of a frame of any library, by name, as series of pandas or polars."""
    if hasattr(frame, "column_names"):  # of pyarrow
        return {name: frame.column(name).to_pandas() for name in frame.schema.names}
    return {name: frame[name] for name in frame.columns}


def _check(
    columns: dict[str, Any],
    i: int,
    others: list[str],
    names: list[str],
    target: str,
    sample_weight: str | None,
) -> None:
    """Refuse a frame without the columns that are asked for, or with others than the first."""
    for parameter, name in (("target", target), ("sample_weight", sample_weight)):
        if name is not None and name not in columns:
            raise ValueError(f"{parameter} must be a column of frame {i}; it has no {name!r}.")
    if others != names:
        raise ValueError(f"frames must have the columns {names}; frame {i} has {others}.")
