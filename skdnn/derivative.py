"""The derivative of A[0] in X, and what else gradients in X ask of the coordinates."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from skdnn.columns import UNKNOWN
from skdnn.core.activations import Array
from skdnn.inputs import FAR, FARTHEST, Inputs, narrowed
from skdnn.statistics import Summary


def in_columns(inputs: Inputs, X: Any, G: Array) -> Array:
    """Return gradients in rows of X, of those in A[0], (n_values, n, n[0]).

    NaN is where there is none: in categories, and where a number is missing. Of G the columns of
    scaled numbers are written over.
    """
    x, missing = inputs.numbers(X.toarray() if issparse(X) else X)
    of_numbers = G[..., : len(inputs.columns.numeric)]
    of_numbers *= _slope(inputs, x)
    if missing is not None:
        of_numbers[:, missing] = np.nan
    if inputs.ramps.columns:
        slopes = inputs.ramps.slopes(x)
        of_ramps = G[..., inputs.direct : inputs.direct + slopes.shape[1]] * slopes
        of_numbers[..., inputs.ramps.columns] += np.add.reduceat(
            of_ramps, inputs.ramps.starts, axis=2
        )
    if not inputs.categories:
        return of_numbers
    gradient = np.full((*G.shape[:2], inputs.columns.n), np.nan, G.dtype)
    gradient[..., inputs.numeric] = of_numbers
    return gradient


def _slope(inputs: Inputs, x: Array) -> Array | float:
    """Return the slope of scaled numbers; 1 where they are left as they are."""
    if inputs.center is None:
        return 1.0
    z = narrowed(x, inputs.dtype) - inputs.center
    z /= inputs.scale
    if not inputs.clips:
        return (np.abs(z) <= FARTHEST) / inputs.scale
    np.clip(z, -FAR, FAR, out=z)
    z /= 3.0
    np.square(z, out=z)
    z += 1.0
    z *= np.sqrt(z)
    z *= inputs.scale
    return np.reciprocal(z, out=z)


def filled(inputs: Inputs, X: Array) -> Array:
    """Return rows with what stands for missing numbers in their place."""
    X = X.copy()
    X[:, inputs.numeric] = inputs.numbers(X)[0]
    return X


def middle(inputs: Inputs) -> Array:
    """Return a row of centres, or zeros, and of levels that fit has not seen."""
    row = np.full(inputs.columns.n, UNKNOWN)
    row[inputs.numeric] = 0.0 if inputs.center is None else inputs.center
    return row


def deviations(inputs: Inputs, X: Any, w: Array | None) -> Array:
    """Return the deviation of every column of numbers, without gaps; NaN for categories."""
    summary = Summary.of(X if issparse(X) else X[:, inputs.numeric], w)
    found = np.full(inputs.columns.n, np.nan)
    found[inputs.numeric] = np.where(summary.constant, 0.0, summary.moments()[1])
    return found


def steps(inputs: Inputs) -> NDArray[np.intp]:
    """Return the columns of A[0] that jump: those of gaps and categories."""
    d, last = len(inputs.columns.numeric), inputs.direct + sum(inputs.ramps.bins)
    return np.concatenate([np.arange(d, inputs.direct), np.arange(last, inputs.width)])
