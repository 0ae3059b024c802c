"""A fitted model: a change of coordinates, networks, and what their outputs say of y."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn import get_config

from skdnn.core.activations import Array
from skdnn.core.memory import Workspace
from skdnn.core.network import Network, Parameters, forward
from skdnn.fit.objective import CHUNK
from skdnn.inputs import Inputs
from skdnn.targets import Targets

Decoder = Callable[[Array], NDArray[Any]]  # of raw outputs (n, m), row by row
MEMORY_LIMIT = 64 * 2**20  # bytes of work space for a forward pass


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """X -> y: what a fit leaves behind."""

    inputs: Inputs  # X to the networks' coordinates
    networks: list[Network]  # the mean of their raw outputs counts; their weights are its own
    targets: Targets  # raw outputs to y
    _of_one_row: list[list[Workspace]] = field(default_factory=list, repr=False, compare=False)

    def outputs(self, X: Any, decode: Decoder = lambda Z: Z) -> NDArray[Any]:
        """Return what `decode` makes of the raw outputs of the rows of X.

        Each chunk of rows is brought to the networks' coordinates by itself, so that
        nothing but X and the result has a row for every row of X.
        """
        n = X.shape[0]
        chunk = 1 if n == 1 else self._chunk()
        alone = n == 1 and not issparse(X)  # of which a pass would keep a sparse row
        passes = self._passes(min(chunk, n), alone)
        result: Any = None
        with np.errstate(all="ignore"):
            for start in range(0, n, chunk):
                rows = X[start : start + chunk]
                origin, rows = self.inputs.origin(rows), self.inputs.rows(rows)
                Z: Any = 0.0
                for network, workspace in zip(self.networks, passes, strict=True):
                    at = workspace.over(rows.shape[0])
                    at.read(rows, origin, self.inputs.expansion)
                    forward(network.parameters, at, network.loss)
                    Z = Z + at.Z[at.L].T if len(passes) > 1 else at.Z[at.L].T
                part = decode(Z / len(passes) if len(passes) > 1 else Z)
                if result is None:
                    result = np.empty((n, *part.shape[1:]), part.dtype)
                result[start : start + chunk] = part
        if alone:
            self._of_one_row.append(passes)
        return result

    def _passes(self, N: int, alone: bool) -> list[Workspace]:
        """Return every network's memory for up to N samples.

        To allocate that of a row alone took half of its time: it is used again, by one thread at
        a time.
        """
        if alone:
            with suppress(IndexError):  # there is none yet, or other threads have it
                return self._of_one_row.pop()
        return [network.passes(N) for network in self.networks]

    def carry(self, inputs: Inputs, targets: Targets, parameters: Parameters) -> None:
        """Rewrite parameters of its networks for other coordinates: what they predict stays."""
        self.inputs.carry(inputs, parameters)
        self.targets.carry(targets, parameters)

    def _chunk(self) -> int:
        """Return how many rows to take at once."""
        parameters = self.networks[0].parameters
        widest = 4 * max(parameters.sizes) + 4 * parameters.sizes[-1]
        limit = min(MEMORY_LIMIT, get_config()["working_memory"] * 2**20)
        rows = int(limit // (len(self.networks) * widest * parameters.theta.itemsize))
        return min(max(rows, 1), CHUNK)

    def plain(self) -> dict[str, Any]:
        """Return the model as names, numbers and arrays: its file, whatever the format."""
        first = self.networks[0]
        return {
            "sizes": list(first.parameters.sizes),
            "activations": list(first.activations),
            "theta": [network.parameters.theta for network in self.networks],
            "inputs": self.inputs.plain(),
            "targets": self.targets.plain(),
        }

    @classmethod
    def of_plain(cls, kept: dict[str, Any]) -> Self:
        """Return what `plain` told of."""
        targets = Targets.of_plain(kept["targets"])
        networks = [
            Network(Parameters(kept["sizes"], theta), kept["activations"], targets.loss)
            for theta in kept["theta"]
        ]
        return cls(Inputs.of_plain(kept["inputs"]), networks, targets)
