"""What brings a calibrated network's mean probabilities back to the shares of the classes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.optimize
from sklearn.utils import gen_batches

from skdnn.core.activations import Array
from skdnn.core.network import Parameters
from skdnn.fit.objective import CHUNK, Objective

SPREAD = 0.3  # the deviation that intercepts are taken to have before any row is seen


def intercepts(objective: Objective, parameters: Parameters, factor: float) -> Array:
    """Return what to add to the raw outputs, after the factor, on the rows of an objective.

    A factor below 1 moves probabilities away from 0: those of a rare class then add up to more
    than its share. The sum of o - y, which training makes 0 (equation (25) for b[L]), is made 0
    again, so far as the rows say more than that intercepts are near 0: with n of them the least
    of J + |c|^2 / (2 n SPREAD^2) is taken, a problem that is convex and has c alone.

    The rows are those that the network was trained on, `parameters` its weights. Zeros are for
    one that has no finite outputs.
    """
    Z = np.empty((parameters.sizes[-1], objective.n), objective.dtype)
    with objective.threads():
        if not np.isfinite(objective.value(parameters, Z).J):
            return np.zeros(len(Z))

    def value_and_slope(c: Array) -> tuple[float, Array]:
        return moved(objective, Z, factor, c, objective.weight)

    return balanced(len(Z), objective.batches.n_counted, value_and_slope)


def moved(
    objective: Objective, Z: Array, factor: float, c: Array, weight: float
) -> tuple[float, Array]:
    """Return J on rows whose raw outputs were Z and are factor Z + c, and its slope in c.

    Both are divided by `weight`, that of all rows, of which these may be a part.
    """
    loss, total, slope = objective.loss, 0.0, np.zeros(len(c))
    for part in gen_batches(objective.n, CHUNK):
        outputs = factor * Z[:, part].astype(np.float64) + c[:, None]
        Y, w = objective.batches.targets(part)
        A, of_part = loss.output_and_value(outputs, Y, w)
        total += of_part / weight
        loss.gradient(A, Y, w, weight, out=A)
        slope += A.sum(axis=1)
    return total, slope


def balanced(m: int, n: int, value_and_slope: Callable[[Array], tuple[float, Array]]) -> Array:
    """Return the m intercepts of the least J + |c|^2 / (2 n SPREAD^2), of J and its slope in c."""

    def penalised(c: Array) -> tuple[float, Array]:
        total, slope = value_and_slope(c)
        return total + float(c @ c) / (2.0 * n * SPREAD**2), slope + c / (n * SPREAD**2)

    start, stop_at = np.zeros(m), {"gtol": 1e-7, "ftol": 1e-14}
    found = scipy.optimize.minimize(penalised, start, method="L-BFGS-B", jac=True, options=stop_at)
    return found.x
