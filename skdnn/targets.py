"""y in the network's coordinates, and back: one frozen part for each form of y.

A part knows its loss, its scale or its classes, how y becomes the network's targets and what
the network's raw outputs say of y. It is learnt from the y of a first fit, and refuses a later
one that does not suit it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.metrics import accuracy_score, d2_pinball_score, r2_score
from sklearn.utils.class_weight import compute_class_weight

from skdnn.core.activations import Array
from skdnn.core.losses import LOSSES, BinaryCrossEntropy, CategoricalCrossEntropy, Loss
from skdnn.core.network import Parameters
from skdnn.door import Data, about
from skdnn.statistics import Summary, positive

# Multiplies given weights of the rows of y by those of their classes.
Weigh = Callable[[NDArray[Any], Array | None], Array | None]


@dataclass(frozen=True, eq=False, repr=False)
class Targets:
    """What all forms of y have in common."""

    loss: Loss  # what is minimised; not a part of what is learnt
    n_outputs: int  # n[L]
    kind: ClassVar[str] = ""

    @property
    def unit(self) -> Any:
        """What one unit of the loss is in that of y: one number, or one for each output."""
        return 1.0

    @property
    def is_scaled(self) -> bool:
        """Whether y has been scaled for the network."""
        return False

    def check(self, y: NDArray[Any], name: str = "y") -> None:
        """Refuse a later y, by the name that the user gave it by, that does not suit the first."""
        raise NotImplementedError

    def going_on(self, data: Data) -> Self:
        """Return the targets for the rows so far and further ones."""
        return self

    def carry(self, new: Self, parameters: Parameters) -> None:
        """Rewrite W[L] and b[L] for other coordinates of y, so that predictions stay."""

    def missing(self, y: NDArray[Any]) -> list[Any]:
        """Return the classes that no row of y has."""
        return []

    def check_complete(self, y: NDArray[Any]) -> None:
        """Refuse a y that lacks what the fit that a warm start goes on from had."""

    def weigher(self, class_weight: Any, y: NDArray[Any], w: Array | None) -> Weigh:
        """Return how to weigh rows, learnt from the y of a fit."""
        return lambda y, w: w

    def encode(self, y: NDArray[Any], dtype: Any) -> tuple[NDArray[Any], Array | None]:
        """Return the targets as :class:`~skdnn.fit.rows.Rows` takes them: Y and its table."""
        raise NotImplementedError

    def strata(self, y: NDArray[Any]) -> NDArray[Any] | None:
        """Return the class of every row, where it has one."""
        return None

    def shares(self, y: NDArray[Any], w: Array | None) -> Array | None:
        """Return the share of every class in rows of weights, of which each has one of several."""
        return None

    def settled(self, parameters: Parameters) -> Parameters:
        """Return the parameters of a network that predicts, from those that were trained."""
        return parameters

    def decode(self, Z: Array) -> NDArray[Any]:
        """Return predictions of y from raw outputs of shape (n, n_outputs)."""
        raise NotImplementedError

    def n_values(self, of: str) -> int | None:
        """Return how many values a row has of what is asked for by name; None for a plain one.

        "output" is what `predict` gives of numbers, and `decision_function` of classes;
        "probability" is that of classes, and of two in one output that of the second.
        """
        raise NotImplementedError

    def value(self, Z: Array, of: str) -> Array:
        """Return these values of raw outputs: (n, n_values), or (n,) of a plain one."""
        raise NotImplementedError

    def slope(self, Z: Array, of: str, i: int) -> Array:
        """Return the gradient of value i in the raw outputs; both of shape (n, n_outputs)."""
        raise NotImplementedError

    def score(self, y: NDArray[Any], Z: Array, w: Array | None) -> float:
        """Return the estimator's `score` from raw outputs of shape (n, n_outputs)."""
        raise NotImplementedError

    def plain(self) -> dict[str, Any]:
        """Return what was learnt as names, numbers and arrays."""
        raise NotImplementedError

    @staticmethod
    def of_plain(kept: dict[str, Any]) -> Targets:
        """Return what `plain` told of."""
        return KINDS[kept["kind"]].restore(kept)

    @classmethod
    def restore(cls, kept: dict[str, Any]) -> Self:
        """Return what the `plain` of this form told of."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False, repr=False)
class Numbers(Targets):
    """One number or several a row, in units of their own: y = center + scale * o.

    With o the network's output; None is for o itself. Of several quantiles of one target the
    arrays, elsewhere of shape (n_outputs,), have its one entry.
    """

    center: Any = None
    scale: Any = None
    constant: Any = None  # the targets that have been so: their raw outputs are 0 in the model
    summary: Summary | None = None  # what is known of the targets so far
    kind: ClassVar[str] = "numbers"

    @classmethod
    def of(cls, summary: Summary, loss: Loss, scales: bool) -> Self:
        """Learn the targets' centre and scale from what is known of y."""
        if not scales:
            return cls(loss, len(loss.levels) or len(summary.mean))
        center, scale = summary.moments()
        constant = summary.constant
        if not loss.shifts:
            scale = np.where(constant, summary.low, positive(summary.mean))
            center = np.zeros_like(scale)
        if not np.all(np.isfinite(scale**loss.degree)):
            raise ValueError(
                f"y must not spread so far that its loss is beyond float64; it has a deviation of"
                f" {scale.max():.3g}. Divide y by a constant."
            )
        return cls(loss, len(loss.levels) or len(center), center, scale, constant, summary)

    def going_on(self, data: Data) -> Self:
        if self.summary is None:
            return self
        return self.of(Summary.merged([self.summary, data.numbers]), self.loss, scales=True)

    def carry(self, new: Self, parameters: Parameters) -> None:
        if self.center is None:
            return
        # What has been constant had no scale, and begins afresh.
        factor = np.where(self.constant, 1.0, positive(self.scale) / positive(new.scale))
        shift = np.where(self.constant, 0.0, (self.center - new.center) / positive(new.scale))
        if self.loss.shifts:
            parameters.bW[-1] *= factor[:, None]
            parameters.b[-1] += shift[:, None]
        else:  # y = scale exp(z)
            parameters.b[-1] += np.log(factor)[:, None]

    def relearnt(self, learn: Callable[[], Numbers]) -> Numbers:
        """Return these targets with a scale for those that are constant no longer."""
        if self.constant is None or not self.constant.any():
            return self
        new = learn()
        still = self.constant & new.constant
        varies = self.constant & ~still
        center = np.where(varies, new.center, self.center)
        scale = np.where(varies, new.scale, self.scale)
        return replace(self, center=center, scale=scale, constant=still)

    def settled(self, parameters: Parameters) -> Parameters:
        """Return parameters whose raw outputs are 0 for the targets that are constant."""
        if self.constant is None or not self.constant.any():
            return parameters
        new = parameters.like(parameters.theta.copy())
        new.bW[-1][np.broadcast_to(self.constant, self.n_outputs)] = 0.0
        return new

    @property
    def unit(self) -> Any:
        if self.scale is None:
            return 1.0
        unit = self.scale**self.loss.degree
        return float(unit[0]) if len(unit) == 1 else unit

    @property
    def is_scaled(self) -> bool:
        return self.scale is not None

    def check(self, y: NDArray[Any], name: str = "y") -> None:
        n_targets, first = y.size // len(y), 1 if self.loss.levels else self.n_outputs
        if n_targets != first:
            raise ValueError(
                f"{name} must have the {first} targets of the first fit; got {n_targets}."
            )

    def encode(self, y: NDArray[Any], dtype: Any) -> tuple[Array, None]:
        Y = y.reshape(len(y), -1)
        if self.center is not None:
            Y = (Y - self.center) / positive(self.scale)
        encoded = Y.astype(dtype, copy=False)
        if not np.all(np.isfinite(encoded)):
            raise ValueError(
                f"y must fit into {np.dtype(dtype).name}, the type of X, if it is not scaled; its"
                f" largest entry is {np.max(np.abs(Y)):.3g}."
            )
        return encoded, None

    def decode(self, Z: Array) -> Array:
        A = np.empty_like(Z)
        self.loss.output(Z, A, A)
        if self.center is not None:
            A = (A * self.scale + self.center).astype(Z.dtype, copy=False)
        if self.loss.levels:
            A.sort(axis=1)  # which brings quantiles that cross closer to the true ones
        return A[:, 0] if self.n_outputs == 1 else A

    def n_values(self, of: str) -> int | None:
        if of == "probability":
            raise ValueError("of must be 'output' for a regressor, which has no probability.")
        return None if self.n_outputs == 1 else self.n_outputs

    def value(self, Z: Array, of: str) -> Array:
        return self.decode(Z)

    def slope(self, Z: Array, of: str, i: int) -> Array:
        # Of several quantiles, which are sorted row by row, output i is one of them.
        k: Any = np.argsort(Z, axis=1, kind="stable")[:, i] if self.loss.levels else i
        scale = 1.0 if self.scale is None else np.broadcast_to(self.scale, self.n_outputs)[k]
        return along(k, Z, scale * self.loss.d_output(Z[np.arange(len(Z)), k]))

    def score(self, y: NDArray[Any], Z: Array, w: Array | None) -> float:
        return score_of(self.loss, y, self.decode(Z), w)

    def plain(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "loss": loss_name(self.loss),
            "options": list(vars(self.loss).values()),
            "n_outputs": self.n_outputs,
            "center": self.center,
            "scale": self.scale,
            "constant": self.constant,
            "summary": None if self.summary is None else self.summary.plain(),
        }

    @classmethod
    def restore(cls, kept: dict[str, Any]) -> Self:
        loss = LOSSES[kept["loss"]](*kept["options"])
        summary = None if kept["summary"] is None else Summary(**kept["summary"])
        learnt = kept["center"], kept["scale"], kept["constant"]
        return cls(loss, kept["n_outputs"], *learnt, summary)


@dataclass(frozen=True, eq=False, repr=False)
class Labelled(Targets):
    """What the forms of y that name classes have in common."""

    classes: NDArray[Any]  # in ascending order; for label sets their numbers
    smoothing: float = 0.0  # the share of 1 that all classes have in each; not what is learnt
    makes: ClassVar[type[Loss]] = BinaryCrossEntropy  # its loss

    def check(self, y: NDArray[Any], name: str = "y") -> None:
        if y.ndim == 2:
            raise ValueError(f"{name} must be of the form of the first fit: one label a row.")
        with about(name):
            unknown = np.setdiff1d(y, self.classes)
        if len(unknown):
            raise ValueError(
                f"{name} must hold classes of {self.classes.tolist()} only; got"
                f" {unknown.tolist()} besides."
            )

    def missing(self, y: NDArray[Any]) -> list[Any]:
        return np.setdiff1d(self.classes, y).tolist()

    def check_complete(self, y: NDArray[Any]) -> None:
        if missing := self.missing(y):
            raise ValueError(
                "y must hold every class of the earlier fit that warm_start=True goes on from,"
                f" {self.classes.tolist()}; it has none of {missing}."
            )

    def labels(self, y: NDArray[Any]) -> NDArray[np.intp]:
        """Return the number of every row's class."""
        return np.searchsorted(self.classes, y)

    def weigher(self, class_weight: Any, y: NDArray[Any], w: Array | None) -> Weigh:
        if class_weight is None:
            return super().weigher(class_weight, y, w)
        counts = np.bincount(self.labels(y), w, len(self.classes))
        if class_weight == "balanced":
            factors = balanced(counts)
        else:
            with about("class_weight"):
                factors = compute_class_weight(class_weight, classes=self.classes, y=y)
        is_fit = np.isfinite(factors).all() and np.all(factors >= 0)
        if not is_fit or not np.any(factors * counts):
            raise ValueError(
                "class_weight must be >= 0, and > 0 for a class that y has rows of, and finite;"
                f" got {class_weight!r}."
            )
        return lambda y, w: times(factors[self.labels(y)], w)

    def strata(self, y: NDArray[Any]) -> NDArray[Any] | None:
        return self.labels(y)

    def score(self, y: NDArray[Any], Z: Array, w: Array | None) -> float:
        return float(accuracy_score(y, self.decode(Z), sample_weight=w))

    def plain(self) -> dict[str, Any]:
        return {"kind": self.kind, "classes": self.classes}

    @classmethod
    def learn(cls, classes: NDArray[Any], smoothing: float = 0.0) -> Self:
        """Return the part for given classes."""
        return cls(cls.makes(), len(classes), classes, smoothing)

    @classmethod
    def restore(cls, kept: dict[str, Any]) -> Self:
        return cls.learn(kept["classes"])

    def n_values(self, of: str) -> int | None:
        return self.n_outputs

    def value(self, Z: Array, of: str) -> Array:
        return self.decision(Z) if of == "output" else self.probabilities(Z)

    def slope(self, Z: Array, of: str, i: int) -> Array:
        return along(i, Z, 1.0 if of == "output" else self.loss.d_output(Z[:, i]))

    # What a classifier predicts from raw outputs of shape (n, n_outputs).

    def decision(self, Z: Array) -> Array:
        """Return the values of `decision_function`."""
        return Z

    def probabilities(self, Z: Array) -> Array:
        """Return those of `predict_proba`."""
        raise NotImplementedError

    def log_probabilities(self, Z: Array) -> Array:
        """Return their logarithms, finite where they round to 0."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False, repr=False)
class TwoClasses(Labelled):
    """One of two classes a row: one sigmoid, of the second."""

    kind: ClassVar[str] = "two classes"

    @classmethod
    def learn(cls, classes: NDArray[Any], smoothing: float = 0.0) -> Self:
        return cls(cls.makes(), 1, classes, smoothing)

    def encode(self, y: NDArray[Any], dtype: Any) -> tuple[Array, None]:
        return smoothed(self.labels(y)[:, None].astype(dtype), self.smoothing), None

    def decode(self, Z: Array) -> NDArray[Any]:
        return self.classes[(Z[:, 0] > 0) * 1]

    def n_values(self, of: str) -> None:
        return None

    def value(self, Z: Array, of: str) -> Array:
        return Z[:, 0] if of == "output" else expit(Z[:, 0])

    def decision(self, Z: Array) -> Array:
        return Z[:, 0]

    def probabilities(self, Z: Array) -> Array:
        return expit(np.hstack([-Z, Z]))

    def log_probabilities(self, Z: Array) -> Array:
        return log_expit(np.hstack([-Z, Z]))


@dataclass(frozen=True, eq=False, repr=False)
class LabelSets(Labelled):
    """Any of several labels a row, as an indicator matrix: one sigmoid for each."""

    kind: ClassVar[str] = "label sets"

    def check(self, y: NDArray[Any], name: str = "y") -> None:
        if y.ndim != 2:
            raise ValueError(f"{name} must be of the form of the first fit: an indicator matrix.")
        if y.shape[1] != self.n_outputs:
            raise ValueError(
                f"{name} must have the {self.n_outputs} labels of the first fit; got {y.shape[1]}."
            )

    def missing(self, y: NDArray[Any]) -> list[Any]:
        return []

    def weigher(self, class_weight: Any, y: NDArray[Any], w: Array | None) -> Weigh:
        if class_weight is None:
            return lambda y, w: w
        if class_weight != "balanced":
            raise ValueError(
                "class_weight must be None or 'balanced' for a multilabel y, whose labels"
                f" have no classes of their own; got {class_weight!r}."
            )
        counts = [np.bincount(column, w, 2) for column in y.T.astype(np.intp)]
        factors = np.array([balanced(count) for count in counts])

        def weigh(y: NDArray[Any], w: Array | None) -> Array:
            each = np.take_along_axis(factors, y.T.astype(np.intp), axis=1).T
            return each if w is None else each * w[:, None]

        return weigh

    def strata(self, y: NDArray[Any]) -> None:
        return None

    def encode(self, y: NDArray[Any], dtype: Any) -> tuple[Array, None]:
        return smoothed(y.astype(dtype), self.smoothing), None

    def decode(self, Z: Array) -> NDArray[Any]:
        return (Z > 0).astype(int)

    def probabilities(self, Z: Array) -> Array:
        return expit(Z)

    def log_probabilities(self, Z: Array) -> Array:
        return log_expit(Z)


@dataclass(frozen=True, eq=False, repr=False)
class Classes(Labelled):
    """One of several classes a row: a softmax."""

    kind: ClassVar[str] = "classes"
    makes: ClassVar[type[Loss]] = CategoricalCrossEntropy

    def encode(self, y: NDArray[Any], dtype: Any) -> tuple[NDArray[Any], Array]:
        m, s = len(self.classes), self.smoothing
        table = (1.0 - s) * np.eye(m, dtype=dtype) + s / m
        return self.labels(y), table.astype(dtype)

    def shares(self, y: NDArray[Any], w: Array | None) -> Array | None:
        counts = np.bincount(self.labels(y), w, self.n_outputs)
        if np.count_nonzero(counts) <= 2:
            return None
        finite = np.nan_to_num(counts) / self.n_outputs  # as their sum may be beyond float64
        return finite / finite.sum()

    def decode(self, Z: Array) -> NDArray[Any]:
        return self.classes[np.argmax(Z, axis=1)]

    def n_values(self, of: str) -> int | None:
        return None if self._decides_by_one(of) else self.n_outputs

    def slope(self, Z: Array, of: str, i: int) -> Array:
        if self._decides_by_one(of):
            return np.full_like(Z, [-1.0, 1.0])
        if of == "output":
            return along(i, Z, 1.0)
        o = softmax(Z, axis=1)
        return o[:, i : i + 1] * (along(i, Z, 1.0) - o)  # (39) o_i (delta_ij - o_j)

    def _decides_by_one(self, of: str) -> bool:
        """Whether what is asked for is the one number that decides between two classes."""
        return of == "output" and self.n_outputs == 2

    def decision(self, Z: Array) -> Array:
        return Z[:, 1] - Z[:, 0] if Z.shape[1] == 2 else Z

    def probabilities(self, Z: Array) -> Array:
        return softmax(Z, axis=1)

    def log_probabilities(self, Z: Array) -> Array:
        return log_softmax(Z, axis=1)


KINDS: dict[str, type[Targets]] = {
    part.kind: part for part in (Numbers, TwoClasses, LabelSets, Classes)
}


FAR = 100  # as a power of 2: of numbers beyond it squares may leave float64 when they are added


@np.errstate(all="ignore")
def score_of(loss: Loss, y: Any, predicted: Array, w: Any) -> float:
    """Return R2 of predictions; of several quantiles the mean of their D2."""
    check_predictions(predicted)
    if loss.levels:
        each = [
            d2_pinball_score(y, column, sample_weight=w, alpha=q)
            for column, q in zip(predicted.T, loss.levels, strict=True)
        ]
        return float(np.mean(each))
    score = float(r2_score(y, predicted, sample_weight=w))
    y = np.asarray(y, np.float64)
    counted = y if w is None else y[np.asarray(w) > 0]
    _, exponent = np.frexp(np.abs(counted).max(axis=0))
    if not np.any(np.abs(exponent) > FAR):
        return score
    y, predicted = (np.ldexp(part.astype(np.float64), -exponent) for part in (y, predicted))
    return float(r2_score(y, predicted, sample_weight=w))


def check_predictions(predicted: Array) -> None:
    """Refuse to score predictions of a regressor that have overflown."""
    n = np.count_nonzero(~np.isfinite(predicted).reshape(len(predicted), -1).all(axis=1))
    if n:
        raise ValueError(
            f"Of {len(predicted)} predictions {n} are infinite or NaN, which have no score. Lower"
            " learning_rate_init, or scale X and y, as scale_inputs and scale_target do."
        )


def along(i: Any, Z: Array, slope: Any) -> Array:
    """Return a gradient of the shape of Z that is 0 but for output i, or i[k] of row k."""
    gradient = np.zeros_like(Z)
    gradient[np.arange(len(Z)), i] = slope
    return gradient


def loss_name(loss: Loss) -> str:
    """Return what the estimators' parameter calls a loss; its class's name if they have none."""
    names = (name for name, kind in LOSSES.items() if type(loss) is kind)
    return next(names, type(loss).__name__)


def balanced(counts: NDArray[Any]) -> Array:
    """Return the factors that make the classes that occur weigh the same, mean 1."""
    share = counts * np.count_nonzero(counts) / counts.sum()
    return np.divide(1.0, share, out=np.zeros_like(share), where=share > 0)


def times(factor: Array, w: Array | None) -> Array:
    """Return the product of weights, of which None is 1."""
    return factor if w is None else factor * w


def smoothed(Y: Array, s: float) -> Array:
    """Return targets of a sigmoid of which both classes share s."""
    return (1.0 - s) * Y + 0.5 * s if s else Y
