"""A sparse input as the matrix A1[0] of the core, samples in columns."""

from __future__ import annotations

from typing import Any

import numpy as np


class SparseColumns:
    """[1; X^T] for a CSR matrix X of rows: the input with a row of ones above it.

    ``np.matmul(bW, A1, out=Z)`` and ``np.matmul(dZ, A1.T, out=dbW)`` do what they do for
    an array, so that the core has one form for both.

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

    def __array_ufunc__(self, ufunc, method, bW, A1, out):
        (Z,) = out
        return np.add((A1.rows @ bW[:, 1:].T).T, bW[:, :1], out=Z)


class SparseRows:
    """[1 X] as the right factor of a product."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def __array_ufunc__(self, ufunc, method, dZ, A1, out):
        (dbW,) = out
        np.sum(dZ, axis=1, out=dbW[:, 0])
        np.copyto(dbW[:, 1:], (A1.rows.T @ dZ.T).T)
        return dbW
