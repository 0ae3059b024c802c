"""What the user gives, checked once: arrays, or an error that names what is unfit."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from numbers import Number
from reprlib import repr as short
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import assert_all_finite, check_array
from sklearn.utils.multiclass import unique_labels
from sklearn.utils.validation import check_consistent_length, validate_data

from skdnn._sklearn import _check_sample_weight, _get_feature_names
from skdnn.columns import (
    ENCODE_DATES,
    Columns,
    check_same_columns,
    from_arrow,
    is_arrow,
    is_frame,
    is_missing,
    learn_columns,
    with_nan,
)
from skdnn.core.activations import Array
from skdnn.statistics import Summary, extremes

SPARSE: dict[str, Any] = {"accept_sparse": "csr"}
X_RULES: dict[str, Any] = {
    **SPARSE,
    "dtype": (np.float64, np.float32),
    "order": "C",
}
# What makes NumPy's arrays, or pandas' frames, of those of libraries that NumPy would pull
# into memory in silence, or cannot read; by the library's name.
FOREIGN = {
    "cudf": "{}.to_pandas()",
    "cupy": "{}.get()",
    "dask": "{}.compute(), or fit it where it is with skdnn.dask",
    "dask_expr": "{}.compute(), or fit it where it is with skdnn.dask",
    "jax": "numpy.asarray({})",
    "jaxlib": "numpy.asarray({})",
    "pyspark": "{}.toPandas()",
    "tensorflow": "{}.numpy()",
    "torch": "{}.numpy(force=True)",
}
GLANCE = 16  # rows up to which a frame is read value by value
# Times its range that a column of X_val may lie from that of X without a warning.
FAR = 10.0
TRANSFORM_INPUT = (
    "A Pipeline hands step__X_val on untransformed; its transform_input=['X_val'] has it"
    " transformed as X is."
)


@dataclass(frozen=True, eq=False, repr=False)
class Data:
    """Rows that have been checked."""

    X: Any  # an ndarray or a CSR matrix of shape (n, n_features), float32 or float64
    y: NDArray[Any]  # of shape (n,) or (n, n_outputs)
    sample_weight: Array | None  # >= 0 and not all 0, in float64
    names: NDArray[Any] | None  # of the columns
    given: Any  # X as the user gave it, if its columns have names or hold categories, else X
    # What the weights are divided by, where the rows are some of those that are read; None for
    # what brings the largest to [1/2, 1).
    weight_unit: float | None = None
    columns: Columns = field(default_factory=lambda: Columns([]))  # which hold categories
    # Which of the means of y by level they are trained with, if they are among the rows of these.
    folds: NDArray[np.intp] | None = None

    @property
    def w(self) -> Array | None:
        """The weights in a unit in which the largest is in [1/2, 1): only ratios matter."""
        if self.sample_weight is None:
            return None
        return self.sample_weight / self.unit

    @property
    def unit(self) -> float:
        """What 1 of these weights is in the user's."""
        if self.weight_unit is not None or self.sample_weight is None:
            return self.weight_unit or 1.0
        return power_of_two(self.sample_weight)

    @property
    def numbers(self) -> Summary:
        """What is known of a y of numbers."""
        return Summary.of(self.y.reshape(len(self.y), -1), self.w, unit=self.unit)


def power_of_two(w: Array) -> float:
    """Return the least power of 2 that is above the largest weight, or the largest there is.

    Where all weights are 0 it is 1.
    """
    return float(2.0 ** min(np.floor(np.log2(np.max(w))) + 1.0, 1023.0)) or 1.0


@contextmanager
def located(where: str) -> Iterator[None]:
    """Have an error say in which part of the rows it is."""
    try:
        yield
    except (TypeError, ValueError) as error:
        error.args = (f"In {where}: {error}",)
        raise


@contextmanager
def about(name: str, called: str = "") -> Iterator[None]:
    """Have the errors of other libraries name the argument, or parameter, that is unfit.

    By the name that the user knows it by, in the place of what it is `called` there.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        message = str(error).replace(called, name) if called else str(error)
        if not re.search(rf"\b{re.escape(name)}\b", message):
            message = f"{name}: {message}"
        error.args = (message,)
        raise
    except OverflowError as error:
        raise ValueError(f"{name} must hold numbers that fit into float64: {error}.") from None


def check_together(X_val: Any, y_val: Any, sample_weight_val: Any) -> None:
    """Refuse a part of a validation set."""
    if (X_val is None) != (y_val is None):
        missing = "y_val" if y_val is None else "X_val"
        raise ValueError(f"X_val and y_val must be given together; {missing} is None.")
    if X_val is None and sample_weight_val is not None:
        raise ValueError("sample_weight_val must come with the rows it weighs; X_val is None.")


def read(
    estimator: Any,
    X: Any,
    y: Any,
    sample_weight: Any,
    suffix: str = "",
    fresh: bool = True,
    beside: Data | None = None,
    declared: bool = False,
    columns: Columns | None = None,
    is_part: bool = False,
) -> Data:
    """Check rows, their targets and their weights, with a suffix to their names in messages.

    If `fresh`, X may have other columns than the estimator was fitted to, but not than the rows
    `beside` it. If `declared`, the levels of a categorical dtype are all that it declares. Where
    it is known which `columns` hold categories, the rows are some of those that are read. Those of
    what `is_part` of all rows may have no weight.
    """
    name = f"X{suffix}"
    given = _opened(estimator, X, name, estimator.categorical_features)
    with about(name):
        names = _get_feature_names(given)
    if beside is not None:
        _check_columns(given, names, name, beside)
    y = estimator._read_targets(y, f"y{suffix}")
    with about(f"y{suffix}"):
        check_consistent_length(given, y)
    w = read_weights(sample_weight, given, f"sample_weight{suffix}", is_part)
    if columns is not None:
        fresh = True
    elif beside is not None:
        columns = beside.columns
    elif fresh:
        columns = learn_columns(given, name, estimator.categorical_features, w, declared)
    else:
        columns = estimator._model.inputs.columns
        check_same_columns(given, name, estimator.categorical_features, columns)
    X = _read_inputs(estimator, given, name, columns, fresh or beside is not None)
    if beside is not None:
        _warn_of_far_columns(X, name, beside)
    has_to_be_kept = names is not None or bool(columns.categorical)
    return Data(X, y, w, names, given if has_to_be_kept else X, columns=columns)


def read_inputs(estimator: Any, X: Any) -> Any:
    """Return X as an array or a CSR matrix; its columns have to be those of the fit."""
    columns = estimator._model.inputs.columns
    X = _opened(estimator, X, "X", columns.categorical or None)
    return _read_inputs(estimator, X, "X", columns, False)


def read_at_a_glance(X: Any, columns: Columns, names: NDArray[Any] | None) -> Array | None:
    """Return rows as `read_inputs` does, where there is nothing to say of them; else None.

    To ask costs 10 us, scikit-learn's checks 80 us, and a frame column by column 500.
    """
    rows = None
    if type(X) is np.ndarray:
        if names is not None or X.ndim != 2 or X.shape[1] != columns.n or not len(X):
            return None
        if not columns.categorical and X.dtype in (np.float64, np.float32):
            rows = X
        elif X.dtype.kind in "biufOU" and len(X) <= GLANCE:
            rows = columns.read_few(X)
    elif type(X).__module__.partition(".")[0] in ("pandas", "polars") and is_frame(X):
        labels = X.columns if isinstance(X.columns, list) else X.columns.tolist()
        named = labels if any(isinstance(label, str) for label in labels) else None
        known = None if names is None else names.tolist()
        if named != known or len(labels) != columns.n or not len(X):
            return None
        if len(X) <= GLANCE:
            rows = columns.read_few(X)
        elif hasattr(X, "iloc") and columns.reads(X):
            rows = X.to_numpy()
    return rows if rows is not None and _is_usual(rows) else None


def _is_usual(X: Array) -> bool:
    """Whether X is of floats that are finite or NaN."""
    if X.dtype not in (np.float64, np.float32):
        return False
    with np.errstate(all="ignore"):
        total = np.add.reduce(X, axis=None)
        return bool(np.isfinite(total) or not np.isinf(X).any())


def read_again(estimator: Any, X: Any, columns: Columns) -> Any:
    """Return rows whose columns are known as an array."""
    return _read_inputs(estimator, X, "X", columns, True)


def _opened(estimator: Any, X: Any, name: str, categorical: Any) -> Any:
    """Return a frame, a sparse matrix or an array of two dimensions of what the user gave."""
    _refuse_foreign(X, name)
    with about(name):
        X = from_arrow(X) if is_arrow(X) else X
        if is_frame(X):
            X = _filled(X)
        elif not issparse(X) and not isinstance(X, np.ndarray):
            told = categorical is not None and not isinstance(categorical, str)
            X = np.asarray(X, dtype=object if told and isinstance(X, list | tuple) else None)
        elif isinstance(X, np.ndarray) and not X.dtype.isnative:
            X = X.astype(X.dtype.newbyteorder("="))
        if len(X.shape) != 2 or 0 in X.shape:
            shown = np.empty(X.shape) if is_frame(X) else X
            check_array(shown, input_name=name, estimator=estimator, dtype=None, **SPARSE)
    return X


def _read_inputs(estimator: Any, X: Any, name: str, columns: Columns, fresh: bool) -> Any:
    with about(name), np.errstate(all="ignore"):  # of the sum that tells whether all is finite
        if not fresh:
            validate_data(estimator, X, reset=False, skip_check_array=True)
        if columns.categorical and issparse(X):
            raise ValueError(
                f"{name} must be dense: a sparse one holds numbers alone, and the"
                f" columns {short(columns.categorical)} hold categories."
            )
        as_it_is = columns.reads(X)
        if as_it_is:
            _check_numbers(X, name, "categorical_features names columns of categories")
            if isinstance(X, np.ndarray) and X.dtype == object:
                X = with_nan(X)
        read = X if as_it_is else columns.read(X, name)
        finite = True if issparse(X) else "allow-nan"
        try:
            read = check_array(
                read, input_name=name, estimator=estimator, ensure_all_finite=finite, **X_RULES
            )
        except ValueError as error:
            _name_the_infinite(error, read, X, name)
            raise
    if not issparse(read) or read.has_canonical_format:
        return read
    read = read.copy()
    read.sum_duplicates()
    return read


def _name_the_infinite(error: ValueError, read: Any, given: Any, name: str) -> None:
    """Say in the message of an error which column of a frame is not finite."""
    if "infinity" in str(error) and is_frame(given):
        bad = np.flatnonzero(~np.isfinite(np.asarray(read, float)).all(axis=0))
        columns = ", ".join(f"{name}[{given.columns[j]!r}]" for j in bad)
        error.args = (f"{error} It is in {columns}.",)


def read_targets(estimator: Any, y: Any, name: str, numeric: bool = False) -> NDArray[Any]:
    """Return y as an array of one or two dimensions, a single column as a vector."""
    if y is None:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but the target"
            f" {name} is None."
        )
    _refuse_foreign(y, name)
    rules = {"ensure_2d": False, "dtype": None, "order": "C", "ensure_all_finite": False}
    with about(name), np.errstate(all="ignore"):
        y = y.toarray() if issparse(y) else y
        y = check_array(y, input_name=name, estimator=estimator, **rules)
        if numeric:
            _check_numbers(y, name, "for classes there is DNNClassifier")
        if y.dtype == object:
            _check_objects(y, name)
        y = y.astype(np.float64, copy=False) if numeric else y
        assert_all_finite(y, input_name=name)
    if y.ndim == 1 or y.shape[1] > 1:
        return y
    warnings.warn(
        f"A column-vector {name} was passed when a 1d array was expected: pass {name}.ravel().",
        DataConversionWarning,
        stacklevel=2,
    )
    return y.ravel()


def read_weights(sample_weight: Any, X: Any, name: str, is_part: bool = False) -> Array | None:
    """Return weights in double precision; None if there are none.

    They may all be 0 if X `is_part` of the rows.
    """
    if sample_weight is None:
        return None
    _refuse_foreign(sample_weight, name)
    if isinstance(sample_weight, Number):  # which scikit-learn does not look at
        sample_weight = np.full(X.shape[0], sample_weight)
    _check_numbers(sample_weight, name)
    with about(name, called="sample_weight"):
        w = _check_sample_weight(
            sample_weight,
            X,
            dtype=np.float64,
            ensure_non_negative=True,
            allow_all_zero_weights=True,  # refused below, by the parameter's name
        )
    if not is_part and not w.any():
        raise ValueError(f"{name} must not be zero for every row; all {len(w)} weights are 0.")
    return w


def read_classes(classes: Any) -> NDArray[Any]:
    """Return class labels in ascending order, each once."""
    with about("classes"):
        assert_all_finite(np.asarray(classes), input_name="classes")
        return unique_labels(classes)


def _filled(X: Any) -> Any:
    """Return a frame whose sparse columns, if they leave out another number than 0, are dense."""
    dtypes = dict(getattr(X, "dtypes", ())) if hasattr(X, "sparse") else {}
    dense = {c: d.subtype for c, d in dtypes.items() if getattr(d, "fill_value", 0) != 0}
    return X.astype(dense) if dense else X


# What scikit-learn lets pass


def _refuse_foreign(given: Any, name: str) -> None:
    """Refuse what lives elsewhere: on a cluster, on another device, in another library."""
    roots = [kind.__module__.partition(".")[0] for kind in type(given).__mro__]
    how = next((FOREIGN[root] for root in roots if root in FOREIGN), None)
    if how is None and hasattr(given, "collect"):  # as a lazy frame of polars has
        how = "{}.collect()"
    if how is None and hasattr(given, "__array_namespace__"):
        how = None if isinstance(given, np.ndarray | np.generic) else "numpy.asarray({})"
    if how is not None:
        kind = f"{type(given).__module__}.{type(given).__qualname__}"
        raise TypeError(
            f"{name} must be an array of NumPy, a sparse one of SciPy or a frame of pandas or"
            f" polars; got a {kind}, which is not read unasked: pass {how.format(name)}."
        )


def _check_numbers(given: Any, name: str, otherwise: str = "") -> None:
    """Refuse text and dates, which would be read as numbers where that is possible."""
    if issparse(given) or is_frame(given):
        return
    # NumPy makes objects of dates that have a time zone, so that their own type is asked.
    dtype = getattr(given, "dtype", None)
    values = given if getattr(dtype, "kind", "O") in "biufcmM" else np.asarray(given)
    if values.dtype.kind in "mM":
        raise ValueError(f"{name} must hold numbers; got {values.dtype}. {ENCODE_DATES}.")
    if values.dtype.kind in "OSTU":
        text = next((value for value in values.flat if isinstance(value, str | bytes)), None)
        if text is not None:
            text = text.item() if isinstance(text, np.generic) else text
            raise ValueError(
                f"{name} must hold numbers; {_unread(text)}. Convert it first:"
                f" {name}.astype(float) reads numbers{otherwise and ', and '}{otherwise}."
            )


def _unread(text: str | bytes) -> str:
    try:
        float(text)
    except ValueError as error:
        return str(error)
    return f"got text such as {text!r}"


def _check_objects(y: NDArray[Any], name: str) -> None:
    """Refuse what is no value among objects, and labels that have no order."""
    for value in y.flat:
        if is_missing(value):
            raise ValueError(f"Input {name} contains NaN.")
        if isinstance(value, float | np.floating) and np.isinf(value):
            raise ValueError(f"Input {name} contains infinity.")
    if len({isinstance(value, str) for value in y.flat}) > 1:
        kinds = sorted({type(value).__name__ for value in y.flat})
        raise ValueError(f"{name} must hold labels of one kind; got {' and '.join(kinds)}.")


# Columns beside those of other rows


def _check_columns(X: Any, names: Any, name: str, beside: Data) -> None:
    """Refuse other columns than those of the training rows."""
    n, n_beside = X.shape[1], beside.X.shape[1]
    if n != n_beside:
        raise ValueError(
            f"{name} must have the columns of X, {n_beside} features; it has {n}. {TRANSFORM_INPUT}"
        )
    ours, theirs = (None if of is None else list(of) for of in (names, beside.names))
    if ours != theirs:
        raise ValueError(
            f"{name} must have the columns of X by the same names and in the same order; the"
            f" names of X are {short(theirs)}, and those of {name} {short(ours)}. {TRANSFORM_INPUT}"
        )


def _warn_of_far_columns(X: Any, name: str, beside: Data) -> None:
    """Warn of columns that lie elsewhere than those of the training rows."""
    (low, high), (least, most) = _range(beside.X), _range(X)
    with np.errstate(over="ignore"):
        away = FAR * (high - low)
        far = np.flatnonzero((low < high) & ((least > high + away) | (most < low - away)))
    if len(far):
        warnings.warn(
            f"All rows of {name} lie more than {FAR:g} times the range of X away from it, in the"
            f" columns {short(far.tolist())}. {TRANSFORM_INPUT}",
            stacklevel=2,
        )


def _range(X: Any) -> tuple[Array, Array]:
    """Return the least and the largest number of every column, NaN where there is none."""
    if issparse(X):
        return extremes(X, None)
    return np.fmin.reduce(X, axis=0), np.fmax.reduce(X, axis=0)


def warn_if_rounded(data: Data) -> None:
    """Warn where predictions in the type of X cannot tell targets apart."""
    low, high = data.y.min(axis=0), data.y.max(axis=0)
    dtype = data.X.dtype
    if not np.all(np.isfinite(data.y.astype(dtype))):
        raise ValueError(
            f"y must fit into {dtype.name}, in which predictions are as X is; its largest entry is"
            f" {np.max(np.abs(data.y)):.3g}. Pass X as float64, or divide y by a constant."
        )
    step = np.spacing(np.maximum(np.abs(low), np.abs(high)).astype(data.X.dtype))
    if np.any((step > 0.01 * (high - low)) & (high > low)):
        warnings.warn(
            f"Predictions are {data.X.dtype.name}, as X is, and too coarse for y, which spreads"
            f" over {np.min(high - low):.3g} around {np.max(high):.3g}: pass X as float64, or"
            " subtract a constant from y.",
            UserWarning,
            stacklevel=2,
        )
