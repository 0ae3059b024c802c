"""Who watches a fit: scikit-learn's callbacks, and checkpoints, which also lend it states.

A fit is a tree of tasks: the fit, below it its epochs. Where there are several networks,
each is a task between the two.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from skdnn._sklearn import _safe_indexing
from skdnn.fit.clock import Clock
from skdnn.fit.training import End, Found, State

# A fitted estimator's attributes, made from what was found of its networks.
Describe = Callable[[list[Found]], dict[str, Any]]


@dataclass(eq=False, repr=False)
class Stages:
    """The states that a network's search and refit are in, and those saved of an earlier try."""

    seed: int
    states: list[State] = field(default_factory=list)
    saved: list[State] = field(default_factory=list)
    complete: bool = False  # whether the saved ones are all: no clock decides any more

    @property
    def following(self) -> State | None:
        """What was saved of the next stage."""
        return next(iter(self.saved[len(self.states) :]), None)

    def enter(self, state: State) -> State:
        """Return the state that the next stage starts from: the given one, or a saved one."""
        self.states.append(self.following or state)
        return self.states[-1]


@dataclass(eq=False, repr=False)
class Watched:
    """The training data, as callbacks are given it.

    X is as the user gave it: callbacks predict on it, so that a frame has to stay one.
    """

    X: Any
    y: Any
    w: Any
    whole: bool = False  # rows that are not all here: all are given, whichever are trained on

    def of(self, numbers: Any) -> dict[str, Any]:
        """Return the rows of the given numbers, or all, taken when somebody asks for them."""

        def take(data: Any) -> Any:
            return data if numbers is None or self.whole else _safe_indexing(data, numbers)

        return {
            "X": lambda: take(self.X),
            "y": lambda: take(self.y),
            "metadata": lambda: None if self.w is None else {"sample_weight": take(self.w)},
        }


@dataclass(eq=False, repr=False)
class Run:
    """A network under way: what `fit_network` tells of it, and hears."""

    stages: Stages
    watch: Watch | None = None  # the fit that it is of, if anybody watches
    task: Any = None  # the one whose subtasks are its epochs
    clock: Clock = field(default_factory=Clock)  # without end unless it is set
    seconds: float = 0.0  # that an epoch of the search took
    _stage: tuple[str, Any, State | None] = ("", None, None)  # name, rows and search before it
    _epoch: Any = None

    @property
    def seed(self) -> int:
        """That of the network."""
        return self.stages.seed

    def enter(
        self, state: State, name: str, numbers: NDArray[Any] | None, search: State | None = None
    ) -> State:
        """Begin a stage, whose epochs have a name and are on rows of some numbers.

        `search` is what it follows, if it is a refit.
        """
        state = self.stages.enter(state)
        if self.watch is not None:
            self._stage = name, numbers, search
            self.watch.save()
        return state

    def before_epoch(self) -> None:
        """Tell that an epoch begins."""
        if self.watch is not None:
            name, numbers, _ = self._stage
            self._epoch = self.task.subcontext(task_name=name)
            self.watch.begin(self._epoch, numbers)

    def after_epoch(self, state: State) -> bool:
        """Tell that an epoch is complete; return whether to stop."""
        if self.watch is None:
            return False
        _, numbers, search = self._stage
        stops = self.watch.end(self._epoch, numbers, Found(state, numbers, search))
        if not stops:  # a stop is not undone by going on from here
            self.watch.save(state.epoch)
        return stops

    def begin(self) -> None:
        """Tell that one of several networks begins."""
        if self.watch is not None:
            self.watch.begin(self.task, None)

    def end(self, found: Found) -> bool:
        """Tell that one of several networks is found; return whether to stop there."""
        if self.watch is None:
            return False
        return self.watch.end(self.task, None, found)


class Watch:
    """The callbacks and checkpoints of a fit of some networks, each of at most so many epochs."""

    def __init__(self, estimator: Any, data: Watched, n_networks: int, max_epochs: int) -> None:
        self.estimator: Any = estimator
        self.data: Watched = data
        self.max_epochs: int = max_epochs
        self.several: bool = n_networks > 1
        self.runs: list[Stages] = []
        self.root: Any = estimator._init_callback_context(
            max_subtasks=n_networks if self.several else max_epochs,
            sequential_subtasks=not self.several,
        )
        self.callbacks: list[Any] = getattr(estimator, "_skl_callbacks", [])
        self.savers: list[Any] = []  # as `begin` of a checkpoint returns them
        self.complete: bool = False  # whether what was saved is a fit that is over

    def resume(self, task: Any, seed: int) -> tuple[int, list[list[dict[str, Any]]]]:
        """Return the seed of the fit and the saved states of its networks, in plain values."""
        for callback in self.callbacks:
            if hasattr(callback, "begin"):
                self.savers.append(callback.begin(self.estimator, task, seed))
        first = next((saver for saver in self.savers if saver.saved), None)
        if first is None:
            return seed, []
        for saver in self.savers:
            saver.seed = first.seed
        self.complete = first.is_complete
        return first.seed, first.saved

    def open(self, runs: list[Stages], describe: Describe) -> list[Run]:
        """Begin the fit of networks.

        `describe` returns the attributes of an estimator that is fitted as far as was found.
        """
        self.runs = runs
        self.describe: Describe = describe
        if not self.callbacks:
            return [Run(stages) for stages in runs]
        left = [self.max_epochs - sum(state.epoch for state in run.saved) for run in runs]
        if not self.several:
            self.root.max_subtasks = left[0]
        self.begin(self.root, None)
        if not self.several:
            return [Run(runs[0], self, self.root)]
        tasks = [
            self.root.subcontext("network", task_id=i, max_subtasks=n) for i, n in enumerate(left)
        ]
        return [Run(stages, self, task) for stages, task in zip(runs, tasks, strict=True)]

    def close(self, attributes: dict[str, Any]) -> None:
        """Say that the fit ended, with the attributes that it leaves."""
        self.root.call_on_fit_task_end(
            estimator=self.estimator,
            **self.data.of(None),
            reconstruction_attributes=lambda: deepcopy(attributes),  # to do with as one likes
        )
        if not any(s.end is End.INTERRUPTED for run in self.runs for s in run.states):
            # An interrupt may have come within an epoch, which is then to be done anew.
            self.save(complete=True)

    def begin(self, task: Any, numbers: NDArray[Any] | None) -> None:
        """Say that a task on rows of some numbers begins."""
        task.call_on_fit_task_begin(estimator=self.estimator, **self.data.of(numbers))

    def end(self, task: Any, numbers: NDArray[Any] | None, found: Found) -> bool:
        """Say that it ended, with what was found of a network; return whether to stop."""
        return bool(
            task.call_on_fit_task_end(
                estimator=self.estimator,
                **self.data.of(numbers),
                reconstruction_attributes=lambda: self.describe([found]),
            )
        )

    def save(self, epoch: int = 0, complete: bool = False) -> None:
        """Have the checkpoints write down where the fit is, those whose turn it is."""
        for saver in self.savers:
            if complete or epoch % saver.every == 0:
                saver.save(self.runs, complete)
