"""The columns of X: which hold numbers and which categories, read into one array.

A table's categories become the numbers of their levels, in ascending order of the values,
whatever container held them; what is missing is NaN and a level that is not known -1. All
behind this is arrays of float.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from numbers import Integral, Number, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from skdnn.core.activations import Array

UNKNOWN = -1.0  # the number of a level that fit has not seen
DATES = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64)
DATE_NAMES = ("Timestamp", "Timedelta", "Period")  # those of pandas
ENCODE_DATES = (
    "Make numbers of dates first: skrub's DatetimeEncoder does, and so does the difference from a"
    " date divided by a unit such as numpy.timedelta64(1, 'D')"
)
# NumPy's letter for types of polars that hold no numbers and no times.
POLARS = {"Boolean": "b", "Categorical": "U", "Enum": "L", "Null": "O", "String": "U"}
FEW = 1000  # rows up to which polars takes longer than a dictionary
Level = str | bool | int | float
NUMBERS = (float, int, bool)
USUAL = (*NUMBERS, str)
LARGE = 1e18  # beyond, it matters whether a number is of single or of double precision


@dataclass(frozen=True, eq=False, repr=False)
class Columns:
    """Which columns hold categories, and the levels of each."""

    levels: list[list[Level] | None]  # of every column, sorted by value; None for numbers

    @property
    def n(self) -> int:
        """The number of columns."""
        return len(self.levels)

    @cached_property
    def categorical(self) -> list[int]:
        """The numbers of the columns that hold categories."""
        return [j for j, levels in enumerate(self.levels) if levels is not None]

    @cached_property
    def numeric(self) -> list[int]:
        """The numbers of the columns that hold numbers."""
        return [j for j, levels in enumerate(self.levels) if levels is None]

    @cached_property
    def _number(self) -> list[dict[Level, float] | None]:
        """For every column the number of each level; None for a column of numbers."""
        return [
            None if levels is None else {level: float(i) for i, level in enumerate(levels)}
            for levels in self.levels
        ]

    def reads(self, X: Any) -> bool:
        """Whether X is an array, or a frame of NumPy's numbers, without categories."""
        return not self.categorical and not (is_frame(X) and _has_objects(X))

    def read(self, X: Any, name: str) -> Array:
        """Return X, by the name that the user calls it, as an array: levels by their numbers."""
        parts = [
            column.numbers() if number is None else column.codes(number)
            for column, number in zip(_columns(X, name), self._number, strict=True)
        ]
        single = [
            part.dtype == np.float32
            for part, of in zip(parts, self.levels, strict=True)
            if of is None
        ]
        dtype = np.float32 if single and all(single) else np.float64
        return np.stack(parts, axis=1, dtype=dtype, casting="unsafe")

    def read_few(self, X: Any) -> Array | None:
        """Return what `read` does, in float64, value by value; None if only `read` can tell.

        Of one row of ten columns in a quarter of the time that the columns take one by one.
        """
        try:
            if hasattr(X, "rows"):  # of polars, 1.0 of which panics at a date out of range
                if any(dtype.is_temporal() for dtype in X.dtypes):
                    return None
                rows = X.rows()
            else:
                rows = (X if isinstance(X, np.ndarray) else X.to_numpy(object)).tolist()
            return np.array(
                [[_read_one(*pair) for pair in zip(row, self._number, strict=True)] for row in rows]
            )
        except (KeyError, OverflowError, ValueError):  # the last two of dates of pandas
            return None


def learn_columns(
    X: Any, name: str, categorical: Any, w: Array | None = None, declared: bool = False
) -> Columns:
    """Learn which columns hold categories, as `categorical_features` says, and their levels.

    A level whose rows all have weight 0 is none; if `declared`, the levels are those that a
    categorical dtype declares, seen or not.
    """
    n, frame, chosen = X.shape[1], is_frame(X), _chosen(X, name, categorical)
    if issparse(X) or (not frame and not any(chosen)):
        if any(chosen):
            raise ValueError(
                f"categorical_features must be columns of a dense {name}; a sparse one holds"
                " numbers alone."
            )
        return Columns([None] * n)
    by_dtype = frame and isinstance(categorical, str)
    if by_dtype and not _has_objects(X):
        return Columns([None] * n)
    counted = None if w is None or np.all(w) else w > 0
    return Columns(
        [
            column.levels(counted, declared)
            if (column.holds_categories() if by_dtype else is_chosen)
            else None
            for column, is_chosen in zip(_columns(X, name), chosen, strict=True)
        ],
    )


def check_same_columns(X: Any, name: str, categorical: Any, columns: Columns) -> None:
    """Refuse other categorical columns than those of the fit that this one goes on from."""
    if categorical is None:
        now = []
    elif isinstance(categorical, str):
        return
    else:
        now = [j for j, chosen in enumerate(_chosen(X, name, categorical)) if chosen]
    if now != columns.categorical:
        raise ValueError(
            "categorical_features must stay as it was for a fit that goes on from an earlier one"
            f" (warm_start or partial_fit): the columns were {columns.categorical}, and are now"
            f" {now}."
        )


def with_nan(X: NDArray[Any]) -> NDArray[Any]:
    """Return an array of objects with NaN for what stands for a missing value."""
    missing = np.reshape([is_missing(value) for value in X.flat], X.shape)
    return np.where(missing, np.nan, X)


def is_frame(X: Any) -> bool:
    """Whether X is a frame of pandas or polars."""
    of = type(X)  # a lazy frame would work out its columns to answer
    return hasattr(of, "columns") and hasattr(of, "dtypes") and not hasattr(of, "collect")


def is_arrow(X: Any) -> bool:
    """Whether X is a table of pyarrow, or a batch of its rows."""
    return type(X).__module__.partition(".")[0] == "pyarrow" and hasattr(X, "schema")


def from_arrow(X: Any) -> Any:
    """Return the frame of a table of pyarrow; what pandas had for an index is a column if named."""
    frame = X.to_pandas(ignore_metadata=True)
    return frame.loc[:, ~frame.columns.str.fullmatch(r"__index_level_\d+__")]


def _has_objects(X: Any) -> bool:
    """Whether some column of a frame is not of NumPy's numbers, nor sparse."""
    return not all(
        (isinstance(dtype, np.dtype) or hasattr(dtype, "fill_value"))
        and getattr(dtype, "kind", "O") in "iuf"
        for dtype in X.dtypes
    )


def _chosen(X: Any, name: str, categorical: Any) -> list[bool]:
    """Return for every column whether the user lists it among the categorical ones."""
    n = X.shape[1]
    if categorical is None or isinstance(categorical, str):
        return [False] * n
    given = list(categorical)
    if given and all(isinstance(one, bool | np.bool_) for one in given):
        if len(given) != n:
            raise ValueError(
                f"categorical_features must have one entry for each of the {n} columns of {name},"
                f" if it is a mask; it has {len(given)}."
            )
        return [bool(one) for one in given]
    names = [str(one) for one in X.columns] if is_frame(X) else []
    numbers = []
    for one in given:
        if isinstance(one, Integral) and -n <= one < n:
            numbers.append(int(one) % n)
        elif isinstance(one, str) and names.count(one) == 1:
            numbers.append(names.index(one))
        else:
            what = "names of columns, or " if is_frame(X) else ""
            raise ValueError(
                f"categorical_features must be {what}numbers of columns from 0 to {n - 1}, or a"
                f" mask; {name} has no one column {one!r}."
            )
    return [j in numbers for j in range(n)]


def _columns(X: Any, name: str) -> Iterator[Column]:
    """Return the columns of a frame or an array."""
    if not is_frame(X):
        return (Column(X[:, j], f"{name}[:, {j}]") for j in range(X.shape[1]))
    pairs = X.items() if hasattr(X, "items") else ((s.name, s) for s in X.get_columns())
    return (Column(series, f"{name}[{label!r}]") for label, series in pairs)


class Column:
    """A column of a frame or an array, and what a message calls it."""

    def __init__(self, given: Any, label: str) -> None:
        self.given: Any = given
        self.label: str = label

    @property
    def kind(self) -> str:
        """NumPy's letter for the kind of its values, "O" for any objects, "L" for levels."""
        dtype = self.given.dtype
        name = type(dtype).__name__
        if not hasattr(dtype, "is_numeric"):
            kind = "U" if name == "StringDtype" else dtype.kind
            return "L" if hasattr(self.given, "cat") else kind
        if dtype.is_numeric() or dtype.is_temporal():  # of polars, from here on
            return "f" if dtype.is_numeric() else "M"
        return POLARS.get(name, "O")

    def missing(self) -> NDArray[np.bool_]:
        """Return where there is no value."""
        if hasattr(self.given, "is_null"):
            return self.given.is_null().to_numpy()
        if hasattr(self.given, "isna"):
            return self.given.isna().to_numpy()
        if self.given.dtype.kind != "O":
            return (
                np.isnan(self.given) if self.given.dtype.kind == "f" else self.given != self.given
            )
        return np.array([is_missing(value) for value in self.given], bool)

    def values(self) -> list[Any]:
        """Return its values as Python's, None where there is none."""
        listed = self.given.tolist() if isinstance(self.given, np.ndarray) else self.given.to_list()
        for i in np.flatnonzero(self.missing()):
            listed[i] = None
        return listed

    def holds_categories(self) -> bool:
        """Whether it holds categories by its type, or, of objects, by their types.

        Objects that are all missing are, of no level: numbers would have a type of numbers.
        """
        if self.kind != "O":
            return self.kind in "LbUS"
        return all(issubclass(kind, str | bool | np.bool_) for kind in self._kinds())

    def levels(self, counted: NDArray[np.bool_] | None, declared: bool) -> list[Level]:
        """Return its levels, sorted by value; of the rows that count, or the declared ones."""
        if declared and self.kind == "L":
            found = self._declared()
        else:
            found, codes = self.factorised
            codes = codes if counted is None else codes[counted]
            found = [found[i] for i in np.unique(codes) if i >= 0]
        kinds = {type(_plain(value)) for value in found}
        if len(kinds) > 1 and not all(issubclass(kind, Real) for kind in kinds):
            self._refuse_mixture(kinds)
        try:
            return [_plain(value) for value in sorted(found)]
        except TypeError:
            self._refuse_mixture({type(value) for value in found})
            raise

    def codes(self, number: dict[Level, float]) -> Array:
        """Return the number of each value among the levels, as floats.

        Text is refused where the levels are numbers, and numbers are where they are text.
        """
        if self.kind in "mM":
            self._refuse_dates()
        found, codes = self.factorised
        values = [_plain(value) for value in found]
        seen = next(iter(number), None)
        for one in (values[i] for i in np.unique(codes) if i >= 0):  # not all that are declared
            if seen is not None and isinstance(one, str) != isinstance(seen, str):
                raise ValueError(
                    f"{self.label} must hold categories of the type that fit has seen, such as"
                    f" {seen!r}; got {type(one).__name__}, such as {one!r}."
                )
        return np.array([*(number.get(one, UNKNOWN) for one in values), np.nan])[codes]

    @property
    def factorised(self) -> tuple[list[Any], NDArray[np.intp]]:
        """Its distinct values, and for every row the number of its value, -1 if it is missing."""
        found, codes = self._factorised()
        # NaN is a value to polars, and to pandas where there is a mask for what is missing.
        missing = [i for i, value in enumerate(found) if is_missing(value)]
        return found, np.where(np.isin(codes, missing), -1, codes) if missing else codes

    def _declared(self) -> list[Any]:
        """Return the levels of its type."""
        return list(self.given.dtype.categories)

    def _factorised(self) -> tuple[list[Any], NDArray[np.intp]]:
        given, kind = self.given, self.kind
        if kind == "L" and hasattr(given, "to_physical"):  # of polars
            return self._declared(), given.to_physical().cast(int).fill_null(-1).to_numpy()
        if kind == "L":
            levels, codes = given.cat.categories, given.cat.codes.to_numpy().astype(np.intp)
            if len(levels) <= len(codes):
                return levels.tolist(), codes
            used = np.unique(codes[codes >= 0])  # of 3,000 levels one row needs one
            return levels[used].tolist(), np.where(codes < 0, -1, np.searchsorted(used, codes))
        if kind in "Ubf" and hasattr(given, "replace_strict") and len(given) > FEW:
            # Of 200,000 rows in a quarter of the time that their values take one by one.
            found = given.unique(maintain_order=True).drop_nulls()
            codes = given.replace_strict(found, list(range(len(found))), default=-1)
            return found.to_list(), codes.to_numpy()
        try:
            if hasattr(given, "factorize"):
                codes, found = given.factorize()
                return found.tolist(), codes
            number: dict[Any, int] = {None: -1}
            codes = [number.setdefault(value, len(number) - 1) for value in self.values()]
            return list(number)[1:], np.array(codes, np.intp)
        except TypeError as error:
            raise ValueError(f"{self.label} must hold one value a row; {error}.") from None

    def numbers(self) -> Array:
        """Return its values as floats, NaN where there is none; anything but numbers is refused."""
        kind, given = self.kind, self.given
        if kind in "mM":
            self._refuse_dates()
        if kind == "c":
            raise ValueError(
                f"Complex data not supported: {self.label} must hold real numbers; make two"
                " columns of it."
            )
        if kind in "OUSL":
            self._check_numbers()
            given = np.array([np.nan if one is None else float(one) for one in self.values()])
        elif hasattr(given, "is_null"):  # of polars
            return given.cast(given.dtype if str(given.dtype) == "Float32" else float).to_numpy()
        elif not isinstance(given, np.ndarray):
            single = str(given.dtype).lower() in ("float32", "float[pyarrow]")
            given = given.to_numpy(np.float32 if single else np.float64, na_value=np.nan)
        return given.astype(np.float32 if given.dtype == np.float32 else np.float64, copy=False)

    def _kinds(self) -> set[type]:
        return {type(value) for value in self.values()} - {type(None)}

    def _check_numbers(self) -> None:
        kinds = self._kinds()
        if any(issubclass(kind, DATES) or kind.__name__ in DATE_NAMES for kind in kinds):
            self._refuse_dates()
        if any(issubclass(kind, str | bytes) for kind in kinds):
            values = self.values()
            text = next(value for value in values if isinstance(value, str | bytes))
            if len(kinds) > 1:
                self._refuse_mixture(kinds)
            raise ValueError(
                f"{self.label} must hold numbers; got text such as {text!r}. Convert it first:"
                f" {self.label}.astype(float) reads numbers, and categorical_features names"
                " columns of categories."
            )
        if not all(issubclass(kind, Number) and not issubclass(kind, complex) for kind in kinds):
            self._refuse_mixture(kinds)

    def _refuse_dates(self) -> None:
        raise ValueError(
            f"{self.label} must hold numbers or categories; got {self.given.dtype}. {ENCODE_DATES}."
        )

    def _refuse_mixture(self, kinds: set[type]) -> None:
        names = " and ".join(sorted(kind.__name__ for kind in kinds))
        raise ValueError(
            f"{self.label} must hold numbers, or categories of one type; got {names}. Convert it"
            " first: .astype(str) makes categories of them."
        )


def _read_one(value: Any, number: dict[Level, float] | None) -> float:
    """Return a value as a number, or as that of its level; KeyError if it is an unusual one."""
    if type(value) not in (USUAL if number else NUMBERS):  # None may be a date that is missing
        raise KeyError(value)
    if value != value:
        return np.nan
    if number is None and abs(value) <= LARGE:
        return float(value)
    if not number or isinstance(value, str) != isinstance(next(iter(number)), str):
        raise KeyError(value)
    return number.get(value, UNKNOWN)


def is_missing(value: Any) -> bool:
    """Whether a value stands for none: None, NaN, pandas' NA and NaT."""
    return (
        value is None
        or type(value).__name__ in ("NAType", "NaTType")
        or (isinstance(value, float | np.floating) and bool(np.isnan(value)))
    )


def _plain(value: Any) -> Any:
    """Return a level as a value that any file can hold; an interval, for one, as text."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if isinstance(value, str | bool | int | float | None):
        return value
    return float(value) if isinstance(value, Decimal | Fraction) else str(value)
