"""Sections 4 and 5 of the paper: the flow through the network, forward and backward.

This is the whole of backpropagation as the package does it. The symbols are the
paper's: layer l of L has a weight W[l] of shape (n[l], n[l-1]), a bias b[l] of shape
(n[l], 1), a linear output Z[l] and an activation output A[l] of shape (n[l], N), one
column for each sample, and dT stands for the gradient of the cost J with respect to T
(Remark 5.3). Lists begin with layer 1 at index 1, and A[0] is the input.

A bias is the weight of a unit that is always 1: with bW[l] = [b[l] W[l]] and A1[l] =
[1; A[l]], a row of ones above A[l], equation (3) is one product, Z = bW A1_prev, and so
are (24) and (25), dbW = dZ A1_prev^T. The views b, W and A are parts of bW and A1.

Every statement of `forward` and `backward` is one equation; ``out=`` is its left-hand
side. Nothing is allocated in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.sparse import issparse

from skdnn._sparse import SparseColumns
from skdnn.activations import ACTIVATIONS, Activation, Array
from skdnn.losses import Loss


class Parameters:
    """The weights W[1..L] and biases b[1..L] of a network: views of one flat vector.

    A gradient is another Parameters, so that an update, a copy, an average or a
    checkpoint is one operation on ``theta``, whatever the depth.

    Parameters
    ----------
    sizes : sequence of int
        n[0], ..., n[L]: the width of the input and of every layer.
    theta : ndarray of shape (n_parameters,)
        The flat vector: b[1], W[1], b[2], W[2], ..., the weights column by column, the
        order in which a sparse input reads them.

    Attributes
    ----------
    W, b : list
        W[l] of shape (n[l], n[l-1]) and b[l] of shape (n[l], 1); index 0 is None.
    bW : list
        bW[l] = [b[l] W[l]].
    weights : list of ndarray
        The parts of theta that belong to the W[l], which the L2 term acts on; flat.
    """

    def __init__(self, sizes: Sequence[int], theta: Array) -> None:
        self.sizes = tuple(sizes)
        self.theta = theta
        self.W: list[Any] = [None]
        self.b: list[Any] = [None]
        self.bW: list[Any] = [None]
        self.weights: list[Array] = []
        start = 0
        for n_prev, n in pairwise(self.sizes):
            stop = start + n * (n_prev + 1)
            bW = theta[start:stop].reshape(n_prev + 1, n).T
            self.b.append(bW[:, :1])
            self.W.append(bW[:, 1:])
            self.bW.append(bW)
            self.weights.append(theta[start + n : stop])
            start = stop

    def __reduce__(self) -> tuple[Any, ...]:
        return Parameters, (self.sizes, self.theta)  # a pickled view would be a copy

    @staticmethod
    def count(sizes: Sequence[int]) -> int:
        """Return the number of parameters of a network of these sizes."""
        return sum(n * (n_prev + 1) for n_prev, n in pairwise(sizes))

    def astype(self, dtype: Any) -> Parameters:
        """Return a copy in the given type."""
        return self.like(self.theta.astype(dtype))

    def like(self, theta: Array) -> Parameters:
        """Return another vector in the same shapes: a gradient, an average, a copy."""
        return Parameters(self.sizes, theta)


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
    """

    def __init__(
        self,
        sizes: Sequence[int],
        g: Sequence[Activation | None],
        N: int,
        dtype: Any,
        backward: bool = True,
        dropout: Sequence[float] = (),
        outputs: int = 0,
    ) -> None:
        self.sizes, self.g, self.N, self.backward = tuple(sizes), tuple(g), N, backward
        L = len(sizes) - 1
        hidden = max(sizes[1:L], default=0)
        in_place = [layer is not None and layer.in_place for layer in self.g] + [False]
        shared = [self._with_ones(hidden, dtype) for _ in range(min(2, L - 1))]
        self._x: Array | None = None
        self._a: list[Any] = [None]
        self._z: list[Any] = [None]
        self._dz: list[Any] = [None]
        for l in range(1, L):
            a = self._with_ones(sizes[l], dtype) if backward else shared[l % len(shared)]
            self._a.append(a)
            self._z.append(a[N:] if in_place[l] else np.empty(sizes[l] * N, dtype))
            self._dz.append(shared[l % len(shared)][N:])
        self._dz.append(np.empty(sizes[L] * N if backward else 0, dtype))
        self.outputs = np.empty((2, sizes[L], max(outputs, N)), dtype)  # Z[L] and A[L]
        self._scratch = {
            layer: np.zeros(hidden * N, dtype)
            for layer in self.g
            if layer is not None and layer.has_scratch
        }
        self.keep = [1.0, *(1.0 - rate for rate in dropout or [0.0] * (L - 1))]
        self._d = [
            np.empty(n * N if k < 1.0 else 0, dtype) for n, k in zip(sizes, self.keep, strict=False)
        ]
        self.work = np.empty_like(self.outputs)
        self._passes: dict[tuple[int, int], Pass] = {}

    def inputs(self) -> Array:
        """Return [1 X] for N rows, of which `Pass.read` fills X; a sparse X needs none."""
        if self._x is None:
            self._x = np.empty((self.N, 1 + self.sizes[0]), self.outputs.dtype)
            self._x[:, 0] = 1.0
        return self._x

    def _with_ones(self, n: int, dtype: Any) -> Array:
        """Return memory for A1 of n units: N ones, then A; a smaller pass reads fewer."""
        memory = np.empty((1 + n) * self.N, dtype)
        memory[: self.N] = 1.0
        return memory

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

    def __init__(self, workspace: Workspace, N: int, start: int) -> None:
        n, L = workspace.sizes, len(workspace.sizes) - 1
        first = workspace.N - N  # of the ones above A[l], which end where A[l] begins
        self.L, self.N, self.g, self.keep = L, N, workspace.g, workspace.keep
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
        self._workspace = workspace
        self._A1: Array | None = None  # the memory for a dense A1[0]

    def read(self, rows: Any) -> None:
        """Make N rows, an array or a CSR matrix of shape (N, n[0]), the input A[0]."""
        if issparse(rows):
            self.A1[0] = SparseColumns(rows)
            return
        if self._A1 is None:
            self._A1 = self._workspace.inputs()[: self.N].T
        self.A1[0], self.A[0] = self._A1, self._A1[1:]
        np.copyto(self.A[0], rows.T)


def forward(parameters: Parameters, at: Pass, loss: Loss) -> None:
    """Compute Z[l] and A[l], l = 1..L, from A[0].

    Parameters
    ----------
    parameters : Parameters
        W and b.
    at : Pass
        The arrays: A1[0], of shape (1 + n[0], N), is read and the others are written.
    loss : Loss
        Its output activation is that of layer L.
    """
    bW, Z, A, A1, D, g, L = parameters.bW, at.Z, at.A, at.A1, at.D, at.g, at.L
    for l in range(1, L + 1):
        np.matmul(bW[l], A1[l - 1], out=Z[l])  # (3) Z = W A_prev + b
        if l < L:
            g[l].forward(Z[l], A[l], at.scratch[l])  # (4) A = g(Z)
            if D[l] is not None:
                np.multiply(A[l], D[l], out=A[l])
    loss.output(Z[L], A[L], at.work)


def backward(parameters: Parameters, at: Pass, gradient: Parameters) -> None:
    """Compute dW[l] and db[l], l = L..1, from dZ[L]: Theorem 5.4.

    Parameters
    ----------
    parameters : Parameters
        W and b.
    at : Pass
        The arrays after `forward`, with dZ[L], equation (36). The A[l] of the hidden
        layers are spent.
    gradient : Parameters
        dW and db are written to its W and b.
    """
    W, Z, A, A1, D, dZ, g = parameters.W, at.Z, at.A, at.A1, at.D, at.dZ, at.g
    dbW = gradient.bW
    for l in range(at.L, 0, -1):
        np.matmul(dZ[l], A1[l - 1].T, out=dbW[l])  # (24) dW = dZ A_prev^T, (25) db = dZ 1
        if l > 1:
            dA = at.product[l](W[l].T, dZ[l], out=dZ[l - 1])  # (22) dA_prev = W^T dZ
            if D[l - 1] is not None:
                np.multiply(dA, D[l - 1], out=dA)
                A[l - 1] *= at.keep[l - 1]  # g(Z) again, wherever dA is not 0
            g[l - 1].derivative(Z[l - 1], A[l - 1], at.scratch[l - 1])
            np.multiply(A[l - 1], dA, out=dZ[l - 1])  # (23) dZ_prev = g'(Z_prev) * dA_prev


class Network:
    """A network n_{W,b} with its activations and its loss: what predicts.

    Parameters
    ----------
    parameters : Parameters
        W and b.
    activations : sequence of str
        Names in :data:`~skdnn.activations.ACTIVATIONS`, one for each hidden layer.
    loss : Loss
        The loss, whose output activation is that of the last layer.
    """

    def __init__(self, parameters: Parameters, activations: Sequence[str], loss: Loss) -> None:
        self.parameters = parameters
        self.activations = tuple(activations)
        self.loss = loss

    @property
    def g(self) -> list[Activation | None]:
        """The activations of layers 0..L-1; the input has none."""
        return [None, *(ACTIVATIONS[name] for name in self.activations)]

    def with_theta(self, theta: Array) -> Network:
        """Return the same network with other weights."""
        return Network(self.parameters.like(theta), self.activations, self.loss)

    def astype(self, dtype: Any) -> Network:
        """Return the network in another type, or itself if that is its own."""
        theta = self.parameters.theta
        return self if theta.dtype == dtype else self.with_theta(theta.astype(dtype))

    def passes(self, N: int) -> Workspace:
        """Return the memory for forward passes over up to N samples."""
        parameters = self.parameters
        return Workspace(parameters.sizes, self.g, N, parameters.theta.dtype, backward=False)
