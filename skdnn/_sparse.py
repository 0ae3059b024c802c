"""A sparse input as the matrix A[0] of the paper, samples in columns."""

from __future__ import annotations

from typing import Any

import numpy as np


class SparseColumns:
    """The transpose of a CSR matrix of rows, for ``np.matmul`` with a dense matrix.

    ``np.matmul(W, X, out=Z)`` and ``np.matmul(dZ, X.T, out=dW)`` do what they do for an
    array, so that the core has one form for both.

    Parameters
    ----------
    rows : sparse matrix of shape (N, n)
        One sample a row.
    """

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    @property
    def T(self) -> SparseRows:
        """The samples as rows, to be multiplied from the left."""
        return SparseRows(self.rows)

    def __array_ufunc__(self, ufunc, method, W, X, out):
        (Z,) = out
        np.copyto(Z, (X.rows @ W.T).T)
        return Z


class SparseRows:
    """A CSR matrix of shape (N, n) as the right factor of a product."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def __array_ufunc__(self, ufunc, method, dZ, X, out):
        (dW,) = out
        np.copyto(dW, (X.rows.T @ dZ.T).T)
        return dW
