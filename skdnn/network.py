"""Sections 4 and 5 of the paper: the flow through the network, forward and backward.

This is the whole of backpropagation as the package does it. The symbols are the
paper's: layer l of L has a weight W[l] of shape (n[l], n[l-1]), a bias b[l] of shape
(n[l], 1), a linear output Z[l] and an activation output A[l] of shape (n[l], N), one
column for each sample, and dT stands for the gradient of the cost J with respect to T
(Remark 5.3). Lists begin with layer 1 at index 1, and A[0] is the input.

Every statement of `forward` and `backward` is one equation; ``out=`` is its left-hand
side. Nothing is allocated in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

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
        The flat vector: all the weights, layer by layer, then all the biases. W[1] is
        stored column by column, the order in which a sparse input reads it, the other
        weights row by row.

    Attributes
    ----------
    W, b : list
        W[l] of shape (n[l], n[l-1]) and b[l] of shape (n[l], 1); index 0 is None.
    weights : ndarray
        The part of theta that belongs to the W[l], which the L2 term acts on.
    """

    def __init__(self, sizes: Sequence[int], theta: Array) -> None:
        self.sizes = tuple(sizes)
        self.theta = theta
        self.W: list[Any] = [None]
        self.b: list[Any] = [None]
        start = 0
        for n_prev, n in pairwise(self.sizes):
            block = theta[start : start + n * n_prev]
            first = len(self.W) == 1
            self.W.append(block.reshape(n_prev, n).T if first else block.reshape(n, n_prev))
            start += n * n_prev
        self.weights = theta[:start]
        for n in self.sizes[1:]:
            self.b.append(theta[start : start + n].reshape(n, 1))
            start += n

    def __reduce__(self) -> tuple[Any, ...]:
        return Parameters, (self.sizes, self.theta)  # a pickled view would be a copy

    @staticmethod
    def count(sizes: Sequence[int]) -> int:
        """Return the number of parameters of a network of these sizes."""
        return sum(n * (n_prev + 1) for n_prev, n in pairwise(sizes))

    def like(self, theta: Array) -> Parameters:
        """Return another vector in the same shapes: a gradient, an average, a copy."""
        return Parameters(self.sizes, theta)


class Workspace:
    """The arrays of one pass over up to N samples, allocated once and used for all.

    Arrays whose lives do not meet share memory: Z[l] and A[l] of an activation that
    works in place, dZ[L] and A[L], dA[l] and dZ[l], and every second dZ.

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
    """

    def __init__(
        self,
        sizes: Sequence[int],
        g: Sequence[Activation | None],
        N: int,
        dtype: Any,
        backward: bool = True,
        dropout: Sequence[float] = (),
    ) -> None:
        self.sizes, self.g, self.N = tuple(sizes), tuple(g), N
        L = len(sizes) - 1
        hidden = max(sizes[1:L], default=0)
        in_place = [layer is not None and layer.in_place for layer in self.g] + [False]
        shared = [np.empty(hidden * N, dtype) for _ in range(2)]
        self._a: list[Any] = [None]
        self._z: list[Any] = [None]
        self._dz: list[Any] = [None]
        for l in range(1, L):
            a = np.empty(sizes[l] * N, dtype) if backward else shared[l % 2]
            self._a.append(a)
            self._z.append(a if in_place[l] else np.empty(sizes[l] * N, dtype))
            self._dz.append(shared[l % 2])
        self._a.append(np.empty(sizes[L] * N, dtype))
        self._z.append(np.empty(sizes[L] * N, dtype))
        self._dz.append(self._a[L])
        has_scratch = any(layer is not None and layer.has_scratch for layer in self.g)
        self._scratch = np.empty(hidden * N if has_scratch else 0, dtype)
        self.keep = [1.0, *(1.0 - rate for rate in dropout or [0.0] * (L - 1))]
        self._d = [
            np.empty(n * N if k < 1.0 else 0, dtype) for n, k in zip(sizes, self.keep, strict=False)
        ]
        self._work = np.empty(2 * sizes[L] * N, dtype)
        self._ones = np.ones((N, 1), dtype)
        self._passes: dict[int, Pass] = {}

    def over(self, N: int) -> Pass:
        """Return the arrays of a pass over exactly N samples, on this memory."""
        if N not in self._passes:
            self._passes[N] = Pass(self, N)
        return self._passes[N]


class Pass:
    """Z[l], A[l] and dZ[l] of a pass over N samples; A[0] is set by the caller.

    Where a hidden layer has dropout, D[l] is the caller's too: 0 where a unit is dropped
    and 1 / keep[l] elsewhere (Srivastava et al., 2014, in the inverted form).
    """

    def __init__(self, workspace: Workspace, N: int) -> None:
        n, L = workspace.sizes, len(workspace.sizes) - 1

        def shaped(flat: list[Any]) -> list[Any]:
            return [None, *(flat[l][: n[l] * N].reshape(n[l], N) for l in range(1, L + 1))]

        self.L, self.N, self.g = L, N, workspace.g
        self.Z, self.A, self.dZ = map(shaped, (workspace._z, workspace._a, workspace._dz))
        self.scratch = [
            workspace._scratch[: n[l] * N].reshape(n[l], N) if has_scratch else None
            for l, has_scratch in enumerate(
                layer is not None and layer.has_scratch for layer in self.g
            )
        ]
        self.work = workspace._work[: 2 * n[L] * N].reshape(2, n[L], N)
        self.ones = workspace._ones[:N]
        self.keep = workspace.keep
        self.D = [
            d[: n_l * N].reshape(n_l, N) if len(d) else None
            for n_l, d in zip(n, workspace._d, strict=False)
        ]


def forward(parameters: Parameters, at: Pass, loss: Loss) -> None:
    """Compute Z[l] and A[l], l = 1..L, from A[0].

    Parameters
    ----------
    parameters : Parameters
        W and b.
    at : Pass
        The arrays: A[0], of shape (n[0], N), is read and the others are written.
    loss : Loss
        Its output activation is that of layer L.
    """
    W, b, Z, A, D, g, L = parameters.W, parameters.b, at.Z, at.A, at.D, at.g, at.L
    for l in range(1, L + 1):
        np.matmul(W[l], A[l - 1], out=Z[l])
        np.add(Z[l], b[l], out=Z[l])  # (3) Z = W A_prev + b
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
        The arrays after `forward`, with dZ[L], equation (36), in place of A[L]. The
        A[l] of the hidden layers are spent.
    gradient : Parameters
        dW and db are written to its W and b.
    """
    W, Z, A, D, dZ, g = parameters.W, at.Z, at.A, at.D, at.dZ, at.g
    dW, db = gradient.W, gradient.b
    for l in range(at.L, 0, -1):
        np.matmul(dZ[l], A[l - 1].T, out=dW[l])  # (24) dW = dZ A_prev^T
        np.matmul(dZ[l], at.ones, out=db[l])  # (25) db = sum of columns of dZ
        if l > 1:
            dA = np.matmul(W[l].T, dZ[l], out=dZ[l - 1])  # (22) dA_prev = W^T dZ
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

    def passes(self, N: int) -> Workspace:
        """Return the memory for forward passes over up to N samples."""
        parameters = self.parameters
        return Workspace(parameters.sizes, self.g, N, parameters.theta.dtype, backward=False)
