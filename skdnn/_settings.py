"""What the parameters of an estimator make: first weights, an optimiser and a plan."""

from __future__ import annotations

import warnings
from abc import ABCMeta
from math import ceil
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator

from skdnn._initializers import FAMILY_OF, initialize
from skdnn._optimizers import Adam, GradientDescent, Momentum, Optimizer
from skdnn._schedules import SCHEDULES, with_warmup
from skdnn._training import Plan
from skdnn.network import Parameters
from skdnn.parameters import activation_names, batch_rows, plain_values, resolve

MARGIN = 50  # steps that n_iter_no_change="auto" grants beyond its share
# What a refit takes more epochs by, where the best one was the last: a network that still
# got better then has more to gain, and it is cheaper to find that out in a short search.
# To have fallen by FALLING since half as many epochs is to get better: a loss that is flat
# at its best, as noise makes it, rises if training is stretched.
LONGER, FALLING = 1.75, 0.05


class Planner(BaseEstimator, metaclass=ABCMeta):
    """What the parameters of an estimator make: first weights, an optimiser, a plan."""

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
        return cls(**{**plain_values(cls), **params})

    def _value(self, name: str, n: int = 1) -> Any:
        """Return a parameter's value for n rows, whether given or left to "auto"."""
        return getattr(resolve(self, n), name)

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

    def _unit(self) -> float:
        """Return what one unit of the loss is in the user's units."""
        return 1.0

    def _initialize(self, parameters: Parameters) -> None:
        if self.initializer == "auto":
            hidden = [FAMILY_OF.get(name, "glorot") for name in activation_names(self)]
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
