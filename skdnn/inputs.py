"""X in the network's coordinates.

A change of coordinates before the first layer, column by column: the network behind it is
the paper's. It is learnt from the values and their weights, a row of weight k counting as
k rows, and is the same for a dense and a sparse X.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack, issparse
from scipy.special import ndtri
from sklearn.utils import gen_batches

from skdnn.columns import Columns
from skdnn.core.activations import Array
from skdnn.core.network import Parameters
from skdnn.encodings import (
    Category,
    Expansion,
    Ramps,
    learn_category,
    learn_ramps,
    sparse_ramps,
)
from skdnn.means import LevelSums, numbers_of_levels
from skdnn.statistics import Summary, by_column, means, missing, positive, quartiles

BLOCK = 1 << 19  # bytes of X to bring to other coordinates at once, which stay in the cache
COARSE = 1e3  # deviations, of which float32 has a ten-thousandth left
FARTHEST = 1e18  # whose square is finite in float32
FAR = 1e9  # where x / sqrt(1 + (x / 3)^2) is 3 to every digit
NORMAL: Any = ndtri((np.arange(16)[:, None] + 0.5) / 16)  # quantiles of a normal column


@dataclass(frozen=True, eq=False, repr=False)
class Inputs:
    """X to A[0]: numbers x -> (x - center) / scale, and what else a column becomes.

    The columns of A[0] are the scaled numbers, a 0/1 column for each of the `gaps`, the means
    of categories, the ramps, and the levels of categories.
    """

    dtype: Any  # what X is read in: float32 or float64
    columns: Columns  # which columns of X hold categories, and their levels
    center: Any = None  # None for 0
    scale: Any = None  # None for 1; never 0, and infinite where a column tells nothing
    clips: bool = False  # to within (-3, 3): x / sqrt(1 + (x / 3)^2) follows
    method: str | None = None  # the value of `scale_inputs` that it was learnt by
    summary: Summary | None = None  # of the numbers that it was learnt from
    fill: Array | None = None  # what stands for a missing number; None for 0
    gaps: list[int] = field(default_factory=list)  # the numeric columns where fit saw some missing
    ramps: Ramps = field(default_factory=lambda: Ramps([]))
    categories: list[Category] = field(default_factory=list)  # one for each categorical column

    # Its widths

    @cached_property
    def numeric(self) -> Any:
        """The columns of X that hold numbers, to index with."""
        return self.columns.numeric if self.categories else slice(None)

    @cached_property
    def direct(self) -> int:
        """How many columns of A[0] are kept as they are: all but ramps and levels."""
        means = sum(of.width for of in self.categories if of.means is not None)
        return len(self.columns.numeric) + len(self.gaps) + means

    @cached_property
    def width(self) -> int:
        """n[0], how many columns A[0] has: one of 0 if nothing in X tells rows apart."""
        hot = sum(of.width for of in self.categories if of.means is None)
        return max(self.direct + sum(self.ramps.bins) + hot, 1)

    @cached_property
    def n_compact(self) -> int:
        """How many numbers a row is kept as, of which `expansion` makes A[0]."""
        return self.direct + len(self.ramps.columns) + self.n_places

    @property
    def sources(self) -> NDArray[np.intp]:
        """The column of X that each column of A[0] comes from."""
        numbers = np.asarray(self.columns.numeric, np.intp)
        of = list(zip(self.categories, self.columns.categorical, strict=True))
        means, hot = (
            [j for category, j in of for _ in category.columns(kind)] for kind in (False, True)
        )
        ramps = np.repeat(numbers[self.ramps.columns], self.ramps.bins)
        parts = numbers, numbers[self.gaps], means, ramps, hot
        sources = np.concatenate([np.asarray(part, np.intp) for part in parts])
        return sources if len(sources) else np.zeros(1, np.intp)

    @property
    def fan_in(self) -> float:
        """The mean square of a row of A[0] whose numbers have a deviation of 1."""
        return max(self.direct + self.ramps.power + self.n_places, 1.0)

    @cached_property
    def expansion(self) -> Expansion | None:
        """What makes A[0] of the rows that `compact` returns; None if they are A[0]."""
        if not self.ramps.columns and not self.n_places:
            return None
        return Expansion(self.direct, self.ramps, self.n_places)

    @property
    def n_places(self) -> int:
        """How many categories have a column a level."""
        return sum(of.means is None for of in self.categories)

    def names(self, features: Sequence[str]) -> list[str]:
        """Return what the columns of A[0] are called, of columns of X called `features`."""
        numbers = [features[j] for j in self.columns.numeric]
        names = [*numbers, *(f"{numbers[j]} is missing" for j in self.gaps)]
        of = zip(self.categories, self.columns.categorical, strict=True)
        told = [
            (category.means is None, category.names(features[j], self.columns.levels[j] or []))
            for category, j in of
        ]
        means, hot = (
            [one for is_hot, each in told if is_hot == kind for one in each]
            for kind in (False, True)
        )
        return [*names, *means, *self.ramps.names(numbers), *hot] or ["nothing"]

    # X in the network's coordinates

    def __call__(self, X: Any) -> Any:
        """Return X in the network's coordinates, in `dtype`; it is not changed.

        Of a sparse X it is f(x) - f(0), which is as sparse; `origin` is the rest.
        """
        rows = self.rows(X)
        if issparse(X) or self.expansion is None:
            return rows
        return self.expansion.written_out(rows, self.width)

    def rows(self, X: Any) -> Any:
        """Return rows as they are kept; a sparse X has them as the network reads them."""
        return self._sparse(X) if issparse(X) else self.compact(X)

    def compact(self, X: Array) -> Array:
        """Return rows as they are kept, (n, n_compact): numbers, positions and places.

        Parameters
        ----------
        X : ndarray of shape (n, n_features)
            Numbers of levels in the place of categories, NaN for what is missing.
        """
        x, missing = self.numbers(X)
        if self.n_compact == len(self.columns.numeric):
            return self._scaled(x)
        out = np.empty((len(X), self.n_compact), self.dtype)
        d, stop = x.shape[1], x.shape[1] + len(self.gaps)
        out[:, :d] = self._scaled(x)
        out[:, d:stop] = False if missing is None else missing[:, self.gaps]
        first = 1
        last = self.direct + len(self.ramps.columns)
        out[:, self.direct : last] = self.ramps.positions(x)
        for category, j in zip(self.categories, self.columns.categorical, strict=True):
            levels = self.columns.levels[j] or []
            index = numbers_of_levels(X[:, j], len(levels))
            if category.means is not None:
                out[:, stop : stop + category.width] = category.table[index]
                stop += category.width
            else:
                assert category.places is not None
                places = category.places[index]
                out[:, last] = np.where(places < 0, 0, first + places)
                first, last = first + category.width, last + 1
        return out

    def numbers(self, X: Array) -> tuple[Array, NDArray[np.bool_] | None]:
        """Return the numeric columns, what is missing filled in, and where that is."""
        x = X[:, self.numeric]
        with np.errstate(all="ignore"):
            if not np.isnan(np.sum(x)):
                return x, None
        missing = np.isnan(x)
        return np.where(missing, 0.0 if self.fill is None else self.fill, x), missing

    def _sparse(self, X: Any) -> Any:
        X = narrowed(X, self.dtype)
        parts = [X if self.center is None else self._scaled_entries(X)]
        if self.gaps:  # it has none
            parts.append(csr_array((X.shape[0], len(self.gaps)), dtype=self.dtype))
        if self.ramps.columns:
            parts.append(sparse_ramps(self.ramps, X, self.dtype))
        return hstack(parts, format="csr") if len(parts) > 1 else parts[0]

    def _scaled_entries(self, X: Any) -> Any:
        """Return f(X) - f(0) of the columns of numbers."""
        columns = X.indices
        if self.clips:
            data = self._standardised(X.data, self.center[columns], self.scale[columns])
            data -= self._at_zero[columns]
        else:
            data = np.clip(X.data / self.scale[columns], -FARTHEST, FARTHEST)
        return type(X)((data, X.indices, X.indptr), shape=X.shape)

    def loses_digits(self, X: Any) -> bool:
        """Whether float32 is too coarse for f(X) - f(0), which is far from 0 though f(X) is not."""
        far = issparse(X) and self.center is not None
        return bool(far and np.any(np.abs(self._at_zero) > COARSE))

    def origin(self, X: Any) -> Array | None:
        """Return f(0), which the network has to add to every row of f(X), or None."""
        if not issparse(X) or self.center is None:
            return None
        return self(np.zeros((1, self.columns.n), self.dtype))[0]

    @cached_property
    def _at_zero(self) -> Array:
        return self._scaled(np.zeros((1, len(self.center)), self.dtype))[0]

    def _scaled(self, x: Array) -> Array:
        """Return numbers scaled, in `dtype`."""
        x = narrowed(x, self.dtype)
        if self.center is None:
            return x
        return self._standardised(x, self.center, self.scale)

    def _standardised(self, x: Array, center: Array, scale: Array) -> Array:
        z = x - center
        z /= scale
        # Far out everything is finite, and the larger x the larger z.
        limit = FAR if self.clips else FARTHEST
        np.clip(z, -limit, limit, out=z)
        if self.clips:
            root = z / 3.0
            np.square(root, out=root)
            root += 1.0
            z /= np.sqrt(root, out=root)
        return z

    def matrix(self, X: Any, dtype: Any, crossed: Array | None = None) -> tuple[Any, Array | None]:
        """Return rows of f(X), as `compact` keeps them, in the type to train in.

        And [1 rows] if the former is a part of it. Of a dense X that is scaled there is one
        copy, made part by part. `crossed` are the means that stand in the place of those that
        the categories have.
        """
        if issparse(X):
            return narrowed(self(X), dtype), None
        if self._is_as_given(X) and X.dtype == dtype:
            return X, None
        X1 = np.empty((len(X), 1 + self.n_compact), dtype)
        X1[:, 0] = 1.0
        row = X[:1].nbytes + 8 * sum(self.ramps.bins)
        for part in gen_batches(len(X), max(BLOCK // row, 1)):
            X1[part, 1:] = narrowed(self.compact(X[part]), dtype)
        if crossed is not None:
            X1[:, 1 + self.direct - crossed.shape[1] : 1 + self.direct] = crossed
        return X1[:, 1:], X1

    @cached_property
    def told(self) -> list[tuple[int, int]]:
        """The columns of X that are told by means of y, and how many levels each has."""
        of = zip(self.columns.categorical, self.categories, strict=True)
        return [(j, len(self.columns.levels[j] or [])) for j, one in of if one.means is not None]

    def tables(self, sums: Sequence[LevelSums]) -> list[Array]:
        """Return the means that rows of each fold are trained with, for each of these columns."""
        of = (category for category in self.categories if category.means is not None)
        return [category.crossed(one) for category, one in zip(of, sums, strict=True)]

    def crossed(self, X: Array, folds: NDArray[np.intp], tables: list[Array]) -> Array:
        """Return the means of y that rows of given folds are trained with, (n, n_means)."""
        return np.hstack(
            [
                table[folds, numbers_of_levels(X[:, j], n)]
                for (j, n), table in zip(self.told, tables, strict=True)
            ]
        )

    def _is_as_given(self, X: Array) -> bool:
        is_plain = self.center is None and self.n_compact == X.shape[1] and not self.categories
        with np.errstate(all="ignore"):
            return is_plain and not np.isnan(np.sum(X))

    def going_on(self, X: Any, w: Array | None, unit: float) -> Self:
        """Return the change of coordinates for the rows so far and further ones.

        It is by their moments; quartiles are the means of those of the lots.
        """
        if self.summary is None:
            return self._awake(X, w)
        X = X if issparse(X) else self.numbers(X)[0]
        more = Summary.of(X, w, unit=unit)
        summary = Summary.merged([self.summary, more])
        if not SCALERS[str(self.method)].by_quartiles:
            return self._settled(*summary.moments(), summary)
        share: Any = more.weight / summary.weight
        share = np.where(self.summary.constant, 1.0, np.where(more.constant, 0.0, share))
        center, scale = quartiles(X, w)
        return self._settled(
            self.center + share * (center - self.center),
            self.scale + share * (scale - self.scale),
            summary,
        )

    def _awake(self, X: Any, w: Array | None) -> Self:
        """Return unscaled coordinates, those columns on that further rows are the first to have.

        They have been 0 so far, so that what is predicted of earlier rows stays.
        """
        if self.scale is None:
            return self
        absent: Any = False  # what a sparse matrix does not hold is 0
        if not issparse(X):
            x = X[:, self.numeric]
            absent = np.isnan(x if w is None else x[w > 0]).all(axis=0)
        return replace(self, scale=np.where(absent, self.scale, 1.0).astype(self.dtype))

    def learnt(self, summary: Summary) -> Self:
        """Return the change of coordinates of numbers that a summary tells of.

        By moments, and what sums do not tell, quartiles and knots of ramps, by the sample.
        """
        if self.method is None:
            return self._unscaled(summary.mean, summary.empty)
        scaler, x, w = SCALERS[self.method], summary.sample, summary.sample_weight
        center, scale = summary.moments()
        if scaler.by_quartiles:
            center, scale = by_column(quartiles, x, w, missing(x))
        ramps = learn_ramps(x, w) if scaler.ramps else Ramps([])
        return replace(self, ramps=ramps)._settled(center, scale, summary)

    def _settled(self, center: Array, scale: Array, summary: Summary) -> Self:
        """Return the change of coordinates with another centre and scale, of other rows."""
        scaler = SCALERS[str(self.method)]
        scale = positive(scale.astype(self.dtype))  # which may have rounded to 0
        # A column that is nowhere is none, and beside ramps one that is the same everywhere.
        scale[summary.constant if scaler.ramps else summary.empty] = np.inf
        center = center.astype(self.dtype)
        summary = replace(summary, sample=None, sample_weight=None)
        return replace(
            self, center=center, scale=scale, clips=scaler.clips, fill=center, summary=summary
        )

    def _unscaled(self, fill: Array, nowhere: NDArray[np.bool_]) -> Self:
        """Return the coordinates that leave numbers as they are but where a column is nowhere."""
        filled = replace(self, fill=fill.astype(self.dtype))
        if not nowhere.any():
            return filled
        scale = np.where(nowhere, np.inf, 1.0).astype(self.dtype)
        return replace(filled, center=np.zeros_like(scale), scale=scale)

    def carry(self, new: Inputs, parameters: Parameters) -> None:
        """Rewrite W[1] and b[1] for other coordinates g, so that W[1] f(x) + b[1] stays.

        With f(x) = a g(x) + d in every column of scaled numbers, W[1] <- W[1] a and
        b[1] <- b[1] + W[1] d.
        """
        if self.summary is None:  # nothing has gone on
            return
        a, d = self._as_line_in(new)
        W = parameters.W[1][:, : len(a)]
        parameters.b[1] += W @ d.astype(parameters.theta.dtype)[:, None]
        W *= a

    def _as_line_in(self, new: Inputs) -> tuple[Array, Array]:
        """Return a and d of every column.

        They are exact if the coordinates do not clip. If they do it is the line nearest to f
        over a normal column: a is at most 3, and f is missed by at most 15. A column that has
        been constant in f, where its scale was arbitrary, keeps its weights: a is 1, and f is
        met at the one value that it had.
        """
        assert self.summary is not None
        center, scale, to, by = (
            a.astype(np.float64) for a in (self.center, self.scale, new.center, new.scale)
        )
        if self.clips:
            of = self._standardised(to + by * NORMAL, center, scale)
            onto = new._standardised(NORMAL, np.zeros(1), np.ones(1))
            a, d = (onto * of).mean(axis=0) / np.square(onto).mean(), of.mean(axis=0)
        else:
            a, d = by / scale, (to - center) / scale
        a, d = (np.clip(x, -FARTHEST, FARTHEST) for x in (a, d))
        constant = self.summary.constant
        at = new._standardised(center, to, by)
        return np.where(constant, 1.0, a), np.where(constant, -at, d)

    def plain(self) -> dict[str, Any]:
        """Return what it is, as names, numbers and arrays."""
        return {
            "dtype": np.dtype(self.dtype).name,
            "levels": self.columns.levels,
            "center": self.center,
            "scale": self.scale,
            "clips": self.clips,
            "method": self.method,
            "summary": None if self.summary is None else self.summary.plain(),
            "fill": self.fill,
            "gaps": self.gaps,
            "knots": self.ramps.knots,
            "categories": [asdict(of) for of in self.categories],
        }

    @classmethod
    def of_plain(cls, kept: dict[str, Any]) -> Self:
        """Return what `plain` told of."""
        kept = dict(kept)
        summary = kept.pop("summary")
        return cls(
            dtype=np.dtype(kept.pop("dtype")),
            columns=Columns(kept.pop("levels")),
            summary=None if summary is None else Summary(**summary),
            ramps=Ramps(kept.pop("knots")),
            categories=[Category(**of) for of in kept.pop("categories")],
            **kept,
        )


def fit_inputs(
    X: Any,
    w: Array | None,
    method: str | None,
    unit: float = 1.0,
    columns: Columns | None = None,
    Y: Array | None = None,
) -> Inputs:
    """Learn the change of coordinates from rows and their weights.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n, n_features)
        float32 or float64; numbers of levels in the place of categories.
    w : ndarray of shape (n,) or None
        The weights, >= 0.
    method : str or None
        A name in :data:`SCALERS`; None leaves numbers as they are.
    unit : float, default=1.0
        What a weight of 1 is in those that the user gave.
    columns : Columns, optional
        Which columns hold categories; none by default.
    Y : ndarray of shape (n, n_outputs), optional
        Targets in the network's coordinates, which categories of many levels are told by.
    """
    columns = columns or Columns([None] * X.shape[1])
    of = columns.categorical
    categories = [learn_category(X[:, j], len(columns.levels[j] or []), w, Y) for j in of]
    x = X[:, columns.numeric] if of else X
    absent, counted = missing(x), slice(None) if w is None else w > 0
    seen_absent = np.zeros((1, x.shape[1]), bool) if absent is None else absent[counted]
    inputs = Inputs(
        X.dtype,
        columns,
        method=method,
        gaps=np.flatnonzero(seen_absent.any(axis=0) & ~seen_absent.all(axis=0)).tolist(),
        categories=categories,
    )
    if method is not None:
        summary = Summary.of(x, w, unit=unit)
        return inputs.learnt(replace(summary, sample=x, sample_weight=w))
    if issparse(x) or not x.shape[1]:
        return inputs
    (fill,) = by_column(means, x, w, absent, nowhere=(0.0,))
    nowhere: NDArray[np.bool_] = np.all(seen_absent, axis=0)
    return inputs._unscaled(fill, nowhere)


class Scaler(NamedTuple):
    """How numbers are scaled: whether clipped, by quartiles and not moments, and with ramps."""

    clips: bool = False
    by_quartiles: bool = False
    ramps: bool = False


SCALERS = {
    "standard": Scaler(),
    "clipped": Scaler(clips=True),
    "robust": Scaler(clips=True, by_quartiles=True),
    "piecewise": Scaler(clips=True, ramps=True),
}
"""By the value of `scale_inputs`."""


def needs_sample(method: str | None) -> bool:
    """Whether coordinates are learnt from what sums do not tell."""
    return method is not None and (SCALERS[method].by_quartiles or SCALERS[method].ramps)


def narrowed(X: Any, dtype: Any) -> Any:
    """Return X in a type; what a narrower one cannot hold is as far out as that can square."""
    if X.dtype == dtype or np.dtype(dtype).itemsize >= X.dtype.itemsize:
        return X.astype(dtype, copy=False)
    if not issparse(X):
        return np.clip(X, -FARTHEST, FARTHEST).astype(dtype)
    data = np.clip(X.data, -FARTHEST, FARTHEST).astype(dtype)
    return type(X)((data, X.indices, X.indptr), shape=X.shape)
