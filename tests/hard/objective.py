"""The objective of a fit by the formulas of the paper, from the weights that came out."""

import numpy as np
from scipy.special import expit, softmax

from skdnn.door import power_of_two
from skdnn.fit.rows import Rows
from skdnn.means import LevelSums, folds_of
from tests.paper import ACTIVATIONS, forward


def objective_of(model, X, y, w=None):
    """Return J at the weights of a model of one network, None if not all rows made it."""
    recipe, targets = model.recipe_, model._model.targets
    on_all = not recipe.n_held_out or recipe.refitted[0]
    is_constant = targets.kind == "numbers" and np.any(targets.constant)
    if recipe.n_estimators > 1 or not on_all or is_constant:
        return None
    w = np.ones(len(y)) if w is None else np.asarray(w, float)
    unit_of_w = power_of_two(w)
    o, Y = outputs_and_targets(model, X, y, w / unit_of_w)
    losses = loss_of(model, o, Y)  # for each output and row
    W = w.sum()
    unit = np.broadcast_to(targets.unit, len(losses))
    penalty = sum(float(np.sum(np.square(a))) for a in model.weights_) * model.alpha / 2 / W
    return float(unit @ (losses @ (w / W))) + penalty * float(np.mean(unit))


def outputs_and_targets(model, X, y, w):
    """Return the outputs of the rows as they were trained on, and their targets in its units."""
    data = as_read(model, X, w)
    inputs, targets = model._model.inputs, model._model.targets
    Y, table = targets.encode(np.asarray(y), np.float64)
    Y = Y if table is None else table[Y]
    crossed = None
    if inputs.told:
        folds, center = folds_of(w, len(Y)), np.average(Y, axis=0, weights=w)
        sums = [LevelSums.of(data[:, j], n, w, Y, center, folds) for j, n in inputs.told]
        crossed = inputs.crossed(data, folds, inputs.tables(sums))
    compact, _ = inputs.matrix(data, np.float64, crossed)
    rows = Rows(compact, Y, None, None, expansion=inputs.expansion)
    A = rows.inputs(inputs.width).T
    weights, biases = [None, *model.weights_], [None, *model.biases_]
    activations = model._model.networks[0].activations
    Z = A
    for l, name in enumerate(activations, start=1):
        g, _ = ACTIVATIONS["logistic" if name == "sigmoid" else name]
        Z = g(weights[l] @ Z + biases[l])
    z, _ = forward(Z, [None, weights[-1]], [None, biases[-1]], None, lambda z: z)
    return z[-1], np.atleast_2d(Y.T)


def as_read(model, X, w):
    """Return rows with numbers of levels in the place of categories."""
    columns = model._model.inputs.columns
    return X if columns.reads(X) and isinstance(X, np.ndarray) else columns.read(X, "X")


def loss_of(model, z, Y):
    """Return the loss of every output and row from raw outputs, as the docstrings have it."""
    kind = model._model.targets.loss.out_activation
    if kind == "softmax":
        return -np.sum(Y * np.log(softmax(z, axis=0)), axis=0, keepdims=True)
    if kind == "logistic":
        return -(Y * np.log(expit(z)) + (1 - Y) * np.log(expit(-z)))
    if kind == "exp":
        return deviance(model, np.exp(z), Y)
    r = z - Y
    if model.loss == "squared_error":
        return r**2 / 2
    if model.loss == "absolute_error":
        return np.abs(r)
    if model.loss == "huber":
        d = model.huber_delta
        return np.where(np.abs(r) <= d, r**2 / 2, d * (np.abs(r) - d / 2))
    q = np.reshape(model.quantile, (-1, 1))
    return np.where(r > 0, (1 - q) * r, -q * r)


def deviance(model, o, Y):
    """Return half the deviance of the family whose variance is o to the power p."""
    p = {"poisson": 1.0, "gamma": 2.0}.get(model.loss, getattr(model, "power", None))
    if p == 1:
        return np.where(Y > 0, Y * np.log(np.where(Y > 0, Y, 1) / o), 0.0) - Y + o
    if p == 2:
        return Y / o - np.log(Y / o) - 1
    ends = np.where(Y > 0, Y, 0.0) ** (2 - p) / ((1 - p) * (2 - p))
    return ends - Y * o ** (1 - p) / (1 - p) + o ** (2 - p) / (2 - p)
