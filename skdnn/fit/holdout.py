"""Which rows are held out, where chance decides: how many of them, and which."""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

LEAST_SPARE = 4  # rows that may be held out, of which two are


def how_many(settings: Any, n: int, n_spare: int) -> int:
    """Return how many of n rows to hold out, of which n_spare may be."""
    n_held_out = ceil(settings.validation_fraction * n)
    if n_spare < min(n, LEAST_SPARE):
        raise ValueError(
            f"early_stopping=True must have at least {LEAST_SPARE} rows that are not the only one"
            f" of their class, to hold some out; of {n} rows there are {n_spare}."
        )
    if n_spare < n:
        n_held_out = min(n_held_out, n_spare // 2)
    if n_held_out < 2 or n - n_held_out < 1:
        raise ValueError(
            "The validation set is too small: validation_fraction="
            f"{settings.validation_fraction} of {n} rows makes {n_held_out}, and at least 2"
            " are needed, and one to train on. Change validation_fraction."
        )
    return n_held_out


def split(
    counted: NDArray[np.intp],
    spare: NDArray[np.intp],
    strata: NDArray[np.intp] | None,
    n: int,
    seed: int,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the numbers of the rows to train on, and those of n rows that are held out.

    A class that is not trained on does not judge: a row of it goes back. The first three are
    as :class:`~skdnn.fit.problem.ProblemInMemory` has them.
    """
    stratify = None
    if strata is not None:
        n_classes = len(np.unique(strata[spare]))
        stratify = strata[spare] if min(n, len(spare) - n) >= n_classes else None
    training, held_out = train_test_split(spare, test_size=n, random_state=seed, stratify=stratify)
    back = np.setdiff1d(counted, spare)
    if strata is not None:
        unseen, first = np.unique(strata[held_out], return_index=True)
        back = np.append(back, held_out[first[~np.isin(unseen, strata[training])]])
    training = np.sort(np.append(training, back))
    return training, held_out[~np.isin(held_out, back)]


def draw(n: int, size: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return ascending numbers below n, drawn without an array of n."""
    drawn = np.empty(0, np.intp)
    while len(drawn) < size:
        drawn = np.union1d(drawn, rng.integers(n, size=size - len(drawn)))
    return drawn
