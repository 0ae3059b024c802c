"""X in the network's coordinates.

A change of coordinates before the first layer, column by column: the network behind it is
the paper's. It is learnt from the values and their weights, a row of weight k counting as
k rows, and is the same for a dense and a sparse X.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, Self, cast

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import hstack, issparse, vstack
from scipy.special import ndtri
from sklearn.utils import gen_batches
from sklearn.utils.sparsefuncs import mean_variance_axis, min_max_axis

from skdnn.columns import UNKNOWN, Columns
from skdnn.core.activations import Array
from skdnn.core.network import Parameters
from skdnn.encodings import (
    Category,
    Expansion,
    Ramps,
    crossed_means,
    learn_category,
    learn_ramps,
    numbers_of_levels,
    sparse_ramps,
)

BLOCK = 1 << 19  # bytes of X to bring to other coordinates at once, which stay in the cache
COARSE = 1e3  # deviations, of which float32 has a ten-thousandth left
FARTHEST = 1e18  # whose square is finite in float32
FAR = 1e9  # where x / sqrt(1 + (x / 3)^2) is 3 to every digit
NORMAL = ndtri((np.arange(16)[:, None] + 0.5) / 16)  # quantiles of a normal column
NOWHERE = (np.inf, -np.inf, 0.0, 0.0)  # the description of a column that is missing throughout
STATISTICS = 1 << 23  # bytes of X to take the statistics of at once, or 1,024 rows


@dataclass(frozen=True)
class Inputs:
    """X to A[0]: numbers x -> (x - center) / scale, and what else a column becomes.

    The columns of A[0] are the scaled numbers, a 0/1 column for each of the `gaps`, the means
    of categories, the ramps, and the levels of categories.

    Attributes
    ----------
    dtype : dtype
        What X is read in: float32 or float64.
    columns : Columns
        Which columns of X hold categories, and their levels.
    center, scale : ndarray of shape (n_numbers,) or None
        None for 0 and 1. The scale is never 0; it is infinite where a column tells nothing.
    clips : bool
        Whether x / sqrt(1 + (x / 3)^2) follows, which keeps the result within (-3, 3).
    method : str or None
        The value of `scale_inputs` that it was learnt by.
    summary : Summary or None
        What is known of the numbers that it was learnt from, none of which is in it.
    fill : ndarray of shape (n_numbers,) or None
        What stands for a missing number; None for 0.
    gaps : list of int
        Those of the numeric columns where fit saw missing numbers.
    ramps : Ramps
    categories : list of Category
        One for each categorical column.
    """

    dtype: Any
    columns: Columns
    center: Array | None = None
    scale: Array | None = None
    clips: bool = False
    method: str | None = None
    summary: Summary | None = None
    fill: Array | None = None
    gaps: list[int] = field(default_factory=list)
    ramps: Ramps = field(default_factory=lambda: Ramps([]))
    categories: list[Category] = field(default_factory=list)

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
        x, missing = self._numbers(X)
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

    def _numbers(self, X: Array) -> tuple[Array, NDArray[np.bool_] | None]:
        """Return the numeric columns, what is missing filled in, and where that is."""
        x = X[:, self.numeric]
        with np.errstate(all="ignore"):
            if not np.isnan(np.sum(x)):
                return x, None
        missing = np.isnan(x)
        return np.where(missing, 0.0 if self.fill is None else self.fill, x), missing

    def _sparse(self, X: Any) -> Any:
        X = narrowed(X, self.dtype)
        if self.center is None or self.scale is None:
            return X
        columns = X.indices
        if self.clips:
            data = self._standardised(X.data, self.center[columns], self.scale[columns])
            data -= self._at_zero[columns]
        else:
            data = np.clip(X.data / self.scale[columns], -FARTHEST, FARTHEST)
        scaled = type(X)((data, X.indices, X.indptr), shape=X.shape)
        if not self.ramps.columns:
            return scaled
        return hstack([scaled, sparse_ramps(self.ramps, X, self.dtype)], format="csr")

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
        assert self.center is not None
        return self._scaled(np.zeros((1, len(self.center)), self.dtype))[0]

    def _scaled(self, x: Array) -> Array:
        """Return numbers scaled, in `dtype`."""
        x = narrowed(x, self.dtype)
        if self.center is None or self.scale is None:
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

    def derivative(self, X: Array) -> Derivative:
        """Return what takes gradients in A[0] back to dense rows of X."""
        x, missing = self._numbers(X)
        slopes = self._slope(x)
        if missing is not None:
            slopes = np.where(missing, np.nan, slopes)
        return Derivative(self, slopes, self.ramps.slopes(x))

    def _slope(self, x: Array) -> Array | float:
        """Return the slope of scaled numbers, in `dtype`; 1 where they are left as they are."""
        if self.center is None or self.scale is None:
            return 1.0
        z = narrowed(x, self.dtype) - self.center
        z /= self.scale
        if not self.clips:
            return (np.abs(z) <= FARTHEST) / self.scale
        np.clip(z, -FAR, FAR, out=z)
        z /= 3.0
        np.square(z, out=z)
        z += 1.0
        z *= np.sqrt(z)
        z *= self.scale
        return np.reciprocal(z, out=z)

    def filled(self, X: Array) -> Array:
        """Return rows with what stands for missing numbers in their place."""
        X = X.copy()
        X[:, self.numeric] = self._numbers(X)[0]
        return X

    @cached_property
    def middle(self) -> Array:
        """A row of centres, or zeros, and of levels that fit has not seen; (n_features,)."""
        row = np.full(self.columns.n, UNKNOWN)
        row[self.numeric] = 0.0 if self.center is None else self.center
        return row

    def deviations(self, X: Any, w: Array | None) -> Array:
        """Return the deviation of every column of numbers, without gaps; NaN for categories."""
        x = X if issparse(X) else X[:, self.numeric]
        absent = _missing(x)
        _, scale = _statistics(x, w, absent, moments)
        low, high = _statistics(x, w, absent, extremes)
        found = np.full(self.columns.n, np.nan)
        found[self.numeric] = np.where(low == high, 0.0, scale)
        return found

    @cached_property
    def sources(self) -> NDArray[np.intp]:
        """The column of X that each column of A[0] comes from."""
        numeric, categorical = np.array(self.columns.numeric, int), self.columns.categorical
        means, hot = (
            [j for of, j in zip(self.categories, categorical, strict=True) for _ in of.columns(h)]
            for h in (False, True)
        )
        ramps = np.repeat(numeric[self.ramps.columns], self.ramps.bins)
        found = np.concatenate([numeric, numeric[self.gaps], means, ramps, hot]).astype(np.intp)
        return found if len(found) else np.zeros(1, np.intp)

    @cached_property
    def steps(self) -> NDArray[np.intp]:
        """The columns of A[0] that jump: those of gaps and categories."""
        d, last = len(self.columns.numeric), self.direct + sum(self.ramps.bins)
        return np.concatenate([np.arange(d, self.direct), np.arange(last, self.width)])

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

    def crossed(self, X: Array, w: Array | None, Y: Array) -> Array | None:
        """Return the means of y that the rows themselves are trained with, (n, n_means)."""
        of = zip(self.categories, self.columns.categorical, strict=True)
        means = [
            crossed_means(category, X[:, j], w, Y)
            for category, j in of
            if category.means is not None
        ]
        return np.hstack(means) if means else None

    def _is_as_given(self, X: Array) -> bool:
        is_plain = self.center is None and self.n_compact == X.shape[1] and not self.categories
        with np.errstate(all="ignore"):
            return is_plain and not np.isnan(np.sum(X))

    def going_on(self, X: Any, w: Array | None, unit: float) -> Self:
        """Return the change of coordinates for the rows so far and further ones.

        It is by their moments; quartiles are the means of those of the lots.
        """
        if self.summary is None or self.center is None or self.scale is None:
            return self
        X = X if issparse(X) else self._numbers(X)[0]
        more = Summary.of(X, w, unit=unit)
        summary = Summary.merged([self.summary, more])
        statistics = SCALERS[str(self.method)].statistics
        if statistics is moments:
            return self._settled(*summary.moments(), summary)
        share: Any = more.weight / summary.weight
        share = np.where(self.summary.constant, 1.0, np.where(more.constant, 0.0, share))
        center, scale = statistics(X, w)
        return self._settled(
            self.center + share * (center - self.center),
            self.scale + share * (scale - self.scale),
            summary,
        )

    def _settled(self, center: Array, scale: Array, summary: Summary) -> Self:
        """Return the change of coordinates with another centre and scale, of other rows."""
        _, clips, has_ramps = SCALERS[str(self.method)]
        scale = positive(scale.astype(self.dtype))  # which may have rounded to 0
        # A column that is nowhere is none, and beside ramps one that is the same everywhere.
        scale[summary.constant if has_ramps else summary.empty] = np.inf
        center = center.astype(self.dtype)
        summary = replace(summary, sample=None, sample_weight=None)
        return replace(self, center=center, scale=scale, clips=clips, fill=center, summary=summary)

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
        if self.center is None or self.summary is None:  # nothing has gone on
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
        assert self.center is not None
        assert self.scale is not None
        assert self.summary is not None
        assert new.center is not None
        assert new.scale is not None
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


@dataclass(frozen=True)
class Derivative:
    """The derivative of A[0] in some rows of X.

    Attributes
    ----------
    inputs : Inputs
    slopes : ndarray of shape (n, n_numbers) or float
        Of the scaled numbers; NaN where a number is missing.
    ramps : ndarray of shape (n, n_ramps)
        Of the ramps.
    """

    inputs: Inputs
    slopes: Any
    ramps: Array

    def __call__(self, G: Array) -> Array:
        """Return gradients in X of those in A[0], (n, n[0]), which may be written to.

        NaN is where there is none: in categories, and where a number is missing.
        """
        inputs, d = self.inputs, len(self.inputs.columns.numeric)
        of_numbers = G[:, :d]
        of_numbers *= self.slopes
        if inputs.ramps.columns:
            of_ramps = G[:, inputs.direct : inputs.direct + self.ramps.shape[1]] * self.ramps
            of_numbers[:, inputs.ramps.columns] += np.add.reduceat(
                of_ramps, inputs.ramps.starts, axis=1
            )
        if not inputs.categories:
            return of_numbers
        gradient = np.full((len(G), inputs.columns.n), np.nan, G.dtype)
        gradient[:, inputs.numeric] = of_numbers
        return gradient


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
    absent = _missing(x)
    seen_absent = np.zeros((1, x.shape[1]), bool) if absent is None else absent[_counted(w)]
    inputs = Inputs(
        X.dtype,
        columns,
        method=method,
        gaps=np.flatnonzero(seen_absent.any(axis=0) & ~seen_absent.all(axis=0)).tolist(),
        categories=categories,
    )
    if method is not None:
        summary = Summary.of(x, w, unit=unit)
        return replace(summary, sample=x, sample_weight=w).inputs(inputs)
    if issparse(x) or not x.shape[1]:
        return inputs
    fill, _ = _statistics(x, w, absent, _means)
    nowhere: NDArray[np.bool_] = np.all(seen_absent, axis=0)
    return inputs._unscaled(fill, nowhere)


def _counted(w: Array | None) -> Any:
    return slice(None) if w is None else w > 0


def _missing(x: Any) -> NDArray[np.bool_] | None:
    """Return where numbers are missing; None if they are nowhere."""
    if issparse(x):
        return None
    with np.errstate(all="ignore"):
        if not np.isnan(np.sum(x)):  # as it may be where there is none
            return None
    absent = np.isnan(x)
    return absent if absent.any() else None


def _means(x: Array, w: Array | None) -> tuple[Array, Array]:
    with np.errstate(all="ignore"):
        mean = x.mean(axis=0) if w is None else w @ x / w.sum()
        mean = np.nan_to_num(mean, posinf=0.0, neginf=0.0)
    return mean, mean


def _statistics(
    x: Array,
    w: Array | None,
    absent: NDArray[np.bool_] | None,
    of: Callable[..., tuple[Array, ...]],
    nowhere: Sequence[float] = (0.0, 0.0),
) -> tuple[Array, ...]:
    """Return statistics of every column, over the rows where it is not missing."""
    if absent is None:
        return of(x, w)
    result = np.tile(np.array(nowhere)[:, None], x.shape[1])
    has_gaps = absent.any(axis=0)
    if not has_gaps.all():
        result[:, ~has_gaps] = of(x[:, ~has_gaps], w)
    for j in np.flatnonzero(has_gaps):
        here = ~absent[:, j] if w is None else ~absent[:, j] & (w > 0)
        if here.any():
            found = of(x[here][:, [j]], None if w is None else w[here])
            result[:, j] = [one[0] for one in found]
    return tuple(result)


@dataclass(frozen=True)
class Summary:
    """What the coordinates are learnt from, of some rows: those of several lots merge.

    Attributes
    ----------
    weight : float
        The rows' total weight.
    low, high, mean, deviation : ndarray of shape (n_features,)
        Of every column, over the rows of weight > 0.
    sample : ndarray of shape (n_sampled, n_features) or None
        Some of these rows, for what sums do not tell.
    sample_weight : ndarray of shape (n_sampled,) or None
        Their weights.
    present : ndarray of shape (n_features,) or None
        The weight of the rows where a column is not missing; None for all of it everywhere.
    """

    weight: float
    low: Array
    high: Array
    mean: Array
    deviation: Array
    sample: Any = None
    sample_weight: Array | None = None
    present: Array | None = None

    @classmethod
    def of(
        cls, X: Any, w: Array | None, n_sampled: int = 0, seed: int = 0, unit: float = 1.0
    ) -> Self:
        """Return that of rows and their weights; which of them are sampled a seed decides.

        A weight of 1 is `unit` in those of other lots.
        """
        n = X.shape[0]
        ones = np.ones(n) if w is None else w
        weight = float(ones.sum(dtype=np.float64)) * unit
        absent, present = _missing(X), None
        if absent is not None:
            present = unit * (~absent).T.astype(np.float64) @ ones
        low, high, mean, deviation = _statistics(X, w, absent, _described, NOWHERE)
        whole = cls(weight, low, high, mean, deviation, present=present)
        if not n_sampled:
            return whole
        counted = np.flatnonzero(ones)
        if len(counted) > n_sampled:
            rng = np.random.default_rng(seed)
            counted = np.sort(rng.choice(counted, n_sampled, replace=False))
        return replace(whole, sample=X[counted], sample_weight=ones[counted])

    @classmethod
    def merged(cls, parts: Sequence[Self]) -> Self:
        """Return that of all rows, from those of lots of them, added in the given order.

        The moments are those of one pass over all rows but for rounding: of the lots' means
        around a common centre, and of the deviations around the mean of all (Chan, Golub and
        LeVeque, 1983, "Algorithms for computing the sample variance").
        """
        weight = sum(part.weight for part in parts)
        weights = [part.there for part in parts]
        shares = [of / positive(np.sum(weights, axis=0)) for of in weights]
        first = parts[0].mean
        mean = first + sum(p * (part.mean - first) for p, part in zip(shares, parts, strict=True))
        away = [part.mean - mean for part in parts]
        # Squares of what is very large or very little do not fit into float64.
        spreads = [*np.abs(away), *(part.deviation for part in parts)]
        unit = positive(np.max(spreads, axis=0))
        square = sum(
            p * ((part.deviation / unit) ** 2 + (a / unit) ** 2)
            for p, part, a in zip(shares, parts, away, strict=True)
        )
        low = np.min([part.low for part in parts], axis=0)
        high = np.max([part.high for part in parts], axis=0)
        present = None
        if any(part.present is not None for part in parts):
            present = np.sum(weights, axis=0)
        whole = cls(weight, low, high, mean, unit * np.sqrt(square), present=present)
        samples = [part.sample for part in parts]
        if any(sample is None for sample in samples):
            return whole
        sample = vstack(samples, "csr") if issparse(samples[0]) else np.concatenate(samples)
        of_sample = np.concatenate([cast(Array, part.sample_weight) for part in parts])
        return replace(whole, sample=sample, sample_weight=of_sample)

    @property
    def there(self) -> Array:
        """The weight of the rows where each column is not missing."""
        return self.weight * ~self.empty if self.present is None else self.present

    @property
    def constant(self) -> NDArray[np.bool_]:
        """The columns of one value, or of none."""
        return (self.low == self.high) | self.empty

    @property
    def empty(self) -> NDArray[np.bool_]:
        """The columns that have been missing in every row."""
        return self.low > self.high

    def moments(self) -> tuple[Array, Array]:
        """Return what the function `moments` does of all rows."""
        center = np.where(self.constant & ~self.empty, self.low, self.mean)
        return center, positive(np.where(self.constant, 0.0, self.deviation))

    def inputs(self, inputs: Inputs) -> Inputs:
        """Return what `fit_inputs` does of all rows, of which other columns are learnt already.

        By moments, and what sums do not tell, quartiles and knots of ramps, by the sample.
        """
        if inputs.method is None:
            return inputs._unscaled(self.mean, self.empty)
        statistics, _, has_ramps = SCALERS[inputs.method]
        if statistics is moments:
            found: Any = self.moments()
        else:
            w = self.sample_weight
            found = _statistics(self.sample, w, _missing(self.sample), statistics)
        ramps = learn_ramps(self.sample, self.sample_weight) if has_ramps else Ramps([])
        return replace(inputs, ramps=ramps)._settled(found[0], found[1], self)

    def plain(self) -> dict[str, Any]:
        """Return all but the sample, as numbers and arrays."""
        names = ("weight", "low", "high", "mean", "deviation", "present")
        return {name: getattr(self, name) for name in names}


def moments(X: Any, w: Array | None) -> tuple[Array, Array]:
    """Return the weighted mean and deviation of every column, a deviation of 0 as 1.

    A deviation is 0 where a column is constant, over the rows of weight > 0.
    """
    low, high, center, scale = _described(X, w)
    return np.where(low == high, low, center), positive(np.where(low == high, 0.0, scale))


def _described(X: Any, w: Array | None) -> tuple[Array, ...]:
    """Return the least and largest entry, the mean and the deviation of every column."""
    low, high = extremes(X, w)
    center, scale = _centred_moments(X, w)
    # Squares of what is so large or so spread do not fit into float64: in other units they do.
    largest = np.maximum(np.abs(low), np.abs(high))
    spread = high / 2.0 - low / 2.0
    odd = np.flatnonzero((largest > 1e100) | ((spread < 1e-100) & (spread > 0.0)))
    if len(odd):
        exponent = np.floor(np.log2(np.where(largest[odd] > 1e100, largest[odd], spread[odd])))
        unit = 2.0 ** np.minimum(-exponent, 1000.0)
        part = X[:, odd].multiply(unit).tocsr() if issparse(X) else X[:, odd] * unit
        center[odd], scale[odd] = (a / unit for a in _centred_moments(part, w))
    return low, high, center, scale


def extremes(X: Any, w: Array | None) -> tuple[Array, Array]:
    """Return the least and the largest entry of every column over rows of weight > 0."""
    rows = slice(None) if w is None or np.all(w) else w > 0
    if issparse(X):
        return min_max_axis(X[rows], axis=0)
    if isinstance(rows, slice):
        return X.min(axis=0), X.max(axis=0)
    counted = np.broadcast_to(rows[:, None], X.shape)
    return (
        X.min(axis=0, where=counted, initial=np.inf),
        X.max(axis=0, where=counted, initial=-np.inf),
    )


def _centred_moments(X: Any, w: Array | None) -> tuple[Array, Array]:
    """Return mean and deviation by two passes over X, the second around the mean."""
    if issparse(X):
        mean, variance = mean_variance_axis(X.astype(np.float64, copy=False), axis=0, weights=w)
        return mean, np.sqrt(variance)
    n = X.shape[0]
    W, ones = (n, np.ones(n)) if w is None else (w.sum(dtype=np.float64), w.astype(np.float64))
    # A product of float32 and float64, and X - mean of all rows, would be another X.
    parts = list(gen_batches(n, min(max(STATISTICS // max(X[:1].nbytes, 1), 1), 1024)))
    if X.dtype == np.float64:
        mean = (X.T @ ones) / W
    else:
        mean = sum((X[part].T @ ones[part] for part in parts), np.zeros(X.shape[1])) / W

    def centred(power: int) -> Array:
        total = np.zeros(len(mean))
        for part in parts:
            powers = (X[part] - mean) ** power
            powers[ones[part] == 0] = 0.0  # where 0 times it might be nan
            total += powers.T @ ones[part]
        return total / W

    deviation = np.sqrt(centred(2))
    if np.any(deviation < 1e-6 * np.abs(mean)):  # the mean's last digits matter
        mean += centred(1)
        deviation = np.sqrt(centred(2))
    return mean, deviation


def quartiles(X: Any, w: Array | None) -> tuple[Array, Array]:
    """Return the median and the interquartile range of every column.

    Where half of a column is one value the range is 0, and half the distance from the
    smallest to the largest value serves; a constant column becomes 0. Holzmüller,
    Grinsztajn and Steinwart (2024), "Better by default", section 3.1.
    """
    keep = slice(None) if w is None else w > 0
    columns = gen_batches(X.shape[1], max(STATISTICS // (8 * X.shape[0]), 1))
    X = X.tocsc() if issparse(X) else X
    center, scale = np.empty((2, X.shape[1]))
    for part in columns:
        x = X[:, part].toarray() if issparse(X) else X[:, part]
        x = x[keep]
        weights = None if w is None else np.broadcast_to(w[keep, None], x.shape)
        low, center[part], high = np.quantile(
            x, [0.25, 0.5, 0.75], axis=0, weights=weights, method="inverted_cdf"
        )
        width = high - low
        width = np.where(np.isfinite(width), width, high / 2.0 - low / 2.0)
        scale[part] = np.where(width > 0, width, 0.5 * x.max(axis=0) - 0.5 * x.min(axis=0))
    return center, positive(scale)


class Scaler(NamedTuple):
    """How numbers are scaled: by which statistics, whether clipped, and whether with ramps."""

    statistics: Callable[[Any, Array | None], tuple[Array, Array]]
    clips: bool = False
    ramps: bool = False


SCALERS = {
    "standard": Scaler(moments),
    "clipped": Scaler(moments, clips=True),
    "robust": Scaler(quartiles, clips=True),
    "piecewise": Scaler(moments, clips=True, ramps=True),
}
"""By the value of `scale_inputs`."""


def needs_sample(method: str | None) -> bool:
    """Whether coordinates are learnt from what sums do not tell."""
    return method is not None and SCALERS[method][::2] != (moments, False)


def narrowed(X: Any, dtype: Any) -> Any:
    """Return X in a type; what a narrower one cannot hold is as far out as that can square."""
    if X.dtype == dtype or np.dtype(dtype).itemsize >= X.dtype.itemsize:
        return X.astype(dtype, copy=False)
    if not issparse(X):
        return np.clip(X, -FARTHEST, FARTHEST).astype(dtype)
    data = np.clip(X.data, -FARTHEST, FARTHEST).astype(dtype)
    return type(X)((data, X.indices, X.indptr), shape=X.shape)


def positive(scale: Array) -> Array:
    """Return the scale with 1 in the place of 0."""
    return np.where(scale > 0, scale, 1.0)
