"""Rows in shards, here or on the workers of a cluster: their objective and who judges it.

Theorem 5.4's sums need no row beside another: loss, gradient and weight of shards add up, with
one divisor N. Parameters and optimiser stay here. What a shard is asked for depends on the
parameters, on numbers that both sides count, and on the shard, and what it answers is added
in one order, that of the shards. So the result is the same, bit by bit, wherever they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, pairwise
from math import ceil
from operator import itemgetter
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from skdnn.core.activations import Array
from skdnn.core.losses import Loss
from skdnn.core.memory import Workspace
from skdnn.core.network import Network, Parameters, forward
from skdnn.fit.holdout import split
from skdnn.fit.intercepts import balanced, moved
from skdnn.fit.judge import Judge
from skdnn.fit.objective import CHUNK, Cost, Criterion, Objective
from skdnn.fit.problem import Problem
from skdnn.fit.recipe import Recipe
from skdnn.fit.rows import Batches, Rows, Smoothing, add_up, aligned
from skdnn.fit.threads import one_thread
from skdnn.fit.training import Found, Plan, State

# How many answers are added at once: of more there are sums of sums.
FAN = 8

# The numbers of a shard's rows to train on; None for all.
Training = NDArray[np.intp] | None


class Engine(Protocol):
    """Where shards are. What it holds is known here by a handle."""

    def share(self, value: Any) -> Any:
        """Bring a value to where the shards are; return its handle."""

    def map(
        self, function: Callable[..., Any], *lists: Sequence[Any], same: Sequence[Any] = ()
    ) -> list[Any]:
        """Call a function with the entries of lists, values or handles; return handles.

        What is the `same` for all of them follows as further arguments.
        """

    def gather(self, handles: Sequence[Any]) -> list[Any]:
        """Return what is held."""


class Here:
    """An engine whose handles are the values: the shards are in this process."""

    def share(self, value: Any) -> Any:
        return value

    def map(
        self, function: Callable[..., Any], *lists: Sequence[Any], same: Sequence[Any] = ()
    ) -> list[Any]:
        return [function(*entries, *same) for entries in zip(*lists, strict=True)]

    def gather(self, handles: Sequence[Any]) -> list[Any]:
        return list(handles)


def total(engine: Engine, handles: Sequence[Any]) -> Any:
    """Return the sum of tuples that an engine holds, added in one order whatever it is."""
    while len(handles) > 1:
        starts = range(0, len(handles), FAN)
        handles = engine.map(add_up, [list(handles[i : i + FAN]) for i in starts])
    return engine.gather(handles)[0]


# ------------------------------------------------------------------------- where the shards are


@dataclass(frozen=True)
class Net:
    """A network but for its weights, as shards know it."""

    sizes: tuple[int, ...]
    activations: tuple[str, ...]
    loss: Loss
    dropout: tuple[float, ...]  # the share dropped of every hidden layer
    unit: Any  # as for Criterion
    smoothing: Smoothing | None = None  # of the targets to train on

    def with_theta(self, theta: Array) -> Network:
        """Return the network with weights."""
        return Network(Parameters(self.sizes, aligned(theta)), self.activations, self.loss)

    def blank(self, dtype: Any) -> Network:
        """Return the network without weights: all of them are one number in memory."""
        n = Parameters.count(self.sizes)
        return self.with_theta(np.broadcast_to(np.zeros((), dtype), (n,)))


@dataclass(frozen=True)
class Shard:
    """Some of the rows as the network reads them."""

    number: int  # which shard it is: with the seed the key of its random numbers
    rows: Rows  # at least one of weight > 0
    counted: NDArray[np.intp]  # this and the next two as for ProblemInMemory
    spare: NDArray[np.intp]
    strata: NDArray[np.intp] | None
    net: Net  # what is trained on them

    def __sizeof__(self) -> int:
        rows = self.rows
        X = rows.X if rows.X1 is None else rows.X1
        return size_of(X, rows.Y, rows.w, self.counted, self.spare)

    def only(self, numbers: NDArray[np.intp]) -> Self:
        """Return the rows of given numbers, as a shard."""
        return replace(self, rows=self.rows.only(numbers))

    def objective(self, network: Network, numbers: Any, trains: bool = False) -> Objective:
        """Return the objective on the rows of given numbers, None for all, without the L2 term."""
        net, batches = self.net, Batches(self.rows.smoothed(self.net.smoothing), numbers)
        return Objective(batches, network, 0.0, len(batches), net.dropout, net.unit, trains)


@dataclass(frozen=True)
class Batch:
    """A shard's part of a step: the i-th of n_steps, whose losses are divided by N.

    `key` is that of the epoch's random numbers; None is for no dropout.
    """

    i: int
    n_steps: int
    N: float
    key: int | None = None


def size_of(*arrays: Any) -> int:
    """Return about how many bytes an object takes that has arrays, sparse matrices or None."""
    held = (array.data if issparse(array) else array for array in arrays)
    return 1024 + sum(int(array.nbytes) for array in held if array is not None)


def count(shard: Shard, numbers: Training = None) -> tuple[int, int, int, float]:
    """Return how many rows there are to train on, count, and may be held out; their weight."""
    batches = Batches(shard.rows, numbers)
    return len(batches), len(shard.counted), len(shard.spare), batches.weight


def choose(shard: Shard, n: int, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the numbers of the rows to train on, and of n that are held out."""
    if not n:
        return shard.counted, shard.counted[:0]
    key = int(np.random.default_rng([seed, shard.number]).integers(2**31))
    return split(shard.counted, shard.spare, shard.strata, n, key)


def in_order(shard: Shard, numbers: Training, key: int | None) -> NDArray[np.intp]:
    """Return the numbers of the rows to train on, for a key in an order drawn by it."""
    numbers = np.arange(len(shard.rows)) if numbers is None else numbers
    # They are held through an epoch: half of the memory.
    numbers = numbers.astype(np.uint32) if len(shard.rows) < 2**32 else numbers
    if key is None:
        return numbers
    return np.random.default_rng([key, shard.number]).permutation(numbers)


def gradient_of(
    shard: Shard, order: NDArray[np.intp], theta: Array, batch: Batch
) -> tuple[Array, Any]:
    """Return the gradient of the losses of a shard's part of a batch, and their sum."""
    n = len(order)
    numbers = order[n * batch.i // batch.n_steps : n * (batch.i + 1) // batch.n_steps]
    if not len(numbers):
        return np.zeros_like(theta), np.zeros(np.shape(shard.net.unit))
    rng = None
    if batch.key is not None:
        rng = np.random.default_rng([batch.key, shard.number, batch.i])
    with one_thread(), np.errstate(all="ignore"):
        objective = shard.objective(shard.net.with_theta(theta), numbers, trains=True)
        parameters, rows = objective.network.parameters, slice(0, len(numbers))
        loss = objective.differentiate(parameters, objective.batches, rows, rng, N=batch.N)
    return objective.gradient.theta, loss


def loss_of(shard: Shard, numbers: Training, theta: Array) -> tuple[Any]:
    """Return the sum of the losses of the rows to train on, without dropout."""
    with one_thread(), np.errstate(all="ignore"):
        network = shard.net.with_theta(theta)
        return (shard.objective(network, numbers).total(network.parameters),)


def moved_by(
    shard: Shard, seen: Seen, numbers: Training, factor: float, c: Array, weight: float
) -> tuple[float, Array]:
    """Return the mean loss, and its slope, of raw outputs factor Z + c; they add up."""
    with one_thread(), np.errstate(all="ignore"):
        objective = shard.objective(shard.net.blank(seen.Z.dtype), numbers)
        return moved(objective, aligned(seen.Z), factor, c, weight)


def loss_of_mean(shard: Shard, thetas: list[Array]) -> tuple[Any]:
    """Return the sum of the losses of all rows for the mean of several networks' raw outputs."""
    rows, net = shard.rows, shard.net
    networks = [net.with_theta(theta) for theta in thetas]
    workspace = Workspace(net.sizes, networks[0].g, CHUNK, thetas[0].dtype, backward=False)
    loss: Any = 0.0
    with one_thread(), np.errstate(all="ignore"):
        for start in range(0, len(rows), CHUNK):
            part = slice(start, min(start + CHUNK, len(rows)))
            at = workspace.over(part.stop - start)
            Y, _, w = rows.load(at, part)
            Z: Any = 0.0
            for network in networks:
                forward(network.parameters, at, net.loss)
                Z = Z + at.Z[at.L]
            np.divide(Z, len(networks), out=at.Z[at.L])
            net.loss.output(at.Z[at.L], at.A[at.L], at.work)
            loss += net.loss.value(at.Z[at.L], at.A[at.L], Y, w, at.work, np.ndim(net.unit) > 0)
    return (loss,)


@dataclass(frozen=True)
class Seen:
    """The raw outputs of some rows, of shape (m, n), and the sum of their losses."""

    Z: Array
    loss: Any

    def __sizeof__(self) -> int:
        return size_of(self.Z)


def look(shard: Shard, numbers: Training, theta: Array) -> Seen:
    """Return what is seen of the rows of given numbers."""
    network = shard.net.with_theta(theta)
    with one_thread(), np.errstate(all="ignore"):
        objective = shard.objective(network, numbers)
        Z = np.empty((shard.net.sizes[-1], objective.n), theta.dtype)
        return Seen(Z, objective.total(network.parameters, Z))


def loss_seen(seen: Seen) -> tuple[Any]:
    """Return the sum of the losses."""
    return (seen.loss,)


def at_factor(shard: Shard, seen: Seen, factor: float, weight: float) -> tuple[float, float]:
    """Return the mean loss, and its slope, at a factor of the raw outputs; they add up."""
    with np.errstate(all="ignore"):
        network = shard.net.blank(seen.Z.dtype)
        judge = Judge(shard.rows, network, shard.net.unit, weight=weight)
        judge.Z = aligned(seen.Z)
        return judge.loss_at(factor), judge.slope_at(factor)


# ------------------------------------------------------------------------------ where the fit is


@dataclass(frozen=True)
class Numbers:
    """The rows that are trained on, of all shards."""

    chosen: list[Any]  # for each shard a handle of their numbers, or None for all of its rows
    sizes: list[int]  # how many there are in each shard
    weight: float  # of all of them
    n_counted: int  # how many have a weight > 0


@dataclass(frozen=True)
class ProblemInShards(Problem):
    """What a recipe is applied to where the rows are in shards."""

    engine: Engine  # where they are
    shards: list[Any]  # their handles; each has a row of weight > 0
    given: Sequence[Any]  # those of the user's own rows to validate on; () for none
    net: Net  # what is trained
    network: Network
    w_unit: float  # what a weight of 1 of a row is in the user's weights
    earlier: State | None = None

    @cached_property
    def whole(self) -> Numbers:
        """All rows."""
        return self._counted([None] * len(self.shards))

    def _counted(self, chosen: list[Any]) -> Numbers:
        counts = self.engine.gather(self.engine.map(count, self.shards, chosen))
        sizes, weight = [n for n, *_ in counts], sum(weight for *_, weight in counts)
        # Of the rows of a shard those of weight 0 are none that are chosen, but some of all.
        return Numbers(chosen, sizes, weight, sum(min(n, counted) for n, counted, *_ in counts))

    def hold_out(self, recipe: Recipe, seed: int) -> tuple[Numbers | None, Judge | None]:
        """Return which rows to train on, None for all, and who judges.

        Every shard holds out its part, stratified by class: a shard may be all there is of a
        class, or of a time.
        """
        numbers, held_out = None, list(self.given)
        if recipe.n_held_out:
            engine, shards = self.engine, self.shards
            parts = _parts(recipe.n_held_out, engine.gather(engine.map(count, shards)))
            chosen = engine.map(choose, shards, parts, same=[seed])
            numbers = self._counted(engine.map(itemgetter(0), chosen))
            held_out = engine.map(Shard.only, shards, engine.map(itemgetter(1), chosen))
        if not held_out:
            return numbers, None
        asked = recipe.calibrate, recipe.most_factor
        return numbers, JudgeOfShards(self.engine, held_out, self.net, *asked)

    def intercepts(self, found: Found) -> Array | None:
        engine, shards = self.engine, self.shards
        numbers: Any = found.numbers or self.whole
        theta = engine.share(found.state.final().theta)
        seen = engine.map(look, shards, numbers.chosen, same=[theta])
        (loss,) = total(engine, engine.map(loss_seen, seen))
        if not np.isfinite(loss):
            return np.zeros(self.net.sizes[-1])

        def value_and_slope(c: Array) -> tuple[float, Array]:
            same = found.factor, c, numbers.weight
            return total(engine, engine.map(moved_by, shards, seen, numbers.chosen, same=same))

        return balanced(self.net.sizes[-1], numbers.n_counted, value_and_slope)

    def objective(self, numbers: Any, settings: Any, plan: Plan) -> ObjectiveInShards:
        return ObjectiveInShards(self, numbers or self.whole, settings, plan.batch_size)


def _parts(n: int, counts: list[tuple[int, int, int, float]]) -> list[int]:
    """Return how many of n rows to hold out in each shard: as many of all in proportion."""
    ends = list(accumulate((counted for _, counted, *_ in counts), initial=0))
    parts = [ceil(n * b / ends[-1]) - ceil(n * a / ends[-1]) for a, b in pairwise(ends)]
    return [
        min(part, spare // 2 if spare < counted else counted - 1)
        for part, (_, counted, spare, _) in zip(parts, counts, strict=True)
    ]


class ObjectiveInShards(Criterion):
    """J on some of the rows in shards. A batch has rows of all of them, in proportion."""

    def __init__(
        self, problem: ProblemInShards, numbers: Numbers, settings: Any, batch_size: int
    ) -> None:
        n, units = sum(numbers.sizes), (problem.w_unit, problem.net.unit)
        super().__init__(problem.network, settings.alpha, n, numbers.weight, *units)
        self.engine: Engine = problem.engine
        self.shards: list[Any] = problem.shards
        self.numbers: Numbers = numbers
        self.batch_size: int = batch_size
        self.drops: bool = any(problem.net.dropout)

    def value(self, parameters: Parameters) -> Cost:
        theta = self.engine.share(parameters.theta)
        parts = self.engine.map(loss_of, self.shards, self.numbers.chosen, same=[theta])
        (loss,) = total(self.engine, parts)
        return self.cost(loss, parameters)

    def epoch(
        self,
        parameters: Parameters,
        shuffles: bool,
        rng: np.random.Generator,
        step: Callable[[int], None],
    ) -> Cost:
        key = int(rng.integers(2**62))
        order = self._order(key if shuffles else None)
        n_steps = -(-self.n // self.batch_size)
        loss: Any = 0.0
        for i in range(n_steps):
            rows = sum(n * (i + 1) // n_steps - n * i // n_steps for n in self.numbers.sizes)
            N = self.weight * rows / self.n
            batch = Batch(i, n_steps, N, key if self.drops else None)
            loss += self._differentiate(parameters, order, batch)
            step(i)
        return self.cost(loss, parameters)

    def value_and_gradient(self, parameters: Parameters) -> Cost:
        batch = Batch(0, 1, self.weight)
        return self.cost(self._differentiate(parameters, self._in_order, batch), parameters)

    @cached_property
    def _in_order(self) -> list[Any]:
        return self._order(None)

    def _order(self, key: int | None) -> list[Any]:
        return self.engine.map(in_order, self.shards, self.numbers.chosen, same=[key])

    def _differentiate(self, parameters: Parameters, order: list[Any], batch: Batch) -> Any:
        """Write the gradient of J on a batch to `gradient`; return the sum of its losses."""
        theta = self.engine.share(parameters.theta)
        parts = self.engine.map(gradient_of, self.shards, order, same=[theta, batch])
        gradient, loss = total(self.engine, parts)
        np.copyto(self.gradient.theta, gradient)
        self.add_slope_of_penalty(parameters)
        return loss


class JudgeOfShards(Judge):
    """The loss of held-out rows in shards, and their factor."""

    def __init__(
        self, engine: Engine, shards: list[Any], net: Net, calibrates: bool, most: float
    ) -> None:
        self.engine: Engine = engine
        self.shards: list[Any] = shards
        self.net: Net = net
        self.score: None = None
        self.calibrates: bool = calibrates
        self.most: float = most
        counts = engine.gather(engine.map(count, shards))
        self.weight: float = sum(weight for *_, weight in counts)
        self.seen: list[Any] = []

    def _look(self, parameters: Parameters) -> Cost:
        theta = self.engine.share(parameters.theta)
        self.seen = self.engine.map(look, self.shards, same=[None, theta])
        (loss,) = total(self.engine, self.engine.map(loss_seen, self.seen))
        mean = loss / self.weight
        return Cost(float(np.sum(mean)), float(np.sum(mean * self.net.unit)))

    def loss_at(self, factor: float) -> float:
        return self._at(factor)[0]

    def slope_at(self, factor: float) -> float:
        return self._at(factor)[1]

    def _at(self, factor: float) -> tuple[float, float]:
        parts = self.engine.map(at_factor, self.shards, self.seen, same=[factor, self.weight])
        loss, slope = total(self.engine, parts)
        return float(loss), float(slope)
