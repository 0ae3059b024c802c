"""The objective J on given rows, its gradient on a batch of them, and the loss held out.

Rows are gathered and cut so that what a step touches stays in the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import scipy.optimize
from scipy.linalg import get_blas_funcs
from scipy.sparse import issparse

from skdnn._threads import one_thread_if_small
from skdnn.activations import Activation, Array
from skdnn.losses import Loss
from skdnn.network import Parameters, Pass, Workspace, backward, forward

# A pass over more rows than this is made in parts, whose gradients add up: the arrays of
# a part stay in the cache, and memory does not grow with the batch.
CHUNK = 1024

# Small batches are gathered, and their losses summed, as many at a time as fit in so many
# bytes, half of a second-level cache, and at most so many.
BLOCK = 1 << 19
MOST_BATCHES = 16


class Rows:
    """Training rows as the network reads them.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n, n[0])
        Inputs.
    Y : ndarray of shape (n, m), or int ndarray of shape (n,)
        Targets; integers are labels and stand for rows of `table`.
    w : ndarray of shape (n,) or None
        Sample weights.
    table : ndarray of shape (m, m), optional
        Row y is the target of label y: one-hot, or smoothed.
    X1 : ndarray of shape (n, 1 + n[0]), optional
        [1 X], the input with the ones that the core needs, if X is a view of it.
    prepare : callable, optional
        What rows of X, if there is no X1, have to go through before the network reads them.
    """

    def __init__(
        self,
        X: Any,
        Y: Array,
        w: Array | None,
        table: Array | None = None,
        X1: Array | None = None,
        prepare: Callable[[Any], Any] = lambda X: X,
    ) -> None:
        self.X, self.Y, self.w, self.table = X, Y, w, table
        self.X1, self.prepare = X1, prepare
        self.weight = float(len(Y) if w is None else np.sum(w, dtype=np.float64))
        # Where `take` puts what it cannot put into X1 and Y at once.
        self._inputs, self._labels = X, Y
        self._gathered: dict[int, Rows] = {}
        self._columns: dict[tuple[int, int], tuple[Array, Array, Array | None]] = {}

    def __len__(self) -> int:
        return len(self.Y)

    def load(self, at: Pass, rows: slice) -> tuple[Array, Array | None]:
        """Make the samples `rows` A[0] of a pass and return their Y and w."""
        where = rows.start, rows.stop
        if where in self._columns:
            at.A1[0], Y, w = self._columns[where]
            return Y, w
        Y, w = self.targets(rows), None if self.w is None else self.w[rows]
        if self.X1 is None:
            at.read(self.prepare(self.X[rows]))
            return Y, w
        at.A1[0] = self.X1[rows].T
        if self.table is None:  # to make these views anew costs 1 us
            self._columns[where] = at.A1[0], Y, w
        return Y, w

    def targets(self, rows: slice = slice(None)) -> Array:
        """Return Y of the given rows, samples in columns."""
        Y = self.Y[rows]
        return (Y if self.table is None else np.take(self.table, Y, axis=0)).T

    def part(self, rows: slice) -> Rows:
        """Return the given rows, as views."""
        w = None if self.w is None else self.w[rows]
        X1 = None if self.X1 is None else self.X1[rows]
        part = Rows(self.X[rows], self.Y[rows], w, self.table, X1, self.prepare)
        part._inputs, part._labels = self._inputs[rows], self._labels[rows]
        return part

    def take(self, order: Array) -> Rows:
        """Return the given rows, gathered into memory that the next call uses again."""
        if issparse(self.X):
            return Rows(
                self.X[order], self.Y[order], None if self.w is None else self.w[order], self.table
            )
        if len(order) not in self._gathered:
            self._gathered[len(order)] = self._room(len(order))
        room = self._gathered[len(order)]
        # mode="clip" writes straight to `out`; the default goes through a buffer.
        if self.X1 is not None:
            np.take(self.X1, order, axis=0, out=room.X1, mode="clip")
        else:
            np.take(self.X, order, axis=0, out=room._inputs, mode="clip")
            np.copyto(room.X, room._inputs)
        np.take(self.Y, order, axis=0, out=room._labels, mode="clip")
        if self.table is not None:
            np.take(self.table, room._labels, axis=0, out=room.Y, mode="clip")
        if self.w is not None:
            np.take(self.w, order, axis=0, out=room.w, mode="clip")
        return room

    def _room(self, n: int) -> Rows:
        """Return memory for n rows with their ones; fewer have a part of it."""
        if self._gathered:
            return self._gathered[max(self._gathered)].part(slice(0, n))
        # To gather from a copy [1 X], made for that, took 0.97 of the time for 20-32-3 and for
        # 107-100-1 in float32, the same for wider networks, and 1.04 for 784 columns.
        X1 = np.empty((n, 1 + self.X.shape[1]), self.X.dtype)
        X1[:, 0] = 1.0
        labels = np.empty_like(self.Y[:n])
        Y = labels if self.table is None else np.empty((n, len(self.table)), self.table.dtype)
        w = None if self.w is None else np.zeros_like(self.w[:n])
        room = Rows(X1[:, 1:], Y, w, X1=X1)
        room._labels = labels
        if self.X1 is None:
            room._inputs = np.empty((n, self.X.shape[1]), self.X.dtype)
        return room


class Objective:
    """J = (sum of w_k L(o_k, y_k) + alpha / 2 |W|^2) / (total weight), on given rows.

    Parameters
    ----------
    rows : Rows
        The samples.
    parameters : Parameters
        Gives the sizes and the type.
    g : sequence of Activation
        The hidden layers' activations; index 0 is unused.
    loss : Loss
        The loss and output activation.
    alpha : float
        Strength of the L2 term.
    batch_size : int
        The largest batch that will be asked for.
    dropout : sequence of float
        The share dropped of every hidden layer, or ().
    """

    def __init__(
        self,
        rows: Rows,
        parameters: Parameters,
        g: list[Activation | None],
        loss: Loss,
        alpha: float,
        batch_size: int,
        dropout: tuple[float, ...] = (),
    ) -> None:
        self.rows, self.loss, self.alpha, self.batch_size = rows, loss, alpha, batch_size
        self.dropout = any(dropout)
        theta, sizes = parameters.theta, parameters.sizes
        self.dtype = theta.dtype
        N = min(max(batch_size, 1), CHUNK)
        row = (1 + sizes[0] + 6 * sizes[-1]) * theta.itemsize
        batches = min(MOST_BATCHES, BLOCK // (row * N), -(-len(rows) // N))
        self.block = batch_size * max(batches, 1) if N == batch_size else batch_size
        self.workspace = Workspace(
            sizes,
            g,
            N,
            theta.dtype,
            dropout=dropout if self.dropout else (),
            outputs=N * max(batches, 1) if N == batch_size else N,
        )
        self.gradient = parameters.like(np.empty_like(theta))
        self._part: Parameters | None = None
        self.axpy = get_blas_funcs("axpy", dtype=theta.dtype)
        self._cut: dict[tuple[int, int, bool], list[tuple[Pass, slice]]] = {}

    def threads(self) -> AbstractContextManager[None]:
        """Return the context to train in: BLAS on one thread, where that is as fast."""
        return one_thread_if_small(self.workspace.sizes, self.workspace.N)

    def penalty(self, parameters: Parameters) -> float:
        """Return the L2 term, alpha / (2 W) |weights|^2."""
        square = sum(float(np.vdot(W, W)) for W in parameters.weights)
        return 0.5 * self.alpha * square / self.rows.weight

    def value(self, parameters: Parameters) -> float:
        """Return J at the given parameters, without dropout."""
        total, n = 0.0, len(self.rows)
        workspace = self._judging()
        for start in range(0, n, workspace.N):
            part = slice(start, min(start + workspace.N, n))
            at = workspace.over(part.stop - start)
            Y, w = self.rows.load(at, part)
            forward(parameters, at, self.loss)
            total += self.loss.value(at.Z[at.L], at.A[at.L], Y, w, at.work)
        return total / self.rows.weight + self.penalty(parameters)

    def _judging(self) -> Workspace:
        """Return the arrays to find J with: without dropout, and with room for many rows.

        Short rows by the half megabyte, not the batch, took half of the time for 20-32-3.
        """
        sizes, g, N, dtype = self.workspace.sizes, self.workspace.g, self.workspace.N, self.dtype
        row = (1 + sizes[0] + 2 * (1 + max(sizes)) + 6 * sizes[-1]) * dtype.itemsize
        most = min(BLOCK // row, CHUNK)
        if most <= N and not self.dropout:
            return self.workspace
        return Workspace(sizes, g, max(most, N), dtype, backward=False)

    def epoch(
        self,
        parameters: Parameters,
        order: Array | None,
        rng: np.random.Generator,
        step: Callable[[int], None],
    ) -> float:
        """Go once through the rows in the given order, and return sum w_k L_k.

        Rows are gathered, and their losses summed, for several small batches at once.
        `step` is called with the number of each batch when its gradient is ready.
        """
        n, m = len(self.rows), self.batch_size
        total, i = 0.0, 0
        keeps_outputs = m <= CHUNK
        for first in range(0, n, self.block):
            block = slice(first, min(first + self.block, n))
            rows = self.rows.part(block) if order is None else self.rows.take(order[block])
            for start in range(0, len(rows), m):
                batch = slice(start, min(start + m, len(rows)))
                total += self.differentiate(parameters, batch, rng, rows, keeps_outputs)
                step(i)
                i += 1
            if keeps_outputs:
                Z, A = self.workspace.outputs[:, :, : len(rows)]
                work = self.workspace.work[:, :, : len(rows)]
                total += self.loss.value(Z, A, rows.targets(), rows.w, work)
        return total

    def differentiate(
        self,
        parameters: Parameters,
        batch: slice,
        rng: np.random.Generator | None = None,
        rows: Rows | None = None,
        keeps_outputs: bool = False,
    ) -> float:
        """Write the gradient of J on a batch to `gradient` and return sum w_k L_k.

        The batch B stands for all n rows: its losses are divided by W |B| / n. It is a
        batch of `rows`, by default all; with `keeps_outputs` the loss is not summed yet.
        """
        rows = self.rows if rows is None else rows
        N = self.rows.weight * (batch.stop - batch.start) / len(self.rows)
        total, target = 0.0, self.gradient
        for at, part in self._parts(batch.start, batch.stop, keeps_outputs):
            Y, w = rows.load(at, part)
            if self.dropout and rng is not None:
                draw_dropout(at, rng)
            forward(parameters, at, self.loss)
            if not keeps_outputs:
                total += self.loss.value(at.Z[at.L], at.A[at.L], Y, w, at.work)
            self.loss.gradient(at.A[at.L], Y, w, N, out=at.dZ[at.L])
            backward(parameters, at, target)
            if target is not self.gradient:
                self.gradient.theta += target.theta
            elif batch.stop - batch.start > CHUNK:
                target = self._second_gradient()
        if self.alpha:
            a = self.alpha / self.rows.weight
            for W, dW in zip(parameters.weights, self.gradient.weights, strict=True):
                self.axpy(W, dW, a=a)
        return total

    def _parts(
        self, start: int, stop: int, keeps_outputs: bool = False
    ) -> list[tuple[Pass, slice]]:
        """Cut a batch into parts of at most the workspace's size, with their arrays."""
        key = start, stop, keeps_outputs
        if key not in self._cut:
            m = self.workspace.N
            cuts = [slice(i, min(i + m, stop)) for i in range(start, stop, m)]
            self._cut[key] = [
                (self.workspace.over(cut.stop - cut.start, cut.start if keeps_outputs else 0), cut)
                for cut in cuts
            ]
        return self._cut[key]

    def _second_gradient(self) -> Parameters:
        if self._part is None:
            self._part = self.gradient.like(np.empty_like(self.gradient.theta))
        return self._part


def draw_dropout(at: Pass, rng: np.random.Generator | None) -> None:
    """Fill the D[l] of a pass: 0 with the layer's rate and 1 / keep[l] otherwise."""
    assert rng is not None
    for d, keep in zip(at.D, at.keep, strict=False):
        if d is not None:
            # 16 random bits a unit decide, which costs a quarter of a float each; the
            # rate is met to 1 in 65,536.
            draws = rng.integers(0, 1 << 16, d.shape, dtype=np.uint16)
            np.less(draws, round(keep * (1 << 16)), out=d)
            d *= 1.0 / keep


class HeldOut:
    """The loss of held-out rows: as it is, and at the best scale of the raw outputs.

    A network may grow too sure of itself long before it makes more errors. To stop by
    the loss after calibration and to calibrate at the end is "Refine, then calibrate" of
    Berta, Holzmüller, Jordan and Bach (2025).

    Parameters
    ----------
    rows : Rows
        The held-out rows.
    loss : Loss
        The loss.
    raw_outputs : callable
        Returns Z[L]^T of the rows at given parameters.
    """

    def __init__(self, rows: Rows, loss: Loss, raw_outputs: Callable[[Parameters], Array]) -> None:
        Y = rows.Y if rows.table is None else rows.table[rows.Y]
        self.Y, self.w, self.weight = np.ascontiguousarray(Y.T), rows.w, rows.weight
        self.output, self.raw_outputs = loss, raw_outputs
        self.A, self.dZ = np.empty_like(self.Y), np.empty_like(self.Y)
        self.work = np.empty((2, *self.Y.shape), self.Y.dtype)

    def loss(self, parameters: Parameters) -> float:
        """Return the mean loss."""
        self.Z = np.ascontiguousarray(self.raw_outputs(parameters).T)
        return self._loss_at(1.0)

    def score(self, parameters: Parameters, loss: float) -> float:
        """Return minus the least mean loss over factors of the raw outputs just computed."""
        return -self._loss_at(self.factor()) if np.isfinite(loss) else np.nan

    def factor(self) -> float:
        """Return the factor, from 0.1 to 1, that minimises the loss, which is convex in it.

        Larger ones would make the network surer than it has shown itself to be.
        """
        least, most = 0.1, 1.0
        if self._slope_at(most) <= 0.0:
            return most
        if self._slope_at(least) >= 0.0:
            return least
        return float(scipy.optimize.brentq(self._slope_at, least, most, xtol=0.005))

    def _loss_at(self, factor: float) -> float:
        Z = self.Z * factor
        self.output.output(Z, self.A, self.work)
        return self.output.value(Z, self.A, self.Y, self.w, self.work) / self.weight

    def _slope_at(self, factor: float) -> float:
        self.output.output(self.Z * factor, self.A, self.work)
        self.output.gradient(self.A, self.Y, self.w, self.weight, out=self.dZ)
        return float(np.vdot(self.dZ, self.Z))


def sharpened(parameters: Parameters, factor: float) -> Parameters:
    """Return a copy whose raw outputs are `factor` times those of `parameters`."""
    new = parameters.like(parameters.theta.copy())
    new.W[-1] *= factor
    new.b[-1] *= factor
    return new
