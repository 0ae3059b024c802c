"""Training: the objective, its gradient over mini-batches, and the loop of epochs.

What evolves in a fit stands in one object, :class:`State`; what is fixed in another,
:class:`Plan`. `train` and `train_lbfgs` take both and leave the final weights in the
state. Randomness comes from generators keyed by (seed, epoch), so that a fit can go on
from a state wherever it was left.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from math import ceil
from typing import Any

import numpy as np
import scipy.optimize
from scipy.linalg import get_blas_funcs
from scipy.sparse import issparse
from sklearn.exceptions import ConvergenceWarning

from skdnn._optimizers import Optimizer
from skdnn._schedules import Schedule
from skdnn._threads import one_thread_if_small
from skdnn.activations import Activation, Array
from skdnn.losses import Loss
from skdnn.network import Parameters, Pass, Workspace, backward, forward

# A pass over more rows than this is made in parts, whose gradients add up: the arrays of
# a part stay in the cache, and memory does not grow with the batch.
CHUNK = 1024

# Small batches are gathered, and their losses summed, as many at a time as fit in so many
# bytes, half of a second-level cache, and at most so many.
BLOCK = 1 << 19
MOST_BATCHES = 16


class Rows:
    """Training rows as the network reads them.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n, n[0])
        Inputs.
    Y : ndarray of shape (n, m), or int ndarray of shape (n,)
        Targets; integers are labels and stand for rows of `table`.
    w : ndarray of shape (n,) or None
        Sample weights.
    table : ndarray of shape (m, m), optional
        Row y is the target of label y: one-hot, or smoothed.
    """

    def __init__(self, X: Any, Y: Array, w: Array | None, table: Array | None = None) -> None:
        self.X, self.Y, self.w, self.table = X, Y, w, table
        self.weight = float(len(Y) if w is None else np.sum(w, dtype=np.float64))
        self._X1: Array | None = None  # [1 X], the input with the ones that the core needs
        self._labels = Y  # where `take` puts those whose targets are in Y
        self._gathered: dict[int, Rows] = {}
        self._columns: dict[tuple[int, int], tuple[Array, Array, Array | None]] = {}

    def __len__(self) -> int:
        return len(self.Y)

    def load(self, at: Pass, rows: slice) -> tuple[Array, Array | None]:
        """Make the samples `rows` A[0] of a pass and return their Y and w."""
        where = rows.start, rows.stop
        if where in self._columns:
            at.A1[0], Y, w = self._columns[where]
            return Y, w
        Y, w = self.targets(rows), None if self.w is None else self.w[rows]
        if self._X1 is None:
            at.read(self.X[rows])
            return Y, w
        at.A1[0] = self._X1[rows].T
        if self.table is None:  # to make these views anew costs 1 us
            self._columns[where] = at.A1[0], Y, w
        return Y, w

    def targets(self, rows: slice = slice(None)) -> Array:
        """Return Y of the given rows, samples in columns."""
        Y = self.Y[rows]
        return (Y if self.table is None else np.take(self.table, Y, axis=0)).T

    def part(self, rows: slice) -> Rows:
        """Return the given rows, as views."""
        w = None if self.w is None else self.w[rows]
        part = Rows(self.X[rows], self.Y[rows], w, self.table)
        part._X1 = None if self._X1 is None else self._X1[rows]
        part._labels = self._labels[rows]
        return part

    def take(self, order: Array) -> Rows:
        """Return the given rows, gathered into memory that the next call uses again."""
        if issparse(self.X):
            return Rows(
                self.X[order], self.Y[order], None if self.w is None else self.w[order], self.table
            )
        if len(order) not in self._gathered:
            self._gathered[len(order)] = self._room(len(order))
        room = self._gathered[len(order)]
        # mode="clip" writes straight to `out`; the default goes through a buffer.
        np.take(self._X1, order, axis=0, out=room._X1, mode="clip")
        np.take(self.Y, order, axis=0, out=room._labels, mode="clip")
        if self.table is not None:
            np.take(self.table, room._labels, axis=0, out=room.Y, mode="clip")
        if self.w is not None:
            np.take(self.w, order, axis=0, out=room.w, mode="clip")
        return room

    def _room(self, n: int) -> Rows:
        """Return memory for n rows with their ones; fewer have a part of it."""
        if self._gathered:
            return self._gathered[max(self._gathered)].part(slice(0, n))
        # A copy of X with the ones, to gather from. To gather first and then copy the batch
        # beside ones took 1.08 times as long for 20-32-3 (25 pairs, 0.90 to 1.20), 1.02 for
        # 107-100-1 in float32, and 1.00 for wider networks.
        self._X1 = np.empty((len(self), 1 + self.X.shape[1]), self.X.dtype)
        self._X1[:, 0] = 1.0
        self._X1[:, 1:] = self.X
        X1 = np.empty_like(self._X1[:n])
        labels = np.empty_like(self.Y[:n])
        Y = labels if self.table is None else np.empty((n, len(self.table)), self.table.dtype)
        room = Rows(X1[:, 1:], Y, None if self.w is None else np.zeros_like(self.w[:n]))
        room._X1, room._labels = X1, labels
        return room


class Objective:
    """J = (sum of w_k L(o_k, y_k) + alpha / 2 |W|^2) / (total weight), on given rows.

    Parameters
    ----------
    rows : Rows
        The samples.
    parameters : Parameters
        Gives the sizes and the type.
    g : sequence of Activation
        The hidden layers' activations; index 0 is unused.
    loss : Loss
        The loss and output activation.
    alpha : float
        Strength of the L2 term.
    batch_size : int
        The largest batch that will be asked for.
    dropout : sequence of float
        The share dropped of every hidden layer, or ().
    """

    def __init__(
        self,
        rows: Rows,
        parameters: Parameters,
        g: list[Activation | None],
        loss: Loss,
        alpha: float,
        batch_size: int,
        dropout: tuple[float, ...] = (),
    ) -> None:
        self.rows, self.loss, self.alpha, self.batch_size = rows, loss, alpha, batch_size
        self.dropout = any(dropout)
        theta, sizes = parameters.theta, parameters.sizes
        self.dtype = theta.dtype
        N = min(max(batch_size, 1), CHUNK)
        row = (1 + sizes[0] + 6 * sizes[-1]) * theta.itemsize
        batches = min(MOST_BATCHES, BLOCK // (row * N), -(-len(rows) // N))
        self.block = batch_size * max(batches, 1) if N == batch_size else batch_size
        self.workspace = Workspace(
            sizes,
            g,
            N,
            theta.dtype,
            dropout=dropout if self.dropout else (),
            outputs=N * max(batches, 1) if N == batch_size else N,
        )
        self.gradient = parameters.like(np.empty_like(theta))
        self._part: Parameters | None = None
        self.axpy = get_blas_funcs("axpy", dtype=theta.dtype)
        self._cut: dict[tuple[int, int, bool], list[tuple[Pass, slice]]] = {}

    def threads(self) -> AbstractContextManager[None]:
        """Return the context to train in: BLAS on one thread, where that is as fast."""
        return one_thread_if_small(self.workspace.sizes, self.workspace.N)

    def penalty(self, parameters: Parameters) -> float:
        """Return the L2 term, alpha / (2 W) |weights|^2."""
        square = sum(float(np.vdot(W, W)) for W in parameters.weights)
        return 0.5 * self.alpha * square / self.rows.weight

    def value(self, parameters: Parameters) -> float:
        """Return J at the given parameters, without dropout."""
        total, n = 0.0, len(self.rows)
        workspace = self._judging()
        for start in range(0, n, workspace.N):
            part = slice(start, min(start + workspace.N, n))
            at = workspace.over(part.stop - start)
            Y, w = self.rows.load(at, part)
            forward(parameters, at, self.loss)
            total += self.loss.value(at.Z[at.L], at.A[at.L], Y, w, at.work)
        return total / self.rows.weight + self.penalty(parameters)

    def _judging(self) -> Workspace:
        """Return the arrays to find J with: without dropout, and with room for many rows.

        Short rows by the half megabyte, not the batch, took half of the time for 20-32-3.
        """
        sizes, g, N, dtype = self.workspace.sizes, self.workspace.g, self.workspace.N, self.dtype
        row = (1 + sizes[0] + 2 * (1 + max(sizes)) + 6 * sizes[-1]) * dtype.itemsize
        most = min(BLOCK // row, CHUNK)
        if most <= N and not self.dropout:
            return self.workspace
        return Workspace(sizes, g, max(most, N), dtype, backward=False)

    def epoch(
        self,
        parameters: Parameters,
        order: Array | None,
        rng: np.random.Generator,
        step: Callable[[int], None],
    ) -> float:
        """Go once through the rows in the given order, and return sum w_k L_k.

        Rows are gathered, and their losses summed, for several small batches at once.
        `step` is called with the number of each batch when its gradient is ready.
        """
        n, m = len(self.rows), self.batch_size
        total, i = 0.0, 0
        keeps_outputs = m <= CHUNK
        for first in range(0, n, self.block):
            block = slice(first, min(first + self.block, n))
            rows = self.rows.part(block) if order is None else self.rows.take(order[block])
            for start in range(0, len(rows), m):
                batch = slice(start, min(start + m, len(rows)))
                total += self.differentiate(parameters, batch, rng, rows, keeps_outputs)
                step(i)
                i += 1
            if keeps_outputs:
                Z, A = self.workspace.outputs[:, :, : len(rows)]
                work = self.workspace.work[:, :, : len(rows)]
                total += self.loss.value(Z, A, rows.targets(), rows.w, work)
        return total

    def differentiate(
        self,
        parameters: Parameters,
        batch: slice,
        rng: np.random.Generator | None = None,
        rows: Rows | None = None,
        keeps_outputs: bool = False,
    ) -> float:
        """Write the gradient of J on a batch to `gradient` and return sum w_k L_k.

        The batch B stands for all n rows: its losses are divided by W |B| / n. It is a
        batch of `rows`, by default all; with `keeps_outputs` the loss is not summed yet.
        """
        rows = self.rows if rows is None else rows
        N = self.rows.weight * (batch.stop - batch.start) / len(self.rows)
        total, target = 0.0, self.gradient
        for at, part in self._parts(batch.start, batch.stop, keeps_outputs):
            Y, w = rows.load(at, part)
            if self.dropout and rng is not None:
                draw_dropout(at, rng)
            forward(parameters, at, self.loss)
            if not keeps_outputs:
                total += self.loss.value(at.Z[at.L], at.A[at.L], Y, w, at.work)
            self.loss.gradient(at.A[at.L], Y, w, N, out=at.dZ[at.L])
            backward(parameters, at, target)
            if target is not self.gradient:
                self.gradient.theta += target.theta
            elif batch.stop - batch.start > CHUNK:
                target = self._second_gradient()
        if self.alpha:
            a = self.alpha / self.rows.weight
            for W, dW in zip(parameters.weights, self.gradient.weights, strict=True):
                self.axpy(W, dW, a=a)
        return total

    def _parts(
        self, start: int, stop: int, keeps_outputs: bool = False
    ) -> list[tuple[Pass, slice]]:
        """Cut a batch into parts of at most the workspace's size, with their arrays."""
        key = start, stop, keeps_outputs
        if key not in self._cut:
            m = self.workspace.N
            cuts = [slice(i, min(i + m, stop)) for i in range(start, stop, m)]
            self._cut[key] = [
                (self.workspace.over(cut.stop - cut.start, cut.start if keeps_outputs else 0), cut)
                for cut in cuts
            ]
        return self._cut[key]

    def _second_gradient(self) -> Parameters:
        if self._part is None:
            self._part = self.gradient.like(np.empty_like(self.gradient.theta))
        return self._part


def draw_dropout(at: Pass, rng: np.random.Generator | None) -> None:
    """Fill the D[l] of a pass: 0 with the layer's rate and 1 / keep[l] otherwise."""
    assert rng is not None
    for d, keep in zip(at.D, at.keep, strict=False):
        if d is not None:
            # 16 random bits a unit decide, which costs a quarter of a float each; the
            # rate is met to 1 in 65,536.
            draws = rng.integers(0, 1 << 16, d.shape, dtype=np.uint16)
            np.less(draws, round(keep * (1 << 16)), out=d)
            d *= 1.0 / keep


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


class HeldOut:
    """The loss of held-out rows: as it is, and at the best scale of the raw outputs.

    A network may grow too sure of itself long before it makes more errors. To stop by
    the loss after calibration and to calibrate at the end is "Refine, then calibrate" of
    Berta, Holzmüller, Jordan and Bach (2025).

    Parameters
    ----------
    rows : Rows
        The held-out rows.
    loss : Loss
        The loss.
    raw_outputs : callable
        Returns Z[L]^T of the rows at given parameters.
    """

    def __init__(self, rows: Rows, loss: Loss, raw_outputs: Callable[[Parameters], Array]) -> None:
        Y = rows.Y if rows.table is None else rows.table[rows.Y]
        self.Y, self.w, self.weight = np.ascontiguousarray(Y.T), rows.w, rows.weight
        self.output, self.raw_outputs = loss, raw_outputs
        self.A, self.dZ = np.empty_like(self.Y), np.empty_like(self.Y)
        self.work = np.empty((2, *self.Y.shape), self.Y.dtype)

    def loss(self, parameters: Parameters) -> float:
        """Return the mean loss."""
        self.Z = np.ascontiguousarray(self.raw_outputs(parameters).T)
        return self._loss_at(1.0)

    def score(self, parameters: Parameters, loss: float) -> float:
        """Return minus the least mean loss over factors of the raw outputs just computed."""
        return -self._loss_at(self.factor()) if np.isfinite(loss) else np.nan

    def factor(self) -> float:
        """Return the factor, from 0.1 to 1, that minimises the loss, which is convex in it.

        Larger ones would make the network surer than it has shown itself to be.
        """
        least, most = 0.1, 1.0
        if self._slope_at(most) <= 0.0:
            return most
        if self._slope_at(least) >= 0.0:
            return least
        return float(scipy.optimize.brentq(self._slope_at, least, most, xtol=0.005))

    def _loss_at(self, factor: float) -> float:
        Z = self.Z * factor
        self.output.output(Z, self.A, self.work)
        return self.output.value(Z, self.A, self.Y, self.w, self.work) / self.weight

    def _slope_at(self, factor: float) -> float:
        self.output.output(self.Z * factor, self.A, self.work)
        self.output.gradient(self.A, self.Y, self.w, self.weight, out=self.dZ)
        return float(np.vdot(self.dZ, self.Z))


def sharpened(parameters: Parameters, factor: float) -> Parameters:
    """Return a copy whose raw outputs are `factor` times those of `parameters`."""
    new = parameters.like(parameters.theta.copy())
    new.W[-1] *= factor
    new.b[-1] *= factor
    return new


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
