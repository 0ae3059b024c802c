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

from skdnn.core.activations import ACTIVATIONS, Array
from skdnn.core.losses import Loss
from skdnn.core.memory import Pass, Workspace

__all__ = [
    "Network",
    "Parameters",
    "Pass",
    "Workspace",
    "backward",
    "backward_to_input",
    "forward",
    "slopes",
]


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
        self.sizes: tuple[int, ...] = tuple(sizes)
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


def slopes(at: Pass) -> None:
    """Compute g'(Z[l]), l = 1..L-1, after `forward`; written over A[l], whatever the output."""
    for l in range(1, at.L):
        at.g[l].derivative(at.Z[l], at.A[l], at.scratch[l])


def backward_to_input(parameters: Parameters, at: Pass, dX: Array) -> None:
    """Compute dX from dZ[L], after `slopes`: equation (16) one layer further.

    Parameters
    ----------
    parameters : Parameters
        Its W is read.
    at : Pass
        The arrays, with g'(Z[l]) in A[l]. Only the dZ of hidden layers are spent, so that
        one `forward` serves any number of dZ[L].
    dX : ndarray of shape (N, n[0])
        dA[0] is written to it, a row for each sample.
    """
    W, A, dZ = parameters.W, at.A, at.dZ
    for l in range(at.L, 1, -1):
        dA = at.product[l](W[l].T, dZ[l], out=dZ[l - 1])  # (16) dA_prev = W^T dZ
        np.multiply(A[l - 1], dA, out=dZ[l - 1])  # (17) dZ_prev = g'(Z_prev) * dA_prev
    np.matmul(dZ[1].T, W[1], out=dX)  # (16) for l = 1, transposed


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
        self.activations: tuple[str, ...] = tuple(activations)
        self.loss = loss

    @property
    def g(self) -> list[Any]:
        """The activations of layers 0..L-1; the input has none."""
        return [None, *(ACTIVATIONS[name] for name in self.activations)]

    def with_theta(self, theta: Array) -> Network:
        """Return the same network with other weights."""
        return Network(self.parameters.like(theta), self.activations, self.loss)

    def astype(self, dtype: Any) -> Network:
        """Return the network in another type, or itself if that is its own."""
        theta = self.parameters.theta
        return self if theta.dtype == dtype else self.with_theta(theta.astype(dtype))

    def passes(self, N: int, backward: bool = False) -> Workspace:
        """Return the memory for forward passes, or also backward ones, over up to N samples."""
        parameters = self.parameters
        return Workspace(parameters.sizes, self.g, N, parameters.theta.dtype, backward=backward)
