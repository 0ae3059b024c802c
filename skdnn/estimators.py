"""The three estimators: scikit-learn's contract, and the one place where a fit is kept."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, metadata
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted

from skdnn._sklearn import _fit_context
from skdnn.blocks import (
    Source,
    TaskInBlocks,
    by_lots,
    comes_in_blocks,
    is_large,
    learn,
    loaded,
    parts_of,
    source_of,
    taken,
)
from skdnn.core.activations import Array
from skdnn.core.losses import LOSSES
from skdnn.core.network import Parameters
from skdnn.door import (
    Data,
    about,
    check_together,
    read,
    read_at_a_glance,
    read_classes,
    read_inputs,
    read_targets,
    warn_if_rounded,
)
from skdnn.fit.clock import Clock
from skdnn.fit.judge import calibrated
from skdnn.fit.recipe import Recipe, fit_networks
from skdnn.fit.threads import one_thread_if_small
from skdnn.fit.training import Found, State
from skdnn.fit.watch import Run, Stages, Watch
from skdnn.holdout import Pair, read_split
from skdnn.model import Decoder, Model
from skdnn.parameters import (
    STOCHASTIC,
    OfClassifier,
    OfRegressor,
    Settings,
    check,
    dropout_rates,
    estimator,
    explained,
    invalid,
    is_auto,
    is_share,
    nearest,
    plain_values,
    quantiles,
    resolve,
    validate,
)
from skdnn.scoring import make_score
from skdnn.shards import Whole
from skdnn.sums import accuracy_of, hits, r2_of, squares
from skdnn.targets import (
    Classes,
    Labelled,
    LabelSets,
    Numbers,
    Targets,
    TwoClasses,
    loss_name,
    score_of,
)
from skdnn.task import Task, TaskInMemory, check_stayed
from skdnn.version import __version__


class Layers(list[Array]):
    """Arrays, one a layer, that are views of a network's weights: to set one writes there."""

    def __setitem__(self, l: Any, value: Any) -> None:
        """Write a value into the array of a layer, or one into each of a slice's."""
        if isinstance(l, slice):
            for view, part in zip(self[l], value, strict=True):
                view[...] = part
        else:
            self[l][...] = value


class BaseDNN(CallbackSupportMixin, BaseEstimator):
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

    def __sklearn_is_fitted__(self) -> bool:
        return "_model" in vars(self)

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
            Weights >= 0, not all 0; a weight of k counts as k rows.
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
        return self._fit(data, given, pair, model, earlier, source, clock)

    @np.errstate(all="ignore")
    def _read(
        self, X: Any, y: Any, sample_weight: Any, model: Model | None, groups: Any = None
    ) -> tuple[Source | None, Data]:
        """Return rows that are checked, or what is known of those that stay on a disk."""
        if not is_large(X):
            X, y, sample_weight = map(loaded, (X, y, sample_weight))
            return None, read(self, X, y, sample_weight, fresh=model is None)
        if not is_share(self.validation_fraction) or groups is not None:
            raise invalid(self, "validation_fraction", "a share of the rows, for rows on a disk")
        source = source_of(self, X, y, sample_weight, fresh=model is None)
        source = source.with_levels(model)
        return source, learn(source, getattr(X, "names", None))

    @np.errstate(all="ignore")
    def _fit(
        self,
        data: Data,
        given: Data | None,
        pair: Pair | None,
        model: Model | None,
        earlier: State | None,
        source: Source | None,
        clock: Clock,
    ) -> Self:
        targets = self._targets(data, model)
        targets.check(data.y)
        if given is not None:
            targets.check(given.y, "y_val")
        if earlier is not None:
            targets.check_complete(data.y)
        if source is not None:
            assert isinstance(data, Whole)
            task: Task = TaskInBlocks(self, source, data, given, targets, model, earlier)
        else:
            task = TaskInMemory.of(self, data, given, targets, model, earlier, pair)
        return self._follow(task, clock)

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

        stages = [Stages(seed) for seed in recipe.seeds()]
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
    def _partial_fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None, classes: ArrayLike | None
    ) -> Self:
        if is_large(X):
            source = source_of(self, X, y, sample_weight, fresh=False)
            for rows in source.lots():
                w = source.weights(rows)
                if w is None or w.any():
                    self._partial_fit(taken(X, rows), source.targets(rows), w, classes)
            return self
        X, y, sample_weight = map(loaded, (X, y, sample_weight))
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
        targets = self._targets(data, model, classes)
        targets.check(data.y)
        if model is not None:
            targets = targets.going_on(data.y, data.w, data.unit)
        task = TaskInMemory.of(self, data, None, targets, model, renews=True)
        settings = self._settings(task, partial=True)
        recipe = Recipe.of_partial_fit(settings, task.n, task.n_rows, data.X.dtype)
        problem = task.problem(recipe)
        earlier = recipe.start(problem, self._draw_seed()) if state is None else state
        state, come_back = earlier.branch()
        try:
            recipe.equip(state, problem.network.parameters.theta.dtype)
            state.begin()
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
        self, data: Data, model: Model | None, classes: ArrayLike | None = None
    ) -> Targets:
        """Learn the form of y, or take that of a model under the parameters of now."""
        if model is None:
            return self._learn_targets(data, classes)
        return self._renew_targets(model.targets, data, classes)

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
        values = vars(resolve(self, task.n_rows, task.given is not None)).copy()
        values["max_iter"] = resolve(self, n).max_iter
        values["keeps_max_iter"] = not is_auto(self.max_iter)
        values["dropout"] = dropout_rates(self)
        values["fan_in"] = task.inputs.fan_in
        values["average_grows"] = partial and is_auto(self.average_decay)
        if partial:
            if is_auto(self.learning_rate) and self.solver in STOCHASTIC:
                values["learning_rate"] = "inverse_sqrt"
            values["early_stopping"] = False
        if is_auto(self.precision) and (partial or task.loses_digits):
            values["precision"] = None
        return Settings(**values)

    def _draw_seed(self) -> int:
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    # What is kept of a fit: attributes are set in `_keep`, and nowhere else

    def _keep(self, attributes: dict[str, Any]) -> Self:
        self.__dict__.update(attributes)
        return self

    def _attributes(
        self,
        task: Any,
        found: list[Found],
        recipe: Recipe,
        problem: Any,
        in_part: bool = False,
    ) -> dict[str, Any]:
        """Return all attributes of an estimator that is fitted as far as was found.

        Of the fit of a single network the curves and what else there is one of for each are
        single too. Without a problem, in the middle of a fit, and for a fit `in_part`, ``loss_``
        is the last of the curve. What a warm start needs is kept for it, and in part.
        """
        if problem is None:  # training goes on, and what is described stays
            found = [replace(one, state=one.state.light(one.state.final()).copy()) for one in found]
        model = task.model(found)
        whole = in_part or self.warm_start
        states = [
            one.state if whole else one.state.light(network.parameters)
            for one, network in zip(found, model.networks, strict=True)
        ]
        each = [_recorded(one, recipe.early_stopping) for one in found]
        if recipe.n_estimators == 1 or problem is None:
            recorded = each[0]
        else:
            recorded = {name: [one[name] for one in each] for name in each[0]}
            recorded["n_iter_"] = max(recorded["n_iter_"])
        if problem is not None:
            last = [one["loss_"] for one in each]
            recorded["loss_"], recorded["_losses"] = float(np.mean(last)), last
        if problem is not None and not in_part:
            one_thread = one_thread_if_small(task.network.parameters.sizes, recipe.batch_size)
            what = "finding loss_, which is the last of loss_curve_"
            with found[-1].interruptible(what), one_thread:
                recorded["loss_"], recorded["_losses"] = task.losses(model, found, recipe, problem)
                if not np.isfinite(recorded["loss_"]):
                    raise ValueError(
                        "The loss at the final weights is infinite or NaN: the last step went too"
                        " far. Lower learning_rate_init, scale the input, or set clip_norm."
                    )
        return {
            "_model": model,
            "_states": states,
            "recipe_": recipe.after(found),
            **self._shape(task, task.data.names),
            **recorded,
        }

    def _shape(self, task: Any, names: NDArray[Any] | None) -> dict[str, Any]:
        """Return the attributes that are there whatever was found."""
        sizes = task.network.parameters.sizes
        return {
            "n_features_in_": task.inputs.columns.n,
            "_feature_names": names,
            "n_layers_": len(sizes),
            "n_outputs_": sizes[-1],
            "out_activation_": task.targets.loss.out_activation,
        }

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

    def __getstate__(self) -> dict[str, Any]:
        """Return parameters and attributes; what was found as plain values and arrays."""
        kept = super().__getstate__().copy()
        if "_model" in kept:
            kept["_model"] = self._model.plain()
            kept["_states"] = [state.plain() for state in self._states]
            kept["recipe_"] = self.recipe_.asdict()
        return {**kept, "_skdnn_version": __version__}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        """Take up what `__getstate__` returned, maybe of another version."""
        kept = dict(kept)
        version = kept.pop("_skdnn_version", "0.1.0 or earlier")
        if version != __version__:
            warnings.warn(
                InconsistentVersionWarning(
                    estimator_name=type(self).__name__,
                    current_sklearn_version=__version__,
                    original_sklearn_version=version,
                ),
                stacklevel=2,
            )
        if "_network" in kept:
            raise ValueError(
                f"This {type(self).__name__} was fitted and saved by skdnn {version}, whose files"
                f" skdnn {__version__} does not read: fit it again."
            )
        if "_model" in kept:
            model = kept["_model"] = Model.of_plain(kept["_model"])
            kept["_states"] = [
                State.of_plain(state, network.parameters)
                for state, network in zip(kept["_states"], model.networks, strict=True)
            ]
            kept["recipe_"] = Recipe(**kept["recipe_"])
        super().__setstate__(kept)

    @property
    def feature_names_in_(self) -> NDArray[Any]:
        """The names of the columns of X, if it had names."""
        names = vars(self).get("_feature_names")
        if names is None:
            raise AttributeError(f"This {type(self).__name__} has no 'feature_names_in_'.")
        return names

    @property
    def estimators_(self) -> list[Self]:
        """The fitted networks, for `n_estimators` > 1: each an estimator by itself."""
        model = self._fitted("estimators_")
        if self.recipe_.n_estimators == 1:
            raise AttributeError("'estimators_' is of fits with n_estimators > 1.")
        return [self._alone(i) for i in range(len(model.networks))]

    def _alone(self, i: int) -> Self:
        """Return one of several networks as an estimator; its weights are the same."""
        model, recipe, kept = self._model, self.recipe_, vars(self)
        state, did = self._states[i], recipe.asdict()
        alone = {
            name: [value[i]] if isinstance(value, list) else value for name, value in did.items()
        }
        attributes = {name: kept[name] for name in kept if name.endswith("_")}
        attributes |= {name: kept[name][i] for name in RECORDED if isinstance(kept[name], list)}
        attributes |= {
            "_model": Model(model.inputs, [model.networks[i]], model.targets),
            "_states": [state.copy()],
            "_feature_names": self._feature_names,
            "recipe_": Recipe(**{**alone, "n_estimators": 1, "seed": state.seed}),
            "loss_": self._losses[i],
            "_losses": [self._losses[i]],
            "n_iter_": recipe.n_epochs[i],
        }
        # Set as attributes: the constructor of a subclass may not take them.
        parameters = {"n_estimators": 1, "random_state": recipe.random_states()[i]}
        return clone(self)._keep({**attributes, **parameters})

    # What A[0] consists of

    @property
    def categories_(self) -> list[list[Any] | None]:
        """For every column of X the levels of its categories, sorted; None for numbers."""
        return self._fitted("categories_").inputs.columns.levels

    @property
    def input_names_(self) -> list[str]:
        """What the columns of A[0] are: column j of the first weight matrix weighs number j."""
        inputs = self._fitted("input_names_").inputs
        names = [f"x{j}" for j in range(inputs.columns.n)]
        return inputs.names(names if self._feature_names is None else list(self._feature_names))

    # Views of the one flat vector

    @property
    def weights_(self) -> list[Array]:
        """W[1], ..., W[L] of the paper: W[l] has shape (n[l], n[l-1])."""
        return Layers(self._parameters("weights_").W[1:])

    @weights_.setter
    def weights_(self, weights: Sequence[ArrayLike]) -> None:
        self._write("weights_", self.weights_, weights)

    @property
    def biases_(self) -> list[Array]:
        """b[1], ..., b[L] of the paper: b[l] has shape (n[l], 1)."""
        return Layers(self._parameters("biases_").b[1:])

    @biases_.setter
    def biases_(self, biases: Sequence[ArrayLike]) -> None:
        self._write("biases_", self.biases_, biases)

    @property
    def coefs_(self) -> list[Array]:
        """The weights as scikit-learn has them: layer l of shape (n[l-1], n[l])."""
        return Layers(W.T for W in self._parameters("coefs_").W[1:])

    @coefs_.setter
    def coefs_(self, coefs: Sequence[ArrayLike]) -> None:
        self._write("coefs_", self.coefs_, coefs)

    @property
    def intercepts_(self) -> list[Array]:
        """The biases as scikit-learn has them: layer l of shape (n[l],)."""
        return Layers(b[:, 0] for b in self._parameters("intercepts_").b[1:])

    @intercepts_.setter
    def intercepts_(self, intercepts: Sequence[ArrayLike]) -> None:
        self._write("intercepts_", self.intercepts_, intercepts)

    def _write(self, name: str, views: list[Array], values: Sequence[ArrayLike]) -> None:
        """Write values into the weights that are there; the optimiser forgets the old ones."""
        given = [np.asarray(value) for value in values]
        shapes = [view.shape for view in views]
        if [value.shape for value in given] != shapes:
            raise ValueError(
                f"{name} must be arrays of shapes {shapes}, one a layer; got arrays of shapes"
                f" {[value.shape for value in given]}."
            )
        with about(name):
            numbers = [
                value.astype(view.dtype, casting="same_kind")
                for view, value in zip(views, given, strict=True)
            ]
        for view, value in zip(views, numbers, strict=True):
            view[...] = value
        self._keep({"_states": [self._states[0].light(self._parameters(name))]})

    def _parameters(self, name: str) -> Parameters:
        model = self._fitted(name)
        if self.recipe_.n_estimators > 1:
            raise AttributeError(f"{name!r} is of each of estimators_, for n_estimators > 1.")
        return model.networks[0].parameters

    def _fitted(self, name: str) -> Model:
        if "_model" not in vars(self):
            raise AttributeError(f"This {type(self).__name__} has no {name!r} before fit.")
        return self._model

    # Prediction

    def _outputs(self, X: Any, decode: Decoder = lambda Z: Z) -> NDArray[Any]:
        """Validate X and return `decode` of the raw outputs Z[L] of its rows."""
        if is_large(X):
            return by_lots(lambda rows: self._outputs(rows, decode), X)
        X = self._read_rows(X)
        return self._model.outputs(X, decode)

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


def _recorded(found: Found, early_stopping: bool) -> dict[str, Any]:
    """Return the attributes that tell how one network was trained."""
    state, decided = found.state, found.decided
    curves, searched = state.curves, decided.curves
    scores, best = decided.scores(), decided.best_epoch
    return {
        "n_iter_": state.epoch,
        "t_": state.samples,
        "loss_": curves.loss[-1] if curves.loss else np.nan,
        "loss_curve_": curves.loss,
        "learning_rate_curve_": curves.learning_rate,
        "search_loss_curve_": None if found.search is None else searched.search_loss,
        "_validated": searched.validated,  # which epochs these two and the scores are of
        "validation_loss_curve_": searched.validation_loss or None,
        "best_loss_": None if early_stopping else state.best_loss,
        "validation_scores_": searched.validation_score if early_stopping else None,
        "best_validation_score_": scores[best - 1] if early_stopping and best else None,
        "best_n_iter_": best if early_stopping else state.epoch,
    }


RECORDED = tuple(_recorded(Found(State(Parameters((1, 1), np.zeros(2)), None, 0)), False))


@estimator
class DNNRegressor(RegressorMixin, BaseDNN, OfRegressor):
    """A deep neural network for regression: identity output, L2 loss.

    One or several targets; section 6.1 of the paper, with other losses as an option.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    DNNClassifier : Classification.
    skdnn.verify.check_gradients : The gradients of a fitted network, checked.

    References
    ----------
    Y. H. Park (2022), "Gradients in a deep neural network and their Python
    implementations", Korean J. Math. 30(1).

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.model_selection import train_test_split
    >>> from skdnn import DNNRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> model = DNNRegressor(random_state=0).fit(X_train, y_train)
    >>> model.score(X_test, y_test) > 0.25
    True
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.positive_only = False
        return tags

    def _loss(self) -> Any:
        make = LOSSES[self.loss]
        given = {**vars(self), "quantile": quantiles(self)}
        return make(*(given[name] for name in make.options))

    def _read_targets(self, y: Any, name: str) -> NDArray[Any]:
        y = read_targets(self, y, name, numeric=True)
        loss = self._loss()
        if np.any(y <= loss.least if loss.above else y < loss.least):
            given = ", ".join(f"{of}={getattr(self, of)!r}" for of in ("loss", *loss.options))
            raise ValueError(
                f"{name} must be {'>' if loss.above else '>='} {loss.least:g} for {given}; the"
                f" smallest value is {np.min(y)}."
            )
        if loss.levels and y.ndim == 2:
            raise ValueError(
                f"{name} must be one target for several quantiles; it has {y.shape[1]} columns."
            )
        return y

    def _learn_targets(self, data: Data, classes: ArrayLike | None) -> Targets:
        warn_if_rounded(data)
        return self._numbers(data, self.scale_target)

    def _numbers(self, data: Data, scales: bool) -> Numbers:
        """Return the targets of rows, in units of their own or scaled."""
        return Numbers.of(data.numbers, self._loss(), scales)

    def _renew_targets(self, targets: Targets, data: Data, classes: ArrayLike | None) -> Targets:
        assert isinstance(targets, Numbers)
        now, then = self._loss(), targets.loss
        if now.levels != then.levels and type(now) is type(then):
            check_stayed("quantile", now.levels or self.quantile, then.levels or "a single one")
        check_stayed("loss", loss_name(now), loss_name(then))
        targets.check(data.y)
        return replace(targets, loss=now).relearnt(partial(self._numbers, data, scales=True))

    @explained
    def predict(self, X: Any) -> Array:
        """Predict the targets of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            In the units of the y that was fitted. Of several quantiles each has a column; no
            row descends.
        """
        return self._outputs(X, lambda Z: self._model.targets.decode(Z))

    @explained
    def score(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return R2 of the predictions; of several quantiles the mean of their D2.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), optional
            Weights.

        Returns
        -------
        float
            1 at best, and 0 for the mean of y, or for its quantiles.
        """
        loss = self._fitted("score").targets.loss
        if is_large(X) and not loss.levels:
            return r2_of([squares(self, *part) for part in parts_of(X, y, sample_weight)])
        return score_of(loss, loaded(y), self.predict(X), loaded(sample_weight))

    @available_if(lambda self: self._can_partial_fit())
    @explained
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Go once through the given rows, from the weights as they are.

        In mini-batches, at a rate that knows no horizon, as `learning_rate` says; the
        optimiser's state is kept from call to call, and in a pickle. Where rows and targets
        are scaled inside, it is by the statistics of the rows of all calls: the weights of the
        first and of the last layer are rewritten for it, so that predictions stay
        (`scale_inputs` says how exactly). With :meth:`plain` n calls are a fit of n epochs.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), optional
            Weights >= 0, not all 0.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter or the data are unfit, or if the weights diverge: they are then as
            they were before, and the optimiser starts anew.
        """
        return self._partial_fit(X, y, sample_weight, None)


class _DNNClassifierBase(ClassifierMixin, BaseDNN, OfClassifier):
    """What the two classifiers share."""

    @property
    def classes_(self) -> NDArray[Any]:
        """The class labels; label numbers for a multilabel y."""
        return self._labelled("classes_").classes

    def _labelled(self, name: str) -> Labelled:
        targets = self._fitted(name).targets
        assert isinstance(targets, Labelled)
        return targets

    def _form(self, kind: str, name: str = "y") -> type[Labelled]:
        """Return the part for a type of target as scikit-learn names it, or refuse it."""
        raise NotImplementedError

    def _read_targets(self, y: Any, name: str) -> NDArray[Any]:
        y = read_targets(self, y, name)
        with about(name):
            check_classification_targets(y)
            kind = type_of_target(y, input_name=name, raise_unknown=True)
        if self._form(kind, name) is LabelSets:
            values = np.unique(y)
            if not np.isin(values, (0, 1)).all():
                raise ValueError(
                    f"{name} must be an indicator matrix of 0 and 1; it has the values"
                    f" {values.tolist()}."
                )
        return y

    def _learn_targets(self, data: Data, classes: ArrayLike | None) -> Targets:
        y = data.y
        form = self._form(type_of_target(y))
        present = np.arange(y.shape[1]) if y.ndim == 2 else np.unique(y)
        known = present if classes is None else read_classes(classes)
        if y.ndim == 2 and len(known) != y.shape[1]:
            raise ValueError(
                f"classes must have one entry for each of the {y.shape[1]} columns of y; got"
                f" {known.tolist()}."
            )
        if y.ndim == 1 and len(known) < 2:
            raise ValueError(f"y must have at least 2 classes; got 1 class only: {known.tolist()}.")
        if form is TwoClasses and len(known) > 2:
            raise ValueError(
                "Only binary classification is supported: there must be 2 classes; got"
                f" {known.tolist()}. For more there is DNNClassifier."
            )
        return form.learn(known, self.label_smoothing)

    def _renew_targets(self, targets: Targets, data: Data, classes: ArrayLike | None) -> Targets:
        assert isinstance(targets, Labelled)
        if classes is not None and read_classes(classes).tolist() != targets.classes.tolist():
            raise ValueError(
                f"classes={classes!r} must be the same as on the first call to partial_fit:"
                f" {targets.classes!r}."
            )
        return replace(targets, smoothing=self.label_smoothing)

    @explained
    def predict(self, X: Any) -> NDArray[Any]:
        """Predict the class of every row of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples,), or (n_samples, n_classes) for a multilabel fit
            Labels as they were given, or 0 and 1 for every label.
        """
        return self._outputs(X, lambda Z: self._labelled("classes_").decode(Z))

    @explained
    def score(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the accuracy of the predictions.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.
        y : array-like of shape (n_samples,), or (n_samples, n_classes) for a multilabel fit
            True labels.
        sample_weight : array-like of shape (n_samples,), optional
            Weights.

        Returns
        -------
        float
            The share of rows that are right; of a multilabel fit in every label.
        """
        if is_large(X):
            return accuracy_of([hits(self, *part) for part in parts_of(X, y, sample_weight)])
        return super().score(X, loaded(y), loaded(sample_weight))

    @explained
    def decision_function(self, X: Any) -> Array:
        """Return what decides: the log-odds of two classes, or raw outputs of several.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples,), or (n_samples, n_classes)
            The log-odds of the second of two classes; of every label of a multilabel fit;
            the raw outputs z of more than two classes.
        """
        return self._outputs(X, lambda Z: self._labelled("classes_").decision(Z))

    @explained
    def predict_proba(self, X: Any) -> Array:
        """Return the probability of every class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``; for a multilabel fit, of each label by itself.
        """
        return self._outputs(X, lambda Z: self._labelled("classes_").probabilities(Z))

    @explained
    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithm of `predict_proba`, finite where that rounds to 0.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        return self._outputs(X, lambda Z: self._labelled("classes_").log_probabilities(Z))

    @available_if(lambda self: self._can_partial_fit())
    @explained
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        classes: ArrayLike | None = None,
    ) -> Self:
        """Go once through the given rows, from the weights as they are.

        In mini-batches, at a rate that knows no horizon, as `learning_rate` says; the
        optimiser's state is kept from call to call, and in a pickle. Where rows and targets
        are scaled inside, it is by the statistics of the rows of all calls: the weights of the
        first and of the last layer are rewritten for it, so that predictions stay
        (`scale_inputs` says how exactly). With :meth:`plain` n calls are a fit of n epochs.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.
        y : array-like of shape (n_samples,) or (n_samples, n_classes)
            Class labels.
        sample_weight : array-like of shape (n_samples,), optional
            Weights >= 0, not all 0.
        classes : array-like of shape (n_classes,), optional
            All the classes there will be; needed on the first call.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter or the data are unfit, or if the weights diverge: they are then as
            they were before, and the optimiser starts anew.
        """
        if classes is None and not hasattr(self, "_model"):
            raise ValueError("classes must be passed on the first call to partial_fit.")
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' needs all rows, and partial_fit has some of them:"
                " pass a dict of weights."
            )
        return self._partial_fit(X, y, sample_weight, classes)


@estimator
class DNNBinaryClassifier(_DNNClassifierBase):
    """A deep neural network for two classes: sigmoid output, binary cross-entropy.

    Section 6.2 of the paper. y may also be an indicator matrix of labels that go
    together (multilabel): then there is one sigmoid for each.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    DNNClassifier : Two or more classes, of which one holds.
    skdnn.verify.check_gradients : The gradients of a fitted network, checked.

    References
    ----------
    Y. H. Park (2022), "Gradients in a deep neural network and their Python
    implementations", Korean J. Math. 30(1).

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from skdnn import DNNBinaryClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = DNNBinaryClassifier(random_state=0)
    >>> model.fit(X[::2], y[::2]).score(X[1::2], y[1::2]) > 0.95
    True
    >>> model.predict_proba(X[:3]).shape
    (3, 2)
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.classifier_tags.multi_label = True
        return tags

    def _form(self, kind: str, name: str = "y") -> type[Labelled]:
        if kind not in ("binary", "multilabel-indicator"):
            raise ValueError(
                "Only binary classification is supported. The type of the target is"
                f" {kind} ({name}). For more than two classes there is DNNClassifier."
            )
        return TwoClasses if kind == "binary" else LabelSets


@estimator
class DNNClassifier(_DNNClassifierBase):
    """A deep neural network for two or more classes: softmax output, cross-entropy.

    Section 6.3 of the paper.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    DNNBinaryClassifier : Two classes with one sigmoid, or several labels at once.
    skdnn.verify.check_gradients : The gradients of a fitted network, checked.

    References
    ----------
    Y. H. Park (2022), "Gradients in a deep neural network and their Python
    implementations", Korean J. Math. 30(1).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skdnn import DNNClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = DNNClassifier(random_state=0)
    >>> model.fit(X[::2], y[::2]).score(X[1::2], y[1::2]) > 0.9
    True
    >>> [W.shape for W in model.weights_]
    [(96, 4), (96, 96), (3, 96)]
    """

    def _form(self, kind: str, name: str = "y") -> type[Labelled]:
        if kind == "multilabel-indicator":
            raise ValueError(
                f"{name} must hold one label a row; got a multilabel indicator matrix. Of one-hot"
                f" rows, as Keras takes them, numpy.argmax({name}, axis=1) makes labels; several"
                " labels a row are for DNNBinaryClassifier."
            )
        if kind not in ("binary", "multiclass"):
            raise ValueError(f"{name} must hold one label a row; the type of the target is {kind}.")
        return Classes
