"""Training: the loop of epochs over an objective, and when it ends.

What evolves in a fit stands in one object, :class:`State`; what is fixed in another,
:class:`Plan`. `train` and `train_lbfgs` take both and leave the final weights in the
state. Randomness comes from generators keyed by (seed, epoch), so that a fit can go on
from a state wherever it was left.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from enum import StrEnum
from math import ceil, sqrt
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import scipy.optimize
from sklearn.exceptions import ConvergenceWarning

from skdnn.core.activations import Array
from skdnn.core.network import Parameters
from skdnn.core.optimizers import OPTIMIZERS, PERIOD, Optimizer, drop_small
from skdnn.core.schedules import Schedule
from skdnn.fit.judge import Judge, Verdict, calibrated
from skdnn.fit.objective import Cost, Criterion

if TYPE_CHECKING:
    from skdnn.fit.watch import Run

SLOWS_AFTER = 1000  # steps, from which on the rate of inverse_sqrt falls


class End(StrEnum):
    """Why a fit ended before its last epoch."""

    NOT = ""
    CONVERGED = "converged"
    STOPPED = "stopped"  # by a callback
    INTERRUPTED = "interrupted"  # by the user, maybe within an epoch
    DIVERGED = "diverged"
    LATE = "out of time"


@dataclass
class Curves:
    """What is recorded at every epoch.

    Of epochs that were validated, the four of them that say so are entry by entry.
    """

    loss: list[float] = field(default_factory=list)
    validated: list[int] = field(default_factory=list)  # the number of `loss` by then
    search_loss: list[float] = field(default_factory=list)  # on the rows trained on
    validation_loss: list[float] = field(default_factory=list)
    validation_score: list[float] = field(default_factory=list)  # nan where none is asked for
    learning_rate: list[float] = field(default_factory=list)
    divisor: list[float] = field(default_factory=list)  # of the adaptive rate

    def without_search(self) -> Curves:
        """Return the curves but for those of epochs that were validated."""
        return replace(self, **{name: [] for name in OF_SEARCH})


OF_SEARCH = ("validated", "search_loss", "validation_loss", "validation_score")


@dataclass(eq=False, repr=False)
class State:
    """Everything that evolves in training: what a checkpoint holds."""

    parameters: Parameters
    optimizer: Optimizer | None
    seed: int
    average: Array | None = None  # of the weights, if asked for
    total_epochs: int = 0  # ever; with the seed, the key of the next epoch's generator
    samples: int = 0  # rows seen, ever
    steps: int = 0  # ever, of those that led to these weights
    best_loss: float = np.inf  # ever, as reported
    curves: Curves = field(default_factory=Curves)
    # Of the current call to fit:
    epoch: int = 0
    stale: int = 0
    divisor: float = 1.0  # of the adaptive rate
    reference: float = -np.inf  # the best score that counts for `stale`
    best_score: float = -np.inf
    best_epoch: int = 0
    best_theta: Array | None = None
    end: End = End.NOT

    def begin(self) -> None:
        """Start another fit from here: counts and bests afresh, curves going on."""
        self.epoch = self.stale = self.best_epoch = 0
        self.reference = self.best_score = -np.inf
        self.best_theta, self.end, self.divisor = None, End.NOT, 1.0

    def vectors(self) -> list[Parameters]:
        """Return the weights and their average, where one is kept: of what moves both."""
        averages = [] if self.average is None else [self.parameters.like(self.average)]
        return [self.parameters, *averages]

    def final(self) -> Parameters:
        """Return the weights that predict: the average, where one is kept."""
        return self.parameters if self.average is None else self.parameters.like(self.average)

    def light(self, parameters: Parameters) -> State:
        """Return what is to be known of a fit that is over, with the weights that predict."""
        return replace(self, parameters=parameters, optimizer=None, average=None, best_theta=None)

    def copy(self) -> State:
        """Return a state that goes on from here and leaves this one as it is."""
        return deepcopy(self)

    def branch(self) -> tuple[State, Callable[[], bool]]:
        """Return a state that goes on from here, and how to come back.

        The curves grow in place, and so does what the optimiser remembers: to copy them took
        longer than an epoch. After a step it has therefore forgotten all, which is what to
        come back returns.
        """
        lengths = {name: len(curve) for name, curve in vars(self.curves).items()}
        average = None if self.average is None else self.average.copy()
        parameters = self.parameters.like(self.parameters.theta.copy())
        state = replace(self, parameters=parameters, average=average)

        def come_back() -> bool:
            for name, length in lengths.items():
                del getattr(self.curves, name)[length:]
            before, after = self.optimizer, state.optimizer
            if before is None or after is None or after.t == before.t:
                return False
            self.optimizer = None
            return True

        return state, come_back

    def scores(self) -> list[float]:
        """Return the validation scores of this fit's epochs."""
        scores = self.curves.validation_score
        return scores[len(scores) - self.epoch :] if scores else []

    def plain(self) -> dict[str, Any]:
        """Return the state as numbers, texts, lists and arrays."""
        kept = {name: getattr(self, name) for name in SCALARS}
        kept["end"] = self.end.value
        kept["curves"] = vars(self.curves)
        kept["theta"], kept["average"] = self.parameters.theta, self.average
        kept["best_theta"] = self.best_theta
        if self.optimizer is not None:
            kept["optimizer"] = {
                "name": self.optimizer.name,
                "state": self.optimizer.state,
                "t": self.optimizer.t,
            }
        return kept

    @classmethod
    def of_plain(cls, kept: dict[str, Any], model: Parameters) -> Self:
        """Return the state that `plain` told of, of the network with a model's parameters."""
        parameters = model if kept["theta"] is model.theta else model.like(kept["theta"])
        optimizer = None
        if "optimizer" in kept:
            was = kept["optimizer"]
            optimizer = OPTIMIZERS[was["name"]](len(parameters.theta), parameters.theta.dtype)
            optimizer.go_on(np.array(was["state"]), was["t"])
        state = cls(parameters, optimizer, **{name: kept[name] for name in SCALARS})
        state.average, state.best_theta = kept["average"], kept["best_theta"]
        state.curves = Curves(**{name: list(curve) for name, curve in kept["curves"].items()})
        state.end = End(kept["end"])
        return state


@dataclass(eq=False, repr=False)
class Found:
    """What a fit has found so far of one network."""

    state: State  # that of the last stage, whose weights predict
    numbers: Array | None = None  # the rows that it was trained on; None for all
    search: State | None = None  # that of the search, where a refit followed it
    factor: float = 1.0  # what the last layer is to be multiplied by
    stretch: float = 0.0  # of the refit, how many times as long as to the best epoch; 0 without
    intercepts: Array | None = None  # to be added to the raw outputs after that, (n_outputs,)
    broken_off: End = End.NOT  # why a refit that followed was not taken
    most: int = 0  # of how many epochs the search was

    @property
    def end(self) -> End:
        """Why the last stage ended, be it one whose network was not taken."""
        return self.broken_off or self.state.end

    @property
    def is_cut(self) -> bool:
        """Whether the time was over before a stage was."""
        return End.LATE in (self.end, self.decided.end)

    @property
    def decided(self) -> State:
        """The state that has the best epoch."""
        return self.search or self.state

    def parameters(self) -> Parameters:
        """Return the weights that predict."""
        return calibrated(self.state.final(), self.factor, self.intercepts)

    def added(self) -> list[float]:
        """Return what is added to each raw output."""
        n_outputs = self.state.parameters.sizes[-1]
        return [0.0] * n_outputs if self.intercepts is None else self.intercepts.tolist()

    @contextmanager
    def interruptible(self, what: str) -> Iterator[None]:
        """Have an interrupt of what comes after training end the fit, and keep what was found."""
        try:
            yield
        except KeyboardInterrupt:
            self.state.end = End.INTERRUPTED
            warnings.warn(
                f"The fit was interrupted by the user after training, in {what}; what was learnt"
                " is kept.",
                stacklevel=3,
            )


SCALARS = [f.name for f in fields(State) if f.type in ("int", "float")]


@dataclass(frozen=True, eq=False, repr=False)
class Plan:
    """How to train, with nothing left to "auto"."""

    max_iter: int
    batch_size: int
    shuffle: bool
    rate: float
    schedule: Schedule
    adaptive: bool = False
    power_t: float | None = None  # of invscaling
    tol: float = 1e-4
    n_iter_no_change: float = 10
    margin: int | None = None  # end this many epochs past the best one
    weight_decay: float = 0.0
    clip_norm: float | None = None
    average_decay: float = 0.0
    slows: bool = False  # at the rate of inverse_sqrt
    average_grows: bool = False  # over a share of all steps, in place of average_decay
    epochs: int | None = None  # where to end before max_iter, which paces the schedule
    divisors: tuple[float, ...] = ()  # of the rate, which it is to repeat over `epochs`
    keep_best: bool = False  # restore the epoch with the best validation score
    warns: bool = True  # whether to end at max_iter means not to have converged
    has_fallback: bool = False  # to diverge is a warning: an earlier network is kept
    max_fun: int = 15000
    until: float | None = None  # when to end, by time.monotonic
    verbose: bool = False

    @property
    def last_epoch(self) -> int:
        """The most epochs."""
        return self.epochs or self.max_iter

    def repeating(
        self, found: State, most: int, stretch: float, until: float | None = None
    ) -> Plan:
        """Return the plan of a refit: as many epochs as were the best of `most`, at their rates."""
        before = len(found.curves.divisor) - found.epoch
        return replace(
            self,
            epochs=round(stretch * found.best_epoch),
            max_iter=round(stretch * most),
            divisors=tuple(found.curves.divisor[before : before + found.best_epoch]),
            adaptive=False,
            n_iter_no_change=np.inf,
            margin=None,
            keep_best=False,
            warns=False,
            has_fallback=True,
            until=until,
        )

    def weight_of_last(self, state: State) -> float:
        """Return the weight of the newest weights in their average."""
        if self.average_grows:
            # Shamir and Zhang (2013), "Stochastic gradient descent for non-smooth
            # optimization", section 4: an average over the last ninth, without a horizon.
            return 9.0 / (state.steps + 8.0)
        # The exponential moving average of theta_1..theta_t, normalised as Adam's are.
        assert state.optimizer is not None
        d = self.average_decay
        return (1.0 - d) / (1.0 - d**state.optimizer.t)

    def divisor(self, state: State) -> float:
        """Return what the rate of the state's next epoch is divided by."""
        if not self.divisors:
            return state.divisor
        return self.divisors[state.epoch * len(self.divisors) // self.last_epoch]


def train(state: State, objective: Criterion, plan: Plan, judge: Judge | None, run: Run) -> None:
    """Run epochs of a stochastic solver, or of gradient descent on the full batch.

    From a state, which is updated in place. A judge is what to watch besides the training loss;
    the run is told of every epoch, and may end the fit.

    Raises
    ------
    ValueError
        If the loss or a weight overflows and there is nothing to fall back on.
    """
    report = _Reporter(state, plan, "epoch" if plan.epochs is None else "refit epoch")
    begin, before = time.monotonic(), state.epoch
    n_rates = len(state.curves.learning_rate)
    try:
        with np.errstate(all="ignore"), objective.threads():
            while state.epoch < plan.last_epoch and not state.end:
                run.before_epoch()
                cost = _run_epoch(state, objective, plan)
                verdict = None if judge is None else judge(state.final())
                score = _record(state, cost, verdict, plan, objective.n)
                n_rates += 1
                _judge(state, cost, score, plan)
                report(state, judge is not None)
                if run.after_epoch(state) and not state.end:
                    state.end = End.STOPPED
                elif plan.until is not None and not state.end and state.epoch < plan.last_epoch:
                    now = time.monotonic()
                    is_late = now + (now - begin) / (state.epoch - before) > plan.until
                    state.end = End.LATE if is_late else End.NOT
    except KeyboardInterrupt:
        del state.curves.learning_rate[n_rates:]
        del state.curves.divisor[n_rates:]
        _interrupted(state, plan)
    report.end(_reason(state, plan))
    if not state.end and plan.warns:
        warnings.warn(
            f"The solver reached max_iter={plan.max_iter} epochs before it converged:"
            " raise max_iter, or the learning rate.",
            ConvergenceWarning,
            stacklevel=2,
        )
    if plan.keep_best and state.best_theta is not None:
        np.copyto(state.final().theta, state.best_theta)
    elif plan.keep_best and state.epoch:
        state.best_epoch = state.epoch
        warnings.warn(
            "No epoch's validation score was a number: the weights of the last epoch are kept.",
            RuntimeWarning,
            stacklevel=2,
        )


def _run_epoch(state: State, objective: Criterion, plan: Plan) -> Cost:
    """Go once through the rows, and return the cost of the epoch."""
    n = objective.n
    rng = np.random.default_rng([state.seed, state.total_epochs])
    full = plan.batch_size >= n
    n_steps = -(-n // plan.batch_size)
    divisor = plan.divisor(state)
    rate = plan.rate / divisor
    if plan.power_t is not None:
        rate /= (state.samples + 1) ** plan.power_t

    def step(i: float) -> None:
        r = rate * plan.schedule((state.epoch + i / n_steps) / plan.max_iter)
        if plan.slows:
            r /= sqrt(1.0 + state.steps / SLOWS_AFTER)
        if i == 0:
            rates = state.curves.learning_rate  # iterations of lbfgs before have none
            rates += [np.nan] * (len(state.curves.loss) - len(rates))
            rates.append(r)
            state.curves.divisor.append(divisor)
        _step(state, objective, r, plan)

    cost = objective.epoch(state.parameters, plan.shuffle and not full, rng, step)
    # One step: the objective where it led to is one pass away.
    return objective.value(state.parameters) if full else cost


def _step(state: State, objective: Criterion, rate: float, plan: Plan) -> None:
    """Move the weights one step down the gradient."""
    assert state.optimizer is not None
    theta, gradient = state.parameters.theta, objective.gradient
    if plan.clip_norm is not None:
        norm = _norm(gradient.theta)
        if norm > plan.clip_norm:
            gradient.theta *= plan.clip_norm / norm
    if plan.weight_decay:
        for W in state.parameters.weights:
            W *= 1.0 - rate * plan.weight_decay
    state.optimizer.step(theta, gradient.theta, rate)
    state.steps += 1
    if state.average is not None:
        c = plan.weight_of_last(state)
        state.average *= 1.0 - c
        objective.axpy(theta, state.average, a=c)
        if state.optimizer.t % PERIOD == 0:
            drop_small(state.average, scratch=gradient.theta)  # which is spent


def _norm(g: Array) -> float:
    """Return the Euclidean norm, also of what is too large to be squared in its type."""
    norm = float(np.sqrt(np.vdot(g, g)))
    if np.isfinite(norm):
        return norm
    largest = float(np.max(np.abs(g)))
    return largest * float(np.linalg.norm(g.astype(np.float64) / largest))


def _judge(state: State, cost: Cost, score: float, plan: Plan) -> None:
    """End the fit after the epoch just recorded, if it has to."""
    if not np.isfinite(cost.J) or not _all_finite(state.parameters.theta):
        _diverged(state, plan)
        return
    improved = state.epoch == 1 or score >= state.reference + plan.tol
    state.stale = 0 if improved else state.stale + 1
    state.reference = max(state.reference, score) if score == score else state.reference
    if score > state.best_score:
        state.best_score, state.best_epoch = score, state.epoch
        if plan.keep_best:
            state.best_theta = state.final().theta.copy()
    if plan.margin is not None and state.epoch >= state.best_epoch + plan.margin:
        state.end = End.CONVERGED
    elif state.stale >= plan.n_iter_no_change:
        if plan.adaptive and plan.rate / state.divisor > 1e-6:
            # A lucky epoch at the old rate must not make every later one look stale.
            state.divisor *= 5.0
            state.stale, state.reference = 0, score
        else:
            state.end = End.CONVERGED


def _record(state: State, cost: Cost, verdict: Verdict | None, plan: Plan, n: int) -> float:
    """Count an epoch over n rows, write it into the curves, and return its score."""
    curves = state.curves
    state.epoch += 1
    state.total_epochs += 1
    state.samples += n
    curves.loss.append(cost.reported)
    if cost.reported < state.best_loss:
        state.best_loss = cost.reported
    if verdict is None:
        return -cost.J
    curves.validated.append(len(curves.loss))
    curves.search_loss.append(cost.reported)
    curves.validation_loss.append(verdict.loss.reported)
    curves.validation_score.append(verdict.reported if plan.keep_best else np.nan)
    return verdict.score if plan.keep_best else -cost.J


def _all_finite(theta: Array) -> bool:
    """Whether every weight is finite; a finite sum says so without an array of bool."""
    return bool(np.isfinite(np.sum(theta)) or np.isfinite(theta).all())


def _interrupted(state: State, plan: Plan) -> None:
    state.end = End.INTERRUPTED
    what = (
        "the network that was found before" if plan.has_fallback else "what was learnt until then"
    )
    warnings.warn(
        f"Training was interrupted by the user after epoch {state.epoch}; {what} is kept.",
        stacklevel=3,
    )


def _diverged(state: State, plan: Plan) -> None:
    message = (
        f"The training loss or a weight became infinite or NaN in epoch {state.epoch}"
        " (Solver produced non-finite parameter weights)."
        " Lower learning_rate_init, scale the input, or set clip_norm."
    )
    if plan.has_fallback:
        kept = "The network that the search found is kept, and not fitted again on all rows."
    elif plan.keep_best and state.best_theta is not None:
        kept = f"The weights of epoch {state.best_epoch} are kept."
    else:
        raise ValueError(message)
    warnings.warn(f"{message} {kept}", RuntimeWarning, stacklevel=2)
    state.end = End.DIVERGED


def _reason(state: State, plan: Plan) -> str:
    """Say why a fit ended before its last epoch, if it did."""
    converged = (
        f"Validation score did not improve since epoch {state.best_epoch}."
        if plan.keep_best and plan.margin is not None
        else f"{'Validation score' if plan.keep_best else 'Training loss'} did not improve by"
        f" tol={plan.tol:g} for {state.stale} epochs."
    )
    return {
        End.NOT: "",
        End.CONVERGED: converged,
        End.STOPPED: "A callback asked to stop.",
        End.INTERRUPTED: "Interrupted.",
        End.DIVERGED: "Training diverged.",
        End.LATE: "The time is over.",
    }[state.end]


class _Reporter:
    """Prints one line an epoch, which is called by a name, if the plan says so."""

    def __init__(self, state: State, plan: Plan, name: str) -> None:
        self.plan, self.name = plan, name
        self.first, self.start = state.epoch, time.perf_counter()

    def __call__(self, state: State, validates: bool = False) -> None:
        if not self.plan.verbose:
            return
        curves, last = state.curves, self.plan.last_epoch
        line = f"{self.name} {state.epoch:{len(str(last))}d}/{last}  loss {curves.loss[-1]:<#11.6g}"
        if validates:
            line += f"  validation loss {curves.validation_loss[-1]:<#11.6g}"
            if self.plan.keep_best:
                line += f"  score {curves.validation_score[-1]:<#9.4g}"
        if state.optimizer is not None:
            line += f"  rate {curves.learning_rate[-1]:.2e}"
        seconds = (time.perf_counter() - self.start) / (state.epoch - self.first)
        left = ceil(seconds * (last - state.epoch))
        print(f"{line}  at most {timedelta(seconds=left)} left")

    def end(self, reason: str) -> None:
        """Print why the fit ended before its last epoch, if it did."""
        if self.plan.verbose and reason:
            print(reason)


def train_lbfgs(state: State, objective: Criterion, plan: Plan, run: Run) -> None:
    """Minimise the objective by SciPy's L-BFGS; one iteration counts as an epoch.

    SciPy works in float64 whatever the type of the parameters.
    """
    theta = state.parameters.theta
    report = _Reporter(state, plan, "iteration")
    reached = theta.copy()
    cost = Cost(np.inf, np.inf)  # of the last point that the line search tried, which it takes

    def value_and_gradient(x: Array) -> tuple[float, Array]:
        nonlocal cost
        np.copyto(theta, x)
        cost = objective.value_and_gradient(state.parameters)
        return cost.J, objective.gradient.theta.astype(np.float64)

    def after_iteration(intermediate_result: Any) -> None:
        _record(state, cost, None, plan, objective.n)
        for point in (theta, reached):
            np.copyto(point, intermediate_result.x)
        report(state)
        run.before_epoch()  # SciPy does not say when an iteration begins
        if run.after_epoch(state):
            state.end = End.STOPPED
            raise StopIteration

    result = None
    try:
        with np.errstate(all="ignore"), objective.threads():
            result = scipy.optimize.minimize(
                value_and_gradient,
                theta.astype(np.float64),
                method="L-BFGS-B",
                jac=True,
                callback=after_iteration,
                options={
                    "maxiter": plan.max_iter,
                    "maxfun": plan.max_fun,
                    "gtol": plan.tol,
                    # SciPy's own 2.2e-9 at the default tol, and in proportion below it.
                    "ftol": 1e7 * np.finfo(np.float64).eps * min(1.0, plan.tol / 1e-4),
                },
            )
    except KeyboardInterrupt:
        _interrupted(state, plan)
    np.copyto(theta, reached if result is None else result.x)
    if result is None:
        return
    report.end(f"L-BFGS-B ended: {result.message}")
    if not np.isfinite(result.fun) or not np.isfinite(theta).all():
        _diverged(state, plan)
    if not state.epoch:  # no iteration was made: the cost is that of the first point
        state.best_loss = min(state.best_loss, objective.value(state.parameters).reported)
    if result.status == 1:
        warnings.warn(
            f"lbfgs stopped after {state.epoch} iterations ({result.nfev} evaluations) of at"
            f" most max_iter={plan.max_iter} (max_fun={plan.max_fun}) before it converged:"
            " raise them, or scale the data.",
            ConvergenceWarning,
            stacklevel=2,
        )
