"""Scores of rows that come in parts: what each part tells, and the score of all of them."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from sklearn.metrics import accuracy_score

from skdnn.core.activations import Array
from skdnn.fit.rows import aligned
from skdnn.statistics import Summary
from skdnn.targets import check_predictions

T = TypeVar("T")


def hits(model: Any, X: Any, y: Any, w: Any) -> tuple[float, float] | None:
    """Return the weight of the rows that a classifier is right about, and that of all.

    None if all weights are 0.
    """
    if w is not None and not w.any():
        return None
    right = accuracy_score(y, model.predict(X), sample_weight=w, normalize=False)
    return float(right), float(len(y) if w is None else np.sum(w))


def accuracy_of(parts: list[tuple[float, float] | None]) -> float:
    """Return the accuracy from the `hits` of all parts; None is one without rows."""
    right, weights = zip(*_counted(parts), strict=True)
    return float(sum(right) / sum(weights))


def squares(model: Any, X: Any, y: Any, w: Any) -> tuple[Summary, Array] | None:
    """Return what is known of y, and its mean squared distance from the predictions.

    None if all weights are 0.
    """
    if w is not None and not w.any():
        return None
    w = None if w is None else aligned(np.asarray(w, np.float64))
    Y = aligned(np.asarray(y, np.float64)).reshape(len(y), -1)
    predicted = model.predict(X)
    check_predictions(predicted)
    errors = (Y - predicted.reshape(Y.shape)) ** 2
    return Summary.of(Y, w), np.average(errors, axis=0, weights=w)


def r2_of(parts: list[tuple[Summary, Array] | None]) -> float:
    """Return R^2 from the `squares` of all parts, as scikit-learn has it of constant y too."""
    counted = _counted(parts)
    y = Summary.merged([summary for summary, _ in counted])
    square = sum(summary.weight / y.weight * square for summary, square in counted)
    variance = np.where(y.constant, 0.0, y.deviation) ** 2
    worse = np.where(square > 0, 0.0, 1.0)
    ratios = np.divide(square, variance, out=1.0 - worse, where=variance > 0)
    return float(np.mean(1.0 - ratios))


def _counted(parts: list[T | None]) -> list[T]:
    """Return what the parts that have rows of weight > 0 tell, or refuse that none has."""
    counted = [part for part in parts if part is not None]
    if not counted:
        raise ValueError("X must have rows of weight > 0 to be scored by; it has none.")
    return counted
