"""Training: the loop of epochs over an objective, and when it ends.

What evolves in a fit stands in one object, :class:`State`; what is fixed in another,
:class:`Plan`. `train` and `train_lbfgs` take both and leave the final weights in the
state. Randomness comes from generators keyed by (seed, epoch), so that a fit can go on
from a state wherever it was left.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from math import ceil
from typing import Any

import numpy as np
import scipy.optimize
from sklearn.exceptions import ConvergenceWarning

from skdnn._objective import Objective
from skdnn._optimizers import PERIOD, Optimizer, drop_small
from skdnn._schedules import Schedule
from skdnn.activations import Array
from skdnn.network import Parameters


@dataclass
class Curves:
    """What is recorded at every epoch."""

    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_score: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)


@dataclass
class State:
    """Everything that evolves in training: what a checkpoint holds."""

    parameters: Parameters
    optimizer: Optimizer | None
    seed: int
    average: Array | None = None  # of the weights, if asked for
    total_epochs: int = 0  # ever; with the seed, the key of the next epoch's generator
    samples: int = 0  # rows seen, ever
    divisor: float = 1.0  # of the adaptive rate
    curves: Curves = field(default_factory=Curves)
    # Of the current call to fit:
    epoch: int = 0
    stale: int = 0
    reference: float = -np.inf  # the best score that counts for `stale`
    best_score: float = -np.inf
    best_loss: float = np.inf
    best_epoch: int = 0
    best_theta: Array | None = None
    sharpness: float = 1.0  # what the last layer is to be multiplied by
    reason: str = ""  # why to stop before max_iter
    stopped: bool = False  # by a callback
    interrupted: bool = False  # by the user, maybe within an epoch

    def begin(self) -> None:
        """Start another fit from here: counts and bests afresh, curves going on."""
        self.epoch = self.stale = self.best_epoch = 0
        self.reference = self.best_score = -np.inf
        self.best_loss = np.inf
        self.best_theta = None
        self.sharpness = 1.0
        self.reason = ""
        self.stopped = self.interrupted = False
        self.divisor = 1.0

    def final(self) -> Parameters:
        """Return the weights that predict: the average, where one is kept."""
        return self.parameters if self.average is None else self.parameters.like(self.average)


@dataclass
class Plan:
    """How to train: the estimator's parameters with every "auto" resolved."""

    max_iter: int
    batch_size: int
    shuffle: bool
    rate: float
    schedule: Schedule
    adaptive: bool = False
    power_t: float | None = None  # of invscaling
    tol: float = 1e-4
    n_iter_no_change: float = 10
    margin: int | None = None  # end this many epochs past 1.5 times the best one
    weight_decay: float = 0.0
    clip_norm: float | None = None
    average_decay: float = 0.0
    epochs: int | None = None  # where to end before max_iter, which paces the schedule
    keep_best: bool = False  # restore the epoch with the best validation score
    warns: bool = True  # whether to end at max_iter means not to have converged
    max_fun: int = 15000
    unit: float = 1.0  # what one unit of J is in the user's units of the loss
    verbose: bool = False


@dataclass
class Validation:
    """The loss and the score of given parameters on rows that are not trained on."""

    loss: Callable[[Parameters], float]
    score: Callable[[Parameters, float], float]  # of the parameters and their loss


def train(
    state: State,
    objective: Objective,
    plan: Plan,
    validation: Validation | None,
    before_epoch: Callable[[], Any] = lambda: None,
    after_epoch: Callable[[], bool] = lambda: False,
) -> None:
    """Run epochs of a stochastic solver, or of gradient descent on the full batch.

    Parameters
    ----------
    state : State
        Where to start from; updated in place, epoch by epoch.
    objective : Objective
        What to minimise.
    plan : Plan
        How.
    validation : Validation or None
        What to watch besides the training loss.
    before_epoch, after_epoch : callable
        Called before an epoch and when it is complete; a true answer of the latter ends
        the fit.

    Raises
    ------
    ValueError
        If the loss or a weight overflows (without `plan.keep_best` to fall back on).
    """
    report = _Reporter(state, plan, "epoch" if plan.epochs is None else "refit epoch")
    try:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"), objective.threads():
            while state.epoch < (plan.epochs or plan.max_iter) and not state.reason:
                before_epoch()
                loss = _run_epoch(state, objective, plan)
                state.reason = _judge(state, loss, plan, validation)
                report(state, validation)
                if after_epoch() and not state.reason:
                    state.reason, state.stopped = "A callback asked to stop.", True
    except KeyboardInterrupt:
        state.reason, state.interrupted = "Interrupted.", True
        del state.curves.learning_rate[len(state.curves.loss) :]
        _interrupted(state)
    report.end(state.reason)
    if not state.reason and plan.warns:
        warnings.warn(
            f"The solver reached max_iter={plan.max_iter} epochs before it converged:"
            " raise max_iter, or the learning rate.",
            ConvergenceWarning,
            stacklevel=2,
        )
    if plan.keep_best and state.best_theta is not None:
        np.copyto(state.final().theta, state.best_theta)


def _run_epoch(state: State, objective: Objective, plan: Plan) -> float:
    """Go once through the rows, and return the loss of the epoch."""
    n = len(objective.rows)
    rng = np.random.default_rng([state.seed, state.total_epochs])
    full = plan.batch_size >= n
    order: Any = rng.permutation(n) if plan.shuffle and not full else None
    n_steps = -(-n // plan.batch_size)
    rate = plan.rate / state.divisor
    if plan.power_t is not None:
        rate /= (state.samples + 1) ** plan.power_t

    def step(i: int) -> None:
        r = rate * plan.schedule((state.epoch + i / n_steps) / plan.max_iter)
        if i == 0:
            state.curves.learning_rate.append(r)
        _step(state, objective, r, plan)

    total = objective.epoch(state.parameters, order, rng, step)
    state.epoch += 1
    state.total_epochs += 1
    state.samples += n
    if full:  # one step: the objective where it led to is one pass away
        return objective.value(state.parameters)
    return total / objective.rows.weight + objective.penalty(state.parameters)


def _step(state: State, objective: Objective, rate: float, plan: Plan) -> None:
    """Move the weights one step down the gradient."""
    theta, gradient = state.parameters.theta, objective.gradient
    if plan.clip_norm is not None:
        norm = float(np.sqrt(np.vdot(gradient.theta, gradient.theta)))
        if norm > plan.clip_norm:
            gradient.theta *= plan.clip_norm / norm
    if plan.weight_decay:
        for W in state.parameters.weights:
            W *= 1.0 - rate * plan.weight_decay
    state.optimizer.step(theta, gradient.theta, rate)
    if state.average is not None:
        # The exponential moving average of theta_1..theta_t, normalised as Adam's are.
        d, t = plan.average_decay, state.optimizer.t
        c = (1.0 - d) / (1.0 - d**t)
        state.average *= 1.0 - c
        objective.axpy(theta, state.average, a=c)
        if t % PERIOD == 0:
            drop_small(state.average, scratch=gradient.theta)  # which is spent


def _judge(state: State, loss: float, plan: Plan, validation: Validation | None) -> str:
    """Record the epoch, and return why to stop after it, or an empty string."""
    curves = state.curves
    curves.loss.append(loss * plan.unit)
    state.best_loss = min(state.best_loss, loss) if loss == loss else state.best_loss
    score = -loss
    if validation is not None:
        validation_loss = validation.loss(state.final())
        curves.validation_loss.append(validation_loss * plan.unit)
        if plan.keep_best:
            score = validation.score(state.final(), validation_loss)
            curves.validation_score.append(score)
    if not np.isfinite(loss) or not _all_finite(state.parameters.theta):
        return _diverged(state, plan)
    if state.epoch == 1 or score >= state.reference + plan.tol:
        state.stale = 0
    else:
        state.stale += 1
    if score > state.reference:
        state.reference = score
    if score > state.best_score:
        state.best_score, state.best_epoch = score, state.epoch
        if plan.keep_best:
            state.best_theta = state.final().theta.copy()
    if plan.margin is not None and state.epoch >= 1.5 * state.best_epoch + plan.margin:
        return f"Validation score did not improve since epoch {state.best_epoch}."
    if state.stale < plan.n_iter_no_change:
        return ""
    if plan.adaptive and plan.rate / state.divisor > 1e-6:
        # A lucky epoch at the old rate must not make every later one look stale.
        state.divisor *= 5.0
        state.stale, state.reference = 0, score
        return ""
    what = "Validation score" if plan.keep_best else "Training loss"
    return f"{what} did not improve by tol={plan.tol:g} for {state.stale} epochs."


def _all_finite(theta: Array) -> bool:
    """Whether every weight is finite; a finite sum says so without an array of bool."""
    return bool(np.isfinite(np.sum(theta)) or np.isfinite(theta).all())


def _interrupted(state: State) -> None:
    warnings.warn(
        f"Training was interrupted by the user after epoch {state.epoch};"
        " what was learnt until then is kept.",
        stacklevel=3,
    )


def _diverged(state: State, plan: Plan) -> str:
    message = (
        f"The training loss or a weight became infinite or NaN in epoch {state.epoch}"
        " (Solver produced non-finite parameter weights)."
        " Lower learning_rate_init, scale the input, or set clip_norm."
    )
    if not plan.keep_best or state.best_theta is None:
        raise ValueError(message)
    warnings.warn(
        f"{message} The weights of epoch {state.best_epoch} are kept.",
        RuntimeWarning,
        stacklevel=2,
    )
    return "Training diverged."


class _Reporter:
    """Prints one line an epoch.

    Parameters
    ----------
    state : State
        Where the clock starts.
    plan : Plan
        Says whether to print at all.
    name : str
        What an epoch is called.
    """

    def __init__(self, state: State, plan: Plan, name: str) -> None:
        self.plan, self.name = plan, name
        self.last = plan.epochs or plan.max_iter
        self.first, self.start = state.epoch, time.perf_counter()

    def __call__(self, state: State, validation: Validation | None = None) -> None:
        if not self.plan.verbose:
            return
        curves, epoch = state.curves, f"{state.epoch:{len(str(self.last))}d}/{self.last}"
        line = f"{self.name} {epoch}  loss {curves.loss[-1]:<#11.6g}"
        if validation is not None:
            line += f"  validation loss {curves.validation_loss[-1]:<#11.6g}"
            if self.plan.keep_best:
                line += f"  score {curves.validation_score[-1]:<#9.4g}"
        if state.optimizer is not None:
            line += f"  rate {curves.learning_rate[-1]:.2e}"
        seconds = (time.perf_counter() - self.start) / (state.epoch - self.first)
        left = ceil(seconds * (self.last - state.epoch))
        print(f"{line}  at most {timedelta(seconds=left)} left")

    def end(self, reason: str) -> None:
        """Print why the fit ended before its last epoch, if it did."""
        if self.plan.verbose and reason:
            print(reason)


def train_lbfgs(
    state: State,
    objective: Objective,
    plan: Plan,
    before_epoch: Callable[[], Any] = lambda: None,
    after_epoch: Callable[[], bool] = lambda: False,
) -> None:
    """Minimise the objective by SciPy's L-BFGS; one iteration counts as an epoch.

    SciPy works in float64 whatever the type of the parameters.
    """
    theta = state.parameters.theta
    rows = slice(0, len(objective.rows))
    curves = state.curves
    report = _Reporter(state, plan, "iteration")
    reached = theta.copy()

    def value_and_gradient(x: Array) -> tuple[float, Array]:
        np.copyto(theta, x)
        loss = objective.differentiate(state.parameters, rows) / objective.rows.weight
        loss += objective.penalty(state.parameters)
        return loss, objective.gradient.theta.astype(np.float64)

    def after_iteration(intermediate_result: Any) -> None:
        loss = float(intermediate_result.fun)
        state.epoch += 1
        curves.loss.append(loss * plan.unit)
        state.best_loss = min(state.best_loss, loss)
        for point in (theta, reached):
            np.copyto(point, intermediate_result.x)
        report(state)
        before_epoch()  # SciPy does not say when an iteration begins
        if after_epoch():
            raise StopIteration

    result = None
    try:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"), objective.threads():
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
        _interrupted(state)
    np.copyto(theta, reached if result is None else result.x)
    state.samples += len(objective.rows) * state.epoch
    state.total_epochs += state.epoch
    if result is None:
        return
    report.end(f"L-BFGS-B ended: {result.message}")
    state.best_loss = min(state.best_loss, float(result.fun))  # where no iteration was made
    if not np.isfinite(result.fun) or not np.isfinite(theta).all():
        _diverged(state, plan)
    if result.status == 1:
        warnings.warn(
            f"lbfgs stopped after {state.epoch} iterations ({result.nfev} evaluations) of at"
            f" most max_iter={plan.max_iter} (max_fun={plan.max_fun}) before it converged:"
            " raise them, or scale the data.",
            ConvergenceWarning,
            stacklevel=2,
        )
