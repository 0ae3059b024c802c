"""What the three estimators share: a fit, and predictions, whatever the form of y."""

from __future__ import annotations

import warnings
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, metadata
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skdnn._sklearn import _fit_context
from skdnn.attributes import Fitted
from skdnn.blocks import (
    Source,
    TaskInBlocks,
    by_lots,
    comes_in_blocks,
    in_rows,
    is_large,
    learn,
    loaded,
    source_of,
    taken,
)
from skdnn.checks import check, dropout_rates, validate
from skdnn.declaration import Settings, explained, invalid, is_auto, nearest
from skdnn.door import Data, check_together, read, read_at_a_glance, read_inputs
from skdnn.fit.clock import Clock
from skdnn.fit.judge import calibrated
from skdnn.fit.recipe import Recipe, fit_networks
from skdnn.fit.rows import Smoothing
from skdnn.fit.threads import one_thread
from skdnn.fit.training import Found, State
from skdnn.fit.watch import Run, Stages, Watch
from skdnn.holdout import read_split
from skdnn.model import Model
from skdnn.parameters import STOCHASTIC, is_share, plain_values, resolve
from skdnn.scoring import make_score
from skdnn.targets import Targets
from skdnn.task import Task, TaskInMemory


class BaseDNN(CallbackSupportMixin, Fitted):
    """What the three estimators share: everything but the form of y."""

    _doc_link_module = "skdnn"  # with the next what the HTML that notebooks show links to

    @property
    def _doc_link_template(self) -> str:
        try:
            urls = dict(url.split(", ") for url in metadata("skdnn").get_all("Project-URL", []))
        except PackageNotFoundError:  # a folder, and not an installed package
            return ""
        return urls["Homepage"] + "/api/{page}.html"

    def _doc_link_url_param_generator(self) -> dict[str, str]:
        module = type(self).__module__.removesuffix(".estimators")
        return {"page": f"{module}.{type(self).__name__}"}

    # What an estimator adds

    def _read_targets(self, y: Any, name: str) -> NDArray[Any]:
        """Return y as an array of the form that the estimator takes, or refuse it."""
        raise NotImplementedError

    def _learn_targets(self, data: Data, classes: ArrayLike | None) -> Targets:
        """Learn the form of y, its classes or its scale."""
        raise NotImplementedError

    def _renew_targets(self, targets: Targets, data: Data, classes: ArrayLike | None) -> Targets:
        """Return those of an earlier fit under the parameters as they are now."""
        raise NotImplementedError

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = self.categorical_features is not None
        tags.input_tags.string = self.categorical_features is not None
        return tags

    def _validate_params(self) -> None:
        validate(self)

    def set_params(self, **params: Any) -> Self:
        """Set parameters.

        Parameters
        ----------
        **params
            Any of the constructor's.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If there is no such parameter; it says which one may have been meant.
        """
        try:
            return super().set_params(**params)
        except ValueError as error:
            known = self.get_params(deep=False)
            unknown = next((name for name in params if name not in known), None)
            error.args = (f"{error}{nearest(unknown, known)}",)
            raise

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

    # Fitting

    @explained
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        X_val: Any = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
        groups: ArrayLike | None = None,
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
            Weights >= 0, not all 0; a weight of k counts as k rows in the loss and in what scales
            columns. How many steps, held-out rows and ramps there are goes by the rows.
        X_val : {array-like, sparse matrix} of shape (n_val, n_features), optional
            Rows to validate on: their loss is recorded at every epoch, and unless
            ``early_stopping=False`` they take the place of `validation_fraction`, however few
            rows there are to train on.
        y_val : array-like of shape (n_val,) or (n_val, n_outputs), optional
            The targets of X_val.
        sample_weight_val : array-like of shape (n_val,), optional
            The weights of X_val.
        groups : array-like of shape (n_samples,), optional
            For a `validation_fraction` that is a splitter: what rows go together.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter or the data are unfit, before any work is done, or if the fit
            diverges. What was fitted before is then kept.
        """
        clock = Clock(self.time_limit)
        check_together(X_val, y_val, sample_weight_val)
        check(self, validates=X_val is not None)
        model, earlier = self._go_on_from() if self.warm_start else (None, None)
        source, data = self._read(X, y, sample_weight, model, groups)
        given = None
        if X_val is not None:
            X_val, y_val, w_val = map(loaded, (X_val, y_val, sample_weight_val))
            given = read(self, X_val, y_val, w_val, "_val", beside=data)
        joins = given is not None and self.refit is True
        if source is not None and joins:
            raise invalid(self, "refit", "'auto' or False beside X_val, for rows on a disk")
        pair = None if source is not None else read_split(self, data, groups)
        if source is None and pair is None and not joins and comes_in_blocks(data):
            source = Source(self, data.X, data.y, data.sample_weight, columns=data.columns)
            source = replace(source, given=data.given)
            data = learn(source, data.names)
        if model is not None:
            data = replace(data, names=self._feature_names)
        with np.errstate(all="ignore"), one_thread():  # of which a fork may take place at any time
            targets = self._targets(data, model, given, earlier)
            if source is None:
                task: Task = TaskInMemory.of(self, data, given, targets, model, earlier, pair)
            else:
                task = TaskInBlocks(self, source, data, given, targets, model, earlier)
                data = task.data
            return self._follow(task, clock)

    @np.errstate(all="ignore")
    def _read(
        self, X: Any, y: Any, sample_weight: Any, model: Model | None, groups: Any = None
    ) -> tuple[Source | None, Any]:
        """Return rows that are checked, or what is known of those that stay on a disk."""
        if not is_large(X):
            X, y, sample_weight = map(loaded, (X, y, sample_weight))
            return None, read(self, X, y, sample_weight, fresh=model is None)
        if not is_share(self.validation_fraction):
            raise invalid(self, "validation_fraction", "a share of the rows, for rows on a disk")
        if groups is not None:
            raise ValueError("groups must be None for rows on a disk, which no splitter holds out.")
        source = source_of(self, X, y, sample_weight, fresh=model is None)
        source = source.with_levels(model)
        return source, learn(source, getattr(X, "names", None))

    def _follow(self, task: Any, clock: Clock) -> Self:
        """Do with the rows of a task, wherever they are, what the parameters say."""
        n, n_rows, validates = task.n, task.n_rows, task.given is not None
        settings = self._settings(task)
        recipe = Recipe.of(
            settings, n, n_rows, task.n_spare, validates, task.data.X.dtype, task.parts
        )

        def fitted(model: Model) -> Any:
            state = State(model.networks[0].parameters, None, recipe.seed or 0)
            names = task.data.names if task.data.columns.categorical else None  # as its rows have
            attributes = {"_model": model, "_states": [state], "recipe_": recipe}
            return clone(self)._keep({**attributes, **self._shape(task, names)})

        problem = task.problem(
            recipe, lambda numbers: make_score(self, task, settings.scoring, fitted, numbers)
        )
        watch = Watch(self, task.watched, recipe.n_estimators, recipe.most_epochs)
        earlier = task.earlier
        seed, saved = watch.resume(task, self._draw_seed() if earlier is None else earlier.seed)
        recipe = replace(recipe, seed=seed)

        def describe(found: list[Found], problem: Any = None) -> dict[str, Any]:
            return self._attributes(task, found, recipe, problem)

        stages = [Stages(seed, complete=watch.complete) for seed in recipe.seeds()]
        if watch.complete:  # there are as many networks as there was time for
            stages = stages[: sum(map(bool, saved))]
        for stage, states in zip(stages, saved, strict=False):
            stage.saved = [recipe.restore(kept, problem) for kept in states]
        runs = watch.open(stages, describe)
        for run in runs:
            run.clock = clock
        found = fit_networks(recipe, problem, runs, self.n_jobs)
        if clock.is_limited:
            recipe = replace(recipe, n_estimators=len(found))
        attributes = describe(found, problem)
        with found[-1].interruptible("a callback"):
            watch.close(attributes)
        return self._keep(attributes)

    @np.errstate(all="ignore")
    @one_thread()
    def _partial_fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None, classes: ArrayLike | None
    ) -> Self:
        if is_large(X):
            source = source_of(self, X, y, sample_weight, fresh=False)
            for rows in source.lots():
                w = source.weights(rows)
                if w is None or w.any():
                    with in_rows(rows):
                        self._partial_fit(taken(X, rows), source.targets(rows), w, classes)
            return self
        X, y, sample_weight = map(loaded, (X, y, sample_weight))
        validate(self)  # which scikit-learn leaves out from the second call on
        check(self)
        if self.early_stopping and not is_auto(self.early_stopping):
            raise ValueError("partial_fit does not support early_stopping=True.")
        if not is_share(self.validation_fraction):
            raise invalid(self, "validation_fraction", "a number in partial_fit, which needs none")
        if self.time_limit is not None:
            raise invalid(self, "time_limit", "None in partial_fit, which makes one epoch")
        model, state = self._go_on_from()
        data = read(self, X, y, sample_weight, fresh=model is None, declared=True)
        if model is not None:
            data = replace(data, names=self._feature_names)
        targets = self._targets(data, model, classes=classes)
        if model is not None:
            targets = targets.going_on(data)
        task = TaskInMemory.of(self, data, None, targets, model, renews=True)
        settings = self._settings(task, partial=True)
        seen = 0 if state is None else state.samples
        recipe = Recipe.of_partial_fit(settings, task.n, task.n_rows, data.X.dtype, seen)
        problem = task.problem(recipe)
        earlier = recipe.start(problem, self._draw_seed()) if state is None else state
        state, come_back = earlier.branch()
        try:
            recipe.equip(state, problem.network.parameters.theta.dtype)
            state.begin()
            if model is not None and self.recipe_.refitted[0]:
                state.curves = state.curves.without_search()  # which was of other epochs
            if model is not None:
                for parameters in state.vectors():
                    model.carry(task.inputs, task.targets, parameters)
            recipe.train(state, problem, None, recipe.search, None, Run(Stages(state.seed)))
            attributes = self._attributes(task, [Found(state)], recipe, problem, in_part=True)
        except BaseException as error:
            if come_back() and model is not None:
                error.add_note("The weights are as they were before; the optimiser starts anew.")
            raise
        return self._keep(attributes)

    def _targets(
        self,
        data: Data,
        model: Model | None,
        given: Data | None = None,
        earlier: State | None = None,
        classes: ArrayLike | None = None,
    ) -> Targets:
        """Learn the form of y, or take that of a model under the parameters of now, and check y."""
        if model is None:
            targets = self._learn_targets(data, classes)
        else:
            targets = self._renew_targets(model.targets, data, classes)
        targets.check(data.y)
        if given is not None:
            targets.check(given.y, "y_val")
        if earlier is not None:
            targets.check_complete(data.y)
        return targets

    def _settings(self, task: Any, partial: bool = False) -> Settings:
        """Return the parameters for the rows of a task, every "auto" resolved."""
        n = task.n
        batch_size = 0 if isinstance(self.batch_size, str) else self.batch_size
        if self.solver in STOCHASTIC and batch_size > n:
            warnings.warn(
                f"batch_size={batch_size} is more than the {n} training rows, and is taken as"
                " all of them.",
                stacklevel=2,
            )
        validates = task.given is not None
        values = vars(resolve(self, task.n_rows, validates, task.n_spare)).copy()
        values["max_iter"] = resolve(self, n).max_iter
        values["keeps_max_iter"] = not is_auto(self.max_iter)
        values["dropout"] = dropout_rates(self)
        values["fan_in"] = task.inputs.fan_in
        values["sources"] = task.inputs.sources
        values["average_grows"] = partial and is_auto(self.average_decay)
        if partial:
            if is_auto(self.learning_rate) and self.solver in STOCHASTIC:
                values["learning_rate"] = "inverse_sqrt"
            values["early_stopping"] = False
        if is_auto(self.precision) and (partial or task.loses_digits):
            values["precision"] = None
        values["smoothing"] = self._smoothing(task, values)
        return Settings(**values)

    def _smoothing(self, task: Any, values: dict[str, Any]) -> Smoothing | None:
        """Return how targets are smoothed, under the parameters for a task's rows."""
        return None

    def _draw_seed(self) -> int:
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _go_on_from(self) -> tuple[Model | None, State | None]:
        """Return the network of an earlier fit and its state, if it may be gone on from.

        The weights are the model's: what has been written there is where training goes on. The
        optimiser then remembers nothing, unless the weights are the state's own.
        """
        if not hasattr(self, "_model") or self.n_estimators > 1 or self.recipe_.n_estimators > 1:
            return None, None
        model, state = self._model, self._states[0]
        parameters = model.networks[0].parameters
        if state.parameters.theta is parameters.theta:
            return model, state
        factor, added = self.recipe_.calibration[0], self.recipe_.intercepts[0]
        final = calibrated(state.final(), factor, np.array(added) if added else None).theta
        if np.array_equal(final.astype(parameters.theta.dtype, copy=False), parameters.theta):
            return model, state
        return model, state.light(parameters)

    # Prediction

    def _outputs(self, X: Any, of: str = "") -> NDArray[Any]:
        """Return what a method of the targets makes of the raw outputs of the rows of X."""
        if is_large(X):
            return by_lots(lambda rows: self._outputs(rows, of), X)
        X = self._read_rows(X)
        return self._model.outputs(X, *([getattr(self._model.targets, of)] if of else []))

    def _read_rows(self, X: Any) -> Any:
        """Return rows that a fitted estimator is asked about, as an array or a CSR matrix."""
        if "_model" not in vars(self):  # so as not to ask scikit-learn, for 2 us, each time
            check_is_fitted(self)
        columns = self._model.inputs.columns
        rows = read_at_a_glance(X, columns, self._feature_names)
        return read_inputs(self, loaded(X)) if rows is None else rows

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


def check_ours(model: Any, name: str, then: str = "") -> None:
    """Refuse what is not a fitted estimator of skdnn's."""
    if not isinstance(model, BaseDNN):
        raise TypeError(
            f"{name} must be one of skdnn's, got {type(model).__name__}; of a pipeline take the"
            f" last step{then}."
        )
    check_is_fitted(model)
