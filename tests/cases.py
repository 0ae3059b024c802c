"""Small problems, estimators and configurations that several test files share."""

import tracemalloc
from typing import NamedTuple

import numpy as np
import pytest

from skdnn import DNNBinaryClassifier, DNNClassifier, DNNRegressor
from skdnn.verify import gradients

# The fits of tests are short, and not meant to converge.
UNCONVERGED = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

ESTIMATORS = [DNNRegressor, DNNBinaryClassifier, DNNClassifier]
SOLVERS = ["gd", "sgd", "adam", "lbfgs"]

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 4))
SCORE = X @ [1.0, -2.0, 0.5, 0.0] + 0.3 * rng.normal(size=60)


class Case(NamedTuple):
    """An estimator and a target that it takes for X."""

    Estimator: type
    y: np.ndarray

    def plain(self, **params):
        """Return a small network of the estimator with nothing added to it."""
        return self.Estimator.plain(**{"hidden_layer_sizes": (5,), "random_state": 0, **params})


CASES = {
    "regressor": Case(DNNRegressor, SCORE),
    "two_outputs": Case(DNNRegressor, np.column_stack([SCORE, X[:, 1] ** 2])),
    "poisson": Case(DNNRegressor, np.floor(np.exp(SCORE / 2))),
    "binary": Case(DNNBinaryClassifier, np.where(SCORE > 0, "yes", "no")),
    "multilabel": Case(DNNBinaryClassifier, (X[:, :3] + SCORE[:, None] > 0).astype(int)),
    "two_classes": Case(DNNClassifier, np.where(SCORE > 0, 7, -1)),
    "multiclass": Case(DNNClassifier, np.array(["low", "mid", "top"])[np.digitize(SCORE, [-1, 1])]),
}
PARAMS = {"poisson": {"loss": "poisson"}}


def plain(name, **params):
    """Return the network of the case; its own parameters come first."""
    return CASES[name].plain(**PARAMS.get(name, {}), **params)


def default(name, **params):
    """Return a small network of the case at the defaults; its own parameters come first."""
    params = {"hidden_layer_sizes": (5,), "random_state": 0, "max_iter": 6, **params}
    return CASES[name].Estimator(**PARAMS.get(name, {}), **params)


def many(name, n=100):
    """Return n rows of the case: enough for the defaults to hold some out."""
    rows = np.arange(n) % 60
    return X[rows] + 0.01 * np.arange(n)[:, None] / n, CASES[name].y[rows]


def classes_of(name):
    """Return what partial_fit wants on its first call for the case."""
    case = CASES[name]
    if case.Estimator is DNNRegressor:
        return {}
    y = case.y
    return {"classes": np.arange(y.shape[1]) if y.ndim == 2 else np.unique(y)}


def weights_of(model):
    """Return all the weights and biases of a fitted estimator, one after the other."""
    return np.concatenate([np.ravel(a) for a in (*model.coefs_, *model.intercepts_)])


def slope_of(model, X, y):
    """Return the gradient of the objective in the order of `weights_of`."""
    dJ = gradients(model, X, y)
    return np.concatenate([*(dW.T.ravel() for dW in dJ.dW), *(db.ravel() for db in dJ.db)])


def outputs_of(model, X):
    """Return the estimator's most detailed prediction."""
    return getattr(model, "decision_function", model.predict)(X)


def peak_of(function, *args):
    """Return the largest memory that a call takes above what there was before, in bytes."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        result = function(*args)
        return tracemalloc.get_traced_memory()[1] - before - getattr(result, "nbytes", 0)
    finally:
        tracemalloc.stop()


# Callbacks


class Spy:
    """Records the hooks; `answer` says at which task to stop, or raises."""

    def __init__(self, answer=lambda context: False):
        self.events, self.seen, self.answer = [], [], answer
        self.setups = self.teardowns = 0

    def setup(self, estimator, context):
        self.setups += 1

    def teardown(self, estimator, context):
        self.teardowns += 1

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None):
        self.events.append(("begin", context.task_name, context.task_id))

    def on_fit_task_end(
        self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None
    ):
        self.events.append(("end", context.task_name, context.task_id))
        self.seen.append((context.task_name, X, y, metadata, fitted_estimator))
        return self.answer(context)


def epoch(k, name="epoch"):
    """Return whether a task is epoch k, the first being 1."""
    return lambda context: (context.task_name, context.task_id) == (name, k - 1)


class Crash(Exception):
    """Stands for the death of a process."""


def raising(error, at):
    """Return a callback that raises at the end of a task for which `at` holds."""

    def answer(context):
        if at(context):
            raise error
        return False

    return Spy(answer)


# What an estimator holds


def plain_of(value):
    """Return a value taken apart into names, numbers and bytes, for comparisons."""
    if isinstance(value, np.ndarray) and value.dtype.kind != "O":
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, plain_of(value.tolist())
    if isinstance(value, dict):
        return {name: plain_of(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain_of(part) for part in value]
    if isinstance(value, float):
        return value.hex()  # of which nan is itself
    return value


def contents_of(model):
    """Return all that an estimator holds and all that its pickle does, for comparisons."""
    return sorted(vars(model)), plain_of(model.__getstate__())


def differing(one, other):
    """Return the names of what two estimators hold that is not the same."""
    (names, state), (others, other_state) = one, other
    same = {k for k in state if k in other_state and state[k] == other_state[k]}
    return (set(names) ^ set(others)) | ((set(state) | set(other_state)) - same)
