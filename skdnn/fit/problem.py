"""What a recipe is applied to: training rows, who judges, and what calibration adds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skdnn.core.activations import Array
from skdnn.core.network import Network
from skdnn.fit.holdout import draw, split
from skdnn.fit.intercepts import intercepts
from skdnn.fit.judge import Judge, Score
from skdnn.fit.objective import CHUNK, Criterion, Objective
from skdnn.fit.rows import Batches, Rows, Smoothing
from skdnn.fit.training import Found, Plan, State

if TYPE_CHECKING:
    from skdnn.fit.recipe import Recipe

MOST_OUTPUTS = 1 << 24  # of all rows, to find intercepts by


class Problem:
    """What a recipe is applied to: training rows, wherever they are."""

    network: Network  # sizes, activations, loss and the type to train in; not its weights
    earlier: State | None  # where an earlier fit ended, to go on from

    def hold_out(self, recipe: Recipe, seed: int) -> tuple[Any, Judge | None]:
        """Return which rows to train on, None for all, and who judges."""
        raise NotImplementedError

    def objective(self, numbers: Any, settings: Any, plan: Plan) -> Criterion:
        """Return what to minimise: J on the rows that `hold_out` returned, or on all."""
        raise NotImplementedError

    def intercepts(self, found: Found) -> Array | None:
        """Return what calibration adds to the raw outputs after its factor; None for nothing."""
        return None


@dataclass(frozen=True, eq=False, repr=False)
class ProblemInMemory(Problem):
    """What a recipe is applied to where the rows are here."""

    rows: Rows  # all that are trained on
    network: Network
    unit: Any  # what one unit of the loss is in that of y; for each output, if they differ
    counted: NDArray[np.intp]  # the numbers of the rows of weight > 0
    spare: NDArray[np.intp]  # and of those of them that may be held out
    strata: NDArray[np.intp] | None  # the class of every row, where rows have one
    # Returns how to score the held-out rows of given numbers, or of `given` for None.
    score: Callable[[NDArray[Any] | None], Score | None]
    given: Rows | None = None  # the user's own rows to validate on
    earlier: State | None = None
    # The numbers of the rows to search on, and of those to hold out or None for `given`.
    chosen: tuple[NDArray[np.intp], NDArray[np.intp] | None] | None = None
    smoothing: Smoothing | None = None  # of the targets that are trained on, and of them alone

    def hold_out(self, recipe: Recipe, seed: int) -> tuple[NDArray[np.intp] | None, Judge | None]:
        """Return the numbers of the rows to train on, None for all, and who judges.

        What is held out is stratified by class, where there are enough rows of each, unless
        the user has chosen it.
        """
        training, held_out = self.chosen or (None, None)
        if recipe.n_held_out and self.chosen is None:
            training, held_out = split(
                self.counted, self.spare, self.strata, recipe.n_held_out, seed
            )
        rows = self.given if held_out is None else self.rows
        if rows is None:
            return training, None
        score = self.score(held_out) if recipe.early_stopping else None
        calibrates = recipe.calibrate and score is None
        asked = score, calibrates, recipe.most_factor
        return training, Judge(rows, self.network, self.unit, *asked, numbers=held_out)

    def objective(self, numbers: Any, settings: Any, plan: Plan) -> Objective:
        """Return J on the rows of given numbers, None for all."""
        batches = Batches(self.rows.smoothed(self.smoothing), numbers)
        m, dropout = plan.batch_size, settings.dropout
        return Objective(batches, self.network, settings.alpha, m, dropout, self.unit)

    def intercepts(self, found: Found) -> Array:
        """Return those that give the classes their shares among the rows trained on.

        Among some of them, drawn at random, if they have many outputs.
        """
        numbers: Any = found.numbers
        n = len(self.rows if numbers is None else numbers)
        most = max(MOST_OUTPUTS // self.network.parameters.sizes[-1], CHUNK)
        if n > most:  # of so many classes that all their outputs at once were the peak of a fit
            drawn = draw(n, most, np.random.default_rng(found.state.seed))
            numbers = drawn if numbers is None else numbers[drawn]
        rows = Objective(Batches(self.rows, numbers), self.network, 0.0, CHUNK, trains=False)
        return intercepts(rows, found.state.final(), found.factor)
