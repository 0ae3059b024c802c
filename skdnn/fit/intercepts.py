"""What brings a calibrated network's mean probabilities back to the shares of the classes."""

from __future__ import annotations

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

    Parameters
    ----------
    objective : Objective
        The rows that the network was trained on, and its loss.
    parameters : Parameters
        Its weights.
    factor : float
        What its raw outputs are multiplied by.

    Returns
    -------
    ndarray of shape (m,)
        Zeros for a network that has no finite outputs.
    """
    batches, loss = objective.batches, objective.loss
    Z = np.empty((parameters.sizes[-1], objective.n), objective.dtype)
    with objective.threads():
        if not np.isfinite(objective.value(parameters, Z).J):
            return np.zeros(len(Z))
    n = batches.n_counted

    def value_and_slope(c: Array) -> tuple[float, Array]:
        total, slope = float(c @ c) / (2.0 * n * SPREAD**2), c / (n * SPREAD**2)
        for part in gen_batches(objective.n, CHUNK):
            moved = factor * Z[:, part].astype(np.float64) + c[:, None]
            Y, w = batches.targets(part)
            A, dZ, work = np.empty_like(moved), np.empty_like(moved), np.empty((2, *moved.shape))
            loss.output(moved, A, work)
            total += loss.value(moved, A, Y, w, work) / objective.weight
            loss.gradient(A, Y, w, objective.weight, out=dZ)
            slope += dZ.sum(axis=1)
        return total, slope

    start, stop_at = np.zeros(len(Z)), {"gtol": 1e-7, "ftol": 1e-14}
    found = scipy.optimize.minimize(
        value_and_slope, start, method="L-BFGS-B", jac=True, options=stop_at
    )
    return found.x
