"""How good a network is on rows that it is not trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import InitVar, dataclass
from typing import Any, NamedTuple
from weakref import proxy

import numpy as np
import scipy.optimize
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils import gen_batches

from skdnn.core.activations import Array
from skdnn.core.network import Network, Parameters
from skdnn.fit.objective import CHUNK, Cost, Objective
from skdnn.fit.rows import Batches, Rows

# The score of parameters, given their raw outputs Z of shape (m, n).
Score = Callable[[Parameters, Array], float]


class Verdict(NamedTuple):
    """What a judge finds: the loss, and the score that is to be maximised, as reported too."""

    loss: Cost
    score: float
    reported: float


@dataclass(eq=False, repr=False)
class Judge:
    """The loss and the score of held-out rows, in one pass.

    A network may grow too sure of itself long before it makes more errors. To stop by the
    loss after calibration and to calibrate at the end is "Refine, then calibrate" of
    Berta, Holzmüller, Jordan and Bach (2025).
    """

    rows: InitVar[Rows]  # those held out, or, with `numbers`, all: they are taken part by part
    network: InitVar[Network]  # gives all but the weights
    unit: InitVar[Any]  # as for Objective
    score: Score | None = None  # returns what is to be maximised; minus the loss by default
    calibrates: bool = False  # whether the default score is taken at the best factor
    # The largest factor. More than 1 would make a network surer than it has shown itself to be,
    # unless smoothed targets have kept it from that.
    most: float = 1.0
    weight: Any = None  # of all rows held out, if these are a part of them; by default their own
    numbers: InitVar[NDArray[np.intp] | None] = None  # which rows are held out; all by default

    def __post_init__(
        self, rows: Rows, network: Network, unit: Any, numbers: NDArray[np.intp] | None
    ) -> None:
        if numbers is not None and issparse(rows.X):  # whose rows there is no room to gather in
            rows, numbers = rows.only(numbers), None
        self.batches: Batches = Batches(rows, numbers)
        self.loss: Any = network.loss
        self.weight = self.batches.weight if self.weight is None else self.weight
        self.objective: Objective = Objective(
            self.batches, network, 0.0, CHUNK, unit=unit, trains=False
        )
        m, dtype = network.parameters.sizes[-1], network.parameters.theta.dtype
        n = len(self.batches)
        self.Z: Array = np.empty((m, n), dtype)
        self.work: Array = np.empty((4, m, min(n, CHUNK)), dtype)

    def __call__(self, parameters: Parameters) -> Verdict:
        """Return the mean loss of the rows, and their score: nan if that is not finite."""
        loss = self._look(parameters)
        if not np.isfinite(loss.J):
            return Verdict(loss, np.nan, np.nan)
        if self.score is not None:
            score = self.score(parameters, self.Z)
        elif self.calibrates:
            score = -self.loss_at(self._best_factor())
        else:
            return Verdict(loss, -loss.J, -loss.reported)
        return Verdict(loss, score, score)

    def factor(self, parameters: Parameters) -> float:
        """Return the factor of the raw outputs, from 0.1 to `most`, that the rows ask for."""
        self._look(parameters)
        return self._best_factor()

    def _look(self, parameters: Parameters) -> Cost:
        """Find the raw outputs of the rows, and return their mean loss."""
        with self.objective.threads():
            return self.objective.value(parameters, self.Z)

    def _best_factor(self) -> float:
        """Return the factor that minimises the loss, which is convex in it."""
        least, most = 0.1, self.most
        if self.slope_at(most) <= 0.0:
            return most
        if self.slope_at(least) >= 0.0:
            return least
        judge: Any = proxy(self)  # SciPy's wrapper of a function is a cycle, which keeps it alive
        return float(scipy.optimize.brentq(lambda f: judge.slope_at(f), least, most, xtol=0.005))

    def loss_at(self, factor: float) -> float:
        """Return the mean loss at a factor of the raw outputs."""
        total = 0.0
        for _, Y, w, memory in self._scaled(factor):
            total += self.loss.value(memory[0], memory[1], Y, w, memory[2:])
        return total / self.weight

    def slope_at(self, factor: float) -> float:
        """Return its derivative."""
        slope = 0.0
        for Z, Y, w, memory in self._scaled(factor):
            A, dZ = memory[1], memory[2]
            self.loss.gradient(A, Y, w, self.weight, out=dZ)
            slope += float(np.vdot(dZ, Z))
        return slope

    def _scaled(self, factor: float) -> Iterator[tuple[Array, Array, Array | None, Array]]:
        """Yield, part by part, Z, Y, w and (f Z, A, two to work with)."""
        for part in gen_batches(len(self.batches), CHUNK):
            Z = self.Z[:, part]
            memory = self.work[:, :, : Z.shape[1]]
            np.multiply(Z, factor, out=memory[0])
            self.loss.output(memory[0], memory[1], memory[2:])
            yield Z, *self.batches.targets(part), memory


def calibrated(parameters: Parameters, factor: float, intercepts: Array | None) -> Parameters:
    """Return parameters whose raw outputs are `factor` times as large, and moved after that."""
    if factor == 1.0 and intercepts is None:
        return parameters
    new = parameters.like(parameters.theta.copy())
    new.W[-1] *= factor
    new.b[-1] *= factor
    if intercepts is not None:
        new.b[-1] += intercepts[:, None]
    return new
