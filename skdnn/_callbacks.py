"""What the callbacks of scikit-learn are told while an estimator is fitted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray
from sklearn.utils import _safe_indexing

from skdnn._training import State
from skdnn.activations import Array


@dataclass
class Run:
    """A fit under way: what a callback of skdnn's own finds as ``estimator._run``.

    A fit has one stage, or two where `refit` follows early stopping.
    """

    data: tuple[Any, ...]  # X, y, w as validated, and those three to validate on, or None
    goes_on: bool  # from an earlier fit
    saved: list[Callable[[State], State]] = field(default_factory=list)  # stages to go on with
    epochs_saved: int = 0
    stages: list[State] = field(default_factory=list)
    notes: dict[Any, Any] = field(default_factory=dict)  # of callbacks, each by itself

    def enter(self, state: State) -> State:
        """Return the state that the next stage starts from: the given one, or a saved one."""
        stage = len(self.stages)
        self.stages.append(self.saved[stage](state) if stage < len(self.saved) else state)
        return self.stages[stage]


class Tasks:
    """The tasks of a fit: the fit itself and, one after the other, its epochs.

    Parameters
    ----------
    estimator : estimator
        Fitted as far as ``_fitted_attributes(state)`` completes it; its ``_run`` is set.
    max_epochs : int
        Of all stages.
    """

    def __init__(self, estimator: Any, max_epochs: int) -> None:
        self.estimator = estimator
        self.fit = estimator._init_callback_context(max_subtasks=max_epochs)
        self.fit.max_subtasks -= estimator._run.epochs_saved

    def over(self, X: Any, y: NDArray[Any], w: Array | None, rows: NDArray[Any] | None) -> None:
        """Set the training data of the tasks to come; X is as the user gave it.

        Callbacks predict on what they are given, so that a frame has to stay one: its
        `rows` (None for all of them) are taken when a callback asks for them.
        """
        taken: list[Any] = []

        def lazily() -> Any:
            if not taken:
                taken.append(X if rows is None else _safe_indexing(X, rows))
            return taken[0]

        metadata = None if w is None else {"sample_weight": w}
        self._data = {"X": lazily, "y": y, "metadata": metadata}

    def begin(self, task: Any = None) -> None:
        """Say that the fit, or a task of it, begins."""
        (task or self.fit).call_on_fit_task_begin(estimator=self.estimator, **self._data)

    def end(self, state: State, task: Any = None) -> bool:
        """Say that the fit, or a task of it, ended at a state; return whether to stop."""
        return (task or self.fit).call_on_fit_task_end(
            estimator=self.estimator,
            **self._data,
            reconstruction_attributes=lambda: self.estimator._fitted_attributes(state),
        )

    def epochs(self, state: State, name: str) -> tuple[Callable[[], None], Callable[[], bool]]:
        """Return what to call before and after every epoch of a stage."""
        task: Any = None

        def before() -> None:
            nonlocal task
            task = self.fit.subcontext(task_name=name)
            self.begin(task)

        def after() -> bool:
            return self.end(state, task)

        return before, after
