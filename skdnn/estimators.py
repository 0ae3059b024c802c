"""The three estimators: what scikit-learn sees of them beside `fit`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from skdnn._sklearn import _fit_context
from skdnn.base import BaseDNN
from skdnn.blocks import is_large, loaded, parts_of
from skdnn.checks import quantiles
from skdnn.core.activations import Array
from skdnn.core.losses import LOSSES
from skdnn.declaration import estimator, explained, is_auto
from skdnn.door import Data, about, read_classes, read_targets, warn_if_rounded
from skdnn.fit.rows import Smoothing
from skdnn.parameters import SMOOTHING, OfClassifier, OfRegressor
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
from skdnn.task import check_stayed

MOST_NAMED = 10  # values in a message


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
        return self._outputs(X, "decode")

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
        targets: Any = self._fitted("classes_").targets
        return targets.classes

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
                    f" {values[:MOST_NAMED].tolist()}{', ...' * (len(values) > MOST_NAMED)}."
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
        return form.learn(known, self._own_smoothing)

    def _renew_targets(self, targets: Targets, data: Data, classes: ArrayLike | None) -> Targets:
        assert isinstance(targets, Labelled)
        if classes is not None and read_classes(classes).tolist() != targets.classes.tolist():
            raise ValueError(
                f"classes={classes!r} must be the same as on the first call to partial_fit:"
                f" {targets.classes!r}."
            )
        return replace(targets, smoothing=self._own_smoothing)

    @property
    def _own_smoothing(self) -> float:
        """The smoothing that is a part of the loss."""
        return 0.0 if is_auto(self.label_smoothing) else float(self.label_smoothing)

    def _smoothing(self, task: Any, values: dict[str, Any]) -> Smoothing | None:
        follows = values["early_stopping"] and values["calibrate"]
        # Rows that an earlier fit was trained on do not show how unsure smoothed targets made it.
        if not follows or not is_auto(self.label_smoothing) or task.earlier is not None:
            return None
        shares = task.shares()
        return None if shares is None else (SMOOTHING, shares)

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
        return self._outputs(X, "decode")

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
        return self._outputs(X, "decision")

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
        return self._outputs(X, "probabilities")

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
        return self._outputs(X, "log_probabilities")

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
        if kind not in ("binary", "multilabel-indicator", "multiclass-multioutput"):
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
