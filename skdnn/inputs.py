"""X in the network's coordinates.

A change of coordinates before the first layer, element by element: the network behind it is
the paper's. It is learnt from the values and their weights, a row of weight k counting as
k rows, and is the same for a dense and a sparse X.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse, vstack
from scipy.special import ndtri
from sklearn.utils import gen_batches
from sklearn.utils.sparsefuncs import mean_variance_axis, min_max_axis

from skdnn.core.activations import Array
from skdnn.core.network import Parameters

BLOCK = 1 << 19  # bytes of X to bring to other coordinates at once, which stay in the cache
COARSE = 1e3  # deviations, of which float32 has a ten-thousandth left
FARTHEST = 1e18  # whose square is finite in float32
FAR = 1e9  # where x / sqrt(1 + (x / 3)^2) is 3 to every digit
STATISTICS = 1 << 23  # bytes of X to take the statistics of at once, or 1,024 rows
NORMAL = ndtri((np.arange(16)[:, None] + 0.5) / 16)  # quantiles of a normal column


@dataclass(frozen=True)
class Inputs:
    """x -> (x - center) / scale, column by column, with optional smooth clipping.

    Attributes
    ----------
    dtype : dtype
        What X is read in: float32 or float64.
    center, scale : ndarray of shape (n_features,) or None
        None for 0 and 1. The scale is never 0.
    clips : bool
        Whether x / sqrt(1 + (x / 3)^2) follows, which keeps the result within (-3, 3).
    method : str or None
        The value of `scale_inputs` that it was learnt by.
    summary : Summary or None
        What is known of the rows that it was learnt from, none of which is in it.
    """

    dtype: Any
    center: Array | None = None
    scale: Array | None = None
    clips: bool = False
    method: str | None = None
    summary: Summary | None = None

    def __call__(self, X: Any) -> Any:
        """Return X in the network's coordinates, in `dtype`; it is not changed.

        Of a sparse X it is f(x) - f(0), which is as sparse; `origin` is the rest.
        """
        X = narrowed(X, self.dtype)
        if self.center is None or self.scale is None:
            return X
        if not issparse(X):
            return self._scaled(X, self.center, self.scale)
        columns = X.indices
        if self.clips:
            data = self._scaled(X.data, self.center[columns], self.scale[columns])
            data -= self._at_zero[columns]
        else:
            data = np.clip(X.data / self.scale[columns], -FARTHEST, FARTHEST)
        return type(X)((data, X.indices, X.indptr), shape=X.shape)

    def loses_digits(self, X: Any) -> bool:
        """Whether float32 is too coarse for f(X) - f(0), which is far from 0 though f(X) is not."""
        origin = self.origin(X)
        return origin is not None and bool(np.any(np.abs(origin) > COARSE))

    def origin(self, X: Any) -> Array | None:
        """Return f(0), which the network has to add to every row of f(X), or None."""
        return self._at_zero if issparse(X) and self.center is not None else None

    @property
    def _at_zero(self) -> Array:
        assert self.center is not None
        assert self.scale is not None
        return self._scaled(np.zeros_like(self.center), self.center, self.scale)

    def _scaled(self, x: Array, center: Array, scale: Array) -> Array:
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

    def slope(self, X: Array) -> Array | float:
        """Return f'(x) of every entry of dense rows, in `dtype`; 1 where X is left as it is."""
        if self.center is None or self.scale is None:
            return 1.0
        z = narrowed(X, self.dtype) - self.center
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

    def matrix(self, X: Any, dtype: Any) -> tuple[Any, Array | None]:
        """Return f(X) in the type to train in, and [1 f(X)] if the former is a part of it.

        Of a dense X that is scaled there is one copy, made part by part.
        """
        if issparse(X):
            return narrowed(self(X), dtype), None
        if self.center is None and X.dtype == dtype:
            return X, None
        X1 = np.empty((len(X), 1 + X.shape[1]), dtype)
        X1[:, 0] = 1.0
        for part in gen_batches(len(X), max(BLOCK // X[:1].nbytes, 1)):
            X1[part, 1:] = narrowed(self(X[part]), dtype)
        return X1[:, 1:], X1

    def going_on(self, X: Any, w: Array | None, unit: float) -> Self:
        """Return the change of coordinates for the rows so far and further ones.

        It is by their moments; quartiles are the means of those of the lots.
        """
        if self.summary is None or self.center is None or self.scale is None:
            return self
        more = Summary.of(X, w, unit=unit)
        summary = Summary.merged([self.summary, more])
        statistics, _ = SCALERS[str(self.method)]
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
        scale = positive(scale.astype(self.dtype))  # which may have rounded to 0
        center = center.astype(self.dtype)
        summary = replace(summary, sample=None, sample_weight=None)
        return replace(self, center=center, scale=scale, summary=summary)

    def carry(self, new: Inputs, parameters: Parameters) -> None:
        """Rewrite W[1] and b[1] for other coordinates g, so that W[1] f(x) + b[1] stays.

        With f(x) = a g(x) + d in every column, W[1] <- W[1] a and b[1] <- b[1] + W[1] d.
        """
        if self.center is None:
            return
        a, d = self._as_line_in(new)
        parameters.b[1] += parameters.W[1] @ d.astype(parameters.theta.dtype)[:, None]
        parameters.W[1] *= a

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
            of = self._scaled(to + by * NORMAL, center, scale)
            onto = new._scaled(NORMAL, np.zeros(1), np.ones(1))
            a, d = (onto * of).mean(axis=0) / np.square(onto).mean(), of.mean(axis=0)
        else:
            a, d = by / scale, (to - center) / scale
        a, d = (np.clip(x, -FARTHEST, FARTHEST) for x in (a, d))
        constant = self.summary.constant
        at = new._scaled(center, to, by)
        return np.where(constant, 1.0, a), np.where(constant, -at, d)

    def plain(self) -> dict[str, Any]:
        """Return what it is, as names, numbers and arrays."""
        return {
            "dtype": np.dtype(self.dtype).name,
            "center": self.center,
            "scale": self.scale,
            "clips": self.clips,
            "method": self.method,
            "summary": None if self.summary is None else self.summary.plain(),
        }

    @classmethod
    def of_plain(cls, kept: dict[str, Any]) -> Self:
        """Return what `plain` told of."""
        summary = None if kept["summary"] is None else Summary(**kept["summary"])
        return cls(**{**kept, "dtype": np.dtype(kept["dtype"]), "summary": summary})


def fit_inputs(X: Any, w: Array | None, method: str | None, unit: float = 1.0) -> Inputs:
    """Learn the change of coordinates from rows and their weights.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n, n_features)
        float32 or float64.
    w : ndarray of shape (n,) or None
        The weights, >= 0.
    method : str or None
        A name in :data:`SCALERS`; None leaves X as it is.
    unit : float, default=1.0
        What a weight of 1 is in those that the user gave.
    """
    if method is None:
        return Inputs(X.dtype)
    statistics, clips = SCALERS[method]
    summary = Summary.of(X, w, unit=unit)
    found = summary.moments() if statistics is moments else statistics(X, w)
    return Inputs(X.dtype, clips=clips, method=method)._settled(*found, summary)


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
    """

    weight: float
    low: Array
    high: Array
    mean: Array
    deviation: Array
    sample: Any = None
    sample_weight: Array | None = None

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
        if not n_sampled:
            return cls(weight, *_described(X, w))
        counted = np.flatnonzero(ones)
        if len(counted) > n_sampled:
            rng = np.random.default_rng(seed)
            counted = np.sort(rng.choice(counted, n_sampled, replace=False))
        return cls(weight, *_described(X, w), X[counted], ones[counted])

    @classmethod
    def merged(cls, parts: Sequence[Self]) -> Self:
        """Return that of all rows, from those of lots of them, added in the given order.

        The moments are those of one pass over all rows but for rounding: of the lots' means
        around a common centre, and of the deviations around the mean of all (Chan, Golub and
        LeVeque, 1983, "Algorithms for computing the sample variance").
        """
        weight = sum(part.weight for part in parts)
        shares = [part.weight / weight for part in parts]
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
        whole = cls(weight, low, high, mean, unit * np.sqrt(square))
        samples = [part.sample for part in parts]
        if any(sample is None for sample in samples):
            return whole
        sample = vstack(samples, "csr") if issparse(samples[0]) else np.concatenate(samples)
        weights = np.concatenate([cast(Array, part.sample_weight) for part in parts])
        return replace(whole, sample=sample, sample_weight=weights)

    @property
    def constant(self) -> NDArray[np.bool_]:
        """The columns of one value."""
        return self.low == self.high

    def moments(self) -> tuple[Array, Array]:
        """Return what the function `moments` does of all rows."""
        center = np.where(self.constant, self.low, self.mean)
        return center, positive(np.where(self.constant, 0.0, self.deviation))

    def inputs(self, method: str | None, dtype: Any) -> Inputs:
        """Return what `fit_inputs` does of all rows: by moments, or quartiles of the sample."""
        if method is None:
            return Inputs(dtype)
        statistics, clips = SCALERS[method]
        by_moments = statistics is moments
        found = self.moments() if by_moments else statistics(self.sample, self.sample_weight)
        return Inputs(dtype, clips=clips, method=method)._settled(*found, self)

    def plain(self) -> dict[str, Any]:
        """Return all but the sample, as numbers and arrays."""
        names = ("weight", "low", "high", "mean", "deviation")
        return {name: getattr(self, name) for name in names}


def moments(X: Any, w: Array | None) -> tuple[Array, Array]:
    """Return the weighted mean and deviation of every column, a deviation of 0 as 1.

    A deviation is 0 where a column is constant, over the rows of weight > 0.
    """
    low, high, center, scale = _described(X, w)
    return np.where(low == high, low, center), positive(np.where(low == high, 0.0, scale))


def _described(X: Any, w: Array | None) -> tuple[Array, Array, Array, Array]:
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
    mean = (X.T @ ones) / W

    def centred(power: int) -> Array:
        # X - mean of all rows would be another X.
        total = np.zeros(len(mean))
        for part in gen_batches(n, min(max(STATISTICS // X[:1].nbytes, 1), 1024)):
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


SCALERS: dict[str, tuple[Callable[[Any, Array | None], tuple[Array, Array]], bool]] = {
    "standard": (moments, False),
    "clipped": (moments, True),
    "robust": (quartiles, True),
}
"""By the value of `scale_inputs`: centre and scale of the columns, and whether to clip."""


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
