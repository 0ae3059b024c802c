"""One fit: its rows and what is learnt of them, from the door to the network and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import gen_batches

from skdnn.core.network import Network, Parameters
from skdnn.door import Data
from skdnn.fit.judge import Score
from skdnn.fit.objective import CHUNK, Objective
from skdnn.fit.recipe import Problem, Recipe
from skdnn.fit.rows import Batches, Rows
from skdnn.fit.training import Found, State
from skdnn.inputs import Inputs, fit_inputs
from skdnn.model import Model
from skdnn.parameters import activation_names, hidden_sizes
from skdnn.targets import Targets, Weigh


@dataclass(frozen=True)
class Task:
    """The rows of a fit, and the coordinates that they are brought to.

    Attributes
    ----------
    data : Data
        The training rows.
    given : Data or None
        The user's own rows to validate on.
    inputs : Inputs
        X to the network's coordinates.
    targets : Targets
        y to the network's coordinates.
    weigh : callable
        Returns the rows' weights with what their classes multiply them by.
    network : Network
        Sizes, activations and loss, in the type of X; without weights.
    earlier : State or None
        Where an earlier fit ended that this one goes on from.
    """

    data: Data
    given: Data | None
    inputs: Inputs
    targets: Targets
    weigh: Weigh
    network: Network
    earlier: State | None

    @classmethod
    def of(
        cls,
        estimator: Any,
        data: Data,
        given: Data | None,
        targets: Targets,
        model: Model | None = None,
        earlier: State | None = None,
    ) -> Self:
        """Learn the coordinates of the rows, or take those of the model to go on from."""
        sizes = (data.X.shape[1], *hidden_sizes(estimator), targets.n_outputs)
        dtype = data.X.dtype if model is None else model.inputs.dtype
        parameters = Parameters(sizes, np.empty(Parameters.count(sizes), dtype))
        network = Network(parameters, activation_names(estimator), targets.loss)
        if model is None:
            inputs = fit_inputs(data.X, data.w, estimator.scale_inputs)
        else:
            inputs = model.inputs
            _check_same(estimator, network, model)
        class_weight = getattr(estimator, "class_weight", None)
        weigh = targets.weigher(class_weight, data.y, data.w)
        return cls(data, given, inputs, targets, weigh, network, earlier)

    def rows(self, data: Data, dtype: Any) -> Rows:
        """Return rows in the network's coordinates, and in a type."""
        return self.inputs.rows(data.X, *self._encoded(data, dtype), dtype)

    def _encoded(self, data: Data, dtype: Any) -> tuple[Any, Any, Any]:
        Y, table = self.targets.encode(data.y, dtype)
        w = self.weigh(data.y, data.w)
        return Y, None if w is None else w.astype(dtype, copy=False), table

    def problem(
        self, recipe: Recipe, score: Callable[[NDArray[Any] | None], Score | None] | None = None
    ) -> Problem:
        """Return what the recipe is to be applied to."""
        dtype = np.dtype(recipe.precision)
        return Problem(
            rows=self.rows(self.data, dtype),
            network=self.network.astype(dtype),
            unit=self.targets.unit,
            strata=lambda numbers, n: self.targets.strata(self.data.y[numbers], n),
            score=score or (lambda numbers: None),
            given=None if self.given is None else self.rows(self.given, dtype),
            earlier=self.earlier,
        )

    def model(self, found: list[Found]) -> Model:
        """Return what predicts, with weights of its own."""
        dtype = self.inputs.dtype
        networks = [self.network.with_theta(one.parameters().theta.astype(dtype)) for one in found]
        return Model(self.inputs, networks, self.targets)

    def loss(self, model: Model, found: list[Found], recipe: Recipe, problem: Problem) -> float:
        """Return the objective at the model's weights, exactly, in the unit of y's loss.

        That of one network is over the rows that it was trained on at last; that of the mean
        of several over all rows, with the mean of their L2 terms.
        """
        rows, alpha = problem.rows, recipe.settings.alpha
        if rows.dtype != self.inputs.dtype:
            rows = self.inputs.rows_once(self.data.X, *self._encoded(self.data, self.inputs.dtype))
        plans = [recipe.search if one.search is None else recipe.again for one in found]
        objectives = [
            Objective(
                Batches(rows, one.numbers if len(found) == 1 else None),
                network,
                alpha,
                plan.batch_size,
                recipe.settings.dropout,
                problem.unit,
                trains=False,
            )
            for one, network, plan in zip(found, model.networks, plans, strict=True)
        ]
        with np.errstate(all="ignore"):
            if len(found) == 1:
                return objectives[0].value(model.networks[0].parameters).reported
            return _mean_loss(model, self.data.X, rows, objectives)


def _mean_loss(model: Model, X: Any, rows: Rows, objectives: list[Objective]) -> float:
    """Return the loss of the mean of several networks' outputs, and their mean L2 term."""
    objective, loss = objectives[0], model.targets.loss
    total: Any = 0.0
    for part in gen_batches(len(rows), CHUNK):
        Z = np.ascontiguousarray(model.outputs(X[part]).T)
        A, work = np.empty_like(Z), np.empty((2, *Z.shape), Z.dtype)
        loss.output(Z, A, work)
        w = None if rows.w is None else rows.w[part]
        total += loss.value(Z, A, rows.targets(part), w, work, objective.splits)
    penalties = [o.penalty(n.parameters) for o, n in zip(objectives, model.networks, strict=True)]
    return objective.reported(total, float(np.mean(penalties)))


def _check_same(estimator: Any, network: Network, model: Model) -> None:
    """Refuse to go on from a model of another kind than the parameters ask for."""
    old, targets = model.networks[0], model.targets
    now_and_then = {
        "hidden_layer_sizes": (network.parameters.sizes[1:-1], old.parameters.sizes[1:-1]),
        "activation": (network.activations, old.activations),
        "loss": (type(network.loss).__name__, type(old.loss).__name__),
        "scale_inputs": (estimator.scale_inputs, model.inputs.method),
        "scale_target": (getattr(estimator, "scale_target", False), targets.is_scaled),
    }
    for name, (now, then) in now_and_then.items():
        if now != then:
            raise ValueError(
                f"{name} must stay as it was for a fit that goes on from an earlier one"
                f" (warm_start or partial_fit): it was {then!r} and is now {now!r}."
            )
