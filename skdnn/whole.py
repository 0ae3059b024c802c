"""What is known of all rows, put together from what every lot of them tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from skdnn.core.activations import Array
from skdnn.door import Data
from skdnn.encodings import category_of, category_of_means, count_levels, is_told_by_means
from skdnn.inputs import Inputs
from skdnn.means import LevelSums
from skdnn.statistics import Summary
from skdnn.targets import Targets


@dataclass(frozen=True, eq=False, repr=False)
class Told:
    """What is learnt from, of some rows."""

    columns: Summary  # of the numbers of X
    gaps: NDArray[np.bool_]  # the columns of numbers where some are missing
    levels: list[Array]  # the weights of the levels of every column of categories
    numbers: Summary | None  # of y, where it has numbers


class Labels(NamedTuple):
    """The labels of some rows, or the distinct rows of an indicator matrix."""

    distinct: NDArray[Any]
    weights: NDArray[Any]
    unit: float  # what 1 of these weights is in the user's


@dataclass(frozen=True, eq=False, repr=False)
class Whole(Data):
    """What is known here of all rows.

    X has none of them, but their type and width; y is the distinct labels, of these weights, or
    the smallest and the largest numbers.
    """

    told: Any = None  # what X says of all rows
    numbers: Any = None  # the Summary of y


@np.errstate(all="ignore")
def tell(
    data: Data, number: int, n_sampled: int, labelled: bool
) -> tuple[Told | None, Labels | None]:
    """Return what rows tell, None if all have weight 0, and their labels, None of numbers.

    Which of the rows are sampled their number among the lots decides.
    """
    x, w, of, labels = data.X, data.w, data.columns, None
    if labelled:
        distinct, inverse = _distinct(data.y, return_inverse=True)
        weights = np.bincount(inverse.ravel(), w, len(distinct))
        labels = Labels(distinct, weights, data.unit)
    if w is not None and not w.any():
        return None, labels
    levels = [data.unit * count_levels(x[:, j], len(of.levels[j] or []), w) for j in of.categorical]
    x = x[:, of.numeric] if levels else x
    counted = x if w is None or w.all() else x[w > 0]
    gaps = np.zeros(x.shape[1], bool) if issparse(x) else np.isnan(counted).any(axis=0)
    columns = Summary.of(x, w, n_sampled, number, data.unit)
    return Told(columns, gaps, levels, None if labelled else data.numbers), labels


def whole_of(
    each: list[tuple[Told | None, Labels | None]], X: Any, y: NDArray[Any], **known: Any
) -> Whole:
    """Return what is known of all rows from what all lots tell; y is of the form of theirs."""
    told = [one for one, _ in each if one is not None]
    merged = Told(
        Summary.merged([one.columns for one in told]),
        np.any([one.gaps for one in told], axis=0),
        [cast(Array, sum(of)) for of in zip(*(one.levels for one in told), strict=True)],
        None,
    )
    all_labels = [labels for _, labels in each if labels is not None]
    if not all_labels:
        numbers = Summary.merged([cast(Summary, one.numbers) for one in told])
        ends = np.stack([numbers.low, numbers.high]).reshape(2, *y.shape[1:])
        return Whole(X, ends, None, told=merged, numbers=numbers, **known)
    distinct = _distinct(np.concatenate([labels.distinct for labels in all_labels]))
    weights, unit = np.zeros(len(distinct)), max(labels.unit for labels in all_labels)
    for labels in all_labels:
        weights[_places(labels.distinct, distinct)] += labels.weights * (labels.unit / unit)
    return Whole(X, distinct, weights, told=merged, **known)


def _places(values: NDArray[Any], among: NDArray[Any]) -> NDArray[np.intp]:
    """Return the places of distinct values, or rows, among all of them."""
    _, places = _distinct(np.concatenate([among, values]), return_inverse=True)
    return places.ravel()[len(among) :]


def _distinct(y: NDArray[Any], **asked: Any) -> Any:
    """Return the distinct values, or rows, of targets; NumPy 2.0 takes no axis beside objects."""
    return np.unique(y, axis=None if y.ndim == 1 else 0, **asked)


def n_weighed(w: Array | None, n: int) -> int:
    """Return how many of n rows have a weight > 0, those of classes left aside."""
    return n if w is None else int(np.count_nonzero(w))


def told_by_means(whole: Whole, n_outputs: int) -> list[tuple[int, int]]:
    """Return the columns of X that the means of y are to tell, and how many levels each has."""
    of = zip(whole.columns.categorical, whole.told.levels, strict=True)
    return [(j, len(counts) - 2) for j, counts in of if is_told_by_means(counts, n_outputs)]


def mean_of(whole: Whole, targets: Targets) -> Array:
    """Return the mean of y in the network's coordinates, (n_outputs,)."""
    y, w = whole.y, whole.w
    if whole.numbers is not None:
        y, w = whole.numbers.mean.reshape(1, *y.shape[1:]), None
    Y, table = targets.encode(y, np.float64)
    return np.average(Y if table is None else table[Y], axis=0, weights=w)


def coordinates(whole: Whole, method: str | None, sums: Sequence[LevelSums]) -> Inputs:
    """Return what `fit_inputs` does of all rows, of whose means by level there are the sums."""
    told, left = cast(Told, whole.told), list(sums)
    categories = [
        category_of_means(left.pop(0))
        if left and is_told_by_means(counts, len(left[0].center))
        else category_of(counts)
        for counts in told.levels
    ]
    inputs = Inputs(
        whole.X.dtype,
        whole.columns,
        method=method,
        gaps=np.flatnonzero(told.gaps & ~told.columns.empty).tolist(),
        categories=categories,
    )
    return inputs.learnt(told.columns)
