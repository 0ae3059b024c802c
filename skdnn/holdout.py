"""Which rows are held out, where the user says so by a splitter or by pairs of row numbers."""

from __future__ import annotations

from collections import deque
from reprlib import repr as short
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_consistent_length

from skdnn.door import Data, _refuse_foreign, about
from skdnn.parameters import is_share

Pair = tuple[NDArray[np.intp], NDArray[np.intp]]


def read_split(estimator: Any, data: Data, groups: ArrayLike | None) -> Pair | None:
    """Return the numbers of the rows to search on, and of those to validate on.

    They are the last of the pairs that `validation_fraction` makes of the rows: of a
    ``TimeSeriesSplit`` that with the most rows before it. None where that is a share.

    What are no numbers of rows, or some of both, is refused, and so are groups that nothing asks
    for.
    """
    _refuse_foreign(groups, "groups")
    how = estimator.validation_fraction
    if is_share(how):
        if groups is not None:
            raise ValueError(
                "groups must be None unless validation_fraction is a splitter that reads them, such"
                f" as GroupShuffleSplit(1, test_size=0.2); validation_fraction is {how!r}."
            )
        return None
    with about("groups"):
        check_consistent_length(data.y, groups)
    with about("validation_fraction"):
        pairs = how.split(data.given, data.y, groups) if hasattr(how, "split") else how
        last = next(iter(deque(pairs, maxlen=1)), None)
    if not isinstance(last, tuple | list) or len(last) != 2:
        raise ValueError(
            "validation_fraction must yield pairs of row numbers, those to train on and those to"
            f" hold out; got {'none' if last is None else short(last)}."
        )
    training, held_out = (_numbers(part, len(data.y)) for part in last)
    if both := np.intersect1d(training, held_out).tolist():
        raise ValueError(
            "validation_fraction must hold out rows that it does not train on; it has the rows"
            f" {short(both)} in both."
        )
    return training, held_out


def _numbers(part: Any, n: int) -> NDArray[np.intp]:
    """Return numbers of rows, which may have come as a mask."""
    numbers = np.asarray(part)
    if numbers.dtype == bool and numbers.shape == (n,):
        return np.flatnonzero(numbers)
    is_fit = numbers.ndim == 1 and (numbers.dtype.kind in "iu" or not len(numbers))
    if not is_fit or np.any((numbers < 0) | (numbers >= n)):
        raise ValueError(
            f"validation_fraction must yield numbers of rows from 0 to {n - 1}; got {short(part)}."
        )
    return numbers.astype(np.intp)
