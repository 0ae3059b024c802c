"""Rows in four partitions, and how to compare what fits of them found."""

import dask.array as da
import numpy as np

from skdnn.dask import DaskDNNBinaryClassifier, DaskDNNClassifier, DaskDNNRegressor

rng = np.random.default_rng(0)
N, PARTS = 800, 4
X = rng.normal(size=(N, 3))
NUMBERS = X[:, 0] - X[:, 1] ** 2 + 0.1 * rng.normal(size=N)
LABELS = np.array(["low", "mid", "top"])[np.digitize(NUMBERS, [-1.5, 0.0])]
SETS = np.column_stack([NUMBERS > -1.0, X[:, 2] > 0]).astype(int)

CASES = {
    "regressor": (DaskDNNRegressor, NUMBERS),
    "two_outputs": (DaskDNNRegressor, np.column_stack([NUMBERS, X[:, 2]])),
    "binary": (DaskDNNBinaryClassifier, NUMBERS > -1.0),
    "multilabel": (DaskDNNBinaryClassifier, SETS),
    "multiclass": (DaskDNNClassifier, LABELS),
}


def cut(array, parts=PARTS):
    """Return an array in partitions."""
    array = np.asarray(array)
    return da.from_array(array, chunks=(len(array) // parts, *array.shape[1:]))


def small(Estimator, **params):
    """Return a small network at the defaults."""
    return Estimator(**{"hidden_layer_sizes": (6,), "max_iter": 4, "random_state": 0, **params})


def found(model):
    """Return what a fit found, as bytes: weights, curves and the loss."""
    theta = [network.parameters.theta for network in model._model.networks]
    curves = model.loss_curve_, model.validation_loss_curve_ or 0.0, model.loss_
    return b"".join(np.asarray(part).tobytes() for part in (*theta, *curves))
