"""What the user gives, checked once: arrays, or an error that names what is unfit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils import check_array
from sklearn.utils.validation import (
    _check_sample_weight,
    _get_feature_names,
    check_consistent_length,
    column_or_1d,
    validate_data,
)

from skdnn.core.activations import Array

X_RULES: dict[str, Any] = {
    "accept_sparse": "csr",
    "dtype": (np.float64, np.float32),
    "order": "C",
}


@dataclass(frozen=True)
class Data:
    """Rows that have been checked.

    Attributes
    ----------
    X : ndarray or CSR matrix of shape (n, n_features)
        float32 or float64.
    y : ndarray of shape (n,) or (n, n_outputs)
        Targets.
    sample_weight : float64 ndarray of shape (n,) or None
        Weights, >= 0 and not all 0.
    names : ndarray of str or None
        The columns' names.
    given : object
        X as the user gave it, if its columns have names, else X.
    """

    X: Any
    y: NDArray[Any]
    sample_weight: Array | None
    names: NDArray[Any] | None
    given: Any

    @property
    def w(self) -> Array | None:
        """The weights in a unit in which the largest is in [1, 2): only ratios matter."""
        if self.sample_weight is None:
            return None
        return self.sample_weight / power_of_two(self.sample_weight)


def power_of_two(w: Array) -> float:
    """Return the largest power of 2 that is not above the largest weight."""
    return float(2.0 ** np.floor(np.log2(np.max(w))))


def read(
    estimator: Any,
    X: Any,
    y: Any,
    sample_weight: Any,
    suffix: str = "",
    fresh: bool = True,
    beside: Data | None = None,
) -> Data:
    """Check rows, their targets and their weights.

    Parameters
    ----------
    estimator : estimator
        Reads y by its `_read_targets`.
    X, y, sample_weight : object
        As the user gave them.
    suffix : str
        What is added to their names in messages.
    fresh : bool
        Whether X may have other columns than the estimator was fitted to.
    beside : Data, optional
        Rows whose columns it has to have.
    """
    names = _get_feature_names(X)
    given, X = X, read_inputs(estimator, X, f"X{suffix}", fresh)
    if beside is not None:
        _check_columns(X, names, f"X{suffix}", beside)
    y = estimator._read_targets(y, f"y{suffix}")
    check_consistent_length(X, y)
    w = read_weights(sample_weight, X, f"sample_weight{suffix}")
    return Data(X, y, w, names, X if names is None else given)


def _check_columns(X: Any, names: Any, name: str, beside: Data) -> None:
    """Refuse other columns than those of the training rows."""
    n, n_beside = X.shape[1], beside.X.shape[1]
    if n != n_beside:
        raise ValueError(f"{name} must have the columns of X, {n_beside} features; it has {n}.")
    if names is not None and beside.names is not None and list(names) != list(beside.names):
        raise ValueError(
            f"{name} must have the columns of X by the same names and in the same order:"
            f" {list(beside.names)}; it has {list(names)}."
        )


def read_inputs(estimator: Any, X: Any, name: str = "X", fresh: bool = False) -> Any:
    """Return X as an array or a CSR matrix; it is not changed.

    Unless `fresh`, its columns have to be those of the estimator's fit.
    """
    if fresh:
        X = check_array(X, input_name=name, estimator=estimator, **X_RULES)
    else:
        X = validate_data(estimator, X, reset=False, **X_RULES)
    if not issparse(X) or X.has_canonical_format:
        return X
    X = X.copy()
    X.sum_duplicates()
    return X


def read_targets(estimator: Any, y: Any, name: str) -> NDArray[Any]:
    """Return y as an array of one or two dimensions, a single column as a vector."""
    if y is None:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but the target"
            " y is None."
        )
    y = y.toarray() if issparse(y) else y
    y = check_array(y, ensure_2d=False, dtype=None, input_name=name, estimator=estimator)
    return column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y


def read_weights(sample_weight: Any, X: Any, name: str) -> Array | None:
    """Return weights in double precision; None if there are none."""
    if sample_weight is None:
        return None
    w = _check_sample_weight(
        sample_weight,
        X,
        dtype=np.float64,
        ensure_non_negative=True,
        allow_all_zero_weights=True,  # refused below, by the parameter's name
    )
    if not w.any():
        raise ValueError(f"{name} must not be zero for every row; all {len(w)} weights are 0.")
    return w
