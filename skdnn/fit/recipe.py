"""What a fit does, in order: hold out, search, calibrate, refit.

:func:`fit_network` is that recipe. :class:`Recipe` has what it needs to know, every "auto"
resolved, and :class:`~skdnn.fit.problem.Problem` what it is applied to.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, fields, replace
from math import ceil, isfinite, log2
from numbers import Real
from typing import Any, Self

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs

from skdnn.core.initializers import FAMILY_OF, initialize
from skdnn.core.network import Parameters
from skdnn.core.optimizers import OPTIMIZERS, Factors, Optimizer
from skdnn.core.schedules import ENDS_AT_ZERO, SCHEDULES, Schedule, with_warmup
from skdnn.door import about
from skdnn.fit.holdout import how_many
from skdnn.fit.judge import Judge
from skdnn.fit.problem import Problem
from skdnn.fit.training import OF_SEARCH, End, Found, Plan, State, train, train_lbfgs
from skdnn.fit.watch import Run

DEEP = 8  # from so many layers on "fan_in" divides the rate by their number too
# Steps that n_iter_no_change="auto" grants a search past its best epoch, and at least so many
# epochs: of many rows an epoch is many steps, and where squared errors have a heavy tail one may
# be lucky. Half as many epochs again found the same best ones in 1.2 times the time.
MARGIN, MARGIN_EPOCHS = 50, 3
# What a refit takes more epochs by, where the best one was the last: a network that still
# got better then has more to gain, and it is cheaper to find that out in a short search.
# To have fallen by FALLING since half as many epochs is to get better: a loss that is flat
# at its best, as noise makes it, rises if training is stretched.
LONGER, FALLING = 1.75, 0.05
# A search and, if it is given less time than it would take, the refit after it share this out.
FOR_SEARCH = 0.4
SUREST = 3.0  # the factor up to which calibration undoes what smoothed targets hold back
LEAST_STEPS = 32  # that a call of partial_fit takes at least, where its batches have grown
MOST_NETWORKS = 25  # more of them hardly lower the error of their mean
# Many held-out rows tell a smaller fall from chance, if the loss never rose: RMSE 9.69 of 120,000
# rows with 64 of noise variance became 9.48. It is FALLING for as many as 4,000 rows hold out.
TOLD = FALLING * 800**0.5


BROKEN_OFF = (End.STOPPED, End.INTERRUPTED)


# ------------------------------------------------------------------ the recipe, on one page


def fit_network(recipe: Recipe, problem: Problem, run: Run, first: Found | None = None) -> Found:
    """Hold out rows, search on the others, refit on all, and calibrate.

    Where another network was refitted `first`, its search serves this one too.
    """
    if first is None or first.search is None:
        training, judge = problem.hold_out(recipe, run.seed)
        search, most = recipe.find(problem, training, judge, run)
        found = Found(search, training, most=most)
        if recipe.calibrate and judge is not None and np.isfinite(search.final().theta).all():
            with found.interruptible("its calibration"):
                found.factor = judge.factor(search.final())
        stretch = recipe.stretch_after(search, most, run)
        judge = None  # its rows are trained on
    else:
        search, most, stretch, found = first.search, first.most, first.stretch, replace(first)

    if stretch:
        refit = run.enter(recipe.start(problem, run.seed), "refit epoch", None, search)
        plan = recipe.again.repeating(search, most, stretch, run.clock.after(1.0))
        recipe.train(refit, problem, None, plan, None, run)
        if not refit.end:
            for name in OF_SEARCH:
                setattr(refit.curves, name, getattr(search.curves, name))
            found = Found(refit, None, search, found.factor, stretch, most=most)
        else:
            found.broken_off = refit.end

    if recipe.calibrate and found.state.end is not End.INTERRUPTED:
        with found.interruptible("its calibration"):
            found.intercepts = problem.intercepts(found)
    return found


def fit_networks(recipe: Recipe, problem: Problem, runs: list[Run], n_jobs: Any) -> list[Found]:
    """Fit every network; an interrupt ends them all, and keeps those found by then.

    Where the time is limited, none is begun that would take longer than is left, if it takes as
    long as those before it; of several, one that did not end in time is left out.
    """
    if len(runs) == 1:
        return [fit_network(recipe, problem, runs[0])]
    # Callbacks live in this process, and threads in one took 50 times as long as one.
    jobs = 1 if runs[0].watch is not None else effective_n_jobs(n_jobs)
    if jobs == 1:
        return _one_by_one(recipe, problem, runs)
    return _at_once(recipe, problem, runs, jobs)


def _one_by_one(recipe: Recipe, problem: Problem, runs: list[Run]) -> list[Found]:
    found: list[Found] = []
    takes = 0.0
    for run in runs:
        begin = time.monotonic()
        if takes > run.clock.left and found:
            break
        run.begin()
        one = fit_network(recipe, problem, run, found[0] if found else None)
        ends = run.end(one)
        if not _counts(one, found):
            break
        found.append(one)
        if ends or one.end is End.INTERRUPTED:
            break
        takes = time.monotonic() - begin
    return found


def _at_once(recipe: Recipe, problem: Problem, runs: list[Run], jobs: int) -> list[Found]:
    found: list[Found] = []
    takes, size = 0.0, jobs if runs[0].clock.is_limited else len(runs)
    if recipe.refit:  # its search serves all
        begin = time.monotonic()
        found, runs = [fit_network(recipe, problem, runs[0])], runs[1:]
        takes = time.monotonic() - begin
        if found[0].end is End.INTERRUPTED:
            return found
    for group in (runs[i : i + size] for i in range(0, len(runs), size)):
        begin, first = time.monotonic(), found[0] if recipe.refit else None
        if takes > group[0].clock.left and found:
            break
        calls = (delayed(fit_network)(recipe, problem, run, first) for run in group)
        try:
            for one in Parallel(jobs, return_as="generator")(calls):
                if _counts(one, found):
                    found.append(one)
        except KeyboardInterrupt:
            if not found:
                raise
            break
        takes = time.monotonic() - begin
    return found


def _counts(one: Found, found: list[Found]) -> bool:
    """Return whether a network is one to keep: the first, or one that was not cut short.

    One that was to be refitted by the search of the first has none of its own to fall back on.
    """
    if not found:
        return True
    return not one.is_cut and not (one.broken_off and one.search is not None)


# ------------------------------------------------------------------------ what it consists of


@dataclass(frozen=True)
class Recipe:
    """What a fit is to do, with nothing left to "auto", and what it did.

    Attributes
    ----------
    n_rows : int
        The rows of weight > 0.
    n_held_out : int
        How many of them each network is judged on in its search; 0 for none.
    solver : str
        "gd", "sgd", "adam" or "lbfgs".
    max_epochs : int
        The most epochs of the search, or iterations of "lbfgs".
    batch_size : int
        Rows in a mini-batch of the search; all of them is full-batch training.
    learning_rate : str
        The schedule's name.
    learning_rate_init : float
        The rate that it multiplies.
    precision : str
        The type that is trained in, "float32" or "float64".
    early_stopping : bool
        Whether the best epoch on held-out or given rows is kept.
    scoring : str
        What is best: "loss" for their loss, after calibration if there is one; "score" for
        the estimator's own score, or a scorer's name; "" without early stopping.
    calibrate, refit : bool
        Whether the search is followed by them.
    n_estimators : int
        How many networks are fitted.
    label_smoothing : float
        The share of a target that is not its class's own.
    seed : int or None
        What all that was drawn at random came from.
    best_epoch, n_epochs : list of int
        Of every network that was fitted: the epoch that was the best of the search, or its
        last, and those of the last stage.
    refitted : list of bool
        Whether the network was fitted again on all rows.
    stretch : list of float
        How many times as long that was than up to the best epoch; 0 without a refit.
    calibration : list of float
        The factor of the raw outputs; 1 leaves them as they are.
    intercepts : list of list of float
        What calibration adds to them after that, one for each output; [] without it.
    ended : list of str
        Why its last stage ended before its last epoch: "converged", "stopped" (by a
        callback), "interrupted", "diverged", or ""; "out of time" if any stage did.
    """

    n_rows: int
    n_held_out: int
    solver: str
    max_epochs: int
    batch_size: int
    learning_rate: str
    learning_rate_init: float
    precision: str
    early_stopping: bool
    scoring: str
    calibrate: bool
    refit: bool
    n_estimators: int
    label_smoothing: float = 0.0
    seed: int | None = None
    best_epoch: list[int] = field(default_factory=list)
    n_epochs: list[int] = field(default_factory=list)
    refitted: list[bool] = field(default_factory=list)
    stretch: list[float] = field(default_factory=list)
    calibration: list[float] = field(default_factory=list)
    intercepts: list[list[float]] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    # What a fit works with, and a file does not keep.
    settings: Any = field(default=None, repr=False, compare=False)
    search: Any = field(default=None, repr=False, compare=False)  # its Plan
    rounds: Any = field(default=(), repr=False, compare=False)  # the most epochs of each search
    again: Any = field(default=None, repr=False, compare=False)  # that of the refit

    @classmethod
    def of(
        cls,
        settings: Any,
        n: int,
        n_rows: int,
        n_spare: int,
        given: bool,
        dtype: Any,
        parts: tuple[int, int] | None = None,
    ) -> Self:
        """Return the recipe for n rows of the given type.

        Parameters
        ----------
        settings : Settings
            The estimator's parameters for these rows, as `parameters.resolve` returns them.
        n, n_rows, n_spare : int
            The number of rows, of those of weight > 0, and of those that may be held out.
        given : bool
            Whether the user has rows to validate on.
        dtype : dtype
            float32 or float64: what the rows came in.
        parts : tuple of int, optional
            How many of the rows to search on and to validate on, if the user has chosen them.

        Raises
        ------
        ValueError
            If there are too few rows to hold some out.
        """
        stops = settings.solver != "lbfgs" and settings.early_stopping
        if parts is None:
            n_held_out = how_many(settings, n_rows, n_spare) if stops and not given else 0
            left = n_rows - n_held_out if n_held_out else n
        else:
            left, n_held_out = parts
        rate = settings.learning_rate
        search = _plan(settings, left, n, keep_best=stops)
        rounds = _rounds(settings, search, n)
        return cls(
            n_rows=n_rows,
            n_held_out=n_held_out,
            solver=settings.solver,
            max_epochs=int(search.max_iter),
            batch_size=int(search.batch_size),
            learning_rate=_name_of(rate),
            learning_rate_init=float(settings.learning_rate_init),
            precision="float32" if settings.precision == "single" else np.dtype(dtype).name,
            early_stopping=bool(stops),
            scoring=_name_of(settings.scoring or "score") if stops else "",
            calibrate=bool(stops and getattr(settings, "calibrate", False)),
            refit=bool(n_held_out and settings.refit),
            n_estimators=_n_networks(settings),
            label_smoothing=_smoothing_of(settings),
            settings=settings,
            search=search,
            rounds=rounds,
            again=_plan(settings, n, n),
        )

    @classmethod
    def of_partial_fit(cls, settings: Any, n: int, n_rows: int, dtype: Any, seen: int = 0) -> Self:
        """Return the recipe of one epoch, at a rate that knows no horizon.

        What `seen` rows before these have been batches of, and more so these, suits them all.
        """
        recipe = cls.of(settings, n, n_rows, 0, False, dtype)
        m = recipe.batch_size
        if settings.batch_size == "sqrt" and m < n:
            m = max(m, equal_batches(n, min(batch_rows(seen + n), n // LEAST_STEPS)))
        constant = replace(
            recipe.search,
            batch_size=m,
            max_iter=1,
            schedule=SCHEDULES["constant"],
            n_iter_no_change=np.inf,
            warns=False,
        )
        falls = constant.slows or constant.power_t is not None
        name = recipe.learning_rate if falls else "constant"
        return replace(recipe, max_epochs=1, batch_size=m, learning_rate=name, search=constant)

    def random_states(self) -> list[int]:
        """Return what `random_state` is for each of several networks."""
        drawn = np.random.default_rng(self.seed).integers(2**31 - 1, size=self.n_estimators)
        return [int(state) for state in drawn]

    def seeds(self) -> list[int]:
        """Return the seed of each network: of its first weights, order and held-out rows."""
        if self.n_estimators == 1:
            return [self.seed or 0]
        return [
            int(np.random.RandomState(state).randint(2**31 - 1)) for state in self.random_states()
        ]

    def asdict(self) -> dict[str, Any]:
        """Return the fields as numbers, texts and lists.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skdnn import DNNClassifier
        >>> model = DNNClassifier(random_state=0).fit(*load_iris(return_X_y=True))
        >>> did = model.recipe_.asdict()
        >>> did["n_held_out"], did["batch_size"], did["precision"], did["refitted"]
        (30, 50, 'float32', [True])
        """
        told = {f.name: getattr(self, f.name) for f in fields(self) if f.repr}
        return {name: np.asarray(value).tolist() for name, value in told.items()}

    def after(self, found: list[Found]) -> Self:
        """Return the recipe with what was done."""
        return replace(
            self,
            best_epoch=[one.decided.best_epoch or one.decided.epoch for one in found],
            n_epochs=[one.state.epoch for one in found],
            refitted=[one.search is not None for one in found],
            stretch=[float(one.stretch) for one in found],
            calibration=[float(one.factor) for one in found],
            intercepts=[one.added() if self.calibrate else [] for one in found],
            ended=[(End.LATE if one.is_cut else one.end).value for one in found],
        )

    @property
    def most_factor(self) -> float:
        """The most that calibration may multiply raw outputs by."""
        return SUREST if self.settings.smoothing is not None else 1.0

    @property
    def most_epochs(self) -> int:
        """The most epochs of all stages of a network."""
        most = 1.0 + LONGER * (not self.settings.keeps_max_iter and self._by_loss)
        return sum(self.rounds) + ceil(most * self.max_epochs) * self.refit

    # What `fit_network` consists of

    def start(self, problem: Problem, seed: int) -> State:
        """Return the state to train from: of an earlier fit, or the first weights."""
        template = problem.network.parameters
        if problem.earlier is not None:
            state = problem.earlier.copy()
        else:
            theta = np.empty(len(template.theta), template.theta.dtype)
            state = State(template.like(theta), None, seed)
            self._initialize(state.parameters, problem.network.activations, seed)
        self.equip(state, template.theta.dtype)
        state.begin()
        return state

    def restore(self, kept: dict[str, Any], problem: Problem) -> State:
        """Return a state that was saved, to go on from in the same fit."""
        state = State.of_plain(kept, problem.network.parameters)
        self.equip(state, problem.network.parameters.theta.dtype)
        return state

    def equip(self, state: State, dtype: Any) -> None:
        """Give a state the type, the optimiser and the average that the recipe asks for.

        What was remembered is kept, and nothing is copied that need not be.
        """
        if state.parameters.theta.dtype != dtype:
            state.parameters = state.parameters.astype(dtype)
        theta = state.parameters.theta
        if not self.settings.average_decay:
            state.average = None
        elif state.average is None:
            state.average = theta.copy()
        else:
            state.average = state.average.astype(theta.dtype, copy=False)
        before = state.optimizer
        state.optimizer = self._optimizer(state.parameters)
        if state.optimizer is not None and type(before) is type(state.optimizer):
            assert before is not None
            state.optimizer.go_on(before.state, before.t)

    def find(
        self, problem: Problem, training: Any, judge: Judge | None, run: Run
    ) -> tuple[State, int]:
        """Search for the best epoch; return where, and of how many epochs the search was.

        While the loss still falls at the end, and longer searches are allowed, they are tried
        as long as each is better than the one before.
        """
        found, most = None, 0
        for epochs in self.rounds:
            until, begin = run.clock.after(FOR_SEARCH), time.monotonic()
            state = run.enter(self.start(problem, run.seed), "epoch", training)
            left = {"until": until, "has_fallback": found is not None}
            self.train(
                state, problem, training, replace(self.search, max_iter=epochs, **left), judge, run
            )
            run.seconds = max(time.monotonic() - begin, 1e-9) / max(state.epoch, 1)
            is_better = found is None or state.best_score > found.best_score
            if found is not None and (not is_better or state.end in (End.DIVERGED, End.LATE)):
                found.end = state.end if state.end in BROKEN_OFF else found.end
                break
            found, most = state, epochs
            in_time = 2.0 * epochs * run.seconds < FOR_SEARCH * run.clock.left
            if run.stages.complete:  # a refit has no best weights of its own
                after = run.stages.following
                in_time = after is not None and after.best_theta is not None
            if state.end or not self._falls(state) or not in_time:
                break
        assert found is not None
        return found, most

    def train(
        self,
        state: State,
        problem: Problem,
        numbers: Any,
        plan: Plan,
        judge: Judge | None,
        run: Run,
    ) -> None:
        """Train on the rows that `Problem.hold_out` returned, or on all."""
        objective = problem.objective(numbers, self.settings, plan)
        if self.solver == "lbfgs":
            train_lbfgs(state, objective, plan, run)
        else:
            train(state, objective, plan, judge, run)

    def stretch_after(self, search: State, most: int, run: Run) -> float:
        """Return how many times as long a refit is than up to the best epoch; 0 for none.

        `most` is of how many epochs the search was. A max_iter that the user gave is kept to,
        and so is the time: where there is none for a refit, the search is what it cut.
        """
        best = search.best_epoch
        if not self.refit or not best or search.end in BROKEN_OFF:
            return 0.0
        if run.stages.complete and run.clock.is_limited:
            after = run.stages.following
            return 0.0 if after is None else after.epoch / best
        takes = best * run.seconds * self.n_rows / self._n_searched
        longest = run.clock.left / takes if run.clock.is_limited else np.inf
        if self.settings.keeps_max_iter:
            allowed = max(self.max_epochs / best, 1.0) if len(self.rounds) > 1 else 1.0
            longest = min(longest, allowed)
        longer = 1.0 + LONGER * best / most if self._falls(search) else 1.0
        if longest < 1.0:
            search.end = End.LATE
            return 0.0
        return float(min(longer, longest))

    @property
    def _n_searched(self) -> int:
        """How many rows the search trains on."""
        return max(self.n_rows - self.n_held_out, 1)

    def _falls(self, search: State) -> bool:
        """Return whether the loss of the held-out rows still fell at the best epoch.

        The scores are minus it.
        """
        if not self._by_loss or not search.best_epoch:
            return False
        losses, best = [-score for score in search.scores()], search.best_epoch
        least = FALLING
        if not search.end and self.n_held_out:
            least = min(FALLING, TOLD / self.n_held_out**0.5)
        return losses[best - 1] <= (1.0 - least) * losses[max(best // 2, 1) - 1]

    @property
    def _by_loss(self) -> bool:
        return self.scoring == "loss"

    def _initialize(self, parameters: Parameters, activations: tuple[str, ...], seed: int) -> None:
        names = [self.settings.initializer] * (len(parameters.sizes) - 1)
        families = [FAMILY_OF.get(name, "glorot") for name in activations]
        if self.settings.initializer == "auto":
            names = [f"{family}_uniform" for family in [*families, "glorot"]]
        elif self.settings.initializer == "spread":
            # LeCun's variance halves what goes through a layer of relu: two do no harm, 16 do.
            deep = [f"spread_{family}" if family == "he" else "spread" for family in families[2:]]
            names = [*names[:2], *deep, "spread"][: len(names)]
        initialize(parameters, names, np.random.default_rng(seed), self.settings.fan_in)

    def _optimizer(self, parameters: Parameters) -> Optimizer | None:
        if self.solver == "lbfgs":
            return None
        n, dtype, of = len(parameters.theta), parameters.theta.dtype, self.settings
        factors = None
        if of.layer_rates == "fan_in":
            factors = np.full(n, min(1.0, DEEP / (len(parameters.sizes) - 1)), dtype)
            fans = (of.fan_in, *parameters.sizes[1:-1])
            for W, n_in in zip(parameters.like(factors).W[1:], fans, strict=True):
                W /= n_in**0.5
        scales = None
        if getattr(of, "column_rate", 0.0):
            columns, numbers = np.unique(of.sources, return_inverse=True)
            scales = Factors(numbers, len(columns), parameters.sizes[1], of.column_rate)
        options: dict[str, tuple[Any, ...]] = {
            "adam": (of.beta_1, of.beta_2, of.epsilon, scales),
            "sgd": (of.momentum, of.nesterovs_momentum),
        }
        return OPTIMIZERS[self.solver](n, dtype, factors, *options.get(self.solver, ()))


def _name_of(value: Any) -> str:
    return value if isinstance(value, str) else getattr(value, "__name__", repr(value))


def _smoothing_of(settings: Any) -> float:
    if settings.smoothing is not None:
        return float(settings.smoothing[0])
    own = getattr(settings, "label_smoothing", 0.0)
    return 0.0 if isinstance(own, str) else float(own)


def _numeric(schedule: Schedule) -> Schedule:
    """Return the user's schedule, which has to return a finite number."""

    def checked(p: float) -> float:
        with about("learning_rate"):
            factor = schedule(p)
            if isinstance(factor, Real) and isfinite(factor):
                return float(factor)
        raise ValueError(
            "The 'learning_rate' parameter must be a function that returns a finite number"
            f" for every progress in [0, 1]; for {p:.3g} it returned {factor!r}."
        )

    return checked


def batch_rows(n: int) -> int:
    """Return the size of equal mini-batches of at most 64 or about sqrt(n) rows."""
    return equal_batches(n, max(64, 2 ** round(log2(n) / 2)))


def equal_batches(n: int, most: int) -> int:
    """Return the size of equal mini-batches of at most so many rows, and at least 1."""
    return ceil(n / ceil(n / max(most, 1)))


def n_epochs(n: int, batch_size: int | None = None) -> int:
    """Return the epochs of 3,000 steps, from 16 up to 60 epochs or 750 steps.

    The batches are those of `batch_rows` by default. A full batch has 200: Adam, near a perfect
    fit, blows up what was rounded differently.
    """
    steps = ceil(n / (batch_size or batch_rows(n)))
    return 200 if steps == 1 else min(max(ceil(3000 / steps), 16), max(60, ceil(750 / steps)))


def _n_networks(settings: Any) -> int:
    """Return how many networks to fit, if there is time for them."""
    least = 1 if settings.time_limit is None else MOST_NETWORKS
    return max(int(settings.n_estimators), least)


def _rounds(settings: Any, search: Plan, n: int) -> tuple[int, ...]:
    """Return the most epochs of each search: of one, or twice as many each time.

    At a slower pace of the schedule the rate is high for longer, and the loss of the held-out
    rows may be least long before it falls; so a `max_iter` above that of "auto" is come to by
    searches that follow the whole schedule.
    """
    most, first = search.max_iter, n_epochs(n)
    by_itself = search.margin is not None and not search.warns and settings.scoring == "loss"
    if not by_itself or not settings.keeps_max_iter or most <= first:
        return (most,)
    doubled = [first * 2**i for i in range(ceil(log2(most / first)))]
    return (*doubled, most)


def _plan(settings: Any, n: int, of: int, keep_best: bool = False) -> Plan:
    """Return how to train on n rows out of `of`."""
    schedule, batch_size = settings.learning_rate, settings.batch_size
    if isinstance(batch_size, str):
        batch_size = min(200, n) if batch_size == "auto" else min(n, batch_rows(of))
    # A schedule that ends at 0 has converged when it is through.
    warns = callable(schedule) or schedule not in ENDS_AT_ZERO
    adaptive = schedule == "adaptive"
    patience, margin = settings.n_iter_no_change, None
    if patience == "auto":
        patience = 10 if adaptive or (warns and not keep_best) else np.inf
        if keep_best and not adaptive:
            margin = max(ceil(MARGIN * batch_size / n), MARGIN_EPOCHS)
    return Plan(
        max_iter=settings.max_iter,
        batch_size=n if settings.solver in ("gd", "lbfgs") else min(batch_size, n),
        shuffle=settings.shuffle,
        rate=settings.learning_rate_init,
        schedule=with_warmup(
            _numeric(schedule) if callable(schedule) else SCHEDULES[schedule], settings.warmup
        ),
        adaptive=adaptive,
        power_t=settings.power_t if schedule == "invscaling" else None,
        slows=schedule == "inverse_sqrt",
        tol=settings.tol,
        n_iter_no_change=patience,
        margin=margin,
        weight_decay=settings.weight_decay,
        clip_norm=settings.clip_norm,
        average_decay=settings.average_decay,
        average_grows=settings.average_grows,
        keep_best=keep_best,
        warns=warns,
        max_fun=settings.max_fun,
        verbose=bool(settings.verbose),
    )
