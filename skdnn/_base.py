"""The door to scikit-learn: validation, targets, and a fit with all its stages."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy, deepcopy
from dataclasses import replace
from math import ceil
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.base import _fit_context
from sklearn.callback import CallbackSupportMixin
from sklearn.metrics import check_scoring
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, gen_batches
from sklearn.utils.validation import (
    _check_sample_weight,
    column_or_1d,
    validate_data,
)

from skdnn._callbacks import Run, Tasks
from skdnn._fitted import Fitted
from skdnn._objective import BLOCK, CHUNK, HeldOut, Objective, Rows, sharpened
from skdnn._scaling import SCALERS
from skdnn._schedules import SCHEDULES
from skdnn._settings import LONGER, Planner
from skdnn._training import Curves, Plan, State, Validation, train, train_lbfgs
from skdnn.activations import Array
from skdnn.losses import Loss
from skdnn.network import Network, Parameters
from skdnn.parameters import activation_names, check, dropout_rates, hidden_sizes


class BaseDNN(CallbackSupportMixin, Planner, Fitted):
    """What the three estimators share: everything but the loss and the targets."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    # What an estimator adds: its loss, its targets, its score.

    @abstractmethod
    def _make_loss(self) -> Loss:
        """Return the loss that the parameters ask for."""

    @abstractmethod
    def _check_y(self, y: NDArray[Any], reset: bool, classes: ArrayLike | None) -> None:
        """Refuse unfit targets; on `reset`, learn the classes or the form of y."""

    def _check_complete(self, y: NDArray[Any]) -> None:
        """Refuse targets that lack a class of the fit that a warm start goes on from."""

    @abstractmethod
    def _encode(self, y: NDArray[Any], dtype: Any) -> tuple[Array, Array | None]:
        """Return the targets as `Rows` takes them: Y and the table of labels."""

    @abstractmethod
    def _fit_targets(self, y: NDArray[Any], w: Array | None, dtype: Any) -> None:
        """Learn the targets' change of coordinates."""

    @abstractmethod
    def _score_outputs(self, y: NDArray[Any], Z: Array, w: Array | None) -> float:
        """Return the estimator's `score` on given targets from raw outputs (n, m)."""

    @abstractmethod
    def _targets_of(self, y: NDArray[Any]) -> int:
        """Return the number of outputs of the network."""

    def _flat(self, y: NDArray[Any]) -> NDArray[Any]:
        """Return a single column of targets as a vector, with a warning as in scikit-learn."""
        return column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y

    def _fit_weights(self, y: NDArray[Any], w: Array | None) -> None:
        """Learn what the estimator multiplies the sample weights by."""

    def _weigh(self, y: NDArray[Any], w: Array | None, dtype: Any) -> Array | None:
        """Return the sample weights with what the estimator multiplies them by."""
        return w

    def _calibrates(self) -> bool:
        """Return whether the scale of the raw outputs is chosen on held-out rows."""
        return False

    # Fitting

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        X_val: Any = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> Self:
        """Train the network.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs. float32 stays float32 throughout, everything else becomes float64;
            a sparse matrix is not made dense.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets, or class labels of any type.
        sample_weight : array-like of shape (n_samples,), optional
            Weights >= 0, not all 0; a weight of k counts as k rows.
        X_val : {array-like, sparse matrix} of shape (n_val, n_features), optional
            Rows to validate on: their loss is recorded at every epoch, and with
            ``early_stopping=True`` they take the place of `validation_fraction`.
        y_val : array-like of shape (n_val,) or (n_val, n_outputs), optional
            The targets of X_val.
        sample_weight_val : array-like of shape (n_val,), optional
            The weights of X_val.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter or the data are unfit, before any work is done, or if the fit
            diverges. What was fitted before is then kept.
        """
        with self._all_or_nothing():
            check(self, validates=X_val is not None)
            _check_together(X_val, y_val)
            goes_on = self.warm_start and self._is_fitted()
            given = X
            X, y, w = self._check_data(X, y, sample_weight, reset=not goes_on)
            if goes_on:
                self._check_complete(y)
            held_out = None
            if X_val is not None:
                held_out = self._check_data(X_val, y_val, sample_weight_val, "_val")
            self._prepare(X, y, w, goes_on)
            given = given if hasattr(self, "feature_names_in_") else X
            if self.n_estimators == 1:
                self._train(X, y, w, held_out, goes_on, given)
            else:
                self._train_members(X, y, w, held_out, given)
        return self

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Put back the attributes as they were if the body fails."""
        before = dict(vars(self))
        try:
            yield
        except BaseException:
            # The bookkeeping of scikit-learn's callbacks has to outlive this.
            for name in [n for n in vars(self) if n not in before and "callback" not in n]:
                delattr(self, name)
            vars(self).update(before)
            raise

    def _check_data(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None,
        suffix: str = "",
        reset: bool = False,
        classes: ArrayLike | None = None,
    ) -> tuple[Any, NDArray[Any], Array | None]:
        """Return valid X, y and weights; learn the number of features on `reset`."""
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse="csr",
            multi_output=True,
            dtype=(np.float64, np.float32),
            order="C",
            reset=reset,
        )
        self._check_y(y, reset, classes)
        if sample_weight is None:
            return X, y, None
        w = _check_sample_weight(
            sample_weight,
            X,
            dtype=X.dtype,
            ensure_non_negative=True,
            allow_all_zero_weights=True,  # refused below, by the parameter's name
        )
        if not w.any():
            raise ValueError(
                f"sample_weight{suffix} must not be zero for every row; all {len(w)} weights are 0."
            )
        return X, y, w

    def _prepare(self, X: Any, y: NDArray[Any], w: Array | None, goes_on: bool) -> None:
        """Learn the change of coordinates, or check that the network still fits."""
        sizes = (X.shape[1], *hidden_sizes(self), self._targets_of(y))
        loss = self._make_loss()
        self._fit_weights(y, w)
        if goes_on:
            old = self._network
            new = (sizes, activation_names(self), loss.out_activation, type(loss))
            was = (
                old.parameters.sizes,
                old.activations,
                old.loss.out_activation,
                type(old.loss),
            )
            if new != was:
                raise ValueError(
                    "A fit that goes on from an earlier one (warm_start or partial_fit) must"
                    " keep the layer sizes, activations and loss: they were"
                    f" {was[0]}, {was[1]} and {was[3].__name__}, and are now"
                    f" {new[0]}, {new[1]} and {new[3].__name__}."
                )
            return
        self._scaler = None if self.scale_inputs is None else SCALERS[self.scale_inputs](X, w)
        self._fit_targets(y, w, X.dtype)
        self._dtype = X.dtype
        parameters = Parameters(sizes, np.empty(Parameters.count(sizes), X.dtype))
        self._network = Network(parameters, activation_names(self), loss)
        self._seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        self._initialize(parameters)
        self.n_layers_ = len(sizes)
        self.n_outputs_ = sizes[-1]
        self.out_activation_ = loss.out_activation
        for name in ("_state", "estimators_"):
            vars(self).pop(name, None)

    def _make_state(self, goes_on: bool) -> State:
        """Return the state to train from; what was fitted before stays as it is."""
        parameters = self._network.parameters
        if goes_on or self._value("refit"):  # which starts from here once more
            parameters = parameters.like(parameters.theta.copy())
        optimizer = None if self.solver == "lbfgs" else self._make_optimizer(parameters)
        state = State(parameters, optimizer, self._seed)
        old: State | None = vars(self).get("_state")
        if goes_on and old is not None:
            state = replace(deepcopy(old), optimizer=optimizer)
            if type(old.optimizer) is type(optimizer) and optimizer is not None:
                optimizer.state[...], optimizer.t = old.optimizer.state, old.optimizer.t
            state.parameters = state.parameters.astype(parameters.theta.dtype)
        elif goes_on:
            state.curves = Curves(
                *map(
                    list,
                    (
                        self.loss_curve_,
                        self.validation_loss_curve_ or (),
                        self.validation_scores_ or (),
                        self.learning_rate_curve_,
                    ),
                )
            )
            state.total_epochs, state.samples = len(self.loss_curve_), self.t_
        if not self._value("average_decay"):
            state.average = None
        elif state.average is None:
            state.average = state.parameters.theta.copy()
        else:
            state.average = state.average.astype(parameters.theta.dtype)
        state.begin()
        return state

    def _make_objective(
        self, X: Any, y: NDArray[Any], w: Array | None, plan: Plan, once: bool = False
    ) -> Objective:
        return Objective(
            self._make_rows(X, y, w, once),
            self._network.parameters,
            self._network.g,
            self._network.loss,
            self.alpha,
            len(y) if self.solver == "lbfgs" else plan.batch_size,
            dropout_rates(self),
        )

    def _make_rows(self, X: Any, y: NDArray[Any], w: Array | None, once: bool = False) -> Rows:
        """Return data in the network's coordinates.

        If they are to be read `once` only, X is brought there when it is read.
        """
        dtype = self._network.parameters.theta.dtype
        Y, table = self._encode(y, dtype)
        w = self._weigh(y, w, dtype)
        w = None if w is None else w.astype(dtype)
        prepare = self._network_inputs
        if issparse(X):
            return Rows(prepare(X), Y, w, table)
        if self._scaler is None and X.dtype == dtype:
            return Rows(X, Y, w, table)
        if once:
            return Rows(X, Y, w, table, prepare=prepare)
        X1 = np.empty((len(y), 1 + X.shape[1]), dtype)
        X1[:, 0] = 1.0
        step = max(BLOCK // X[:1].nbytes, 1)  # rows, which stay in the cache meanwhile
        for part in gen_batches(len(y), step):
            X1[part, 1:] = prepare(X[part])
        return Rows(X1[:, 1:], Y, w, table, X1)

    def _training_dtype(self, n: int) -> Any:
        """Return the type to train n rows in."""
        single = self._value("precision", n) == "single"
        return np.dtype(np.float32) if single else self._dtype

    def _train(
        self,
        X: Any,
        y: NDArray[Any],
        w: Array | None,
        held_out: tuple[Any, NDArray[Any], Array | None] | None,
        goes_on: bool,
        given: Any,
    ) -> None:
        everything, rows = (X, y, w), None
        n = len(y) if w is None else np.count_nonzero(w)
        stops = self.solver != "lbfgs" and self._value("early_stopping", n)
        splits = stops and held_out is None
        refits = splits and self._value("refit")
        self._network = self._network.astype(self._training_dtype(n))
        self._run = Run((X, y, w, held_out), goes_on)
        try:
            max_iter = self._value("max_iter", len(y))
            most = 2.0 + LONGER * self._may_stretch() if refits else 1.0
            tasks = Tasks(self, max_epochs=ceil(most * max_iter))
            # A checkpoint has set the seed by now, which decides what is held out.
            if splits:
                (X, y, w), held_out, rows = self._split(X, y, w)
            plan = self._make_plan(len(y), stops, len(everything[1]))
            tasks.over(given, y, w, rows)
            tasks.begin()
            state = self._run.enter(self._make_state(goes_on))
            objective = self._make_objective(X, y, w, plan)
            hooks = tasks.epochs(state, "epoch")
            if self.solver == "lbfgs":
                train_lbfgs(state, objective, plan, *hooks)
            else:
                validation = None
                if held_out is not None:
                    held_rows = self._make_rows(*held_out)
                    validation = self._make_validation(held_rows, *held_out)
                train(state, objective, plan, validation, *hooks)
                if stops and self._calibrates() and np.isfinite(state.final().theta).all():
                    judge = self._make_held_out(held_rows)
                    judge.loss(state.final())
                    state.sharpness = judge.factor()
            if refits and state.best_epoch and not (state.stopped or state.interrupted):
                tasks.over(given, *everything[1:], rows=None)
                refitted = self._refit(state, *everything, goes_on, tasks)
                if refitted is not None:
                    (state, objective), (X, y, w) = refitted, everything
            self._finish(state, objective, plan, (X, y, w))
            tasks.end(state)
        finally:
            del self._run

    def _train_members(
        self,
        X: Any,
        y: NDArray[Any],
        w: Array | None,
        held_out: tuple[Any, NDArray[Any], Array | None] | None,
        given: Any,
    ) -> None:
        """Train `n_estimators` networks in the same coordinates, each from its own seed.

        The seed decides the first weights, the order and what early stopping holds out.
        """
        seeds = np.random.default_rng(self._seed).integers(2**31 - 1, size=self.n_estimators)
        members = []
        for seed in seeds.tolist():
            member = copy(self)
            member.n_estimators, member.random_state = 1, seed
            member._seed = int(check_random_state(seed).randint(2**31 - 1))
            parameters = self._network.parameters
            member._network = self._network.with_theta(np.empty_like(parameters.theta))
            member._initialize(member._network.parameters)
            member._train(X, y, w, held_out, False, given)
            members.append(member)
        self.estimators_ = members
        self.n_iter_ = max(member.n_iter_ for member in members)
        del self._network

    def _refit(
        self,
        found: State,
        X: Any,
        y: NDArray[Any],
        w: Array | None,
        goes_on: bool,
        tasks: Tasks,
    ) -> tuple[State, Objective] | None:
        """Train on all rows, from the same start, for the epochs that were found the best.

        They may be stretched, and the schedule with them. If the refit is stopped or
        interrupted, return None: what was found stays.
        """
        plan = self._make_plan(len(y))
        scores = found.curves.validation_score[-found.epoch :][: found.best_epoch]
        stretch = self._stretch([-score for score in scores], plan.max_iter)
        plan = replace(
            plan,
            epochs=round(stretch * found.best_epoch),
            max_iter=round(stretch * plan.max_iter),
            n_iter_no_change=np.inf,
            warns=False,
        )
        state = self._run.enter(self._make_state(goes_on))
        objective = self._make_objective(X, y, w, plan)
        train(state, objective, plan, None, *tasks.epochs(state, "refit epoch"))
        if state.stopped or state.interrupted:
            return None
        for name in ("validation_loss", "validation_score"):
            setattr(state.curves, name, getattr(found.curves, name))
        state.best_score, state.best_epoch = found.best_score, found.best_epoch
        state.sharpness = found.sharpness
        return state, objective

    def _split(self, X: Any, y: NDArray[Any], w: Array | None) -> tuple[Any, Any, NDArray[Any]]:
        """Set aside `validation_fraction` of the rows, stratified by class.

        Return the data to train on, those to validate on and the rows of the former.
        """
        # A row of weight 0 is no row: none would be left to validate on, were they drawn.
        rows = np.arange(len(y)) if w is None else np.flatnonzero(w)
        n_val = ceil(self.validation_fraction * len(rows))
        if n_val < 2 or len(rows) - n_val < 1:
            raise ValueError(
                "The validation set is too small: validation_fraction="
                f"{self.validation_fraction} of {len(rows)} rows makes {n_val}, and at least 2"
                " are needed, and one to train on. Change validation_fraction."
            )
        train_rows, val_rows = train_test_split(
            rows,
            test_size=n_val,
            random_state=self._seed,
            stratify=self._strata(y[rows], n_val),
        )
        train_rows.sort()

        def take(at: NDArray[Any]) -> tuple[Any, NDArray[Any], Array | None]:
            return X[at], y[at], None if w is None else w[at]

        return take(train_rows), take(val_rows), train_rows

    def _strata(self, y: NDArray[Any], n_val: int) -> NDArray[Any] | None:
        return None

    def _make_held_out(self, rows: Rows) -> HeldOut:
        network = self._network
        return HeldOut(
            rows,
            network.loss,
            lambda parameters: self._raw_outputs(rows.X, network.with_theta(parameters.theta)),
        )

    def _make_validation(self, rows: Rows, X: Any, y: NDArray[Any], w: Array | None) -> Validation:
        """Return how to judge on X, y and w, which are `rows` in the network's coordinates."""
        scoring = self._value("scoring")
        if scoring == "loss" and self._calibrates():
            judge = self._make_held_out(rows)
            return Validation(judge.loss, judge.score)
        network = self._network
        objective = Objective(
            rows, network.parameters, network.g, network.loss, 0.0, batch_size=CHUNK
        )
        if scoring == "loss":
            return Validation(objective.value, lambda parameters, loss: -loss)
        if scoring is None:

            def own_score(parameters: Parameters, loss: float) -> float:
                if not np.isfinite(loss):
                    return np.nan
                Z = self._raw_outputs(rows.X, network.with_theta(parameters.theta))
                return self._score_outputs(y, Z, w)

            return Validation(objective.value, own_score)
        scorer = check_scoring(self, scoring)
        kwargs = {} if w is None else {"sample_weight": w}

        def score(parameters: Parameters, loss: float) -> float:
            if not np.isfinite(loss):
                return np.nan
            fitted = copy(self)
            fitted._network = network.with_theta(parameters.theta)
            vars(fitted).pop("feature_names_in_", None)  # X is an array by now
            return float(scorer(fitted, X, y, **kwargs))

        return Validation(objective.value, score)

    def _fitted_attributes(self, state: State) -> dict[str, Any]:
        """Return what a copy of the estimator needs to predict as of now."""
        return {
            "_network": self._network.with_theta(state.final().theta.astype(self._dtype)),
            "n_iter_": state.epoch,
            "_run": None,
        }

    def _finish(self, state: State, objective: Objective, plan: Plan, data: Any) -> None:
        """Set the fitted attributes; `data` are the X, y and w of the objective."""
        curves = state.curves
        final = state.final()
        if state.sharpness != 1.0:
            final = sharpened(final, state.sharpness)
        self._network = self._network.with_theta(final.theta).astype(self._dtype)
        if objective.dtype != self._dtype:
            objective = self._make_objective(*data, plan, once=True)
        self.n_iter_ = state.epoch
        self.t_ = state.samples
        with np.errstate(over="ignore"):
            self.loss_ = objective.value(self._network.parameters) * plan.unit
        self.loss_curve_ = curves.loss
        self.learning_rate_curve_ = curves.learning_rate
        self.validation_loss_curve_ = curves.validation_loss or None
        self.best_loss_ = None if plan.keep_best else state.best_loss * plan.unit
        self.validation_scores_ = curves.validation_score if plan.keep_best else None
        self.best_validation_score_ = state.best_score if plan.keep_best else None
        self.best_n_iter_ = state.best_epoch if plan.keep_best else state.epoch
        state.best_theta = None
        if self.warm_start:
            self._state = state
        else:
            vars(self).pop("_state", None)

    def _can_partial_fit(self) -> bool:
        if self.n_estimators > 1:
            raise AttributeError(
                f"partial_fit is only available for n_estimators=1, not {self.n_estimators}."
            )
        if self.solver == "lbfgs":
            raise AttributeError(
                "partial_fit is only available for stochastic solvers; solver='lbfgs' is not."
            )
        return True

    def _partial_fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None, classes: ArrayLike | None
    ) -> Self:
        with self._all_or_nothing():
            self._validate_params()
            check(self)
            if self.early_stopping is True:
                raise ValueError("partial_fit does not support early_stopping=True.")
            goes_on = self._is_fitted()
            X, y, w = self._check_data(X, y, sample_weight, reset=not goes_on, classes=classes)
            self._prepare(X, y, w, goes_on)
            plan = replace(
                self._make_plan(len(y)),
                max_iter=1,
                schedule=SCHEDULES["constant"],
                n_iter_no_change=np.inf,
                keep_best=False,
                warns=False,
            )
            state = self._make_state(goes_on)
            objective = self._make_objective(X, y, w, plan)
            train(state, objective, plan, None)
            self._finish(state, objective, plan, (X, y, w))
            self._state = state
        return self


def _check_together(X_val: Any, y_val: Any) -> None:
    if (X_val is None) != (y_val is None):
        missing = "y_val" if y_val is None else "X_val"
        raise ValueError(f"X_val and y_val must be given together; {missing} is None.")
