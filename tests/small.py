"""Small problems that several test files share."""

from typing import NamedTuple

import numpy as np

from skdnn import DNNBinaryClassifier, DNNClassifier, DNNRegressor
from skdnn.verify import gradients

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
