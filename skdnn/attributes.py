"""What a fit leaves on an estimator: its attributes, set in one place, shown and described."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import InconsistentVersionWarning

from skdnn.core.activations import Array
from skdnn.core.network import Parameters
from skdnn.door import about
from skdnn.fit.recipe import Recipe
from skdnn.fit.threads import n_parts, threads
from skdnn.fit.training import Found, State
from skdnn.model import Model
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


class Fitted(BaseEstimator):
    """What an estimator is once it is fitted: what was found, in attributes and in files."""

    def _keep(self, attributes: dict[str, Any]) -> Self:
        """Set attributes, which is done here and nowhere else."""
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
            parts = n_parts(task.network.parameters.sizes, recipe.batch_size)
            what = "finding loss_, which is the last of loss_curve_"
            with found[-1].interruptible(what), threads(parts):
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

    def __sklearn_is_fitted__(self) -> bool:
        return "_model" in vars(self)

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


# As the docstrings of the estimators have them.
ATTRIBUTES = """\
recipe_ : Recipe
    What the fit did, every "auto" resolved: rows held out, the most epochs, batch, rate, precision,
    stretch, calibration, whether it refitted. Its ``asdict()`` holds plain values.
estimators_ : list of estimators
    The fitted networks, for `n_estimators` > 1: each an estimator by itself.
weights_ : list of ndarray
    W[1], ..., W[L] of the paper, W[l] of shape (n[l], n[l-1]). Settable.
biases_ : list of ndarray
    b[1], ..., b[L], b[l] of shape (n[l], 1). Settable.
coefs_ : list of ndarray
    The same weights as scikit-learn has them, of shapes (n[l-1], n[l]). Settable.
intercepts_ : list of ndarray
    The same biases, of shapes (n[l],). Settable.
loss_ : float
    The objective (mean loss and L2 term) at the final weights, exactly, in units of y. After
    `partial_fit`, and where the user interrupted that, it is the last of ``loss_curve_``.
loss_curve_ : list of float
    The objective at each epoch of the last run: of the refit, where there was one. At the epoch's
    end for a full batch and 'lbfgs', exactly; for mini-batches its mean over the epoch's batches,
    each before its step, weighted by `sample_weight`. In units of y. Over warm starts it goes on.
    Of several networks this and what follows, down to `t_`, is a list with an entry for each, but
    for `n_iter_`, the largest of theirs.
search_loss_curve_ : list of float or None
    The same of the run before the refit, which trained on all but the held-out rows and found the
    best epoch; entry by entry beside `validation_loss_curve_`. None without a refit.
best_loss_ : float or None
    The least entry of `loss_curve_`; None under early stopping.
validation_loss_curve_ : list of float or None
    The mean loss of the validation rows at each epoch's end, if there are any: of the run that
    found the best epoch, not of a refit, which holds out none. Before calibration, so that under
    `calibrate` its least entry is not what the best epoch is chosen by.
validation_scores_ : list of float or None
    Their score at each epoch's end, under early stopping: what the best epoch is chosen by. With
    the default `scoring` minus their loss, under `calibrate` after calibration. nan for an epoch of
    an earlier call that had no score.
best_validation_score_ : float or None
    The score of the best epoch of the last call, the largest of them.
best_n_iter_ : int
    The epoch that is the best under early stopping, counted in the last call's run that was
    validated, whose weights are kept or whose number of epochs a refit takes; else the last.
learning_rate_curve_ : list of float
    The learning rate at the first step of each epoch of `loss_curve_`; 'lbfgs' has none, and
    leaves nan before what goes on from it.
n_iter_ : int
    The number of epochs, or of iterations of 'lbfgs', of the last fit or refit.
t_ : int
    The number of training rows seen, over the epochs of `loss_curve_`.
n_layers_ : int
    L + 1: the hidden layers, the input and the output.
n_outputs_ : int
    n[L], the number of output units.
out_activation_ : str
    The output activation.
n_features_in_ : int
    The number of columns of X.
feature_names_in_ : ndarray of str
    Their names, if X had names.
input_names_ : list of str
    What the columns of A[0] are: column j of the first weight matrix weighs number j.
categories_ : list of (list or None)
    For every column of X the levels of its categories, sorted; None for numbers.
"""
OF_CLASSIFIERS = """\
classes_ : ndarray
    The class labels; label numbers for a multilabel y.
"""
