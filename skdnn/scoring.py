"""Held-out rows scored as the user asks for: by the estimator's own score or any scorer."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import (
    brier_score_loss,
    check_scoring,
    d2_brier_score,
    d2_log_loss_score,
    log_loss,
    roc_auc_score,
    top_k_accuracy_score,
)

from skdnn._sklearn import _safe_indexing
from skdnn.core.activations import Array
from skdnn.core.network import Parameters
from skdnn.declaration import invalid
from skdnn.door import Data, about
from skdnn.fit.judge import Score
from skdnn.model import Model
from skdnn.targets import Classes, Targets
from skdnn.task import Task

# Metrics that have to be told of the classes that are not in y.
NEED_ALL_CLASSES: Any = (
    *(brier_score_loss, d2_brier_score, d2_log_loss_score, log_loss),
    *(roc_auc_score, top_k_accuracy_score),
)


def make_score(
    estimator: Any,
    task: Task,
    scoring: Any,
    fitted: Callable[[Model], Any],
    numbers: NDArray[Any] | Data | None,
) -> Score | None:
    """Return how to score the rows of given numbers, or the user's own; None for the loss.

    `scoring` is the estimator's parameter, "auto" resolved; `fitted` returns the estimator, on
    rows without names, that has a model. `numbers` are of rows of the task, None of `task.given`,
    or the rows themselves.
    """
    chosen: Any
    if isinstance(scoring, str) and scoring == "loss":
        return None
    if isinstance(numbers, Data):
        data, chosen = numbers, slice(None)
    else:
        data = task.data if task.given is None else task.given
        chosen = slice(None) if numbers is None else numbers
    y, w = data.y[chosen], None if data.w is None else data.w[chosen]
    if scoring is None:

        def own(parameters: Parameters, Z: Array) -> float:
            with about("scoring"):  # in the type of X, in which y fits
                return task.targets.score(y, np.ascontiguousarray(Z.T, task.inputs.dtype), w)

        return own
    scorer = _with_classes(check_scoring(estimator, scoring), task.targets)
    if w is not None and not _takes_weights(scorer):
        raise invalid(estimator, "scoring", "a score that takes sample_weight for weighted rows")
    X, name, missing = data.X[chosen], f"scoring={scoring!r}", task.targets.missing(y)
    if data.columns.categorical:  # which the user's own scorer, and predict, read as given
        X = _safe_indexing(data.given, np.arange(len(data.y))[chosen])
    weights = {} if w is None else {"sample_weight": w}

    def score(parameters: Parameters, Z: Array) -> float:
        model = Model(task.inputs, [task.network.with_theta(parameters.theta)], task.targets)
        if not missing:
            with about(name):
                return float(scorer(fitted(model), X, y, **weights))
        with warnings.catch_warnings(), suppress(ValueError, ZeroDivisionError):
            warnings.simplefilter("ignore", UndefinedMetricWarning)
            found = float(scorer(fitted(model), X, y, **weights))
            if np.isfinite(found):
                return found
        warnings.warn(
            f"{name} is not defined for validation rows that lack a class: they have none of"
            f" {missing}.",
            UndefinedMetricWarning,
            stacklevel=2,
        )
        return np.nan

    return score


def _with_classes(scorer: Any, targets: Targets) -> Any:
    """Return a scorer that knows the classes of the fit, if its metric takes them.

    As scikit-learn's LogisticRegressionCV does it: rows held out may lack a class.
    """
    metric = getattr(scorer, "_score_func", None)
    if not isinstance(targets, Classes) or metric not in NEED_ALL_CLASSES:
        return scorer
    knows = copy(scorer)
    knows._kwargs = {**scorer._kwargs, "labels": targets.classes}
    return knows


def _takes_weights(scorer: Any) -> bool:
    """Whether a scorer, or what it was made of, takes the rows' weights."""
    parameters = inspect.signature(getattr(scorer, "_score_func", scorer)).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return takes_any or "sample_weight" in parameters
