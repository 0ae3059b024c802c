"""Means of the targets over the rows of every level of a category.

They are made of sums by level and fold, which add up over lots of rows: a row is trained with the
means of the folds that it is not in, so that it does not tell itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from skdnn.core.activations import Array

FOLDS = 5
GOLDEN = (5.0**0.5 - 1.0) / 2.0


def folds_of(w: Array | None, n: int, first: int = 0) -> NDArray[np.intp]:
    """Return the folds of n rows, by their numbers among those of weight > 0.

    The multiples of the golden section spread rows at any equal distance over all folds alike.
    Before these there are `first` rows of weight > 0.
    """
    counted = np.ones(n, bool) if w is None else w > 0
    numbers = first + np.cumsum(counted) - counted
    return (FOLDS * (numbers * GOLDEN % 1.0)).astype(np.intp)


def numbers_of_levels(x: Array, n_levels: int) -> NDArray[np.intp]:
    """Return the rows of a category's tables: the last two are missing and not known."""
    index = np.where(np.isnan(x), n_levels, x).astype(np.intp)
    return np.where((index < 0) | (index > n_levels), n_levels + 1, index)


@dataclass(frozen=True, eq=False, repr=False)
class LevelSums:
    """Sums over the rows of every level and fold."""

    center: Array  # what is taken off the targets first, near their mean; (m,)
    rows: Array  # how many of weight > 0, (FOLDS,)
    weight: Array  # (FOLDS, n_levels + 2)
    total: Array  # of weights times targets, (FOLDS, n_levels + 2, m)
    square: Array  # of weights times squares of targets, (FOLDS, m)

    @classmethod
    def of(
        cls,
        x: Array,
        n_levels: int,
        w: Array | None,
        Y: Array,
        center: Array,
        folds: NDArray[np.intp],
    ) -> Self:
        """Return those of rows.

        Parameters
        ----------
        x : ndarray of shape (n,)
            Numbers of levels; NaN where there is none.
        n_levels : int
        w : ndarray of shape (n,) or None
            The weights, >= 0.
        Y : ndarray of shape (n, m)
            The targets in the network's coordinates.
        center : ndarray of shape (m,)
        folds : int ndarray of shape (n,)
        """
        w = np.ones(len(x)) if w is None else w.astype(np.float64, copy=False)
        size = n_levels + 2
        at = folds * size + numbers_of_levels(x, n_levels)
        total, square = [], []
        for y, c in zip(Y.T, center, strict=True):
            wy = w * (y - c)
            total.append(np.bincount(at, wy, FOLDS * size).reshape(FOLDS, size))
            square.append(np.bincount(folds, wy * (y - c), FOLDS))
        return cls(
            center,
            np.bincount(folds[w > 0], minlength=FOLDS).astype(np.float64),
            np.bincount(at, w, FOLDS * size).astype(np.float64).reshape(FOLDS, size),
            np.stack(total, axis=2),
            np.stack(square, axis=1),
        )

    def __add__(self, other: LevelSums) -> LevelSums:
        """Return those of both lots of rows."""
        names = ("rows", "weight", "total", "square")
        sums = {name: getattr(self, name) + getattr(other, name) for name in names}
        return LevelSums(self.center, **sums)

    def means(self, without: int | None = None) -> Array:
        """Return means by level, (n_levels + 2, m), drawn to the mean of all rows.

        By the ratio of the variance within levels to that between them, as estimated by the
        analysis of variance: Searle, Casella and McCulloch (1992), "Variance components", 3.6.

        Parameters
        ----------
        without : int, optional
            A fold that is left out.
        """
        used = np.arange(FOLDS) != (-1 if without is None else without)
        n = self.rows[used].sum()
        count = self.weight[used].sum(axis=0)
        unit = n / count.sum()  # mean 1: in any unit as where there are no weights
        count *= unit
        total, square = (unit * of[used].sum(axis=0) for of in (self.total, self.square))
        mean = total.sum(axis=0) / n
        seen = count > 0
        k = np.count_nonzero(seen)
        each = np.where(seen[:, None], total / np.where(seen, count, 1.0)[:, None], mean)
        # One row more, of the variance of all: levels of single rows tell nothing.
        spread = np.maximum(square / n - mean**2, 0.0)
        inside = np.maximum(square - (total * each).sum(axis=0), 0.0)
        within = (inside + spread) / (max(n - k, 0.0) + 1.0)
        size = (n - count @ count / n) / max(k - 1, 1)
        between = (count @ (each - mean) ** 2 / max(k - 1, 1) - within) / max(size, 1e-12)
        most = 1e6 * n
        ratio = np.where(between > within / most, within / np.maximum(between, 1e-300), most)
        ratio = np.maximum(ratio, 1e-12)  # of a level that no row has it makes the mean of all
        return self.center + (total + ratio * mean) / (count[:, None] + ratio)

    def crossed(self) -> Array:
        """Return for every fold the means over the others, (FOLDS, n_levels + 2, m)."""
        return np.stack([self.means(without=k) for k in range(FOLDS)])
