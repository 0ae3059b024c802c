"""Statistics of the columns of rows: least and largest, means, deviations, quartiles.

A row of weight k counts as k rows, what is missing is left out, and a sparse matrix has those of
the dense one. What is known of several lots of rows merges.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils import gen_batches
from sklearn.utils.sparsefuncs import mean_variance_axis, min_max_axis

from skdnn.core.activations import Array
from skdnn.fit.rows import stacked

NOWHERE = (np.inf, -np.inf, 0.0, 0.0)  # the description of a column that is missing throughout
BYTES = 1 << 23  # of X to take the statistics of at once, or 1,024 rows


@dataclass(frozen=True, eq=False, repr=False)
class Summary:
    """What the coordinates are learnt from, of some rows: those of several lots merge."""

    weight: float  # of all rows
    low: Array  # this and what follows of every column, over the rows of weight > 0
    high: Array
    mean: Array
    deviation: Array
    sample: Any = None  # some of these rows, for what sums do not tell
    sample_weight: Array | None = None
    present: Array | None = None  # the weight where a column is not missing; None for all of it

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
        absent, present = missing(X), None
        if absent is not None:
            present = unit * (~absent).T.astype(np.float64) @ ones
        low, high, mean, deviation = by_column(described, X, w, absent, NOWHERE)
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
        of_samples = stacked([part.sample_weight for part in parts])
        return replace(whole, sample=stacked(samples), sample_weight=of_samples)

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
        """Return the mean and the deviation of every column, a deviation of 0 as 1."""
        center = np.where(self.constant & ~self.empty, self.low, self.mean)
        return center, positive(np.where(self.constant, 0.0, self.deviation))

    def plain(self) -> dict[str, Any]:
        """Return all but the sample, as numbers and arrays."""
        names = ("weight", "low", "high", "mean", "deviation", "present")
        return {name: getattr(self, name) for name in names}


def missing(x: Any) -> NDArray[np.bool_] | None:
    """Return where numbers are missing; None if they are nowhere."""
    if issparse(x):
        return None
    with np.errstate(all="ignore"):
        if not np.isnan(np.sum(x)):  # as it may be where there is none
            return None
    absent = np.isnan(x)
    return absent if absent.any() else None


def means(x: Array, w: Array | None) -> tuple[Array]:
    """Return the mean of every column, 0 where it is not finite."""
    with np.errstate(all="ignore"):
        mean = x.mean(axis=0) if w is None else w @ x / w.sum()
        mean = np.nan_to_num(mean, posinf=0.0, neginf=0.0)
    return (mean,)


def by_column(
    of: Callable[..., tuple[Array, ...]],
    x: Any,
    w: Array | None,
    absent: NDArray[np.bool_] | None,
    nowhere: Sequence[float] = (0.0, 0.0),
) -> tuple[Array, ...]:
    """Return statistics of every column, over the rows where it is not absent."""
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


def described(X: Any, w: Array | None) -> tuple[Array, ...]:
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
    parts = list(gen_batches(n, min(max(BYTES // max(X[:1].nbytes, 1), 1), 1024)))
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
    columns = gen_batches(X.shape[1], max(BYTES // (8 * X.shape[0]), 1))
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


def positive(scale: Array) -> Array:
    """Return the scale with 1 in the place of 0."""
    return np.where(scale > 0, scale, 1.0)
