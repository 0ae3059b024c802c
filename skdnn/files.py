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
import secrets
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
from sklearn.utils import gen_batches

from skdnn.columns import Column, from_arrow, is_arrow, is_frame
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
    """Columns of numbers and categories in a file, read by their rows as frames of pandas.

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

    def __getitem__(self, rows: Any) -> Any:
        """Return rows in memory, by a slice, their numbers or a mask, as a frame."""
        import pandas as pd  # type: ignore[import-untyped]

        rows, *others = rows if isinstance(rows, tuple) and rows else (rows,)
        if not isinstance(rows, slice):
            rows = np.asarray(rows) if np.size(rows) else np.empty(0, np.intp)
        is_fit = isinstance(rows, slice) or (rows.ndim <= 1 and rows.dtype.kind in "biu")
        if not is_fit or any(of is not ... for of in others):
            raise IndexError(
                "A table on a disk is indexed by its rows alone; [:] makes a frame of all, which"
                " has columns."
            )
        values = np.array(self.values[rows], ndmin=2)
        if not any(self._types):
            return pd.DataFrame(values, columns=self.names)
        columns = {}
        for name, x, of in zip(self.names, values.T, self._types, strict=True):
            if of is not None:
                x = np.where(np.isnan(x), -1, x).astype(np.intp)
                x = pd.Categorical.from_codes(x, dtype=of)
            columns[name] = x
        return pd.DataFrame(columns)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype)

    @cached_property
    def _types(self) -> list[Any]:
        """The types of the columns that hold categories; None for those of numbers."""
        import pandas as pd

        return [
            None if levels is None else pd.CategoricalDtype(pd.Index(levels))
            for levels in self.levels
        ]


class Labels:
    """Labels, as their numbers in a file, read by their rows."""

    def __init__(self, codes: NDArray[Any], labels: NDArray[Any], folder: Any) -> None:
        self.codes: Any = codes
        self.labels: Any = labels
        self.folder: Any = folder
        self.shape: Any = codes.shape
        self.dtype: Any = labels.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> NDArray[Any]:
        """Return rows, as an array in memory."""
        return self.labels[self.codes[rows]]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype)


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
        categories, as in `fit`; all else is numbers. Values may be missing; the first frame
        with a value in a column says what that holds.
    target : str
        The column that is y: numbers, or labels of any kind; none may be missing.
    sample_weight : str, optional
        The column of the weights.
    folder : path, optional
        Where the files are to stay; by default they go when nothing refers to them any more.
        Files that an earlier call has left there are replaced once all is written.

    Returns
    -------
    Stored
        ``X``, ``y`` and ``sample_weight``, in the types that all frames put together have: X
        is float32 if all its numbers are, and float64 otherwise; integers stay so in y.

    Raises
    ------
    TypeError
        If `frames` are no frames.
    ValueError
        If there are no rows, if a frame has other columns than the first, if a column of X
        holds neither numbers nor categories of one type, or if a target is missing or of another
        kind than those before it; it names the frame and the column.
    """
    if is_frame(frames) or is_arrow(frames):
        raise TypeError(
            f"frames must be an iterable of frames; of one {_kind(frames)} pass a list."
        )
    holder = None
    if folder is None:
        holder = _Folder()
        folder = holder.path
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    asked = {"target": target} | ({} if sample_weight is None else {"sample_weight": sample_weight})
    names: list[str] = []
    writers: list[_Writer] = []
    of_target = _Writer()
    files = [_Growing(path / f"{name}.dat") for name in ("X", "y", "sample_weight")]
    try:
        for i, frame in enumerate(frames):
            columns = _columns(frame, i)
            others = [name for name in columns if name not in asked.values()]
            names = names or others
            _check(columns, i, others, names, asked)
            writers = writers or [_Writer() for _ in names]
            parts = [write(columns[name]) for write, name in zip(writers, names, strict=True)]
            numbers = [p for p, of in zip(parts, writers, strict=True) if of.number is None]
            single = numbers and all(part.dtype == np.float32 for part in numbers)
            files[0].append(np.column_stack(parts).astype(np.float32 if single else np.float64))
            files[1].append(_targets(columns[target], of_target))
            if sample_weight is not None:
                files[2].append(columns[sample_weight].numbers().astype(np.float64))
        n = files[1].size
        if not n:
            raise ValueError("frames must have rows; there is none.")
        x, y, w = [file.finished() for file in files]
    finally:
        for file in files:
            file.clear_up()
    X = Table(x.reshape(n, len(names)), names, [writer.levels for writer in writers], holder)
    labels = of_target.levels
    return Stored(X, y if labels is None else Labels(y, np.array(labels), holder), w)


class _Growing:
    """An array in a file that more is appended to, in the widest type of all that was.

    Parameters
    ----------
    path : Path
        Where it is to be once it is finished.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.dtype: Any = None
        self.parts: list[Path] = [self._beside()]

    def _beside(self) -> Path:
        """Make an empty file that is to be this one, and nobody else's."""
        part = self.path.with_suffix(f".{secrets.token_hex(8)}.part")
        part.touch(exist_ok=False)
        return part

    def append(self, values: NDArray[Any]) -> None:
        """Write values behind those that are there."""
        if not values.size:
            return
        before = self.dtype
        self.dtype = np.result_type(values, *([before] if self.size else []))
        if before not in (None, self.dtype):
            narrow = np.memmap(self.parts[-1], before, "r")
            self.parts.append(self._beside())
            for part in gen_batches(len(narrow), BATCH):
                self._write(narrow[part])
        self._write(values)
        self.size += values.size

    def _write(self, values: NDArray[Any]) -> None:
        written = values.astype(self.dtype, copy=False)
        if values.dtype.kind in "iu" and not np.array_equal(written.astype(values.dtype), values):
            raise ValueError(
                f"{self.path.stem} must be integers throughout, or text, where they are beyond what"
                f" floats tell apart; one is {values.flat[np.argmax(np.abs(values))]}."
            )
        try:
            with open(self.parts[-1], "ab") as file:
                written.tofile(file)
        except OSError as error:  # in which NumPy says how much was written, and not where
            raise OSError(error.errno, str(error), str(self.path)) from error

    def finished(self) -> Any:
        """Return a map of the file, at its place; None of one that nothing was written to."""
        if not self.size:
            self.path.unlink(missing_ok=True)  # of an earlier call
            return None
        values = np.memmap(self.parts[-1], self.dtype, "r")
        os.replace(self.parts[-1], self.path)
        return values

    def clear_up(self) -> None:
        """Delete what has not become the file."""
        for part in self.parts:
            part.unlink(missing_ok=True)


class _Writer:
    """Makes numbers of a column of every frame, by numbers that it gives to levels as they come.

    What the column holds is open until a frame has a value there: of nothing but gaps pandas
    makes floats or objects and polars text, whatever comes later.
    """

    def __init__(self) -> None:
        self.number: dict[Any, float] | None = None
        self.is_settled = False

    def __call__(self, column: Column) -> Array:
        """Return the values of a column as floats, NaN where there is none."""
        if not self.is_settled:
            self.number = {} if column.holds_categories() else None
            self.is_settled = not column.missing().all()
        if self.number is None:
            if column.kind == "b":
                raise ValueError(f"{column.label} must hold numbers, as before it; got bool.")
            return column.numbers()
        for level in column.levels(None, declared=False):
            self.number.setdefault(level, float(len(self.number)))
        if len({isinstance(level, bool) for level in self.number}) > 1:
            raise ValueError(
                f"{column.label} must hold categories of one type; with those before it they are"
                " truth values and others."
            )
        if len(self.number) > MOST_LEVELS:
            raise ValueError(f"{column.label} must have at most {MOST_LEVELS} levels so far.")
        return column.codes(self.number)

    @property
    def levels(self) -> list[Any] | None:
        """The levels in the order of their numbers; None for a column of numbers."""
        return None if self.number is None else list(self.number)


def _targets(column: Column, write: _Writer) -> NDArray[Any]:
    """Return targets as integers, as floats, or as the numbers of their labels."""
    values = column.given.to_numpy()
    if not len(values):
        return values
    if values.dtype == object and all(type(value) is int for value in values):
        values = np.array(values.tolist())
        if values.dtype == object:
            raise ValueError(f"{column.label} must hold integers of 64 bits, or text.")
    if values.dtype.kind in "iu" and write.number is None:
        write.is_settled = True
        return values
    Y = write(column)
    if np.isnan(Y).any():
        raise ValueError(f"{column.label} must have no missing values, being the target.")
    return Y.astype(np.float64) if write.number is None else Y.astype(np.int32)


def parquet(path: str | os.PathLike[str], columns: list[str] | None = None) -> Iterator[Any]:
    """Yield what is in a Parquet file, or in a folder of them, some rows at a time.

    Folders named as Hive does, such as ``year=2020``, make a column of these values.

    Parameters
    ----------
    path : path
        Of the file or the folder.
    columns : list of str, optional
        Which columns to read; all by default.

    Yields
    ------
    pyarrow.RecordBatch
        At most 65,536 rows, in the types of the file that they are in.

    Raises
    ------
    ValueError
        If a file has not all the columns asked for; it names the file.
    """
    import pyarrow.dataset  # type: ignore[import-untyped]

    partitioning = "hive" if Path(path).is_dir() else None
    try:
        dataset = pyarrow.dataset.dataset(path, format="parquet", partitioning=partitioning)
    except pyarrow.ArrowTypeError:  # the files have these columns too, of another type
        dataset = pyarrow.dataset.dataset(path, format="parquet")
    for file in dataset.get_fragments():
        schema = file.physical_schema  # its own: the first file's would be put on all
        for name in pyarrow.dataset.get_partition_keys(file.partition_expression):
            if name not in schema.names:
                schema = schema.append(dataset.schema.field(name))
        absent = set(columns or ()) - set(schema.names)
        if absent:
            raise ValueError(f"columns must be in every file; {file.path} has no {sorted(absent)}.")
        yield from file.to_batches(
            schema, columns=columns, batch_size=BATCH, batch_readahead=1, fragment_readahead=1
        )


def _columns(frame: Any, i: int) -> dict[str, Column]:
    """Return the columns of frame i, of any library, by name."""
    if not is_arrow(frame) and not is_frame(frame):
        raise TypeError(
            f"frames must be of pandas, polars or pyarrow; what should be frame {i} is a"
            f" {_kind(frame)}."
        )
    frame = from_arrow(frame) if is_arrow(frame) else frame
    names = list(frame.columns)
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1}, key=str)
        raise ValueError(f"frames must have columns of distinct names; frame {i} has two {twice}.")
    return {name: Column(frame[name], f"frames[{i}][{name!r}]") for name in names}


def _check(
    columns: dict[str, Any], i: int, others: list[str], names: list[str], asked: dict[str, str]
) -> None:
    """Refuse a frame without the columns that are asked for, or with others than the first."""
    for parameter, name in asked.items():
        if name not in columns:
            raise ValueError(f"{parameter} must be a column of frame {i}; it has no {name!r}.")
    if others != names:
        raise ValueError(f"frames must have the columns {names}; frame {i} has {others}.")
    if not names:
        raise ValueError(f"frames must have columns beside the target; frame {i} has none.")


def _kind(given: Any) -> str:
    return f"{type(given).__module__.partition('.')[0]}.{type(given).__name__}"
