"""What the parameters of the estimators may be, what "auto" stands for, and what they make."""

from __future__ import annotations

import warnings
from abc import ABCMeta, abstractmethod
from collections.abc import Callable
from inspect import signature
from math import ceil, log2
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.metrics import get_scorer_names
from sklearn.utils._param_validation import (
    Interval,
    InvalidParameterError,
    Options,
    StrOptions,
)

from skdnn._initializers import FAMILY_OF, INITIALIZERS, initialize
from skdnn._optimizers import Adam, GradientDescent, Momentum, Optimizer
from skdnn._scaling import SCALERS
from skdnn._schedules import SCHEDULES, with_warmup
from skdnn._training import Plan
from skdnn.activations import ACTIVATIONS
from skdnn.network import Parameters

# The network of the paper with nothing added, at the incumbent's default values.
PLAIN: dict[str, Any] = {
    "hidden_layer_sizes": (100,),
    "activation": "relu",
    "solver": "adam",
    "alpha": 0.0001,
    "batch_size": "auto",
    "learning_rate": "constant",
    "learning_rate_init": 0.001,
    "max_iter": 200,
    "early_stopping": False,
    "beta_1": 0.9,
    "beta_2": 0.999,
    "epsilon": 1e-8,
    "n_iter_no_change": 10,
    "validation_fraction": 0.1,
    "initializer": "glorot_uniform",
    "layer_rates": None,
    "dropout": 0.0,
    "weight_decay": 0.0,
    "clip_norm": None,
    "average_decay": 0.0,
    "warmup": 0.0,
    "scoring": None,
    "refit": False,
    "scale_inputs": None,
    "n_estimators": 1,
    "precision": None,
}

# What the value "auto" of a parameter stands for, given the solver and the number of rows.
# Noise, held-out rows and schedules are for solvers that take mini-batches, and so few
# rows as HELD_OUT_FROM cannot spare any.
STOCHASTIC = ("sgd", "adam")
HELD_OUT_FROM = 64
AUTO: dict[str, Callable[[str, int], Any]] = {
    "learning_rate": lambda solver, n: "cosine" if solver in STOCHASTIC else "constant",
    "layer_rates": lambda solver, n: "fan_in" if solver == "adam" else None,
    "max_iter": lambda solver, n: n_epochs(n) if solver in STOCHASTIC else 200,
    "early_stopping": lambda solver, n: solver in STOCHASTIC and n >= HELD_OUT_FROM,
    "scoring": lambda solver, n: "loss",
    "refit": lambda solver, n: solver in STOCHASTIC,
    "calibrate": lambda solver, n: solver in STOCHASTIC,
    "weight_decay": lambda solver, n: 0.02 if solver in STOCHASTIC else 0.0,
    "average_decay": lambda solver, n: 0.99 if solver in STOCHASTIC else 0.0,
    "precision": lambda solver, n: (
        "single" if solver in STOCHASTIC and n >= HELD_OUT_FROM else None
    ),
}

# What a solver cannot use must keep the value that changes nothing. The incumbent's own
# parameters are exempt: its users' grids name them beside solvers that ignore them.
NEUTRAL: dict[str, Any] = {
    "dropout": 0.0,
    "weight_decay": 0.0,
    "clip_norm": None,
    "average_decay": 0.0,
    "warmup": 0.0,
    "refit": False,
    "calibrate": False,
    "scoring": None,
}
# lbfgs has no learning rate: of these its users' grids may name any, as with scikit-learn.
RATES_OF_OLD = ("constant", "invscaling", "adaptive")

MARGIN = 50  # steps that n_iter_no_change="auto" grants beyond its share
# What a refit takes more epochs by, where the best one was the last: a network that still
# got better then has more to gain, and it is cheaper to find that out in a short search.
# To have fallen by FALLING since half as many epochs is to get better: a loss that is flat
# at its best, as noise makes it, rises if training is stretched.
LONGER, FALLING = 1.75, 0.05


def batch_rows(n: int) -> int:
    """Return the size of equal mini-batches of at most 64 or about sqrt(n) rows."""
    most = max(64, 2 ** round(log2(n) / 2))
    return ceil(n / ceil(n / most))


def n_epochs(n: int) -> int:
    """Return the epochs of 3,000 steps, from 16 up to 60 epochs or 750 steps.

    A full batch has 200: Adam, near a perfect fit, blows up what was rounded differently.
    """
    steps = ceil(n / batch_rows(n))
    return 200 if steps == 1 else min(max(ceil(3000 / steps), 16), max(60, ceil(750 / steps)))


class Settings(BaseEstimator, metaclass=ABCMeta):
    """The parameters of an estimator, and what they say for a given number of rows."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(ACTIVATIONS)), list, tuple],
        "solver": [StrOptions({"gd", "sgd", "adam", "lbfgs"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto", "sqrt"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"auto", *SCHEDULES}), callable],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean", StrOptions({"auto"})],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
            Options(Real, {np.inf}),
        ],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "initializer": [StrOptions({"auto", *INITIALIZERS})],
        "layer_rates": [None, StrOptions({"auto", "fan_in"})],
        "dropout": [Interval(Real, 0, 1, closed="left"), "array-like"],
        "weight_decay": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "clip_norm": [None, Interval(Real, 0, None, closed="neither")],
        "average_decay": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="left")],
        "warmup": [Interval(Real, 0, 1, closed="left")],
        "scoring": [None, StrOptions({"auto", "loss", *get_scorer_names()}), callable],
        "refit": ["boolean", StrOptions({"auto"})],
        "scale_inputs": [None, StrOptions(set(SCALERS))],
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "precision": [None, StrOptions({"auto", "single"})],
    }

    @abstractmethod
    def __init__(
        self,
        hidden_layer_sizes: Any,
        activation: Any,
        *,
        solver: str,
        alpha: float,
        batch_size: int | str,
        learning_rate: Any,
        learning_rate_init: float,
        power_t: float,
        max_iter: int | str,
        shuffle: bool,
        random_state: Any,
        tol: float,
        verbose: bool | int,
        warm_start: bool,
        momentum: float,
        nesterovs_momentum: bool,
        early_stopping: bool | str,
        validation_fraction: float,
        beta_1: float,
        beta_2: float,
        epsilon: float,
        n_iter_no_change: float | str,
        max_fun: int,
        initializer: str,
        layer_rates: str | None,
        dropout: Any,
        weight_decay: float | str,
        clip_norm: float | None,
        average_decay: float | str,
        warmup: float,
        scoring: Any,
        refit: bool | str,
        scale_inputs: str | None,
        n_estimators: int,
        precision: str | None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.initializer = initializer
        self.layer_rates = layer_rates
        self.dropout = dropout
        self.weight_decay = weight_decay
        self.clip_norm = clip_norm
        self.average_decay = average_decay
        self.warmup = warmup
        self.scoring = scoring
        self.refit = refit
        self.scale_inputs = scale_inputs
        self.n_estimators = n_estimators
        self.precision = precision

    @classmethod
    def plain(cls, **params: Any) -> Self:
        """Return an estimator that is the network of the paper with nothing added.

        No scaling, a constant learning rate, no noise, no held-out rows, and the default
        values of scikit-learn's MLP, whatever this class's own defaults are.

        Parameters
        ----------
        **params
            Any parameters of the constructor; they take precedence.

        Returns
        -------
        estimator

        Examples
        --------
        >>> from skdnn import DNNClassifier
        >>> DNNClassifier.plain(solver="gd").learning_rate
        'constant'
        """
        return cls(**{**cls._plain(), **params})

    @classmethod
    def _plain(cls) -> dict[str, Any]:
        return PLAIN

    def _value(self, name: str, n: int = 0) -> Any:
        """Return a parameter's value for n rows, whether given or left to "auto"."""
        value = getattr(self, name)
        return AUTO[name](self.solver, n) if isinstance(value, str) and value == "auto" else value

    def _may_stretch(self) -> bool:
        """Return whether a refit may be longer; a max_iter that the user gave is kept to."""
        return self.max_iter == "auto" and self._value("scoring") == "loss"

    def _stretch(self, losses: list[float], max_iter: int) -> float:
        """Return how many times as long a refit is than up to the last of the losses.

        These are the held-out rows', up to the best.
        """
        best = len(losses)
        falls = losses[-1] <= (1.0 - FALLING) * losses[max(best // 2, 1) - 1]
        return 1.0 + LONGER * best / max_iter if falls and self._may_stretch() else 1.0

    def _check_parameters(self, X_val: Any = None, y_val: Any = None) -> None:
        """Refuse what `_parameter_constraints` cannot express."""
        self._hidden_sizes()
        self._activation_names()
        self._dropout_rates()
        if self.warm_start and self.n_estimators > 1:
            raise ValueError(
                "warm_start must be False for n_estimators > 1."
                f" Got n_estimators={self.n_estimators!r}."
            )
        if (X_val is None) != (y_val is None):
            missing = "y_val" if y_val is None else "X_val"
            raise ValueError(f"X_val and y_val must be given together; {missing} is None.")
        if self.solver == "lbfgs":
            for name, neutral in NEUTRAL.items():
                value = getattr(self, name, neutral)
                if not np.array_equal(value, neutral) and not np.array_equal(value, "auto"):
                    raise InvalidParameterError(
                        f"The {name!r} parameter must be {neutral!r} for solver='lbfgs',"
                        f" which cannot use it. Got {value!r} instead."
                    )
            default = signature(type(self)).parameters["learning_rate"].default
            if self.learning_rate not in (*RATES_OF_OLD, default):
                raise InvalidParameterError(
                    f"The 'learning_rate' parameter must be one of {RATES_OF_OLD} for"
                    " solver='lbfgs', which has no learning rate and ignores them. Got"
                    f" {self.learning_rate!r} instead."
                )
            if X_val is not None:
                raise ValueError("X_val must be None for solver='lbfgs', which does not validate.")

    def _invalid(self, name: str, rule: str) -> InvalidParameterError:
        return InvalidParameterError(
            f"The {name!r} parameter of {type(self).__name__} must be {rule}."
            f" Got {getattr(self, name)!r} instead."
        )

    def _hidden_sizes(self) -> tuple[int, ...]:
        sizes = self.hidden_layer_sizes
        sizes = [sizes] if isinstance(sizes, Integral) else list(sizes)
        if not all(isinstance(n, Integral) and not isinstance(n, bool) and n >= 1 for n in sizes):
            raise self._invalid("hidden_layer_sizes", "an int >= 1 or a sequence of ints >= 1")
        return tuple(int(n) for n in sizes)

    def _activation_names(self) -> tuple[str, ...]:
        n_hidden = len(self._hidden_sizes())
        names = self.activation
        if isinstance(names, str):
            return (names,) * n_hidden
        if len(names) != n_hidden or not all(name in ACTIVATIONS for name in names):
            raise self._invalid(
                "activation",
                f"one of {sorted(ACTIVATIONS)}, or a sequence of them with one for each of"
                f" the {n_hidden} hidden layers",
            )
        return tuple(names)

    def _dropout_rates(self) -> tuple[float, ...]:
        n_hidden = len(self._hidden_sizes())
        rates = self.dropout
        if isinstance(rates, Real):
            return (float(rates),) * n_hidden
        if len(rates) != n_hidden or not all(isinstance(p, Real) and 0 <= p < 1 for p in rates):
            raise self._invalid(
                "dropout",
                "a rate in [0, 1), or a sequence of rates with one for each of the"
                f" {n_hidden} hidden layers",
            )
        return tuple(float(rate) for rate in rates)

    def _unit(self) -> float:
        """Return what one unit of the loss is in the user's units."""
        return 1.0

    def _initialize(self, parameters: Parameters) -> None:
        if self.initializer == "auto":
            hidden = [FAMILY_OF.get(name, "glorot") for name in self._activation_names()]
            names = [f"{family}_uniform" for family in [*hidden, "glorot"]]
        else:
            names = [self.initializer] * (len(parameters.sizes) - 1)
        initialize(parameters, names, np.random.default_rng(self._seed))

    def _make_optimizer(self, parameters: Parameters) -> Optimizer:
        n, dtype = len(parameters.theta), parameters.theta.dtype
        factors = None
        if self._value("layer_rates") == "fan_in":
            factors = np.ones(n, dtype)
            for W in parameters.like(factors).W[1:]:
                W /= W.shape[1] ** 0.5
        if self.solver == "adam":
            return Adam(n, dtype, factors, self.beta_1, self.beta_2, self.epsilon)
        if self.solver == "sgd":
            return Momentum(n, dtype, factors, self.momentum, self.nesterovs_momentum)
        return GradientDescent(n, dtype, factors)

    def _make_plan(self, n: int, early_stopping: bool = False, of: int = 0) -> Plan:
        """Return how to train on n rows, with what "auto" means for `of` rows (or n)."""
        of = of or n
        schedule = self._value("learning_rate")
        batch_size = self.batch_size
        if isinstance(batch_size, str):
            batch_size = min(200, n) if batch_size == "auto" else min(n, batch_rows(of))
        warns = schedule not in ("cosine", "one_cycle", "coslog4")
        patience, margin = self.n_iter_no_change, None
        if patience == "auto":
            patience = 10 if warns and not early_stopping else np.inf
            margin = ceil(MARGIN * batch_size / n) if early_stopping else None
        if batch_size > n:
            warnings.warn(
                f"batch_size={batch_size} is more than the {n} training rows, and is taken"
                " as all of them.",
                stacklevel=2,
            )
        return Plan(
            max_iter=self._value("max_iter", of),
            batch_size=n if self.solver == "gd" else min(batch_size, n),
            shuffle=self.shuffle,
            rate=self.learning_rate_init,
            schedule=with_warmup(
                schedule if callable(schedule) else SCHEDULES[schedule], self.warmup
            ),
            adaptive=schedule == "adaptive",
            power_t=self.power_t if schedule == "invscaling" else None,
            tol=self.tol,
            n_iter_no_change=patience,
            margin=margin,
            weight_decay=self._value("weight_decay"),
            clip_norm=self.clip_norm,
            average_decay=self._value("average_decay"),
            keep_best=early_stopping,
            warns=warns,
            max_fun=self.max_fun,
            unit=self._unit(),
            verbose=bool(self.verbose),
        )
