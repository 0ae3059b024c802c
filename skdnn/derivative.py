"""The derivative of A[0] in X, and what else gradients in X ask of the coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from skdnn.columns import UNKNOWN
from skdnn.core.activations import Array
from skdnn.inputs import FAR, FARTHEST, Inputs, narrowed
from skdnn.statistics import Summary


@dataclass(frozen=True)
class Derivative:
    """The derivative of A[0] in some rows of X."""

    inputs: Inputs
    slopes: Any  # of the scaled numbers, (n, n_numbers) or a float; NaN where one is missing
    ramps: Array  # of the ramps, (n, n_ramps)

    @classmethod
    def at(cls, inputs: Inputs, X: Any) -> Self:
        """Return that of rows of X."""
        x, missing = inputs.numbers(X.toarray() if issparse(X) else X)
        slopes = _slope(inputs, x)
        if missing is not None:
            slopes = np.where(missing, np.nan, slopes)
        return cls(inputs, slopes, inputs.ramps.slopes(x))

    def __call__(self, G: Array) -> Array:
        """Return gradients in X of those in A[0], (n, n[0]), which may be written to.

        NaN is where there is none: in categories, and where a number is missing.
        """
        inputs, d = self.inputs, len(self.inputs.columns.numeric)
        of_numbers = G[:, :d]
        of_numbers *= self.slopes
        if inputs.ramps.columns:
            of_ramps = G[:, inputs.direct : inputs.direct + self.ramps.shape[1]] * self.ramps
            of_numbers[:, inputs.ramps.columns] += np.add.reduceat(
                of_ramps, inputs.ramps.starts, axis=1
            )
        if not inputs.categories:
            return of_numbers
        gradient = np.full((len(G), inputs.columns.n), np.nan, G.dtype)
        gradient[:, inputs.numeric] = of_numbers
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
