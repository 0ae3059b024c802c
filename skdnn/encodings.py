"""Columns of A[0] that one column of X becomes: ramps of a number, and levels of a category.

Both are kept as one number a row, a position among the knots or the number of a column, and
written out batch by batch, so that the rows of a fit take no more memory for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse

from skdnn.core.activations import Array
from skdnn.means import LevelSums, folds_of, numbers_of_levels

MOST_BINS = 8  # of a column
ROWS_A_BIN = 64  # at least, of those that do not hold the most frequent value
MOST_RAMPS = 1024  # of all columns: what a step pays for must not outgrow the network
MOST_HOT = 32  # levels that have a column each; more are told by the means of y
MOST_MEANS = 64  # outputs that have a column of means each
MOST_PLACES = 256  # columns of levels, of a category that cannot be told by means
LONG_TAIL = 8.0  # times the bin before it that the last one may be long
RARE = 1e-3  # the share of the rows up to which a level has no column
SMALL, LARGE = 1e-290, 1e290
HEIGHT = 0.5  # of a ramp
PART = 1 << 17  # bytes of ramps to write out at once
NEAR = 1e-250  # of a column's range: knots that are nearer are one
FARTHEST = 8.0  # times its width that an outermost ramp goes on


@dataclass(frozen=True, eq=False, repr=False)
class Ramps:
    """Columns that climb from 0 to 1/2 between two knots each, and are flat elsewhere.

    A linear function of the ramps of x is a piecewise linear one of x. The first ramp of a
    column goes on below its knots and the last one above, by the distance of the outermost
    two, or 8 times its width if that is less: beyond, x is answered as if it were there.
    Gorishniy, Rubachev and Babenko (2022), "On embeddings for numerical features in tabular
    deep learning", section 3.2.

    Attributes
    ----------
    knots : list of ndarray
        For every column of numbers its knots, ascending; none if it has no ramps.
    """

    knots: list[Array]

    @cached_property
    def columns(self) -> list[int]:
        """The columns of numbers that have ramps."""
        return [j for j, knots in enumerate(self.knots) if len(knots)]

    @cached_property
    def bins(self) -> list[int]:
        """How many ramps each of them has."""
        return [len(self.knots[j]) - 1 for j in self.columns]

    @cached_property
    def starts(self) -> NDArray[np.intp]:
        """The number of the first ramp of each of them."""
        return np.cumsum([0, *self.bins])[:-1].astype(np.intp)

    @cached_property
    def edges(self) -> tuple[NDArray[np.intp], NDArray[np.intp], Array, Array]:
        """For every ramp its column, the column's unit as a power of 2, the foot and the width."""
        units, feet, widths = [], [], []
        for j in self.columns:
            knots = self.knots[j]
            # Differences of what is so far apart or so near are not of this type: in other units.
            span = knots[-1] / 2.0 - knots[0] / 2.0
            unit = 0 if SMALL < span < LARGE else -int(np.frexp(span)[1])
            knots = np.ldexp(knots, unit)
            units += [unit] * (len(knots) - 1)
            feet.append(knots[:-1])
            widths.append(np.diff(knots))
        of = np.repeat(np.array(self.columns, np.intp), self.bins)
        return of, np.array(units, np.intp), np.concatenate(feet), np.concatenate(widths)

    def slopes(self, X: Array) -> Array:
        """Return the slope of every ramp at rows of numbers, (n, n_ramps); at a knot the right one.

        Parameters
        ----------
        X : ndarray of shape (n, n_numbers)
            Without missing values.
        """
        if not self.columns:
            return np.empty((len(X), 0))
        _, units, _, widths = self.edges
        heights, (low, high) = self._heights(X), self.limits
        climbs = (heights >= low) & (heights < high)
        return climbs * np.ldexp(HEIGHT / widths, units)

    def _heights(self, X: Array) -> Array:
        """Return the heights of all ramps as if they were lines, 0 and 1 at their knots."""
        of, units, feet, widths = self.edges
        heights = np.take(X, of, axis=1).astype(np.float64)
        if units.any():
            heights = np.ldexp(heights, units)
        heights -= feet
        heights /= widths
        return heights

    @cached_property
    def limits(self) -> tuple[Array, Array]:
        """The least and the largest height of every ramp, of height 1 between its knots."""
        low, high = np.zeros(sum(self.bins)), np.ones(sum(self.bins))
        *_, feet, widths = self.edges
        last = np.append(self.starts[1:], len(low)) - 1
        spans = feet[last] + widths[last] - feet[self.starts]
        low[self.starts] = -np.minimum(spans / widths[self.starts], FARTHEST)
        high[last] = 1.0 + np.minimum(spans / widths[last], FARTHEST)
        return low, high

    def positions(self, X: Array) -> Array:
        """Return where numbers lie: k + t is the share t of the way from knot k to k + 1.

        Parameters
        ----------
        X : ndarray of shape (n, n_numbers)
            Without missing values.
        """
        if not self.columns:
            return np.empty((len(X), 0))
        heights = self._heights(X)
        np.clip(heights, *self.limits, out=heights)
        return np.add.reduceat(heights, self.starts, axis=1)

    @cached_property
    def matrix(self) -> Array:
        """M, so that [1 U] M is half the position less the number of the knot, for every ramp."""
        M = np.zeros((1 + len(self.bins), sum(self.bins)))
        if not self.bins:
            return M
        M[0] = -np.concatenate([np.arange(n) for n in self.bins])
        M[np.repeat(np.arange(len(self.bins)), self.bins) + 1, np.arange(sum(self.bins))] = 1.0
        return HEIGHT * M

    @property
    def power(self) -> float:
        """The mean square of a row of ramps whose positions are spread evenly."""
        return HEIGHT**2 * sum((n - 1) / 2.0 + 1.0 / 3.0 for n in self.bins)

    def names(self, labels: Sequence[str]) -> list[str]:
        """Return what every ramp is called, of columns called `labels`."""
        return [
            f"{labels[j]} from {low:.6g} to {high:.6g}"
            for j in self.columns
            for low, high in zip(self.knots[j][:-1], self.knots[j][1:], strict=True)
        ]


def learn_ramps(X: Any, w: Array | None) -> Ramps:
    """Place the knots of every column at its quantiles.

    There are at most 8 bins, and no more than the rows bear: 64 a bin of those that do not
    hold the most frequent value, which takes one bin's share of the rows at most. A column of few
    values has its knots at them.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n, n_numbers)
        NaN is left out.
    w : ndarray of shape (n,) or None
        The weights, >= 0: of quantiles, a row of weight k counting as k rows.
    """
    most = min(MOST_BINS, MOST_RAMPS // max(X.shape[1], 1))
    return Ramps([_apart(_knots(x, of, most)) for x, of in _columns_of(X, w, most)])


def _columns_of(X: Any, w: Array | None, most: int) -> Iterator[tuple[Array, Array | None]]:
    """Return every column's values with their weights, those that count."""
    X = X.tocsc() if issparse(X) else X
    for j in range(X.shape[1]):
        if issparse(X):
            # Where there is 0 nearly everywhere that is the most frequent value.
            few = X.indptr[j + 1] - X.indptr[j] < 2 * ROWS_A_BIN
            x = np.empty(0) if few or most < 2 else X[:, [j]].toarray()[:, 0]
        else:
            x = X[:, j] if most >= 2 else np.empty(0)
        keep = ~np.isnan(x) if w is None or not len(x) else ~np.isnan(x) & (w > 0)
        if keep.all():
            yield x, w if len(x) else None
        else:
            yield x[keep], None if w is None else w[keep]


def _knots(x: Array, w: Array | None, most: int) -> Array:
    """Return the knots of a column; none if it is better without."""
    n, nothing = len(x), np.empty(0)
    if most < 2 or n < 2 * ROWS_A_BIN:
        return nothing
    if w is None:
        x = np.sort(x).astype(np.float64)
    else:
        order = np.argsort(x, kind="stable")
        x, w = x[order].astype(np.float64), w[order]
    starts = np.flatnonzero(np.concatenate([[True], x[1:] > x[:-1]]))
    frequent = np.diff(np.append(starts, n)).max()
    bins = min(most, (n - int(frequent)) // ROWS_A_BIN)
    if bins < 2 or len(starts) <= 2:
        return nothing
    if len(starts) <= bins + 1:
        return x[starts]
    values = x[starts]
    weights = np.add.reduceat(np.ones(n) if w is None else w.astype(np.float64), starts)
    # Of zeros in nearly all rows the other values would have no knots.
    most_of_one = np.argmax(weights)
    others = weights.sum() - weights[most_of_one]
    weights[most_of_one] = min(weights[most_of_one], others / (bins - 1))
    total = np.cumsum(weights)
    shares = np.linspace(0.0, 1.0, bins + 1) * total[-1]
    knots = np.unique(
        values[np.minimum(np.searchsorted(total, shares * (1.0 - 1e-12)), len(values) - 1)]
    )
    if len(knots) <= 2:
        return nothing
    return -_with_tail(-_with_tail(knots, values)[::-1], -values[::-1])[::-1]


def _apart(knots: Array) -> Array:
    """Leave out knots that are too near the next to be told apart in units of the range."""
    halves = knots / 2.0
    least = NEAR * (halves[-1:] - halves[:1])
    keep = np.append(np.diff(halves) > least, np.ones(len(knots[-1:]), bool))
    keep[:1] = True
    return knots[keep] if np.count_nonzero(keep) > 2 else np.empty(0)


def _with_tail(knots: Array, values: Array) -> Array:
    """Return knots with more of them in a last bin that is much longer than the one before it.

    At the middle of the distinct values that it holds, again and again: a long tail is kept,
    and one value far out does not take the others' ramp.
    """
    while True:
        inside = values[np.searchsorted(values, knots[-2], "right") : -1]
        halves = np.diff(knots[-3:] / 2.0)
        if not len(inside) or halves[1] <= LONG_TAIL * halves[0]:
            return knots
        knots = np.insert(knots, len(knots) - 1, inside[len(inside) // 2])


@dataclass(frozen=True, eq=False, repr=False)
class Category:
    """A category's columns of A[0]: one for each of few levels, else the means of y.

    Attributes
    ----------
    places : int ndarray of shape (n_levels + 2,) or None
        The column of every level, of what is missing and of what fit has not seen; -1 where
        there is none, and all columns are 0.
    means : ndarray of shape (n_levels + 2, n_outputs) or None
        In the place of `places`: means of y over the rows of every level, shrunk to that of
        all rows, which stands for what fit has not seen.
    center, scale : ndarray of shape (n_outputs,) or None
        What standardises the means over the rows.
    """

    places: NDArray[np.intp] | None
    means: Array | None = None
    center: Any = None
    scale: Any = None

    @cached_property
    def table(self) -> Array:
        """The standardised means."""
        return (self.means - self.center) / self.scale

    def crossed(self, sums: LevelSums) -> Array:
        """Return the standardised means that rows of each fold are trained with.

        Means over the rows of the other folds, (FOLDS, n_levels + 2, n_outputs).
        """
        return (sums.crossed() - self.center) / self.scale

    def columns(self, hot: bool) -> range:
        """Return its columns if they are of levels, or, unless `hot`, if they are means."""
        return range(self.width if (self.means is None) == hot else 0)

    @property
    def rows(self) -> Array:
        """Its columns of A[0] for every level, for what is missing and what is not known."""
        if self.means is not None:
            return self.table
        assert self.places is not None
        return (self.places[:, None] == np.arange(self.width)).astype(np.float64)

    @property
    def width(self) -> int:
        """How many columns it has."""
        if self.means is not None:
            return self.means.shape[1]
        assert self.places is not None
        return int(self.places.max(initial=-1)) + 1

    def names(self, label: str, levels: list[Any]) -> list[str]:
        """Return what its columns are called, of a column called `label`."""
        if self.means is not None:
            return [f"{label}: mean of output {k}" for k in range(self.width)]
        assert self.places is not None
        of = {int(place): level for place, level in zip(self.places, levels, strict=False)}
        of.setdefault(int(self.places[len(levels)]), "missing")
        return [f"{label}={of[k]}" for k in range(self.width)]


def learn_category(x: Array, n_levels: int, w: Array | None, Y: Array | None) -> Category:
    """Learn a category's columns.

    Parameters
    ----------
    x : ndarray of shape (n,)
        Numbers of levels; NaN where there is none.
    n_levels : int
    w : ndarray of shape (n,) or None
        The weights, >= 0.
    Y : ndarray of shape (n, n_outputs) or None
        The targets in the network's coordinates, or None if they may not be told.
    """
    counts = count_levels(x, n_levels, w)
    if Y is not None and is_told_by_means(counts, Y.shape[1]):
        center = np.average(Y, axis=0, weights=w)
        sums = LevelSums.of(x, n_levels, w, Y, center, folds_of(w, len(x)))
        return category_of_means(sums)
    return category_of(counts, 0.0 if Y is None else RARE)


def is_told_by_means(counts: Array, n_outputs: int) -> bool:
    """Whether a category has so many levels, of these weights, that the means of y tell it."""
    return int(np.count_nonzero(counts)) > MOST_HOT and n_outputs <= MOST_MEANS


def category_of_means(sums: LevelSums) -> Category:
    """Return a category that is told by means, standardised as rows are trained with them."""
    crossed, weight = sums.crossed(), sums.weight[:, :, None] / sums.weight.sum()
    center = (weight * crossed).sum(axis=(0, 1))
    scale = np.sqrt((weight * (crossed - center) ** 2).sum(axis=(0, 1)))
    return Category(None, sums.means(), center, np.where(scale > 0, scale, 1.0))


def count_levels(x: Array, n_levels: int, w: Array | None) -> Array:
    """Return the weights of the levels of a category, of what is missing and of the unknown."""
    return np.bincount(numbers_of_levels(x, n_levels), w, n_levels + 2).astype(np.float64)


def category_of(counts: Array, rare: float = RARE) -> Category:
    """Return a category of a column for each level, by the weights of its levels.

    Those up to a share of all rows have none, nor has the only one, and there are at most 256.
    """
    frequent = np.argsort(-counts[:-1], kind="stable")[:MOST_PLACES]
    says_nothing = rare and np.count_nonzero(counts) < 2
    least = np.inf if says_nothing else rare * counts.sum() if rare else -1.0
    kept = np.sort(frequent[counts[frequent] > least])
    places = np.full(len(counts), -1)
    places[kept] = np.arange(len(kept))
    return Category(places)


class Expansion:
    """Writes rows of A[0], [direct | ramps | levels], from [direct | positions | places].

    Parameters
    ----------
    direct : int
        The columns that are copied.
    ramps : Ramps
    n_places : int
        The columns that hold the number of a column of levels, where there is a 1, from 1 on;
        0 if there is none.
    """

    def __init__(self, direct: int, ramps: Ramps, n_places: int) -> None:
        self.direct: int = direct
        self.n_places: int = n_places
        self.n_ramps: int = sum(ramps.bins)
        self.n_positions: int = len(ramps.bins)
        self._of_type = {
            np.dtype(dtype): [of.astype(dtype) for of in self._written(ramps)]
            for dtype in (np.float32, np.float64)
        }

    @staticmethod
    def _written(ramps: Ramps) -> tuple[Array, ...]:
        if not ramps.columns:
            return ()
        low, high = ramps.limits
        return ramps.matrix, HEIGHT * low, HEIGHT * high

    def written_out(self, rows: Array, width: int) -> Array:
        """Return rows of A[0], which has that width, as an array of their own."""
        X = np.empty((len(rows), width), rows.dtype)
        self(rows, X)
        return X

    def __call__(self, rows: Array, X: Array) -> None:
        """Write rows of A[0], of shape (N, n[0]), of those that are kept, (N, n_compact)."""
        first, last = self.direct, self.direct + self.n_positions
        stop = first + self.n_ramps
        X[:, :first] = rows[:, :first]
        if self.n_ramps:
            matrix, low, high = self._of_type[rows.dtype]
            size = max(PART // low.nbytes, 1)
            for start in range(0, len(rows), size):
                part = slice(start, min(start + size, len(rows)))
                # A product takes a fifth of the time of gathering.
                U1 = np.empty((part.stop - start, 1 + self.n_positions), rows.dtype)
                U1[:, 0], U1[:, 1:] = 1.0, rows[part, first:last]
                ramps = np.matmul(U1, matrix)
                # In the rows of X, which are apart, these two took six times as long.
                np.maximum(ramps, low, out=ramps)
                X[part, first:stop] = np.minimum(ramps, high, out=ramps)
        if self.n_places:
            hot = X[:, stop:]
            hot[...] = 0.0
            places = rows[:, last:].astype(np.intp)
            i, k = np.nonzero(places)
            hot[i, places[i, k] - 1] = 1.0


def sparse_ramps(ramps: Ramps, X: Any, dtype: Any) -> Any:
    """Return the ramps of a CSR matrix less those of 0, as a CSR matrix."""
    n, of = X.shape[0], np.full(X.shape[1], -1)
    of[ramps.columns] = np.arange(len(ramps.columns))
    row = np.repeat(np.arange(n), np.diff(X.indptr))
    held = of[X.indices] >= 0
    which, row, x = of[X.indices[held]], row[held], X.data[held]
    bins = np.array(ramps.bins)
    each = bins[which]
    step = np.arange(each.sum()) - np.repeat(np.cumsum(each) - each, each)
    column = np.repeat(ramps.starts[which], each) + step
    _, units, feet, widths = (of[column] for of in ramps.edges)
    low, high = (limit[column] for limit in ramps.limits)
    of_x, of_zero = (
        np.clip((np.ldexp(v, units) - feet) / widths, low, high)
        for v in (np.repeat(x.astype(np.float64), each), np.zeros(len(column)))
    )
    data = HEIGHT * (of_x - of_zero)
    kept = data != 0
    index = (np.repeat(row, each)[kept], column[kept])
    return csr_array((data[kept].astype(dtype), index), shape=(n, int(bins.sum())))
