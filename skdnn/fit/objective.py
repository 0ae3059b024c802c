"""The objective J on given rows, and its gradient on a batch of them.

Rows are gathered and cut so that what a step touches stays in the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import get_blas_funcs

from skdnn.core.activations import Array
from skdnn.core.memory import Pass, Workspace
from skdnn.core.network import Network, Parameters, backward, forward
from skdnn.fit.rows import Batches, Rows
from skdnn.fit.threads import both, n_parts, threads

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


@dataclass(eq=False, repr=False)
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
    alpha: float
    n: int
    weight: float
    w_unit: float
    unit: Any

    def __post_init__(self) -> None:
        self.loss: Any = self.network.loss
        self.alpha /= self.w_unit  # the L2 term is divided by the weight that the user gave
        self.splits: bool = np.ndim(self.unit) > 0
        self.dtype: Any = self.network.parameters.theta.dtype
        self.axpy: Any = get_blas_funcs("axpy", dtype=self.dtype)

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
    network, alpha, unit
        As for :class:`Criterion`.
    batch_size : int
        The largest batch that will be asked for.
    dropout : sequence of float
        The share dropped of every hidden layer, or ().
    trains : bool, default=True
        Whether the gradient will be asked for.
    """

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
        self.batches: Batches = batches
        self.batch_size: int = batch_size
        self.dropout: bool = any(dropout)
        theta, sizes = network.parameters.theta, network.parameters.sizes
        N = min(max(batch_size, 1), CHUNK)
        parts = n_parts(sizes, N)
        N = -(-N // parts)
        row = (1 + sizes[0] + 6 * sizes[-1]) * theta.itemsize
        most = max(min(MOST_BATCHES, BLOCK // (row * N), -(-self.n // N)), 1)
        self.keeps_outputs: bool = batch_size <= CHUNK and parts == 1
        self.block: int = batch_size * most if self.keeps_outputs else batch_size
        self.workspaces: list[Workspace] = [
            Workspace(
                sizes,
                network.g,
                N,
                theta.dtype,
                backward=trains,
                dropout=dropout if self.dropout else (),
                outputs=N * most if self.keeps_outputs else N,
                lane=lane,
            )
            for lane in range(parts)
        ]
        self._cut: dict[tuple[int, int, bool], list[list[_Part]]] = {}
        self._slopes: dict[int, Parameters] = {}  # of parts of a batch, by lane

    def threads(self) -> AbstractContextManager[None]:
        """Return the context to work in: BLAS on one thread, and as many as there are parts."""
        return threads(len(self.workspaces))

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

        def of(number: int) -> Any:
            workspace = self._judging[number % len(self._judging)]
            part = slice(number * workspace.N, min((number + 1) * workspace.N, len(batches)))
            at = workspace.over(part.stop - part.start)
            Y, _, w = batches.load(at, part)
            forward(parameters, at, self.loss)
            if Z is not None:
                Z[:, part] = at.Z[at.L]
            return self.loss.value(at.Z[at.L], at.A[at.L], Y, w, at.work, self.splits)

        total: Any = 0.0
        numbers, width = range(-(-len(batches) // self._judging[0].N)), len(self._judging)
        for first in numbers[::width]:
            for loss in both(of, numbers[first : first + width]):
                total += loss
        return total

    @cached_property
    def _judging(self) -> list[Workspace]:
        """The arrays to find J with: without dropout, and with room for many rows.

        Short rows by the half megabyte, not the batch, took half of the time for 20-32-3.
        """
        like = self.workspaces[0]
        sizes, N, dtype = like.sizes, like.N, self.dtype
        row = (1 + sizes[0] + 2 * (1 + max(sizes)) + 6 * sizes[-1]) * dtype.itemsize
        most = min(BLOCK // row, CHUNK)
        if most <= N and not self.dropout:
            return self.workspaces
        lanes = range(len(self.workspaces))
        return [
            Workspace(sizes, like.g, max(most, N), dtype, backward=False, lane=lane)
            for lane in lanes
        ]

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
                (workspace,) = self.workspaces
                Z, A = workspace.outputs[:, :, : len(rows)]
                work = workspace.work[:, :, : len(rows)]
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
        total: Any = 0.0
        for at_once in self._parts(batch.start, batch.stop, keeps_outputs):
            if self.dropout and rng is not None:
                for one in at_once:
                    draw_dropout(one.at, rng)
            if len(at_once) == 1:  # without `both` a step of 20-32-3 takes 0.95
                losses = [self._of_part(parameters, rows, N, keeps_outputs, at_once[0])]
            else:
                of = partial(self._of_part, parameters, rows, N, keeps_outputs)
                losses = both(of, at_once)
            for one, loss in zip(at_once, losses, strict=True):
                total += loss
                if one.gradient is not self.gradient:
                    self.gradient.theta += one.gradient.theta
        self.add_slope_of_penalty(parameters)
        return total

    def _of_part(
        self,
        parameters: Parameters,
        rows: Rows | Batches,
        N: float,
        keeps_outputs: bool,
        part: _Part,
    ) -> Any:
        """Write the gradient of a part of a batch; return its sum w_k L_k as `differentiate`."""
        at, numbers, gradient = part
        Y, aims, w = rows.load(at, numbers)
        forward(parameters, at, self.loss)
        loss: Any = 0.0
        if not keeps_outputs:
            loss = self.loss.value(at.Z[at.L], at.A[at.L], Y, w, at.work, self.splits)
        self.loss.gradient(at.A[at.L], aims, w, N, out=at.dZ[at.L])
        backward(parameters, at, gradient)
        return loss

    def _parts(self, start: int, stop: int, keeps_outputs: bool) -> list[list[_Part]]:
        """Cut a batch into parts of at most the workspaces' size, as many at once as there are."""
        key = start, stop, keeps_outputs
        if key not in self._cut:
            width, N = len(self.workspaces), self.workspaces[0].N
            parts = []
            for i, first in enumerate(range(start, stop, N)):
                cut = slice(first, min(first + N, stop))
                at = self.workspaces[i % width].over(
                    cut.stop - first, first if keeps_outputs else 0
                )
                parts.append(_Part(at, cut, self._slope(i % width) if i else self.gradient))
            self._cut[key] = [parts[i : i + width] for i in range(0, len(parts), width)]
        return self._cut[key]

    def _slope(self, lane: int) -> Parameters:
        """Return where the gradient of a part that is not the first of its batch is written."""
        if lane not in self._slopes:
            self._slopes[lane] = self.gradient.like(np.empty_like(self.gradient.theta))
        return self._slopes[lane]


class _Part(NamedTuple):
    """Rows of a batch, the arrays of their pass, and where their gradient is written."""

    at: Pass
    rows: slice
    gradient: Parameters


def draw_dropout(at: Pass, rng: np.random.Generator) -> None:
    """Fill the D[l] of a pass: 0 with the layer's rate and 1 / keep[l] otherwise."""
    for d, keep in zip(at.D, at.keep, strict=False):
        if d is not None:
            # 16 random bits a unit decide, which costs a quarter of a float each; the
            # rate is met to 1 in 65,536.
            draws = rng.integers(0, 1 << 16, d.shape, dtype=np.uint16)
            np.less(draws, round(keep * (1 << 16)), out=d)
            d *= 1.0 / keep
