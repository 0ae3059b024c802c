"""A fit on rows in shards: read where they are, and brought to the network's coordinates there.

What has to be known of all rows, such as classes, means and the largest weight, is found from
what each partition tells of itself. :class:`TaskInShards` is to these rows what
:class:`~skdnn.task.Task` is to rows in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any, cast

import numpy as np

from skdnn.columns import Columns, _has_objects, is_frame, learn_columns
from skdnn.core.activations import Array
from skdnn.core.network import Network
from skdnn.door import Data, located, power_of_two, read
from skdnn.fingerprint import fingerprint
from skdnn.fit.recipe import Recipe
from skdnn.fit.rows import aligned, stacked
from skdnn.fit.shards import (
    Engine,
    Net,
    ObjectiveInShards,
    ProblemInShards,
    Shard,
    loss_of_mean,
    size_of,
    total,
)
from skdnn.fit.training import State
from skdnn.fit.watch import Watched
from skdnn.inputs import needs_sample
from skdnn.means import LevelSums, folds_of
from skdnn.model import Model
from skdnn.targets import Targets, Weigh
from skdnn.task import Task, TaskInMemory, begun, check_penalty, sums_of
from skdnn.whole import (
    Whole,
    coordinates,
    mean_of,
    n_weighed,
    tell,
    told_by_means,
    whole_of,
)

# Bytes of the rows that quartiles are found from, where there are more: they are brought here.
SAMPLED = 1 << 24


class Part(Data):
    """Rows that have been checked, where they are."""

    def __sizeof__(self) -> int:
        return size_of(self.X, self.y, self.sample_weight, self.folds)


@dataclass(frozen=True)
class Head:
    """What has to be known of a partition before it can be a part of a shard."""

    n: int  # its rows
    X: Any = None  # no rows of its X and y, in their types; None if it is empty
    y: Any = None
    form: str = ""  # what y is made of, and how much of it is in a row
    largest: float = 1.0  # its largest weight


@dataclass(frozen=True)
class Lot:
    """Rows in shards that have been read."""

    parts: list[Any]  # a handle of a Part for each shard
    whole: Whole  # what is known of them here
    watched: Watched  # what callbacks are told of them
    unit: float  # what 1 of the parts' weights is in the user's


# ---------------------------------------------------------------------------- where the rows are


@dataclass(frozen=True)
class Reader:
    """How partitions are read."""

    est: Any  # the estimator whose fit it is
    named: list[Any] | int  # the names that X has to have, or the number of its columns
    suffix: str = ""  # what is added to the names in messages
    columns: Columns | None = None  # known once all partitions have been asked

    def check(self, X: Any) -> None:
        """Refuse other columns than those of X as a whole."""
        found = list(X.columns) if isinstance(self.named, list) else X.shape[1]
        if found != self.named:
            raise ValueError(
                f"X{self.suffix} must have the columns that it has as a whole, {self.named}; it"
                f" has {found}."
            )


def levels_of(given: tuple[Any, Any, Any], i: int, reader: Reader) -> list[Any] | None:
    """Return the levels of every column of a partition, None for numbers; None of no rows.

    Of a column that is missing in all rows it is an empty list.
    """
    X, _, w = given
    with located(f"partition {i}"):
        reader.check(X)
        if not X.shape[0]:
            return None
        w = None if w is None else np.asarray(w)
        est, name = reader.est, f"X{reader.suffix}"
        levels = learn_columns(X, name, est.categorical_features, w).levels
        if is_frame(X) and _has_objects(X):
            nothing = X.isna().all().to_numpy()
            levels = [[] if none else of for of, none in zip(levels, nothing, strict=True)]
    return levels


@np.errstate(all="ignore")
def read_part(given: tuple[Any, Any, Any], i: int, reader: Reader) -> Part | None:
    """Check the rows of a partition, X, y and weights; None if there are none."""
    (X, y, w), est, suffix = given, reader.est, reader.suffix
    with located(f"partition {i}"):
        reader.check(X)
        if not X.shape[0] and not len(y):
            return None
        X, y, w = map(aligned, (X, y, w))
        data = read(est, X, y, w, suffix, columns=reader.columns, is_part=True)
        return Part(data.X, data.y, data.sample_weight, data.names, data.X, columns=data.columns)


def head_of(part: Part | None) -> Head:
    """Return what has to be known of a partition."""
    if part is None:
        return Head(0)
    y, w = part.y, part.sample_weight
    kind = "text" if isinstance(y.flat[0], str | bytes) else "numbers"
    form = kind if y.ndim == 1 else f"{y.shape[1]} columns of {kind}"
    largest = 1.0 if w is None else float(w.max())
    return Head(len(y), part.X[:0], y[:0], form, largest)


def joined(pieces: list[tuple[Part, int, int]], dtype: Any, weight_unit: float | None) -> Part:
    """Return rows of partitions, those from a first to a last one of each, as one shard."""
    X = stacked([part.X[i:j] for part, i, j in pieces]).astype(dtype, copy=False)
    y = stacked([part.y[i:j] for part, i, j in pieces])
    w = None
    if weight_unit is not None:
        w = stacked([cast(Array, part.sample_weight)[i:j] for part, i, j in pieces])
    return Part(X, y, w, None, X, weight_unit, pieces[0][0].columns)


def heaviest(part: Part, weigh: Weigh) -> float | None:
    """Return the largest weight of a shard's rows, with those of their classes, if any."""
    w = weigh(part.y, part.w)
    return None if w is None else float(np.max(w))


def weighed_of(part: Part) -> int:
    """Return how many rows of a shard have a weight > 0, those of classes left aside."""
    return n_weighed(part.w, len(part.y))


def numbered(part: Part, first: int) -> Part:
    """Return a shard with the folds of its rows; before these there are `first` that count."""
    return replace(part, folds=folds_of(part.w, len(part.y), first))


def counts_of(part: Part, task: TaskInMemory) -> tuple[int, int, int]:
    """Return how many rows a shard has, how many count, and how many may be held out."""
    task = replace(task, data=part)
    return task.n, task.n_rows, task.n_spare


@np.errstate(all="ignore")
def prepared(part: Part, number: int, task: TaskInMemory, net: Net, dtype: Any) -> Shard:
    """Return a shard's rows in the network's coordinates."""
    task = replace(task, data=part)
    strata = task.targets.strata(part.y)
    return Shard(number, task.rows(part, dtype), task.counted, task.spare, strata, net)


def digests_of(shard: Shard, digest: Callable[[Any], str | None]) -> list[str | None]:
    """Return the digests of a shard's rows."""
    rows = shard.rows
    return [digest(array) for array in (rows.X, rows.Y, rows.w)]


# ------------------------------------------------------------------------------ where the fit is


def cuts(sizes: list[int], n_shards: int | None) -> list[list[tuple[int, int, int]]]:
    """Return the pieces of each shard: a partition's number, the first of its rows, the last.

    A shard is a partition that has rows, or, of a given number, an equal part of all rows.
    """
    ends = list(accumulate(sizes, initial=0))
    edges = set(ends)
    if n_shards is not None:
        edges = {ends[-1] * k // n_shards for k in range(n_shards + 1)}
    return [
        [
            (i, max(a, begin) - begin, min(b, end) - begin)
            for i, (begin, end) in enumerate(pairwise(ends))
            if max(a, begin) < min(b, end)
        ]
        for a, b in pairwise(sorted(edges))
    ]


def read_lot(
    engine: Engine,
    reader: Reader,
    given: list[Any],
    watched: Watched,
    n_shards: int | None,
) -> Lot:
    """Check partitions, learn from them what they have to agree on, and cut them in shards.

    `given` has a handle of the X, y and weights of each partition; they are let go.
    """
    est, n_parts = reader.est, range(len(given))
    if reader.columns is None:
        asked = engine.map(levels_of, given, n_parts, same=[reader])
        reader = replace(reader, columns=_all_levels(engine.gather(asked), reader))
    parts = engine.map(read_part, given, n_parts, same=[reader])
    given.clear()
    heads = engine.gather(engine.map(head_of, parts))
    dtype, unit = _agreed(heads, watched.w is not None, reader.suffix)
    pieces = cuts([head.n for head in heads], n_shards)
    lots = [[(parts[i], a, b) for i, a, b in piece] for piece in pieces]
    shards = engine.map(joined, lots, same=[dtype, unit])
    first = next(head for head in heads if head.n)
    n, sampled = sum(head.n for head in heads), 0
    if needs_sample(est.scale_inputs):
        sampled = SAMPLED // (8 * first.X.shape[1])
    shares = [-(-sampled * sum(b - a for _, a, b in piece) // n) for piece in pieces]
    labelled = hasattr(est, "label_smoothing")
    each = engine.gather(engine.map(tell, shards, range(len(shards)), shares, same=[labelled]))
    shards = [shard for shard, (told, _) in zip(shards, each, strict=True) if told is not None]
    names = np.array(reader.named, object) if isinstance(reader.named, list) else None
    X = first.X.astype(dtype)
    whole = whole_of(each, X, first.y, names=names, given=X, columns=reader.columns)
    return Lot(shards, whole, watched, unit or 1.0)


def _all_levels(each: list[list[Any] | None], reader: Reader) -> Columns:
    """Return the levels of all partitions, or refuse columns that are not of one kind."""
    known = {i: levels for i, levels in enumerate(each) if levels is not None}
    if not known:
        return Columns([None] * (reader.named if isinstance(reader.named, int) else 0))
    columns: list[list[Any] | None] = []
    for j in range(len(next(iter(known.values())))):
        of = {i: levels[j] for i, levels in known.items()}
        if all(levels is None or not levels for levels in of.values()):
            columns.append(None)
            continue
        kinds = {i: {type(one) for one in levels or []} for i, levels in of.items()}
        kind = next(kind for kind in kinds.values() if kind)
        for i, levels in of.items():
            if levels is None or (kinds[i] and kinds[i] != kind):
                label = reader.named[j] if isinstance(reader.named, list) else j
                raise ValueError(
                    f"In partition {i}: column {label!r} of X{reader.suffix} must hold categories"
                    " of one type, or numbers, in all partitions."
                )
        columns.append(sorted(set().union(*(levels or [] for levels in of.values()))))
    return Columns(columns)


def _agreed(heads: list[Head], weighted: bool, suffix: str) -> tuple[Any, float | None]:
    """Return the type of X and the unit of the weights, or refuse what differs."""
    read = [head for head in heads if head.n]
    if not read:
        raise ValueError(f"X{suffix} must have rows; its {len(heads)} partitions are empty.")
    for i, head in enumerate(heads):
        if head.n and head.form != read[0].form:
            raise ValueError(
                f"In partition {i}: y{suffix} must be of one form in all partitions; here it is"
                f" {head.form}, and before {read[0].form}."
            )
    dtype = np.float32 if all(head.X.dtype == np.float32 for head in read) else np.float64
    largest = max(head.largest for head in read)
    if not largest:
        raise ValueError(f"sample_weight{suffix} must not be zero for every row.")
    return dtype, power_of_two(np.array([largest])) if weighted else None


class TaskInShards(Task):
    """A fit on rows in shards: a lot to train on, and maybe one that is given to validate on."""

    def __init__(
        self,
        est: Any,
        engine: Engine,
        lot: Lot,
        given: Lot | None,
        targets: Targets,
        model: Model | None,
        earlier: State | None,
    ) -> None:
        data = self.data = lot.whole
        self.engine, self.given, self.targets, self.earlier = engine, given, targets, earlier
        self.watched: Watched = lot.watched
        told = told_by_means(data, targets.n_outputs) if model is None else model.inputs.told
        sums = self._sums(lot.parts, told) if told else ()
        self.inputs, self.network, self.weigh = begun(
            est, data, targets, model, lambda: coordinates(data, est.scale_inputs, sums)
        )
        self.tables: list[Array] = self.inputs.tables(sums)
        self.training: _Counted = _Counted(self, lot, "X")
        self.validation: _Counted | None = None if given is None else _Counted(self, given, "X_val")
        self.n, self.n_rows, self.n_spare = self.training.counts
        self.parts: None = None  # rows that the user has chosen to hold out
        self.loses_digits: bool = self.inputs.loses_digits(data.X)
        self.problem_: ProblemInShards | None = None

    def _sums(self, parts: list[Any], told: list[tuple[int, int]]) -> tuple[LevelSums, ...]:
        """Return the sums that means by level are made of; the shards get their folds."""
        sizes = self.engine.gather(self.engine.map(weighed_of, parts))
        parts[:] = self.engine.map(numbered, parts, list(accumulate(sizes, initial=0))[:-1])
        same = self.targets, told, mean_of(self.data, self.targets)
        return total(self.engine, self.engine.map(sums_of, parts, same=same))

    def problem(self, recipe: Recipe, score: Any = None) -> ProblemInShards:
        # The rows as they were read are let go.
        dtype, settings = np.dtype(recipe.precision), recipe.settings
        weight_unit = self.training.w_unit
        parameters = self.network.parameters
        net = Net(
            parameters.sizes,
            self.network.activations,
            self.targets.loss,
            tuple(settings.dropout) if any(settings.dropout) else (),
            self.targets.unit,
            settings.smoothing,
        )
        given = () if self.validation is None else self.validation.prepared(net, dtype)
        shards = self.training.prepared(net, dtype)
        network = self.blank(dtype)
        made = ProblemInShards(self.engine, shards, given, net, network, weight_unit, self.earlier)
        check_penalty(settings.alpha, made.whole.weight * weight_unit)
        self.problem_ = made
        return made

    def digests(self, digest: Callable[[Any], str | None]) -> dict[str, Any]:
        # Of the rows as the network reads them.
        assert self.problem_ is not None
        found = {}
        for suffix, shards in (("", self.problem_.shards), ("_val", self.problem_.given)):
            each = self.engine.gather(self.engine.map(digests_of, shards, same=[digest]))
            for i, name in enumerate(("X", "y", "sample_weight")):
                found[name + suffix] = fingerprint([one[i] for one in each]) if each else None
        return found

    def loss_of_mean(self, model: Model, networks: list[Network], whole: ObjectiveInShards) -> Any:
        thetas = self.engine.share([network.parameters.theta for network in networks])
        (loss,) = total(self.engine, self.engine.map(loss_of_mean, whole.shards, same=[thetas]))
        return loss


class _Counted:
    """Shards of a lot whose rows are counted, with what they are to be prepared by."""

    def __init__(self, task: TaskInShards, lot: Lot, name: str) -> None:
        self.engine, self.parts = task.engine, lot.parts
        parts = self.parts
        weigh = self.engine.share(task.weigh)
        heavy = self.engine.gather(self.engine.map(heaviest, parts, same=[weigh]))
        if heavy[0] is not None and not any(heavy):
            raise ValueError(f"class_weight must be > 0 for some class that {name} has rows of.")
        unit = 1.0 if heavy[0] is None else power_of_two(np.array(heavy))
        nothing: Any = None
        known = task.inputs, task.targets, task.weigh
        tables = task.tables
        template = TaskInMemory(nothing, *known, network=nothing, unit=unit, tables=tables)
        self.template = self.engine.share(template)
        self.w_unit = unit * lot.unit
        counts = self.engine.gather(self.engine.map(counts_of, parts, same=[self.template]))
        self.counts = [sum(column) for column in zip(*counts, strict=True)]
        self.numbers = [i for i, (_, n_rows, _) in enumerate(counts) if n_rows]

    def prepared(self, net: Net, dtype: Any) -> list[Any]:
        """Return the handles of the shards that have a row of weight > 0; the parts are let go."""
        parts = [self.parts[i] for i in self.numbers]
        same = self.template, net, dtype
        shards = self.engine.map(prepared, parts, self.numbers, same=same)
        self.parts.clear()
        return shards
