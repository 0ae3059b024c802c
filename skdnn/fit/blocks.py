"""A fit on rows that are read block by block, from a file or from memory, in every epoch.

Rows come in blocks of consecutive ones. An epoch takes the blocks in a new order, pools of them
at a time, and the rows of a pool in a new order too. How many rows a block and a pool have
follows from the number of columns alone, so that the same rows are taken in the same order
wherever they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import gen_batches

from skdnn.core.activations import Array
from skdnn.core.network import Network, Parameters, forward
from skdnn.fit.holdout import draw
from skdnn.fit.intercepts import intercepts
from skdnn.fit.judge import Judge, Score
from skdnn.fit.objective import CHUNK, Cost, Objective
from skdnn.fit.problem import Problem
from skdnn.fit.recipe import Recipe
from skdnn.fit.rows import Batches, Rows, Smoothing, pooled
from skdnn.fit.training import Found, Plan, State

POOL = 1 << 21  # numbers of X in a pool of blocks, whose rows are shuffled as one
LEAST_ROWS, MOST_ROWS = 1 << 12, 1 << 17  # in a pool
BLOCKS = 64  # in a pool
KEPT = 1 << 26  # bytes of prepared rows


def pool_rows(n_columns: int) -> int:
    """Return the most rows of a pool; as many may be held out."""
    return min(max(POOL // n_columns, LEAST_ROWS), MOST_ROWS)


def block_rows(n_columns: int) -> int:
    """Return the rows of a block."""
    return pool_rows(n_columns) // BLOCKS


def can_be_kept(size: int) -> bool:
    """Whether prepared rows of so many bytes are kept, and not read again in every epoch."""
    return size <= KEPT


@dataclass(eq=False, repr=False)
class Blocks:
    """Rows of weight > 0, by blocks of consecutive ones."""

    counts: NDArray[np.intp]  # how many of them each block has
    weight: float  # of all of them
    w_unit: float  # what a weight of 1 is in those that the user gave
    load: Callable[[int], Rows]  # returns those of the block of a number, as the network reads them
    keeps: bool  # whether to keep what has been loaded
    smoothing: Smoothing | None = None  # of the targets to train on

    def __post_init__(self) -> None:
        self.ends: Any = np.cumsum(self.counts)
        self.starts: Any = self.ends - self.counts

    def __len__(self) -> int:
        return int(self.ends[-1])

    @cached_property
    def whole(self) -> Rows:
        """All rows, to be kept."""
        parts = (self.load(int(i)) for i in np.flatnonzero(self.counts))
        return pooled(len(self), parts).smoothed(self.smoothing)

    def pools(
        self, rng: np.random.Generator | None, without: NDArray[np.intp]
    ) -> Iterator[Batches]:
        """Yield the rows, pool by pool, but for some.

        Parameters
        ----------
        rng : Generator or None
            Shuffles the blocks; None leaves them in order.
        without : int ndarray
            Which of the rows are left out: ascending numbers among those of weight > 0.
        """
        n = len(self.counts)
        order = np.arange(n) if rng is None else rng.permutation(n)
        for blocks in np.array_split(order, ceil(n / BLOCKS)):
            left = {int(i): self._left(int(i), without) for i in blocks}
            size = sum(map(len, left.values()))
            if not size:
                continue
            if self.keeps:
                numbers = np.concatenate([self.starts[i] + left[i] for i in left])
                yield Batches(self.whole, numbers)
            else:
                parts = (self._only(i, left[i]) for i in left if len(left[i]))
                yield Batches(pooled(size, parts).smoothed(self.smoothing))

    def _left(self, block: int, without: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the rows of a block that are not left out, counted from its first."""
        return np.delete(np.arange(self.counts[block]), self.within(block, without))

    def _only(self, block: int, numbers: NDArray[np.intp]) -> Rows:
        """Return rows of a block, of which no copy is made for all of them."""
        rows = self.load(block)
        return rows if len(numbers) == len(rows) else rows.only(numbers)

    def within(self, block: int, numbers: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return those of ascending numbers that are in a block, counted from its first row."""
        start = self.starts[block]
        low, high = np.searchsorted(numbers, [start, self.ends[block]])
        return numbers[low:high] - start


@dataclass(eq=False, repr=False)
class _Sized:
    """What an objective asks of its rows before it reads any."""

    rows: Blocks
    n: int
    weight: float

    def __len__(self) -> int:
        return self.n


class ObjectiveInBlocks(Objective):
    """J on rows in blocks, but for those that are held out."""

    def __init__(
        self, problem: ProblemInBlocks, held_out: HeldOut, settings: Any, batch_size: int
    ) -> None:
        self.blocks: Blocks = problem.blocks
        self.without: NDArray[np.intp] = held_out.numbers
        n = len(self.blocks) - len(self.without)
        rows: Any = _Sized(self.blocks, n, self.blocks.weight - held_out.weight)
        like = problem.network, settings.alpha, min(batch_size, n), settings.dropout
        super().__init__(rows, *like, problem.unit)

    def pools(self, rng: np.random.Generator | None = None) -> Iterator[Batches]:
        """Yield the rows, pool by pool; in order without a generator."""
        for pool in self.blocks.pools(rng, self.without):
            yield pool
            for workspace in (*self.workspaces, *self._judging):
                workspace.let_go()

    def total(self, parameters: Parameters, Z: Array | None = None) -> Any:
        return sum(self.sum_over(pool, parameters) for pool in self.pools())

    def epoch(
        self,
        parameters: Parameters,
        shuffles: bool,
        rng: np.random.Generator,
        step: Callable[[float], None],
    ) -> Cost:
        """Go once through the rows; what `step` is called with counts the rows in batches.

        The last batch of a pool may be smaller.
        """
        if self.batch_size == self.n:
            cost = self._on_all(parameters, rng)
            step(0)
            return cost
        total: Any = 0.0
        done = 0
        for pool in self.pools(rng if shuffles else None):
            order = rng.permutation(len(pool)) if shuffles else None
            total += self.sweep(pool, order, parameters, rng, step, done / self.batch_size)
            done += len(pool)
        return self.cost(total, parameters)

    def mean_outputs(self, networks: list[Network]) -> Iterator[tuple[Array, Array, Array | None]]:
        """Yield the mean of several networks' raw outputs, targets and weights, part by part."""
        passes = [network.passes(CHUNK) for network in networks]
        for pool in self.pools():
            for part in gen_batches(len(pool), CHUNK):
                Z: Any = 0.0
                for network, workspace in zip(networks, passes, strict=True):
                    at = workspace.over(part.stop - part.start)
                    Y, _, w = pool.load(at, part)
                    forward(network.parameters, at, self.loss)
                    Z = Z + at.Z[at.L] / len(networks)
                yield Z, Y, w

    def value_and_gradient(self, parameters: Parameters) -> Cost:
        return self._on_all(parameters, None)

    def _on_all(self, parameters: Parameters, rng: np.random.Generator | None) -> Cost:
        total: Any = 0.0
        slope = np.zeros_like(self.gradient.theta)
        for pool in self.pools():
            total += self.differentiate(parameters, pool, slice(0, len(pool)), rng)
            slope += self.gradient.theta * self.dtype.type(len(pool) / self.n)
        np.copyto(self.gradient.theta, slope)
        return self.cost(total, parameters)


@dataclass(frozen=True, eq=False, repr=False)
class HeldOut:
    """Rows that are left out: their ascending numbers among those of weight > 0."""

    numbers: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, np.intp))
    weight: float = 0.0  # of all of them


ALL = HeldOut()


@dataclass(frozen=True, eq=False, repr=False)
class ProblemInBlocks(Problem):
    """What a recipe is applied to where the rows are read block by block.

    `take` returns the rows of ascending numbers among those of weight > 0: as they were given, and
    in the network's coordinates. Those of classes that no other row has are left out, of the
    numbers too. `score` returns how to score rows as they were given, or `given` for None. For
    the rest see :class:`~skdnn.fit.problem.ProblemInMemory`.
    """

    blocks: Blocks
    network: Network
    unit: Any
    take: Callable[[NDArray[np.intp]], tuple[NDArray[np.intp], Any, Rows]]
    score: Callable[[Any], Score | None]
    given: Rows | None = None
    earlier: State | None = None
    _random: dict[int, Rows] = field(default_factory=dict)

    def hold_out(self, recipe: Recipe, seed: int) -> tuple[HeldOut, Judge | None]:
        held_out, rows, data = ALL, self.given, None
        if recipe.n_held_out:
            numbers = draw(len(self.blocks), recipe.n_held_out, np.random.default_rng(seed))
            numbers, data, rows = self.take(numbers)
            held_out = HeldOut(numbers, rows.weight)
            self._random[seed] = rows
        if rows is None:
            return ALL, None
        score = self.score(data) if recipe.early_stopping else None
        calibrates = recipe.calibrate and score is None
        most = recipe.most_factor
        return held_out, Judge(rows, self.network, self.unit, score, calibrates, most)

    def objective(self, numbers: Any, settings: Any, plan: Plan) -> ObjectiveInBlocks:
        return ObjectiveInBlocks(self, numbers or ALL, settings, plan.batch_size)

    def intercepts(self, found: Found) -> Array | None:
        rows = self._random.get(found.state.seed)
        if rows is None:
            return None
        objective = Objective(Batches(rows), self.network, 0.0, CHUNK, trains=False)
        return intercepts(objective, found.state.final(), found.factor)
