"""The three estimators: each a loss, an encoding of the targets, and a docstring."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.base import ClassifierMixin, RegressorMixin, _fit_context
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels

from skdnn._base import BaseDNN
from skdnn._scaling import target_scale
from skdnn.activations import Array
from skdnn.losses import (
    AbsoluteError,
    BinaryCrossEntropy,
    CategoricalCrossEntropy,
    Huber,
    Loss,
    Poisson,
    Quantile,
    SquaredError,
)
from skdnn.parameters import OfClassifier, OfRegressor, estimator


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

    def _make_loss(self) -> Loss:
        return {
            "squared_error": SquaredError,
            "absolute_error": AbsoluteError,
            "huber": lambda: Huber(self.huber_delta),
            "quantile": lambda: Quantile(self.quantile),
            "poisson": Poisson,
        }[self.loss]()

    def _check_y(self, y: NDArray[Any], reset: bool, classes: ArrayLike | None) -> None:
        if self.loss == "poisson" and np.any(y < 0):
            raise ValueError(
                f"y must be >= 0 for loss='poisson'; the smallest value is {np.min(y)}."
            )
        n_targets = self._targets_of(y)
        if reset:
            self.n_outputs_ = n_targets
        elif n_targets != self.n_outputs_:
            raise ValueError(
                f"y must have the {self.n_outputs_} targets of the first fit; got {n_targets}."
            )

    def _targets_of(self, y: NDArray[Any]) -> int:
        return 1 if y.ndim == 1 else y.shape[1]

    def _check_data(self, X: Any, y: Any, *args: Any, **kwargs: Any) -> Any:
        X, y, w = super()._check_data(X, y, *args, **kwargs)
        return X, self._flat(y).astype(X.dtype, copy=False), w

    def _fit_targets(self, y: NDArray[Any], w: Array | None, dtype: Any) -> None:
        self._target_center: Any = None
        self._target_scale: Any = None
        if self.scale_target:
            self._target_center, self._target_scale = target_scale(
                y.reshape(len(y), -1), w, center=self.loss != "poisson"
            )

    def _encode(self, y: NDArray[Any], dtype: Any) -> tuple[NDArray[Any], None]:
        Y = y.reshape(len(y), -1)
        if self._target_scale is not None:
            Y = (Y - self._target_center) / self._target_scale
        return Y.astype(dtype, copy=False), None

    def _unit(self) -> float:
        if self._target_scale is None:
            return 1.0
        power = 2 if self.loss in ("squared_error", "huber") else 1
        return float(np.mean(self._target_scale) ** power)

    def _decode(self, Z: Array) -> Array:
        """Return predictions from raw outputs, both of shape (n, m)."""
        A = np.exp(Z) if self.out_activation_ == "exp" else Z
        if self._target_scale is not None:
            A = A * self._target_scale + self._target_center
        return A

    def _score_outputs(self, y: NDArray[Any], Z: Array, w: Array | None) -> float:
        return float(r2_score(y, self._decode(Z), sample_weight=w))

    def predict(self, X: Any) -> Array:
        """Predict the targets of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            In the units of the y that was fitted.
        """
        y = self._outputs(X, self._decode)
        return y[:, 0] if self.n_outputs_ == 1 else y

    @available_if(lambda self: self._can_partial_fit())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Go once through the given rows, from the weights as they are.

        In mini-batches, at the rate `learning_rate_init`, which 'invscaling' alone lowers:
        n calls are a fit of n epochs. The optimiser's state is kept from call to call, and
        in a pickle.

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
        """
        return self._partial_fit(X, y, sample_weight, None)


class _DNNClassifierBase(ClassifierMixin, BaseDNN, OfClassifier):
    """What the two classifiers share."""

    def _check_data(self, X: Any, y: Any, *args: Any, **kwargs: Any) -> Any:
        y = y.toarray() if issparse(y) else y  # an indicator matrix
        X, y, w = super()._check_data(X, y, *args, **kwargs)
        return X, self._flat(y), w

    def _check_y(self, y: NDArray[Any], reset: bool, classes: ArrayLike | None) -> None:
        check_classification_targets(y)
        y = self._flat(y)
        self._check_kind(type_of_target(y, input_name="y", raise_unknown=True))
        is_indicator = y.ndim == 2
        present = np.arange(y.shape[1]) if is_indicator else np.unique(y)
        known = present if classes is None else unique_labels(classes)
        if reset:
            if len(known) < 2 and not is_indicator:
                raise ValueError(
                    f"y must have at least 2 classes; got 1 class only: {known.tolist()}."
                )
            self.classes_, self._is_multilabel = known, is_indicator
            self._check_classes(known)
        elif is_indicator != self._is_multilabel:
            raise ValueError(
                "y must be of the form of the first fit: "
                + ("an indicator matrix." if self._is_multilabel else "one label a row.")
            )
        elif classes is not None and not np.array_equal(known, self.classes_):
            raise ValueError(
                f"classes={classes!r} must be the same as on the first call to partial_fit:"
                f" {self.classes_!r}."
            )
        unknown = np.setdiff1d(present, self.classes_)
        if len(unknown):
            raise ValueError(
                f"y must hold classes of {self.classes_.tolist()} only; got"
                f" {unknown.tolist()} besides."
            )

    def _check_complete(self, y: NDArray[Any]) -> None:
        missing = np.setdiff1d(self.classes_, y)
        if len(missing) and not self._is_multilabel:
            raise ValueError(
                "y must hold every class of the earlier fit that warm_start=True goes on from,"
                f" {self.classes_.tolist()}; it has none of {missing.tolist()}."
            )

    def _check_kind(self, kind: str) -> None:
        """Refuse a type of target that the classifier does not take."""

    def _check_classes(self, classes: NDArray[Any]) -> None:
        """Refuse a number of classes that the classifier does not take."""

    def _calibrates(self) -> bool:
        return bool(self._value("calibrate"))

    def _labels(self, y: NDArray[Any]) -> NDArray[np.intp]:
        return np.searchsorted(self.classes_, y)

    def _fit_targets(self, y: NDArray[Any], w: Array | None, dtype: Any) -> None:
        """Classes have no units."""

    def _fit_weights(self, y: NDArray[Any], w: Array | None) -> None:
        self._class_factors: Array | None = None
        if self.class_weight is None:
            return
        if self._is_multilabel and self.class_weight != "balanced":
            raise ValueError(
                "class_weight must be None or 'balanced' for a multilabel y, whose labels"
                f" have no classes of their own; got {self.class_weight!r}."
            )
        labels = [column == 1 for column in y.T] if self._is_multilabel else [self._labels(y)]
        n_classes = 2 if self._is_multilabel else len(self.classes_)
        counts = np.array([np.bincount(column, w, n_classes) for column in labels])
        if self.class_weight == "balanced":
            n_present = np.count_nonzero(counts, axis=1, keepdims=True)
            share = counts * n_present / counts.sum(axis=1, keepdims=True)
            self._class_factors = np.divide(1.0, share, out=np.zeros_like(share), where=share > 0)
            return
        factors = compute_class_weight(self.class_weight, classes=self.classes_, y=y)
        if np.any(factors < 0) or not np.any(factors * counts):
            raise ValueError(
                "class_weight must be >= 0, and > 0 for a class that y has rows of;"
                f" got {self.class_weight!r}."
            )
        self._class_factors = factors[None, :]

    def _weigh(self, y: NDArray[Any], w: Array | None, dtype: Any) -> Array | None:
        factors = self._class_factors
        if factors is None:
            return w
        labels = y.T.astype(np.intp) if self._is_multilabel else self._labels(y)[None, :]
        factor = np.prod(np.take_along_axis(factors, labels, axis=1), axis=0)
        return (factor if w is None else factor * w).astype(dtype)

    def _strata(self, y: NDArray[Any], n_val: int) -> NDArray[Any] | None:
        if self._is_multilabel:
            return None
        counts = np.unique(y, return_counts=True)[1]
        possible = counts.min() >= 2 and min(n_val, len(y) - n_val) >= len(counts)
        return y if possible else None

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
        return self._outputs(X, self._decode)

    def _decode(self, Z: Array) -> NDArray[Any]:
        raise NotImplementedError

    def _score_outputs(self, y: NDArray[Any], Z: Array, w: Array | None) -> float:
        return float(accuracy_score(y, self._decode(Z), sample_weight=w))

    @available_if(lambda self: self._can_partial_fit())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        classes: ArrayLike | None = None,
    ) -> Self:
        """Go once through the given rows, from the weights as they are.

        In mini-batches, at the rate `learning_rate_init`, which 'invscaling' alone lowers:
        n calls are a fit of n epochs. The optimiser's state is kept from call to call, and
        in a pickle.

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
        """
        if classes is None and not self._is_fitted():
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

    def _make_loss(self) -> Loss:
        return BinaryCrossEntropy()

    def _check_kind(self, kind: str) -> None:
        if kind not in ("binary", "multilabel-indicator"):
            raise ValueError(
                "Only binary classification is supported. The type of the target is "
                f"{kind}. For more than two classes there is DNNClassifier."
            )

    def _check_classes(self, classes: NDArray[Any]) -> None:
        if len(classes) > 2 and not self._is_multilabel:
            raise ValueError(
                "Only binary classification is supported: there must be 2 classes; got"
                f" {classes.tolist()}. For more there is DNNClassifier."
            )

    def _targets_of(self, y: NDArray[Any]) -> int:
        return y.shape[1] if self._is_multilabel else 1

    def _encode(self, y: NDArray[Any], dtype: Any) -> tuple[NDArray[Any], None]:
        Y = y if self._is_multilabel else self._labels(y)[:, None]
        Y = Y.astype(dtype)
        if self.label_smoothing:
            Y = (1.0 - self.label_smoothing) * Y + 0.5 * self.label_smoothing
        return Y, None

    def _decode(self, Z: Array) -> NDArray[Any]:
        positive = Z > 0
        return positive.astype(int) if self._is_multilabel else self.classes_[positive[:, 0] * 1]

    def decision_function(self, X: Any) -> Array:
        """Return the raw output z, the log-odds of the second class or of every label.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples,), or (n_samples, n_classes) for a multilabel fit
        """
        Z = self._outputs(X)
        return Z if self._is_multilabel else Z[:, 0]

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of every class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples, 2), or (n_samples, n_classes) for a multilabel fit
            In the order of ``classes_``; for a multilabel fit, of each label by itself.
        """
        return self._outputs(X, lambda Z: expit(self._log_odds(Z)))

    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithm of `predict_proba`, finite where that rounds to 0.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of the shape of `predict_proba`
        """
        return self._outputs(X, lambda Z: log_expit(self._log_odds(Z)))

    def _log_odds(self, Z: Array) -> Array:
        """Return the log-odds of every column of `predict_proba`."""
        return Z if self._is_multilabel else np.hstack([-Z, Z])


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

    def _make_loss(self) -> Loss:
        return CategoricalCrossEntropy()

    def _check_kind(self, kind: str) -> None:
        if kind == "multilabel-indicator":
            raise ValueError(
                "y must hold one label a row; got a multilabel indicator matrix, which is"
                " for DNNBinaryClassifier."
            )
        if kind not in ("binary", "multiclass"):
            raise ValueError(f"y must hold one label a row; the type of the target is {kind}.")

    def _targets_of(self, y: NDArray[Any]) -> int:
        return len(self.classes_)

    def _encode(self, y: NDArray[Any], dtype: Any) -> tuple[NDArray[Any], Array]:
        m, s = len(self.classes_), self.label_smoothing
        table = (1.0 - s) * np.eye(m, dtype=dtype) + s / m
        return self._labels(y), table.astype(dtype)

    def _decode(self, Z: Array) -> NDArray[Any]:
        return self.classes_[np.argmax(Z, axis=1)]

    def decision_function(self, X: Any) -> Array:
        """Return the raw outputs z; for two classes their difference, the log-odds.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), or (n_samples,) for two classes
        """
        return self._outputs(X, lambda Z: Z[:, 1] - Z[:, 0] if Z.shape[1] == 2 else Z)

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of every class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``.
        """
        return self._outputs(X, lambda Z: softmax(Z, axis=1))

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
        return self._outputs(X, lambda Z: log_softmax(Z, axis=1))
