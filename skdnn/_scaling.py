"""Inputs and targets in the network's coordinates, and back.

A change of coordinates before the first layer and after the last: the network in
between is the paper's. Statistics are weighted, so that a row of weight k counts as k
rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import diags_array, issparse
from sklearn.utils import gen_batches

from skdnn.activations import Array


class InputScaler:
    """x -> (x - center) / scale, column by column, with optional smooth clipping.

    Parameters
    ----------
    center : ndarray of shape (n_features,) or None
        None leaves the origin where it is, as a sparse input needs.
    scale : ndarray of shape (n_features,)
        Never 0.
    clip : bool
        Whether x / sqrt(1 + (x / 3)^2) follows, which keeps the result within (-3, 3).
    """

    def __init__(self, center: Array | None, scale: Array, clip: bool) -> None:
        self.center, self.scale, self.clip = center, scale, clip

    def __call__(self, X: Any) -> Any:
        """Return X in the network's coordinates, of X's own dtype."""
        if issparse(X):
            return X @ diags_array(1.0 / self.scale)
        Z = X.copy() if self.center is None else X - self.center
        Z /= self.scale
        if self.clip:
            root = Z / 3.0
            np.square(root, out=root)
            root += 1.0
            Z /= np.sqrt(root, out=root)
        return Z


def standard_scaler(X: Any, w: Array | None) -> InputScaler:
    """Return the scaler to mean 0 and deviation 1; a sparse X keeps its origin."""
    center, scale = _moments(X, w)
    return InputScaler(None if issparse(X) else center, scale, clip=False)


def clipped_scaler(X: Any, w: Array | None) -> InputScaler:
    """Return the scaler to mean 0 and deviation 1, with smooth clipping.

    A sparse X is scaled as by :func:`standard_scaler`.
    """
    center, scale = _moments(X, w)
    return InputScaler(None if issparse(X) else center, scale, clip=True)


def robust_scaler(X: Any, w: Array | None) -> InputScaler:
    """Return the scaler to median 0 and interquartile range 1, with smooth clipping.

    Where half of a column is one value the range is 0, and half the distance from the
    smallest to the largest value serves; a constant column becomes 0. Holzmüller,
    Grinsztajn and Steinwart (2024), "Better by default", section 3.1. A sparse X is
    scaled as by :func:`standard_scaler`.
    """
    if issparse(X):
        return standard_scaler(X, w)
    keep = slice(None) if w is None else w > 0
    X = X[keep]
    weights = None if w is None else np.broadcast_to(w[keep, None], X.shape)
    low, center, high = np.quantile(
        X, [0.25, 0.5, 0.75], axis=0, weights=weights, method="inverted_cdf"
    )
    scale = high - low
    scale = np.where(scale > 0, scale, 0.5 * (X.max(axis=0) - X.min(axis=0)))
    return InputScaler(center.astype(X.dtype), _positive(scale).astype(X.dtype), clip=True)


SCALERS = {"standard": standard_scaler, "clipped": clipped_scaler, "robust": robust_scaler}


def target_scale(Y: Array, w: Array | None, center: bool) -> tuple[Array, Array]:
    """Return mean and deviation of each target; 0 and the mean if not to be centred."""
    if center:
        return _moments(Y, w)
    mean = np.average(Y, axis=0, weights=w)
    return np.zeros_like(mean).astype(Y.dtype), _positive(mean).astype(Y.dtype)


def _moments(X: Any, w: Array | None) -> tuple[Array, Array]:
    """Return the weighted mean and deviation of every column, a deviation of 0 as 1."""
    W = X.shape[0] if w is None else w.sum(dtype=np.float64)
    ones = np.ones(X.shape[0]) if w is None else w.astype(np.float64)
    mean = (X.T @ ones) / W
    if issparse(X):
        square = X.power(2).T @ ones / W
        variance = square - np.square(mean)
        # What rounding leaves of a constant column is not a deviation.
        variance[variance < 1e-10 * square] = 0.0
    else:
        parts = gen_batches(len(X), 1024)  # X - mean of all rows would be another X
        variance = sum(np.square(X[part] - mean).T @ ones[part] for part in parts) / W
        variance[variance < 1e-20 * np.square(mean)] = 0.0
    return mean.astype(X.dtype), _positive(np.sqrt(variance)).astype(X.dtype)


def _positive(scale: Array) -> Array:
    return np.where(scale > 0, scale, 1.0)
