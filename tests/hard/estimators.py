"""Random estimators with their targets, and what is always true of a fitted one."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, UndefinedMetricWarning

from skdnn import DNNBinaryClassifier, DNNClassifier, DNNRegressor
from tests.paper import ACTIVATIONS

SMOOTH = ["identity", "logistic", "tanh", "gelu", "silu", "mish", "softplus"]
POSITIVE = ["poisson", "gamma", "tweedie"]
LOSSES = ["squared_error", "absolute_error", "huber", "quantile", *POSITIVE]

# Of the warnings that a fit may give, how ours begin.
OURS = re.compile(
    r"The (solver|fit|refit|training|checkpoint)|Training|No epoch|lbfgs|batch_size=|All rows of"
    r"|Predictions are|A column-vector|X (has|does not have) (valid )?feature names|.* is not def"
)
OUR_KINDS = (ConvergenceWarning, DataConversionWarning, UndefinedMetricWarning)


class Fault(AssertionError):
    """What must not be."""


def insist(holds, *what):
    """Report a fault unless something holds."""
    if not holds:
        raise Fault(" ".join(map(str, what)))


@dataclass
class Problem:
    """An estimator's class, its parameters and a target for some rows."""

    Estimator: type
    params: dict[str, Any]
    y: np.ndarray

    def make(self, **params):
        return self.Estimator(**{**self.params, **params})

    @property
    def several(self):
        return self.params.get("n_estimators", 1) > 1 or "time_limit" in self.params

    @property
    def is_regressor(self):
        return self.Estimator is DNNRegressor

    @property
    def classes(self):
        """What the first call of partial_fit wants besides."""
        if self.is_regressor:
            return {}
        return {"classes": np.arange(self.y.shape[1]) if self.y.ndim == 2 else np.unique(self.y)}


def draw_target(draw, n, kind):
    """Return a target of n rows of the kind."""
    rng = draw.rng
    if kind == "numbers":
        y = rng.normal(size=n) * draw.one([1.0, 1.0, 1e-6, 1e9]) + draw.one([0.0, 0.0, 100.0])
        return np.full(n, 2.5) if draw.chance(0.05) else y
    if kind == "several":
        return rng.normal(size=(n, 3)) * [1.0, 50.0, 1e-3]
    if kind == "positive":
        return rng.lognormal(size=n) * draw.one([1.0, 1e4])
    if kind == "label sets":
        return rng.integers(0, 2, (n, draw.between(2, 4)))
    m = 2 if kind == "two" else draw.between(2, 5)
    labels = np.array(draw.one([["b", "a", "é", "d", ""], [7, -1, 3, 0, 9], [0.0, 1.0, 2.0, 3, 4]]))
    y = labels[:m][rng.integers(0, m, n)]
    y[:m] = labels[: min(m, n)]
    return y


def draw_problem(draw, n, smooth=False, kinds=None, **fixed):
    """Return a random problem; a `smooth` one has no kinks."""
    kind = draw.one(kinds or ["numbers", "numbers", "several", "positive", "two", "many", "sets"])
    kind = "label sets" if kind == "sets" else kind
    Estimator = {"two": DNNBinaryClassifier, "label sets": DNNBinaryClassifier}.get(kind)
    Estimator = Estimator or (DNNClassifier if kind == "many" else DNNRegressor)
    params: dict[str, Any] = {}
    if kind == "positive":
        params["loss"] = draw.one(POSITIVE)
        if params["loss"] == "tweedie":
            params["power"] = draw.one([1, 1.3, 1.5, 2, 2.5, 3])
    elif Estimator is DNNRegressor:
        smooth_ones = ["squared_error", "huber"]
        params["loss"] = draw.one(smooth_ones if smooth else LOSSES[:4])
        if params["loss"] == "quantile" and kind == "numbers":
            params["quantile"] = draw.one([0.5, 0.1, (0.1, 0.5, 0.9), (0.25, 0.75)])
    params |= draw_params(draw, Estimator, smooth)
    y = draw_target(draw, n, kind)
    return Problem(Estimator, {**params, **fixed}, y)


def draw_params(draw, Estimator, smooth=False):
    """Return parameters that go together; most of them as they are by default."""
    activations = SMOOTH if smooth else list(ACTIVATIONS)
    sizes = draw.one([(), (3,), (4,), 5, (4, 3), (2, 2, 2)])
    params = {
        "hidden_layer_sizes": sizes,
        "activation": draw.one(activations),
        "max_iter": draw.one([1, 2, 2, 3, 5]),
        "random_state": draw.between(0, 99),
        "solver": draw.one(["adam", "adam", "adam", "sgd", "gd", "lbfgs"]),
    }
    for name, options in OPTIONS.items():
        if draw.chance(0.12):
            params[name] = draw.one(options)
    if params["solver"] == "lbfgs":
        params = {name: value for name, value in params.items() if name not in NOT_FOR_LBFGS}
    if draw.chance(0.5):
        params["scale_inputs"] = draw.one(SCALINGS)
    if Estimator is DNNRegressor:
        if draw.chance(0.2):
            params["scale_target"] = False
        if params["solver"] == "adam" and draw.chance(0.2):
            params["column_rate"] = draw.one([0.0, 1.0])
    elif draw.chance(0.2):
        params["label_smoothing"] = draw.one([0.0, 0.1])
    return params


SCALINGS = ["standard", "clipped", "robust", "piecewise", "piecewise", None]
OPTIONS: dict[str, list[Any]] = {
    "alpha": [0.0, 1e-3, 1.0],
    "batch_size": ["auto", 1, 7, 1000],
    "learning_rate": [
        "constant", "cosine", "one_cycle", "coslog4", "invscaling", "adaptive", "inverse_sqrt",
    ],
    "learning_rate_init": [1e-6, 0.001, 0.1],
    "shuffle": [False],
    "early_stopping": [True, False],
    "validation_fraction": [0.0, 0.1, 0.5],
    "n_iter_no_change": [1, 2, np.inf],
    "initializer": ["auto", "glorot_uniform", "he_normal", "lecun_normal"],
    "layer_rates": ["fan_in", None],
    "dropout": [0.3],
    "weight_decay": [0.0, 0.1],
    "clip_norm": [1e-3, 1.0],
    "average_decay": [0.0, 0.5, 0.9],
    "warmup": [0.5],
    "scoring": [None, "loss"],
    "refit": [True, False],
    "precision": ["single", None],
    "momentum": [0.0, 0.5],
    "nesterovs_momentum": [False],
    "tol": [0.0, 1.0],
    "n_estimators": [2, 3],
    "time_limit": [1000.0],
}  # fmt: skip
NOT_FOR_LBFGS = {
    "learning_rate", "dropout", "weight_decay", "clip_norm", "average_decay", "warmup", "scoring",
    "refit", "early_stopping", "layer_rates",
}  # fmt: skip


def draw_weights(draw, n):
    """Return weights of some kind, or None."""
    rng = draw.rng
    kind = draw.one([None, None, "counts", "any", "huge", "tiny"])
    if kind is None:
        return None
    w = rng.integers(0, 4, n) * 1.0 if kind == "counts" else rng.random(n)
    w[0] = 1.0
    return w * {"huge": 1e200, "tiny": 1e-200}.get(kind, 1.0)


def in_another_container(draw, y):
    """Return a target of the same values in another container, and its name."""
    if y.ndim == 2:
        kinds = {
            "by columns": np.asfortranarray,
            "list": lambda y: y.tolist(),
            "frame": pd.DataFrame,
        }
    else:
        kinds = {
            "list": lambda y: y.tolist(),
            "series": lambda y: pd.Series(y, index=np.arange(len(y))[::-1]),
            "nullable": lambda y: pd.Series(y).convert_dtypes(),
            "polars": pl.Series,
            "strided": lambda y: np.repeat(y, 2)[::2],
        }
        if y.dtype.kind == "U":  # scikit-learn takes no other objects for labels
            kinds["objects"] = lambda y: y.astype(object)
    name = draw.one(kinds)
    return kinds[name](y), name


def answers(model, X):
    """Return the most detailed prediction."""
    return model.predict_proba(X) if hasattr(model, "predict_proba") else model.predict(X)


def check_warnings(caught):
    """Report a fault for a warning that is not ours."""
    for warning in caught:
        is_ours = issubclass(warning.category, OUR_KINDS) or OURS.match(str(warning.message))
        insist(is_ours, "a warning that is not ours:", warning.category.__name__, warning.message)


def check_curves(model):
    """Report curves of another length than there were epochs."""
    several = model.recipe_.n_estimators > 1
    each = model.estimators_ if several else [model]
    for one in each:
        searched = one.validation_loss_curve_ or []
        refitted = one.recipe_.refitted[0]
        n = len(one.loss_curve_)
        insist(n >= one.n_iter_, "n_iter_ is", one.n_iter_, "and loss_curve_ has", n)
        least = 0 if one.recipe_.solver == "lbfgs" else one.n_iter_  # lbfgs has no rate
        insist(least <= len(one.learning_rate_curve_) <= n, "learning_rate_curve_ differs")
        if refitted:
            insist(len(one.search_loss_curve_) == len(searched), "the search's curves differ")
        least = int(one.recipe_.solver != "lbfgs")
        insist(least <= one.best_n_iter_ <= max(len(searched), n), "best_n_iter_")


def check_probabilities(model, X):
    """Report probabilities that do not sum to one, or do not agree with what is predicted."""
    p, log_p, labels = model.predict_proba(X), model.predict_log_proba(X), model.predict(X)
    insist(np.isfinite(p).all() and (p >= 0).all() and (p <= 1).all(), "probabilities")
    insist(np.isfinite(log_p).all(), "log probabilities")
    insist(np.allclose(np.exp(log_p.astype(float)), p, rtol=1e-4, atol=1e-6), "their logarithms")
    if labels.ndim == 2:
        sure = np.abs(p - 0.5) > 1e-6
        insist(((p > 0.5) == (labels == 1))[sure].all(), "label sets by half")
        return
    insist(np.allclose(p.sum(axis=1), 1.0, atol=1e-5), "a sum", p.sum(axis=1))
    at_label = p[np.arange(len(p)), np.searchsorted(model.classes_, labels)]
    insist((at_label >= p.max(axis=1)).all(), "predict is not the likeliest")
