"""One fit: its rows and what is learnt of them, from the door to the network and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils import gen_batches

from skdnn.checks import activation_names, hidden_sizes, stops_early
from skdnn.core.activations import Array
from skdnn.core.network import Network, Parameters
from skdnn.door import Data, power_of_two
from skdnn.fingerprint import fingerprint
from skdnn.fit.judge import Score
from skdnn.fit.objective import CHUNK, Objective
from skdnn.fit.problem import ProblemInMemory
from skdnn.fit.recipe import Recipe
from skdnn.fit.rows import Rows, stacked
from skdnn.fit.training import Found, State
from skdnn.fit.watch import Watched
from skdnn.holdout import Pair
from skdnn.inputs import Inputs, fit_inputs
from skdnn.means import LevelSums, folds_of
from skdnn.model import Model
from skdnn.targets import Targets, Weigh


class Task:
    """One fit: what is known of its rows, wherever they are, and their coordinates.

    It also has how many rows are trained on at last, `n`, how many of them have a weight > 0,
    `n_rows`, and how many of these may be held out, `n_spare`; how many the user has chosen to
    search on and to validate on, `parts`, or None; whether float32 is too coarse to train in,
    `loses_digits`; and what callbacks are told of the rows, `watched`.
    """

    data: Any  # the training rows, or what is known of them
    given: Any  # the user's own rows to validate on, or None
    inputs: Inputs  # X to the network's coordinates
    targets: Targets  # y to the network's coordinates
    weigh: Weigh  # returns weights of rows, multiplied by those of their classes
    network: Any  # sizes, activations and loss, in the type of X; without weights
    earlier: Any  # the state where an earlier fit ended that this one goes on from, or None

    def problem(self, recipe: Recipe, score: Any = None) -> Any:
        """Return what the recipe is to be applied to; `score` says how to score held-out rows."""
        raise NotImplementedError

    def digests(self, digest: Callable[[Any], str | None]) -> dict[str, Any]:
        """Return the digests of what was given to `fit`, by name."""
        raise NotImplementedError

    def shares(self) -> Array | None:
        """Return the share of every class in the rows by weight, if each has one of several."""
        y, w = self.data.y, self.data.w
        return self.targets.shares(y, self.weigh(y, w))

    def blank(self, dtype: Any) -> Network:
        """Return the network, without weights, in a type."""
        return blank(self.network.parameters.sizes, dtype, self.network.activations, self.targets)

    def model(self, found: list[Found]) -> Model:
        """Return what predicts.

        Its weights are the state's own where nothing lies between: no average, no calibration
        and no other type. There is one owner then, for a warm start too.
        """
        networks = [
            self.network.with_theta(
                self.targets.settled(one.parameters()).theta.astype(
                    self.inputs.dtype, copy=one.state.average is not None
                )
            )
            for one in found
        ]
        return Model(self.inputs, networks, self.targets)

    def losses(
        self, model: Model, found: list[Found], recipe: Recipe, problem: Any
    ) -> tuple[float, list[float]]:
        """Return the objective at the model's weights, exactly, in the unit of y's loss.

        Of the model, and of each of its networks. A network's is over the rows that it was
        trained on at last, that of the mean of several over all rows, with the mean of their
        L2 terms.
        """
        problem = self.exact(problem)
        networks = [of.astype(problem.network.parameters.theta.dtype) for of in model.networks]
        each = []
        for one, network in zip(found, networks, strict=True):
            plan = recipe.search if one.search is None else recipe.again
            objective = problem.objective(one.numbers, recipe.settings, plan)
            each.append(objective.value(network.parameters).reported)
        if len(found) == 1:
            return each[0], each
        whole = problem.objective(None, recipe.settings, recipe.search)
        penalty = float(np.mean([whole.penalty(network.parameters) for network in networks]))
        return whole.reported(self.loss_of_mean(model, networks, whole), penalty), each

    def exact(self, problem: Any) -> Any:
        """Return a problem in the type of X, in which `loss_` is found."""
        return problem

    def loss_of_mean(self, model: Model, networks: list[Network], whole: Any) -> Any:
        """Return sum w_k L_k of all rows for the mean of the networks' raw outputs."""
        raise NotImplementedError


def begun(
    estimator: Any, data: Data, targets: Targets, model: Model | None, learn: Callable[[], Inputs]
) -> tuple[Inputs, Network, Weigh]:
    """Return the coordinates of X, the network without weights, and how to weigh rows.

    The coordinates are learnt, or those of a model to go on from, which has to be of the same
    kind.
    """
    inputs = learn() if model is None else model.inputs
    sizes = (inputs.width, *hidden_sizes(estimator), targets.n_outputs)
    network = blank(sizes, inputs.dtype, activation_names(estimator), targets)
    if model is not None:
        check_same(estimator, network, model)
    return inputs, network, targets.weigher(class_weight_of(estimator), data.y, data.w)


def class_weight_of(estimator: Any) -> Any:
    """Return the weights of classes that an estimator was given; None of a regressor."""
    return getattr(estimator, "class_weight", None)


def sum_over(objective: Any, parts: Iterable[tuple[Array, Array, Array | None]]) -> Any:
    """Return sum w_k L_k of raw outputs, targets and weights that come part by part."""
    return sum(objective.loss.output_and_value(*part, objective.splits)[1] for part in parts)


@dataclass(frozen=True, eq=False, repr=False)
class TaskInMemory(Task):
    """A fit whose rows are here, or, of a fit on many, a part of them that is."""

    data: Any
    inputs: Inputs
    targets: Targets
    weigh: Weigh
    network: Any
    given: Data | None = None
    earlier: State | None = None
    pair: Pair | None = None  # the rows to search on and to hold out, if the user has chosen them
    joins: bool = False  # whether the rows to validate on are trained on at last
    unit: float | None = None  # what weights are divided by; None: the largest is in [1/2, 1)
    tables: list[Array] = field(default_factory=list)  # means by level that each fold trains with

    @classmethod
    def of(
        cls,
        estimator: Any,
        data: Data,
        given: Data | None,
        targets: Targets,
        model: Model | None = None,
        earlier: State | None = None,
        pair: Pair | None = None,
        renews: bool = False,
    ) -> Self:
        """Learn the coordinates of the rows, or take those of the model to go on from.

        These stay, unless the task `renews` them: then they are those of all rows so far, and
        more rows are to come, whose levels may be other ones.
        """

        def learn() -> Inputs:
            Y = None if renews or not data.columns.categorical else _told(data, targets)
            scaling = estimator.scale_inputs
            return fit_inputs(data.X, data.w, scaling, data.unit, data.columns, Y)

        inputs, network, weigh = begun(estimator, data, targets, model, learn)
        if model is not None and renews:
            inputs = inputs.going_on(data.X, data.w, data.unit)
        joins = given is not None and estimator.refit is True and stops_early(estimator)
        if inputs.told:
            data = replace(data, folds=folds_of(data.w, len(data.y)))
        tables = inputs.tables(sums_of(data, targets, inputs.told))
        return cls(
            data, inputs, targets, weigh, network, given, earlier, pair, joins, tables=tables
        )

    def shares(self) -> Array | None:
        parts = [self.data] if self.given is None or not self.joins else [self.data, self.given]
        weights = [(of, self.weigh(of.y, of.w)) for of in parts]
        w = np.concatenate([np.ones(len(of.y)) if w is None else w * of.unit for of, w in weights])
        return self.targets.shares(np.concatenate([of.y for of in parts]), w / w.max())

    @property
    def n(self) -> int:
        n = len(self.data.y)
        return n if self.given is None or not self.joins else n + len(self.given.y)

    @property
    def n_rows(self) -> int:
        return len(self.counted) + (self._n_given if self.joins else 0)

    @property
    def n_spare(self) -> int:
        return len(self.spare)

    @property
    def loses_digits(self) -> bool:
        return self.inputs.loses_digits(self.data.X)

    @property
    def watched(self) -> Watched:
        return Watched(self.data.given, self.data.y, self.data.sample_weight)

    def digests(self, digest: Callable[[Any], str | None]) -> dict[str, Any]:
        names, rows = ("X", "y", "sample_weight"), (self.data, self.given)
        found = {
            name + suffix: None if part is None else digest(getattr(part, name))
            for part, suffix in zip(rows, ("", "_val"), strict=True)
            for name in names
        }
        if self.pair is not None:
            found["held-out rows"] = fingerprint(list(self.pair))
        return found

    @cached_property
    def counted(self) -> NDArray[np.intp]:
        """The numbers of the rows of weight > 0."""
        return self.counted_of(self.data)

    @cached_property
    def _n_given(self) -> int:
        return 0 if self.given is None else len(self.counted_of(self.given))

    def counted_of(self, data: Data) -> NDArray[np.intp]:
        """Return the numbers of those of given rows of weight > 0."""
        w, _ = self.weights(data)
        return np.delete(np.arange(len(data.y)), absentees(w))

    @cached_property
    def chosen(self) -> tuple[NDArray[np.intp], NDArray[np.intp] | None] | None:
        """The numbers of the rows that the user has chosen to search on and to hold out.

        None in place of the latter for rows beside them, and for both if nothing was chosen.
        Rows of weight 0 and of classes that are not searched on are left out.
        """
        if self.joins:
            return np.arange(len(self.data.y)), None
        if self.pair is None:
            return None
        training, held_out = (part[np.isin(part, self.counted)] for part in self.pair)
        classes = self.targets.strata(self.data.y)
        if classes is not None:
            held_out = held_out[np.isin(classes[held_out], classes[training])]
        if len(held_out) < 2 or not len(training):
            raise ValueError(
                "validation_fraction must hold out at least 2 rows of weight > 0, of classes that"
                f" the others have, and leave one; it has {len(training)} rows to train on and"
                f" {len(held_out)} to hold out."
            )
        return training, held_out

    @property
    def parts(self) -> tuple[int, int] | None:
        if self.chosen is None:
            return None
        training, held_out = self.chosen
        return len(training), self._n_given if held_out is None else len(held_out)

    @cached_property
    def spare(self) -> NDArray[np.intp]:
        """The numbers of those that may be held out: not the only row of a class."""
        classes = self.targets.strata(self.data.y)
        if classes is None:
            return self.counted
        counted = classes[self.counted]
        return self.counted[np.bincount(counted)[counted] > 1]

    def all_rows(self, dtype: Any, once: bool = False) -> Rows:
        """Return what is trained on at last, as `rows` does."""
        rows = self.rows(self.data, dtype, once)
        if self.given is None or not self.joins:
            return rows
        return rows.beside(self.rows(self.given, dtype, once))

    def rows(self, data: Data, dtype: Any, once: bool = False) -> Rows:
        """Return rows in the network's coordinates and in a type.

        If they are to be read `once` only, X is brought there part by part, when it is read,
        unless the rows are told of their categories by the means of others.
        """
        w, unit = self.weights(data)
        absent = absentees(w)
        Y, table = self.targets.encode(_without(absent, data.y), dtype)
        w = None if w is None else w.astype(dtype, copy=False)
        if once and not issparse(data.X) and not self.inputs.told:
            inputs = self.inputs
            return Rows(
                data.X,
                Y,
                w,
                table,
                w_unit=unit,
                prepare=inputs.compact,
                expansion=inputs.expansion,
            )
        crossed = None
        if data.folds is not None:
            crossed = self.inputs.crossed(data.X, data.folds, self.tables)
        X, X1 = self.inputs.matrix(data.X, dtype, crossed)
        if len(absent):
            is_theirs = np.may_share_memory(_numbers(X), _numbers(data.X))
            X = X.copy() if is_theirs else X
            _blot_out(absent, X)
        origin = self.inputs.origin(data.X)
        origin = None if origin is None else origin.astype(dtype)
        return Rows(X, Y, w, table, X1, origin, unit, expansion=self.inputs.expansion)

    def weights(self, data: Data) -> tuple[Array | None, float]:
        """Return the weights of rows with those of their classes, and what 1 of them is.

        They are normalised in double precision, and after all factors.
        """
        w = self.weigh(data.y, data.w)
        if w is None:
            return None, 1.0
        if not w.any() and self.unit is None:
            name = "X" if data is self.data else "X_val"
            raise ValueError(f"class_weight must be > 0 for some class that {name} has rows of.")
        unit = self.unit or power_of_two(w)
        return without_traces(w / unit), unit * data.unit

    def problem(
        self, recipe: Recipe, score: Callable[[NDArray[Any] | None], Score | None] | None = None
    ) -> ProblemInMemory:
        dtype = np.dtype(recipe.precision)
        width = self.inputs.width
        rows = self.all_rows(dtype).written_out(width)
        check_penalty(recipe.settings.alpha, rows.weight * rows.w_unit)
        return ProblemInMemory(
            rows=rows,
            network=self.blank(dtype),
            unit=self.targets.unit,
            counted=self.counted,
            spare=self.spare,
            strata=self.targets.strata(self.data.y),
            score=score or (lambda numbers: None),
            given=None if self.given is None else self.rows(self.given, dtype).written_out(width),
            earlier=self.earlier,
            chosen=self.chosen,
            smoothing=recipe.settings.smoothing,
        )

    def exact(self, problem: ProblemInMemory) -> ProblemInMemory:
        if problem.rows.dtype == self.inputs.dtype:
            return problem
        return replace(problem, rows=self.all_rows(self.inputs.dtype, True), network=self.network)

    def loss_of_mean(self, model: Model, networks: list[Network], whole: Objective) -> Any:
        rows, X = whole.batches.rows, self.data.X
        if self.given is not None and self.joins:
            X = stacked([X, self.given.X])

        def parts() -> Iterator[tuple[Array, Array, Array | None]]:
            for part in gen_batches(len(rows), CHUNK):
                w = None if rows.w is None else rows.w[part].T
                yield np.ascontiguousarray(model.outputs(X[part]).T), rows.targets(part), w

        return sum_over(whole, parts())


def without_traces(w: Array) -> Array:
    """Return weights, of which the largest is about 1, with 0 for what no float32 could add."""
    return np.where(w < 1e-30, 0.0, w)


def check_penalty(alpha: float, weight: float) -> None:
    """Refuse weights so little that beside them the L2 term is beyond float32."""
    if alpha > 1e30 * weight:
        raise ValueError(
            f"alpha={alpha!r} is divided by the total weight of the rows, which must not be next"
            f" to nothing: it is {weight:.3g}. Multiply sample_weight, or set"
            " alpha=0."
        )


def _without(absent: NDArray[np.intp], y: NDArray[Any]) -> NDArray[Any]:
    """Return targets, those of the rows of weight 0 being that of another row."""
    if not len(absent):
        return y
    y = y.copy()
    y[absent] = y[np.delete(np.arange(len(y)), absent)[0]]
    return y


def _told(data: Data, targets: Targets) -> Array:
    """Return the targets in the network's coordinates, (n, n_outputs), in float64."""
    Y, table = targets.encode(_without(absentees(data.w), data.y), np.float64)
    return Y if table is None else table[Y]


def sums_of(
    data: Data, targets: Targets, told: list[tuple[int, int]], center: Array | None = None
) -> tuple[LevelSums, ...]:
    """Return the sums over rows that the means of y by level are made of.

    Of the columns of X that are `told` so, each with the number of its levels; `center` is taken
    off y first, by default its mean over these rows.
    """
    if not told:
        return ()
    X, w, Y = data.X, data.w, _told(data, targets)
    center = np.average(Y, axis=0, weights=w) if center is None else center
    return tuple(LevelSums.of(X[:, j], n, w, Y, center, cast(Any, data.folds)) for j, n in told)


def absentees(w: Array | None) -> NDArray[np.intp]:
    """Return the numbers of the rows of weight 0."""
    if w is None:
        return np.empty(0, np.intp)
    return np.flatnonzero(w == 0 if w.ndim == 1 else ~w.any(axis=1))


def _numbers(X: Any) -> Array:
    """Return the numbers of a dense or sparse matrix."""
    return X.data if issparse(X) else X


def _blot_out(absent: NDArray[np.intp], X: Any) -> None:
    """Set rows to 0, in place: what stands there may be so large that 0 times it is nan."""
    if issparse(X):
        X.data[np.isin(np.repeat(np.arange(X.shape[0]), np.diff(X.indptr)), absent)] = 0.0
    else:
        X[absent] = 0.0


def blank(
    sizes: Sequence[int], dtype: Any, activations: Sequence[str], targets: Targets
) -> Network:
    """Return a network without weights: all of them are one number in memory."""
    theta = np.broadcast_to(np.zeros((), dtype), (Parameters.count(sizes),))
    return Network(Parameters(sizes, theta), activations, targets.loss)


def check_same(estimator: Any, network: Network, model: Model) -> None:
    """Refuse to go on from a model of another kind than the parameters ask for."""
    old, targets = model.networks[0], model.targets
    now_and_then = {
        "hidden_layer_sizes": (network.parameters.sizes[1:-1], old.parameters.sizes[1:-1]),
        "activation": (network.activations, old.activations),
        "scale_inputs": (estimator.scale_inputs, model.inputs.method),
        "scale_target": (getattr(estimator, "scale_target", False), targets.is_scaled),
    }
    for name, (now, then) in now_and_then.items():
        check_stayed(name, now, then)


def check_stayed(name: str, now: Any, then: Any) -> None:
    """Refuse a parameter that is not what it was in the fit that this one goes on from."""
    if now != then:
        raise ValueError(
            f"{name} must stay as it was for a fit that goes on from an earlier one"
            f" (warm_start or partial_fit): it was {then!r} and is now {now!r}."
        )
