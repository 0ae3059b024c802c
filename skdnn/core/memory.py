"""The arrays of a pass through the network, allocated once, and a sparse A[0]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import issparse

from skdnn.core.activations import Array


@dataclass(eq=False)
class Inputs:
    """Memory for [1 X] of up to N dense rows, made when it is first asked for.

    A sparse input needs none, and one that has its ones already none either.
    """

    shape: tuple[int, int]
    dtype: Any

    @cached_property
    def memory(self) -> Array:
        """The rows, the ones filled in."""
        X1 = np.empty(self.shape, self.dtype)
        X1[:, 0] = 1.0
        return X1


class Workspace:
    """The arrays of one pass over up to N samples, allocated once and used for all.

    Arrays whose lives do not meet share memory: Z[l] and A[l] of an activation that
    works in place, dA[l] and dZ[l], and every second dZ.

    Parameters
    ----------
    sizes : sequence of int
        n[0], ..., n[L].
    g : sequence of Activation
        The activations of the hidden layers 1..L-1, at those indices; index 0 is unused.
    N : int
        The largest number of samples of a pass.
    dtype : dtype
        float32 or float64.
    backward : bool, default=True
        Whether :func:`backward` will be called; without it the arrays of the layers are
        shared too.
    dropout : sequence of float, default=()
        The share of hidden layer l that is dropped, at index l - 1; () for none.
    outputs : int, default=N
        For how many samples Z[L] and A[L] are kept, so that the loss of several passes
        can be summed at once.
    lane : int, default=0
        Tells workspaces apart that are used at once.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        g: Sequence[Any],
        N: int,
        dtype: Any,
        backward: bool = True,
        dropout: Sequence[float] = (),
        outputs: int = 0,
        lane: int = 0,
    ) -> None:
        self.sizes: tuple[int, ...] = tuple(sizes)
        self.g: tuple[Any, ...] = tuple(g)
        self.N: int = N
        self.backward: bool = backward
        self.lane: int = lane
        L = len(sizes) - 1
        hidden = max(sizes[1:L], default=0)
        in_place = [layer is not None and layer.in_place for layer in self.g] + [False]
        shared = [self._with_ones(hidden, dtype) for _ in range(min(2, L - 1))]
        self._inputs = Inputs((N, 1 + sizes[0]), dtype)
        self._a: list[Any] = [None]
        self._z: list[Any] = [None]
        self._dz: list[Any] = [None]
        for l in range(1, L):
            a = self._with_ones(sizes[l], dtype) if backward else shared[l % len(shared)]
            self._a.append(a)
            self._z.append(a[N:] if in_place[l] else np.empty(sizes[l] * N, dtype))
            self._dz.append(shared[l % len(shared)][N:])
        self._dz.append(np.empty(sizes[L] * N, dtype) if backward else None)
        self.outputs: Array = np.empty((2, sizes[L], max(outputs, N)), dtype)  # Z[L] and A[L]
        self._scratch = {
            layer: np.zeros(hidden * N, dtype)
            for layer in self.g
            if layer is not None and layer.has_scratch
        }
        self.keep: list[float] = [1.0, *(1.0 - rate for rate in dropout or [0.0] * (L - 1))]
        self._d: list[Any] = [
            np.empty(n * N, dtype) if k < 1.0 else None
            for n, k in zip(sizes, self.keep, strict=False)
        ]
        self.work: Array = np.empty_like(self.outputs)
        self._passes: dict[tuple[int, int], Pass] = {}

    def _with_ones(self, n: int, dtype: Any) -> Array:
        """Return memory for A1 of n units: N ones, then A; a smaller pass reads fewer."""
        memory = np.empty((1 + n) * self.N, dtype)
        memory[: self.N] = 1.0
        return memory

    def let_go(self) -> None:
        """Forget the samples of all passes, which would be kept until they are read again."""
        for at in self._passes.values():
            at.A1[0] = at.A[0] = None

    def over(self, N: int, start: int = 0) -> Pass:
        """Return the arrays of a pass over exactly N samples, on this memory.

        Its Z[L] and A[L] are the columns from `start` on of `outputs`.
        """
        if (N, start) not in self._passes:
            self._passes[N, start] = Pass(self, N, start)
        return self._passes[N, start]


class Pass:
    """Z[l], A[l] and dZ[l] of a pass over N samples; A[0] is set by `read`.

    Where a hidden layer has dropout, D[l] is the caller's too: 0 where a unit is dropped
    and 1 / keep[l] elsewhere (Srivastava et al., 2014, in the inverted form).
    """

    L: int
    N: int
    lane: int
    g: tuple[Any, ...]
    keep: list[float]
    work: Array
    A1: list[Any]
    Z: list[Any]
    A: list[Any]
    dZ: list[Any]
    D: list[Any]
    scratch: list[Any]
    product: list[Any]

    def __init__(self, workspace: Workspace, N: int, start: int) -> None:
        n, L = workspace.sizes, len(workspace.sizes) - 1
        first = workspace.N - N  # of the ones above A[l], which end where A[l] begins
        self.L, self.N, self.g, self.keep = L, N, workspace.g, workspace.keep
        self.lane = workspace.lane
        self.work = workspace.work[:, :, :N]
        nothing: list[Any] = [None] * (L + 1)
        self.A1, self.Z, self.A, self.dZ, self.D, self.scratch = (nothing[:] for _ in range(6))
        for l in range(1, L):
            shape, size = (n[l], N), n[l] * N
            stop = workspace.N + size
            self.A1[l] = workspace._a[l][first:stop].reshape(1 + n[l], N)
            self.Z[l] = self.A[l] = self.A1[l][1:]
            if not self.g[l].in_place:
                self.Z[l] = workspace._z[l][:size].reshape(shape)
            if self.g[l].has_scratch:
                self.scratch[l] = workspace._scratch[self.g[l]][:size].reshape(shape)
            if workspace.backward:
                self.dZ[l] = workspace._dz[l][:size].reshape(shape)
            if self.keep[l] < 1.0:
                self.D[l] = workspace._d[l][:size].reshape(shape)
        self.Z[L], self.A[L] = workspace.outputs[:, :, start : start + N]
        if workspace.backward:
            self.dZ[L] = workspace._dz[L][: n[L] * N].reshape(n[L], N)
            # One output: W^T dZ is an outer product, which BLAS takes 2 to 4 times as long for.
            self.product = [np.multiply if n_l == 1 else np.matmul for n_l in n]
        self._inputs = workspace._inputs

    def read(self, rows: Any, origin: Array | None = None, expansion: Any = None) -> None:
        """Make N rows the input A[0].

        Parameters
        ----------
        rows : ndarray or CSR matrix of shape (N, n[0])
            The samples.
        origin : ndarray of shape (n[0],), optional
            What is to be added to every row of a sparse matrix.
        expansion : callable, optional
            Writes A[0], as rows, of dense rows that are not A[0] yet.
        """
        if issparse(rows):
            self.A1[0] = SparseColumns(rows, origin)
            return
        X1 = self._inputs.memory[: self.N]
        self.A1[0] = X1.T
        self.A[0] = self.A1[0][1:]
        if expansion is None:
            np.copyto(self.A[0], rows.T)
        else:
            expansion(rows, X1[:, 1:])


@dataclass(eq=False)
class SparseColumns:
    """[1; X^T] for a sparse X of rows: the input with a row of ones above it.

    The rows are those of a CSR matrix S plus one vector, X = S + 1 origin^T, so that
    centred rows stay as sparse as they came: W X^T = W S^T + (W origin) 1^T.
    ``np.matmul(bW, A1, out=Z)`` and ``np.matmul(dZ, A1.T, out=dbW)`` do what they do for
    an array, so that the core has one form for both.
    """

    rows: Any  # S, of shape (N, n)
    origin: Array | None = None  # of shape (n,); None for 0

    @property
    def T(self) -> SparseRows:
        """The samples as rows, to be multiplied from the left."""
        return SparseRows(self.rows, self.origin)

    def __array_ufunc__(
        self, ufunc: Any, method: str, bW: Array, A1: SparseColumns, out: tuple[Array]
    ) -> Array:
        b, W = bW[:, :1], bW[:, 1:]
        if A1.origin is not None:
            b = b + W @ A1.origin[:, None]
        return np.add((A1.rows @ W.T).T, b, out=out[0])


@dataclass(eq=False)
class SparseRows:
    """[1 X] as the right factor of a product."""

    rows: Any
    origin: Array | None

    def __array_ufunc__(
        self, ufunc: Any, method: str, dZ: Array, A1: SparseRows, out: tuple[Array]
    ) -> Array:
        (dbW,) = out
        np.sum(dZ, axis=1, out=dbW[:, 0])
        np.copyto(dbW[:, 1:], (A1.rows.T @ dZ.T).T)
        if A1.origin is not None:
            dbW[:, 1:] += np.multiply.outer(dbW[:, 0], A1.origin)
        return dbW
