"""A fit on rows that are read block by block: from files, and from arrays of more than a pool.

What has to be known of all rows (means, classes, the largest weight) is learnt in one pass, lot
by lot. :class:`TaskInBlocks` is to these rows what :class:`~skdnn.task.Task` is to others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils import gen_batches

from skdnn._sklearn import _safe_indexing
from skdnn.columns import Columns, is_frame, learn_columns
from skdnn.core.activations import Array
from skdnn.core.network import Network
from skdnn.door import FOREIGN, Data, located, power_of_two, read, read_again, read_weights
from skdnn.fingerprint import fingerprint
from skdnn.fit.blocks import (
    BLOCKS,
    Blocks,
    ObjectiveInBlocks,
    ProblemInBlocks,
    block_rows,
    can_be_kept,
    pool_rows,
)
from skdnn.fit.recipe import Recipe
from skdnn.fit.rows import Rows, Smoothing, add_up, total_weight
from skdnn.fit.training import State
from skdnn.fit.watch import Watched
from skdnn.inputs import needs_sample
from skdnn.means import LevelSums, folds_of
from skdnn.model import Model
from skdnn.targets import Targets
from skdnn.task import Task, TaskInMemory, absentees, begun, check_penalty, sum_over, sums_of
from skdnn.whole import (
    Whole,
    coordinates,
    mean_of,
    n_weighed,
    tell,
    told_by_means,
    whole_of,
)

LOTS = 4  # of which a pool has so many rows: what is read at once where all rows are read
BY_ROW = ("X", "y", "sample_weight", "folds")  # what Data have of every row, or None
ELSEWHERE = {"numpy", "scipy", "pandas", "polars", "pyarrow", *FOREIGN}  # not on a disk


def is_large(X: Any) -> bool:
    """Whether rows are stored, and too many to be read at once."""
    return is_stored(X) and len(X.shape) == 2 and bool(X.shape[0] > pool_rows(X.shape[1]))


def is_stored(given: Any) -> bool:
    """Whether rows are on a disk: a map of a file, or what is read by slices like an array."""
    if isinstance(given, np.memmap):
        return True
    roots = {kind.__module__.partition(".")[0] for kind in type(given).__mro__}
    looks = all(hasattr(given, name) for name in ("shape", "dtype", "__getitem__"))
    return looks and not roots & ELSEWHERE and isinstance(given.dtype, np.dtype)


def comes_in_blocks(data: Data) -> bool:
    """Whether rows in memory are so many that they are taken by blocks."""
    n, d = data.X.shape
    return not issparse(data.X) and bool(n > pool_rows(d))


def loaded(given: Any) -> Any:
    """Return rows in memory."""
    return taken(given, slice(None)) if is_stored(given) else given


def taken(X: Any, rows: slice) -> Any:
    """Return rows that are stored: an array, or a frame if that is what X has."""
    part = X[rows]
    part = part if is_frame(part) else np.asarray(part)
    if rows.stop is not None and len(part) != rows.stop - rows.start:
        raise ValueError(
            f"Of the rows from {rows.start} to {rows.stop - 1} only {len(part)} are there: what is"
            " on a disk must stay as it is while it is fitted."
        )
    return part


def lots(X: Any) -> Iterator[slice]:
    """Yield slices of as many blocks as are read at once."""
    n, rows = int(X.shape[0]), block_rows(X.shape[1])
    n_blocks = -(-n // rows)
    for lot in np.array_split(np.arange(n_blocks), -(-n_blocks * LOTS // BLOCKS)):
        yield slice(int(lot[0]) * rows, min((int(lot[-1]) + 1) * rows, n))


def by_lots(call: Callable[[Any], NDArray[Any]], X: Any) -> NDArray[Any]:
    """Return what a function says of rows that are stored, lot by lot."""
    result: Any = None
    for rows in lots(X):
        part = call(taken(X, rows))
        if result is None:
            result = np.empty((X.shape[0], *part.shape[1:]), part.dtype)
        result[rows] = part
    return result


def parts_of(X: Any, y: Any, w: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Yield lots of rows that are stored, with their targets and weights."""
    y = y if is_stored(y) else np.asarray(y)
    _check_length(X, y, "y")
    w = _weights_beside(X, w)
    for rows in lots(X):
        yield taken(X, rows), _rows_of(y, rows), _rows_of(w, rows)


def _rows_of(given: Any, rows: slice) -> Any:
    """Return rows of targets or weights as an array, None of none."""
    return None if given is None else np.asarray(taken(given, rows))


@dataclass(frozen=True, eq=False, repr=False)
class Source:
    """Rows that are read by slices."""

    estimator: Any  # whose fit it is
    X: Any  # this and the next two in memory and checked, or stored
    y: Any
    sample_weight: Any
    fresh: bool = True  # whether X may have other columns than the estimator was fitted to
    columns: Any = None  # which hold categories, once their levels are known
    given: Any = None  # X as the user gave it

    @property
    def numeric(self) -> bool:
        """Whether y has numbers."""
        return not hasattr(self.estimator, "label_smoothing")

    def __len__(self) -> int:
        return int(self.X.shape[0])

    def lots(self) -> Iterator[slice]:
        """Yield slices of as many blocks as are read at once."""
        return lots(self.X)

    def with_levels(self, model: Model | None) -> Self:
        """Return the same rows, it being known which columns hold categories, and their levels.

        Those of a model to go on from, or those of the rows of weight > 0, of which a first pass
        tells; it is left out where all columns are of numbers.
        """
        of, n = self.estimator.categorical_features, self.X.shape[1]
        if model is not None:
            return replace(self, columns=model.inputs.columns)
        if (of is None or isinstance(of, str)) and not is_frame(taken(self.X, slice(0, 1))):
            return replace(self, columns=Columns([None] * n))
        known: list[set[Any] | None] = []
        for rows in self.lots():
            with in_rows(rows):
                found = learn_columns(taken(self.X, rows), "X", of, self.weights(rows)).levels
            known = known or [None if levels is None else set() for levels in found]
            for all_levels, levels in zip(known, found, strict=True):
                if all_levels is not None:
                    all_levels.update(levels or [])
        return replace(
            self, columns=Columns([None if one is None else sorted(one) for one in known])
        )

    def as_given(self, pieces: Sequence[tuple[slice, NDArray[np.intp]]]) -> Any:
        """Return rows of X as the user gave them: those of some numbers in each of some slices."""
        if not is_stored(self.X):
            numbers = np.concatenate([rows.start + inside for rows, inside in pieces])
            return _safe_indexing(self.given, numbers)
        parts = [_safe_indexing(taken(self.X, rows), inside) for rows, inside in pieces]
        if not is_frame(parts[0]):
            return np.concatenate(parts)
        import pandas as pd  # type: ignore[import-untyped]

        return pd.concat(parts, ignore_index=True)

    def checked(self, rows: slice) -> Data:
        """Return rows that are read for the first time."""
        X, y, w = taken(self.X, rows), _rows_of(self.y, rows), _rows_of(self.sample_weight, rows)
        if not is_stored(self.X) and not is_stored(self.y) and not is_stored(self.sample_weight):
            return Data(X, y, w, None, X, columns=self.columns)
        columns = self.columns if self.fresh else None
        with in_rows(rows):
            return read(self.estimator, X, y, w, fresh=self.fresh, columns=columns, is_part=True)

    def inputs(self, rows: slice) -> Any:
        """Return rows of X."""
        if not is_stored(self.X):
            return self.X[rows]
        X = taken(self.X, rows) if self.columns.categorical else _rows_of(self.X, rows)
        with in_rows(rows):
            return read_again(self.estimator, X, self.columns)

    def targets(self, rows: slice) -> NDArray[Any]:
        """Return rows of y."""
        y = _rows_of(self.y, rows)
        if is_stored(self.y):
            y = y.ravel() if y.ndim == 2 and y.shape[1] == 1 else y
            y = y.astype(np.float64, copy=False) if self.numeric else y
        return y

    def weights(self, rows: slice) -> Array | None:
        """Return rows of the weights, in double precision."""
        w = _rows_of(self.sample_weight, rows)
        return None if w is None else w.astype(np.float64, copy=False)


def in_rows(rows: slice) -> AbstractContextManager[None]:
    """Have an error say in which rows of a file it is."""
    return located(f"the rows from {rows.start} to {rows.stop - 1}")


def source_of(estimator: Any, X: Any, y: Any, w: Any, fresh: bool) -> Source:
    """Return rows that are stored, with targets and weights that are stored or in memory."""
    if not is_stored(y):
        y = estimator._read_targets(y, "y")
    _check_length(X, y, "y")
    return Source(estimator, X, y, _weights_beside(X, w), fresh, given=X)


def _check_length(X: Any, given: Any, name: str) -> None:
    n = given.shape[0] if hasattr(given, "shape") else len(given)
    if n != X.shape[0]:
        raise ValueError(f"{name} must have the {X.shape[0]} rows of X; it has {n}.")


def _weights_beside(X: Any, w: Any) -> Any:
    """Return the weights of rows that are stored, checked as far as they are in memory."""
    if w is None or not is_stored(w):
        return read_weights(w, np.broadcast_to(0.0, (X.shape[0], 1)), "sample_weight")
    if len(w.shape) != 1:
        raise ValueError(f"sample_weight must be 1D; it has the shape {tuple(w.shape)}.")
    _check_length(X, w, "sample_weight")
    return w


@np.errstate(all="ignore")
def learn(source: Source, names: Any) -> Whole:
    """Return what is known of all rows, from one pass over them.

    X has the least and the largest entries of its columns, NaN for those of categories.
    """
    n_sampled = pool_rows(source.X.shape[1]) if needs_sample(source.estimator.scale_inputs) else 0
    each = []
    for i, lot in enumerate(source.lots()):
        data = source.checked(lot)
        share = -(-n_sampled * len(data.y) // len(source))
        each.append(tell(data, i, share, not source.numeric))
    if not any(told for told, _ in each):
        raise ValueError(f"sample_weight must not be zero for every row; all {len(source)} are 0.")
    X = np.full((2, source.X.shape[1]), np.nan, data.X.dtype)
    known = {"names": names, "given": source.given, "columns": data.columns}
    whole = whole_of(each, X, data.y, **known)
    X[:, data.columns.numeric] = whole.told.columns.low, whole.told.columns.high
    return whole


def _only(data: Data, numbers: NDArray[np.intp]) -> Data:
    """Return the rows of given numbers."""
    found: dict[str, Any] = {
        name: None if getattr(data, name) is None else getattr(data, name)[numbers]
        for name in BY_ROW
    }
    is_read = data.given is data.X
    given = found["X"] if is_read else _safe_indexing(data.given, numbers)
    return replace(data, given=given, **found)


def _joined(parts: list[Data]) -> Data:
    """Return rows of several blocks as one."""
    found: dict[str, Any] = {
        name: None
        if getattr(parts[0], name) is None
        else np.concatenate([getattr(part, name) for part in parts])
        for name in BY_ROW
    }
    return replace(parts[0], given=found["X"], **found)


class TaskInBlocks(Task):
    """A fit on rows in blocks, of which `whole` is known; those `given` to validate on are here."""

    def __init__(
        self,
        estimator: Any,
        source: Source,
        whole: Whole,
        given: Data | None,
        targets: Targets,
        model: Model | None,
        earlier: State | None,
    ) -> None:
        self.source, self.data, self.given = source, whole, given
        self.targets, self.earlier, self.parts = targets, earlier, None
        self.loses_digits: bool = False
        self.firsts: Any = None  # how many rows of weight > 0 there are before each block
        self.watched: Watched = Watched(whole.given, source.y, source.sample_weight, True)
        self.weight_unit: float | None = None
        if source.sample_weight is not None:
            each = (cast(Array, source.weights(lot)) for lot in source.lots())
            largest = max(float(np.max(w)) for w in each)
            self.weight_unit = power_of_two(np.array([largest]))
        told = told_by_means(whole, targets.n_outputs) if model is None else model.inputs.told
        sums = self._sums(told) if told else ()
        self.inputs, self.network, self.weigh = begun(
            estimator,
            whole,
            targets,
            model,
            lambda: coordinates(whole, estimator.scale_inputs, sums),
        )
        self.data = whole = replace(whole, told=None)  # the sample that it has is let go
        self.task: TaskInMemory = TaskInMemory(
            whole, self.inputs, targets, self.weigh, self.network
        )
        self.task = replace(self.task, unit=self._unit(), tables=self.inputs.tables(sums))
        self._count()
        self.n, self.n_rows = len(source), int(self.counts.sum())
        self.n_spare = min(self.n_rows, 2 * pool_rows(whole.X.shape[1]))

    def _sums(self, told: list[tuple[int, int]]) -> tuple[LevelSums, ...]:
        """Return the sums that means by level are made of; rows have folds from here on."""
        sizes = [
            n_weighed(self.source.weights(part), part.stop - part.start) for part in self.blocks()
        ]
        self.firsts = np.cumsum([0, *sizes])
        center, sums = mean_of(self.data, self.targets), None
        for lot in self.source.lots():
            w = self.source.weights(lot)
            if w is not None and not w.any():
                continue
            more = sums_of(self._data(lot), self.targets, told, center)
            sums = more if sums is None else add_up([sums, more])
        return cast(Any, sums)

    def _unit(self) -> float | None:
        """Return what weights with those of classes are divided by; None without weights."""
        largest = None
        for lot in self.source.lots():
            data = self._data(lot, with_inputs=False)
            w = self.weigh(data.y, data.w)
            if w is None:
                return None
            largest = max(largest or 0.0, float(np.max(w)))
        if not largest:
            raise ValueError("class_weight must be > 0 for some class that X has rows of.")
        return power_of_two(np.array([largest]))

    def _count(self) -> None:
        """Count the rows of weight > 0 in every block, and of every class; add up weights."""
        strata, counts, self.weight, self.w_unit = None, [], 0.0, 1.0
        for part in self.blocks():
            data = self._data(part, with_inputs=False)
            w, self.w_unit = self.task.weights(data)
            counted = np.delete(np.arange(len(data.y)), absentees(w))
            counts.append(len(counted))
            self.weight += total_weight(w, len(data.y))
            classes = self.targets.strata(data.y)
            if classes is not None:
                found = np.bincount(classes[counted], minlength=len(self.data.y))
                strata = found if strata is None else strata + found
        self.counts, self.strata = np.array(counts, np.intp), strata

    def blocks(self) -> Iterator[slice]:
        """Yield the slices of all blocks."""
        return gen_batches(len(self.source), block_rows(self.data.X.shape[1]))

    def _data(self, rows: slice, with_inputs: bool = True) -> Data:
        """Return rows, of X too if it is asked for."""
        source = self.source
        X = source.inputs(rows) if with_inputs else self.data.X[:0]
        y, w = source.targets(rows), source.weights(rows)
        data = Data(X, y, w, None, X, self.weight_unit, self.data.columns)
        if self.firsts is None or not with_inputs:
            return data
        first = self.firsts[rows.start // block_rows(self.data.X.shape[1])]
        return replace(data, folds=folds_of(w, len(y), first))

    def _loaded(self, data: Data, dtype: Any) -> Rows:
        """Return the rows of weight > 0 in the network's coordinates."""
        counted = self.task.counted_of(data)
        return self.task.rows(data if len(counted) == len(data.y) else _only(data, counted), dtype)

    def _blocks(self, dtype: Any, smoothing: Smoothing | None, keeps: bool = True) -> Blocks:
        rows = block_rows(self.data.X.shape[1])

        def load(number: int) -> Rows:
            part = slice(number * rows, min((number + 1) * rows, len(self.source)))
            return self._loaded(self._data(part), dtype)

        size = self.n_rows * (1 + self.inputs.n_compact) * np.dtype(dtype).itemsize
        keeps = keeps and can_be_kept(size)
        return Blocks(self.counts, self.weight, self.w_unit, load, keeps, smoothing)

    def problem(self, recipe: Recipe, score: Callable[[Any], Any] | None = None) -> ProblemInBlocks:
        dtype = np.dtype(recipe.precision)
        check_penalty(recipe.settings.alpha, self.weight * self.w_unit)
        blocks = self._blocks(dtype, recipe.settings.smoothing)
        given = None
        if self.given is not None:
            given = replace(self.task, unit=None).rows(self.given, dtype)
        return ProblemInBlocks(
            blocks=blocks,
            network=self.blank(dtype),
            unit=self.targets.unit,
            take=lambda numbers: self._take(blocks, numbers, dtype),
            score=score or (lambda data: None),
            given=given,
            earlier=self.earlier,
        )

    def _take(
        self, blocks: Blocks, numbers: NDArray[np.intp], dtype: Any
    ) -> tuple[NDArray[np.intp], Data, Rows]:
        """Return rows as :class:`~skdnn.fit.blocks.ProblemInBlocks` takes them."""
        parts, pieces = [], []
        for i, part in enumerate(self.blocks()):
            inside = blocks.within(i, numbers)
            if len(inside):
                data = self._data(part)
                chosen = self.task.counted_of(data)[inside]
                parts.append(_only(data, chosen))
                pieces.append((part, chosen))
        data = _joined(parts)
        if self.data.columns.categorical:
            data = replace(data, given=self.source.as_given(pieces))
        classes = self.targets.strata(data.y)
        if classes is not None:
            # The only rows of a class are trained on.
            alone = np.bincount(classes, minlength=len(self.data.y)) == self.strata
            stays = np.flatnonzero(~alone[classes])
            numbers, data = numbers[stays], _only(data, stays)
        return numbers, data, self.task.rows(data, dtype)

    def digests(self, digest: Callable[[Any], str | None]) -> dict[str, Any]:
        names = ("X", "y", "sample_weight")
        parts = (self._data(lot) for lot in self.source.lots())
        each = [[digest(getattr(part, name)) for name in names] for part in parts]
        found: dict[str, Any] = {n: fingerprint(d) for n, *d in zip(names, *each, strict=True)}
        for name in names:
            given = None if self.given is None else digest(getattr(self.given, name))
            found[f"{name}_val"] = given
        return found

    def exact(self, problem: ProblemInBlocks) -> ProblemInBlocks:
        if problem.network.parameters.theta.dtype == self.inputs.dtype:
            return problem
        blocks = self._blocks(self.inputs.dtype, problem.blocks.smoothing, keeps=False)
        return replace(problem, blocks=blocks, network=self.network)

    def loss_of_mean(self, model: Model, networks: list[Network], whole: ObjectiveInBlocks) -> Any:
        return sum_over(whole, whole.mean_outputs(networks))
