"""The objective J on given rows, and its gradient on a batch of them.

Rows are gathered and cut so that what a step touches stays in the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import get_blas_funcs

from skdnn.core.activations import Array
from skdnn.core.memory import Pass, Workspace
from skdnn.core.network import Network, Parameters, backward, forward
from skdnn.fit.rows import Batches, Rows
from skdnn.fit.threads import one_thread_if_small

# A pass over more rows than this is made in parts, whose gradients add up: the arrays of
# a part stay in the cache, and memory does not grow with the batch.
CHUNK = 1024

# Small batches are gathered, and their losses summed, as many at a time as fit in so many
# bytes, half of a second-level cache, and at most so many.
BLOCK = 1 << 19
MOST_BATCHES = 16


class Cost(NamedTuple):
    """J as training minimises it, and as it is reported: in the unit of y's loss."""

    J: float
    reported: float


class Criterion:
    """What is minimised, wherever its rows are: J as it follows from sums over them.

    A `value`, an `epoch` and a `value_and_gradient` as :class:`Objective` has them make it one
    that can be trained on.

    Parameters
    ----------
    network : Network
        Gives the sizes, the activations, the loss and the type; its weights are not used.
    alpha : float
        Strength of the L2 term.
    n : int
        The number of rows.
    weight, w_unit : float
        Their total weight, and what a weight of 1 is in those that the user gave.
    unit : float or ndarray of shape (m,)
        What one unit of L is in that of y; for each output, if they differ.
    """

    network: Network
    loss: Any
    alpha: float
    n: int
    weight: float
    unit: Any
    splits: bool
    dtype: Any
    axpy: Any

    def __init__(
        self, network: Network, alpha: float, n: int, weight: float, w_unit: float, unit: Any
    ) -> None:
        self.network, self.loss = network, network.loss
        self.alpha = alpha / w_unit  # the L2 term is divided by the weight that the user gave
        self.n, self.weight, self.unit = n, weight, unit
        self.splits = np.ndim(unit) > 0
        self.dtype = network.parameters.theta.dtype
        self.axpy = get_blas_funcs("axpy", dtype=self.dtype)

    @cached_property
    def gradient(self) -> Parameters:
        """Where dW and db of the last step or value are."""
        parameters = self.network.parameters
        return parameters.like(np.empty(len(parameters.theta), self.dtype))

    def threads(self) -> AbstractContextManager[None]:
        """Return the context to train in."""
        return nullcontext()

    def cost(self, total: Any, parameters: Parameters) -> Cost:
        """Return J from sum w_k L_k, which is one number or one for each output."""
        penalty = self.penalty(parameters)
        J = float(np.sum(total)) / self.weight + penalty
        return Cost(J, self.reported(total, penalty))

    def reported(self, total: Any, penalty: float) -> float:
        """Return J as it is reported; the L2 term has the mean of the outputs' units."""
        if not self.splits:
            return (total / self.weight + penalty) * self.unit
        return float(total @ self.unit) / self.weight + penalty * float(np.mean(self.unit))

    def penalty(self, parameters: Parameters) -> float:
        """Return the L2 term, alpha / (2 W) |weights|^2."""
        if not self.alpha:
            return 0.0
        square = sum(float(np.vdot(W, W)) for W in parameters.weights)
        return 0.5 * self.alpha * square / self.weight

    def add_slope_of_penalty(self, parameters: Parameters) -> None:
        """Add the gradient of the L2 term to `gradient`."""
        if self.alpha:
            a = self.alpha / self.weight
            for W, dW in zip(parameters.weights, self.gradient.weights, strict=True):
                self.axpy(W, dW, a=a)

    def value(self, parameters: Parameters) -> Cost:
        """Return J at the given parameters, without dropout."""
        raise NotImplementedError

    def epoch(
        self,
        parameters: Parameters,
        shuffles: bool,
        rng: np.random.Generator,
        step: Callable[[float], None],
    ) -> Cost:
        """Go once through the rows, calling `step` with the number of each batch."""
        raise NotImplementedError

    def value_and_gradient(self, parameters: Parameters) -> Cost:
        """Return J, and write its gradient on all rows to `gradient`."""
        raise NotImplementedError


class Objective(Criterion):
    """J = (sum of w_k L(o_k, y_k) + alpha / 2 |W|^2) / (total weight), on given rows.

    Parameters
    ----------
    batches : Batches
        The samples.
    network : Network
        Gives the sizes, the activations, the loss and the type; its weights are not used.
    alpha : float
        Strength of the L2 term.
    batch_size : int
        The largest batch that will be asked for.
    dropout : sequence of float
        The share dropped of every hidden layer, or ().
    unit : float or ndarray of shape (m,)
        What one unit of L is in that of y; for each output, if they differ.
    trains : bool, default=True
        Whether the gradient will be asked for.
    """

    batches: Batches
    batch_size: int
    dropout: bool
    keeps_outputs: bool
    block: int
    workspace: Workspace

    def __init__(
        self,
        batches: Batches,
        network: Network,
        alpha: float,
        batch_size: int,
        dropout: tuple[float, ...] = (),
        unit: Any = 1.0,
        trains: bool = True,
    ) -> None:
        super().__init__(network, alpha, len(batches), batches.weight, batches.rows.w_unit, unit)
        self.batches, self.batch_size = batches, batch_size
        self.dropout = any(dropout)
        theta, sizes = network.parameters.theta, network.parameters.sizes
        N = min(max(batch_size, 1), CHUNK)
        row = (1 + sizes[0] + 6 * sizes[-1]) * theta.itemsize
        most = max(min(MOST_BATCHES, BLOCK // (row * N), -(-self.n // N)), 1)
        self.keeps_outputs = batch_size <= CHUNK
        self.block = batch_size * most if self.keeps_outputs else batch_size
        self.workspace = Workspace(
            sizes,
            network.g,
            N,
            theta.dtype,
            backward=trains,
            dropout=dropout if self.dropout else (),
            outputs=N * most if self.keeps_outputs else N,
        )
        self._cut: dict[tuple[int, int, bool], list[tuple[Pass, slice]]] = {}

    @cached_property
    def _part(self) -> Parameters:
        """The gradient of a part of a batch."""
        return self.gradient.like(np.empty_like(self.gradient.theta))

    def threads(self) -> AbstractContextManager[None]:
        """Return the context to train in: BLAS on one thread, where that is as fast."""
        return one_thread_if_small(self.workspace.sizes, self.workspace.N)

    def value(self, parameters: Parameters, Z: Array | None = None) -> Cost:
        """Return J at the given parameters, without dropout.

        The raw outputs are written to Z, of shape (m, n), if it is given.
        """
        return self.cost(self.total(parameters, Z), parameters)

    def total(self, parameters: Parameters, Z: Array | None = None) -> Any:
        """Return sum w_k L_k as `value` has it; of several targets that is one for each."""
        return self.sum_over(self.batches, parameters, Z)

    def sum_over(self, batches: Batches, parameters: Parameters, Z: Array | None = None) -> Any:
        """Return sum w_k L_k of given rows."""
        total: Any = 0.0
        n = len(batches)
        for start in range(0, n, self._judging.N):
            part = slice(start, min(start + self._judging.N, n))
            at = self._judging.over(part.stop - start)
            Y, _, w = batches.load(at, part)
            forward(parameters, at, self.loss)
            total += self.loss.value(at.Z[at.L], at.A[at.L], Y, w, at.work, self.splits)
            if Z is not None:
                Z[:, part] = at.Z[at.L]
        return total

    @cached_property
    def _judging(self) -> Workspace:
        """The arrays to find J with: without dropout, and with room for many rows.

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
        shuffles: bool,
        rng: np.random.Generator,
        step: Callable[[float], None],
    ) -> Cost:
        """Go once through the rows, maybe in a new order, and return the mean of their costs.

        Each batch is judged before its step, and the L2 term at the end. Rows are gathered,
        and their losses summed, for several small batches at once. `step` is called with
        the number of each batch when its gradient is ready.
        """
        order = rng.permutation(self.n) if shuffles else None
        return self.cost(self.sweep(self.batches, order, parameters, rng, step), parameters)

    def sweep(
        self,
        batches: Batches,
        order: Any,
        parameters: Parameters,
        rng: np.random.Generator,
        step: Callable[[float], None],
        i: float = 0,
    ) -> Any:
        """Go through rows in an order, as `epoch` does from batch i on; return sum w_k L_k."""
        m, n = self.batch_size, len(batches)
        total: Any = 0.0
        for first in range(0, n, self.block):
            block = slice(first, min(first + self.block, n))
            rows: Any = batches
            if order is not None:
                rows = batches.take(order[block])
            elif self.keeps_outputs:
                rows = batches.part(block)
            begin, end = (first, block.stop) if rows is batches else (0, len(rows))
            for start in range(begin, end, m):
                batch = slice(start, min(start + m, end))
                total += self.differentiate(parameters, rows, batch, rng, self.keeps_outputs)
                step(i)
                i += 1
            if self.keeps_outputs:
                Z, A = self.workspace.outputs[:, :, : len(rows)]
                work = self.workspace.work[:, :, : len(rows)]
                w = None if rows.w is None else rows.w.T
                total += self.loss.value(Z, A, rows.targets(), w, work, self.splits)
        return total

    def value_and_gradient(self, parameters: Parameters) -> Cost:
        """Return J, and write its gradient on all rows to `gradient`."""
        total = self.differentiate(parameters, self.batches, slice(0, self.n))
        return self.cost(total, parameters)

    def differentiate(
        self,
        parameters: Parameters,
        rows: Rows | Batches,
        batch: slice,
        rng: np.random.Generator | None = None,
        keeps_outputs: bool = False,
        N: float | None = None,
    ) -> Any:
        """Write the gradient of J on a batch of `rows` to `gradient`; return sum w_k L_k.

        The batch B stands for all n rows: its losses are divided by W |B| / n, or by N, where
        it is a part of a larger one. With `keeps_outputs` the loss is not summed yet, and 0 is
        returned.
        """
        N = self.weight * (batch.stop - batch.start) / self.n if N is None else N
        target = self.gradient
        total: Any = 0.0
        for at, part in self._parts(batch.start, batch.stop, keeps_outputs):
            Y, aims, w = rows.load(at, part)
            if self.dropout and rng is not None:
                draw_dropout(at, rng)
            forward(parameters, at, self.loss)
            if not keeps_outputs:
                total += self.loss.value(at.Z[at.L], at.A[at.L], Y, w, at.work, self.splits)
            self.loss.gradient(at.A[at.L], aims, w, N, out=at.dZ[at.L])
            backward(parameters, at, target)
            if target is not self.gradient:
                self.gradient.theta += target.theta
            elif batch.stop - batch.start > CHUNK:
                target = self._part
        self.add_slope_of_penalty(parameters)
        return total

    def _parts(self, start: int, stop: int, keeps_outputs: bool) -> list[tuple[Pass, slice]]:
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


def draw_dropout(at: Pass, rng: np.random.Generator) -> None:
    """Fill the D[l] of a pass: 0 with the layer's rate and 1 / keep[l] otherwise."""
    for d, keep in zip(at.D, at.keep, strict=False):
        if d is not None:
            # 16 random bits a unit decide, which costs a quarter of a float each; the
            # rate is met to 1 in 65,536.
            draws = rng.integers(0, 1 << 16, d.shape, dtype=np.uint16)
            np.less(draws, round(keep * (1 << 16)), out=d)
            d *= 1.0 / keep
