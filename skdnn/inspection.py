"""What exact gradients are good for: how predictions change with the columns of X.

:func:`input_gradient` is equation (16) of the paper one layer further than training needs it,
carried on into the units of the columns. On it stand :func:`integrated_gradients`, which
attributes a prediction to the columns, and :func:`sensitivities`, which sums up how much and
which way each column moves the predictions; :class:`SensitivitiesDisplay` draws them. The first
is what Simonyan, Vedaldi and Zisserman (2014) call saliency in "Deep inside convolutional
networks"; the second is that of Sundararajan, Taly and Yan (2017), "Axiomatic attribution for
deep networks".
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.utils import Bunch, assert_all_finite, gen_batches

from skdnn.base import check_ours
from skdnn.core.activations import Array
from skdnn.core.memory import Pass
from skdnn.core.network import backward_to_input, forward, slopes
from skdnn.derivative import deviations, filled, in_columns, middle, steps
from skdnn.display import COLORS, GREY, axes
from skdnn.door import read_weights
from skdnn.model import MEMORY_LIMIT, Model

__all__ = ["SensitivitiesDisplay", "input_gradient", "integrated_gradients", "sensitivities"]

Of = Literal["output", "probability"]
CHUNK = 512  # rows to take at once: a pass of three layers of 96 stays in the cache
# Points of a path in one piece of it, and the most pieces.
POINTS, MOST_PIECES = 16, 1024
AT_ONCE = 8192  # the most points of paths to take at once


def input_gradient(model: Any, X: Any, of: Of = "output") -> Array:
    """Return the gradient of each row's prediction in the row itself.

    It is exact, not a difference: the derivatives of the scaling inside, of every layer and of
    the output. At a kink of relu the slope is 0, as it is in training. It is NaN where there is
    no derivative: in categorical columns, whose levels have no values between them, and where a
    number is missing. :func:`integrated_gradients` tells what these do to a prediction.

    Parameters
    ----------
    model : fitted DNNRegressor, DNNBinaryClassifier or DNNClassifier
        Of several networks, of their mean.
    X : {array-like, sparse matrix} of shape (n, n_features)
        Rows as for ``predict``.
    of : {"output", "probability"}, default="output"
        What to differentiate: what ``predict`` gives for a regressor and ``decision_function``
        for a classifier, or ``predict_proba``.

    Returns
    -------
    ndarray of shape (n, n_features) or (n, n_outputs, n_features)
        In units of the prediction per unit of the column, and in the type of the model. The
        first shape is for a single target, for the one number that decides between two classes,
        and for the probability of the second class of DNNBinaryClassifier.

    Raises
    ------
    TypeError
        If the model is not one of skdnn's.
    sklearn.exceptions.NotFittedError
        If it is not fitted.
    ValueError
        If `of` is none of the two, or "probability" for a regressor; or if X is not what
        ``predict`` accepts.

    References
    ----------
    Equation (16) of the paper for l = 1: the gradient in a[0] is W[1]^T delta[1].

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skdnn import DNNClassifier
    >>> from skdnn.inspection import input_gradient
    >>> X, y = load_iris(return_X_y=True)
    >>> model = DNNClassifier(random_state=0).fit(X, y)
    >>> input_gradient(model, X).shape
    (150, 3, 4)
    """
    X = _read(model, X, of)
    n_values = model._model.targets.n_values(of)
    gradients = np.empty((n_values or 1, *X.shape), model._model.inputs.dtype)
    for rows, G, _ in _parts(model._model, X, of):
        gradients[:, rows] = G
    return gradients[0] if n_values is None else gradients.swapaxes(0, 1)


def integrated_gradients(
    model: Any,
    X: Any,
    baseline: ArrayLike | None = None,
    of: Of = "output",
    tol: float = 1e-3,
) -> Array:
    """Attribute the difference of each prediction from that of a baseline to the columns.

    The integral of the gradient along the straight line from the baseline b to the row x:
    (x_j - b_j) times the mean over t in [0, 1] of the gradient in x_j at b + t (x - b). Over the
    columns the attributions sum to f(x) - f(b), their completeness. That is also how well the
    integral has been taken, which goes on, with twice as many points each time, until a row's sum
    is right within `tol`.

    A column of categories, or a gap in one of numbers, is on the way what a mixture of both ends
    is to the network: its own columns of A[0] go in a straight line.

    Parameters
    ----------
    model : fitted DNNRegressor, DNNBinaryClassifier or DNNClassifier
        Of several networks, of their mean.
    X : {array-like, sparse matrix} of shape (n, n_features)
        Rows as for ``predict``.
    baseline : array-like of shape (n_features,) or (n, n_features), optional
        What to compare with, as rows for ``predict``; by default the centre that scaling learnt,
        which is the mean of the training rows or, for ``scale_inputs="robust"``, their median,
        and 0 without scaling, with a level that fit has not seen in every category.
    of : {"output", "probability"}, default="output"
        As in :func:`input_gradient`.
    tol : float, default=1e-3
        How far a row's sum may be from f(x) - f(b), in parts of the largest difference of all
        rows.

    Returns
    -------
    ndarray of shape (n, n_features) or (n, n_outputs, n_features)
        As of :func:`input_gradient`, in units of the prediction.

    Warns
    -----
    UserWarning
        If 16,384 points were not enough for a row.

    Raises
    ------
    TypeError, ValueError, sklearn.exceptions.NotFittedError
        As :func:`input_gradient`; or if `baseline` has another shape or `tol` is not > 0.

    References
    ----------
    Sundararajan, Taly and Yan (2017), equation (1) and proposition 1.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_diabetes
    >>> from skdnn import DNNRegressor
    >>> from skdnn.inspection import integrated_gradients
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = DNNRegressor(random_state=0).fit(X, y)
    >>> shares = integrated_gradients(model, X[:5])
    >>> change = model.predict(X[:5]) - model.predict(X.mean(axis=0, keepdims=True))
    >>> np.allclose(shares.sum(axis=1), change, atol=0.01 * y.std())
    True
    """
    X = _read(model, X, of)
    X = X.toarray() if issparse(X) else X
    if not tol > 0:
        raise ValueError(f"tol must be > 0, got {tol!r}.")
    start = _baseline(model, baseline, X)
    change = _values(model, X, of) - _values(model, start, of)
    allowed = tol * np.max(np.abs(change))
    total = np.zeros((*change.shape, X.shape[1]))
    at_once = min(max(MEMORY_LIMIT // total[:1].nbytes, 1), AT_ONCE)
    todo, pieces = np.arange(len(X)), 1
    while len(todo) and pieces <= MOST_PIECES:
        for some in gen_batches(len(todo), max(at_once // (POINTS * pieces), 1)):
            rows = todo[some]
            found = _integrals(model._model, start[rows], X[rows], of, pieces, at_once)
            total[rows] = found.reshape(total[rows].shape)
        miss = np.abs(total[todo].sum(axis=-1) - change[todo]).reshape(len(todo), -1).max(axis=1)
        todo, pieces = todo[miss > allowed], 2 * pieces
    if len(todo):
        warnings.warn(
            f"The attributions of {len(todo)} of {len(X)} rows, the first of them row {todo[0]}, do"
            f" not sum to the change of the prediction within tol={tol!r}: the path crosses many"
            " kinks. Take another baseline, or a larger tol.",
            stacklevel=2,
        )
    return total.astype(model._model.inputs.dtype, copy=False)


def sensitivities(
    model: Any, X: Any, sample_weight: ArrayLike | None = None, of: Of = "output"
) -> Bunch:
    """Sum up how the predictions of rows change with each column.

    Parameters
    ----------
    model : fitted DNNRegressor, DNNBinaryClassifier or DNNClassifier
        Of several networks, of their mean.
    X : {array-like, sparse matrix} of shape (n, n_features)
        Rows as for ``predict``, over which to sum up.
    sample_weight : array-like of shape (n,), optional
        Weights >= 0, not all 0.
    of : {"output", "probability"}, default="output"
        As in :func:`input_gradient`.

    Returns
    -------
    :class:`~sklearn.utils.Bunch`
        Of arrays of shape (n_features,), or (n_outputs, n_features), of the gradients G of
        :func:`input_gradient` over the rows that have one; NaN for categorical columns:

        - ``mean_absolute``, the mean of abs(G): how much, whichever way;
        - ``mean``, that of G: which way, by and large;
        - ``minimum`` and ``maximum``, the least and the largest G: where the minimum is >= 0
          no row's prediction falls with the column, and where the maximum is <= 0 none rises;
        - ``increasing``, the share of the rows with G > 0.

        Besides, of shape (n_features,):

        - ``deviation``, of the columns of X that hold numbers: `mean_absolute` times it can be
          compared between columns of different units;
        - ``feature_names``, "x0", "x1", ... if X had none.

    Raises
    ------
    TypeError, ValueError, sklearn.exceptions.NotFittedError
        As :func:`input_gradient`.

    See Also
    --------
    sklearn.inspection.permutation_importance : What a column is worth to the score.
    sklearn.inspection.partial_dependence : The mean prediction by the value of a column.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skdnn import DNNRegressor
    >>> from skdnn.inspection import sensitivities
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> found = sensitivities(DNNRegressor(random_state=0).fit(X, y), X)
    >>> order = (found.mean_absolute * found.deviation).argsort()
    >>> sorted(found.feature_names[order[-2:]])
    ['bmi', 's5']
    """
    X = _read(model, X, of)
    w = read_weights(sample_weight, X, "sample_weight")
    w = np.ones(X.shape[0]) if w is None else w / w.max()
    n_values, n_features = model._model.targets.n_values(of), X.shape[1]
    mean_absolute, mean, increasing, weight = np.zeros((4, n_values or 1, n_features))
    minimum, maximum = np.full_like(mean, np.inf), np.full_like(mean, -np.inf)
    for rows, G, _ in _parts(model._model, X, of):
        there = ~np.isnan(G) & (w[rows, None] > 0)
        minimum = np.minimum(minimum, G.min(axis=1, where=there, initial=np.inf))
        maximum = np.maximum(maximum, G.max(axis=1, where=there, initial=-np.inf))
        G[~there] = 0.0
        weight += w[rows] @ there
        mean += w[rows] @ G
        mean_absolute += w[rows] @ np.abs(G)
        increasing += w[rows] @ (G > 0)
    with np.errstate(invalid="ignore"):
        found = {
            "mean_absolute": mean_absolute / weight,
            "mean": mean / weight,
            "minimum": np.where(weight > 0, minimum, np.nan),
            "maximum": np.where(weight > 0, maximum, np.nan),
            "increasing": increasing / weight,
        }
    names = getattr(model, "feature_names_in_", None)
    return Bunch(
        **{name: of[0] if n_values is None else of for name, of in found.items()},
        deviation=deviations(model._model.inputs, X, w),
        feature_names=np.array([f"x{j}" for j in range(n_features)]) if names is None else names,
    )


@dataclass(eq=False, repr=False)
class SensitivitiesDisplay:
    """How the prediction changes with each column: by how much, which way, and how unlike.

    For each column a line from the least to the largest gradient of the rows, a dot at the
    mean, and a bar as long as the mean of the absolute values. A column in which the model is
    monotone over the rows has its line on one side of 0. Each is multiplied by the deviation of
    the column, so that columns of different units can be compared.

    Made by :meth:`from_estimator`. What is passed here is kept as attributes.

    Parameters
    ----------
    found : Bunch
        What :func:`sensitivities` returns, of a single prediction.
    of : str, default="prediction"
        What changes, as the axis says it.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes.
    figure_ : matplotlib.figure.Figure
        Its figure.
    bars_ : matplotlib.container.BarContainer
        The means of the absolute values, the largest at the top.
    lines_ : matplotlib.collections.LineCollection
        The ranges.
    dots_ : matplotlib.lines.Line2D
        The means.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skdnn import DNNRegressor
    >>> from skdnn.inspection import SensitivitiesDisplay
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> model = DNNRegressor(random_state=0).fit(X, y)
    >>> SensitivitiesDisplay.from_estimator(model, X)  # doctest: +SKIP
    <...>
    """

    found: Bunch
    of: str = field(default="prediction", kw_only=True)
    ax_: Any = field(init=False)
    figure_: Any = field(init=False)
    bars_: Any = field(init=False)
    lines_: Any = field(init=False)
    dots_: Any = field(init=False)

    @classmethod
    def from_estimator(
        cls,
        model: Any,
        X: Any,
        *,
        sample_weight: ArrayLike | None = None,
        of: Of = "output",
        output: int | None = None,
        n_features: int = 20,
        ax: Any = None,
    ) -> Self:
        """Plot the sensitivities of a fitted estimator.

        Parameters
        ----------
        model, X, sample_weight, of
            As in :func:`sensitivities`.
        output : int, optional
            The number of the target, or of the class in ``classes_``; needed where there are
            several.
        n_features : int, default=20
            How many columns to draw at most: the most sensitive.
        ax : matplotlib.axes.Axes, optional
            Where to plot; a new figure by default.

        Returns
        -------
        SensitivitiesDisplay

        Raises
        ------
        ValueError
            If there are several outputs and `output` is none of their numbers, or there is one
            and `output` is given.
        ImportError
            If matplotlib is not installed.
        """
        found = sensitivities(model, X, sample_weight, of)
        n_outputs = len(found.mean) if found.mean.ndim == 2 else None
        if (output is None) != (n_outputs is None) or (
            n_outputs and output not in range(n_outputs)
        ):
            rule = "None for a single output" if n_outputs is None else f"from 0 to {n_outputs - 1}"
            raise ValueError(f"output must be {rule}, got {output!r}.")
        if output is not None:
            names = ("mean_absolute", "mean", "minimum", "maximum", "increasing")
            found.update({name: found[name][output] for name in names})
        said = "probability" if of == "probability" else "prediction"
        return cls(found, of=said).plot(ax, n_features=n_features)

    def plot(self, ax: Any = None, *, n_features: int = 20) -> Self:
        """Plot them.

        Parameters
        ----------
        ax, n_features
            As in :meth:`from_estimator`.

        Returns
        -------
        self

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        found = self.found
        strength = found.mean_absolute * found.deviation
        columns = np.argsort(np.nan_to_num(strength, nan=-1.0))  # categories have none
        columns = columns[strength[columns] >= 0][-n_features:]
        names = ("mean_absolute", "mean", "minimum", "maximum")
        size, mean, low, high = (found[name][columns] * found.deviation[columns] for name in names)
        height = max(1.2 + 0.3 * len(columns), 2.4)
        self.ax_ = ax = axes(ax, "SensitivitiesDisplay", figsize=(6.4, height))
        self.figure_ = ax.figure
        at = np.arange(len(columns))
        self.bars_ = ax.barh(
            at, size, height=0.62, color=COLORS[5], alpha=0.55, label="mean of absolute values"
        )
        self.lines_ = ax.hlines(
            at, low, high, colors=COLORS[3], linewidth=1.2, label="least to largest"
        )
        (self.dots_,) = ax.plot(mean, at, "o", color=COLORS[1], markersize=5, label="mean")
        ax.axvline(0.0, color=GREY, linewidth=0.8)
        ax.set_yticks(at, found.feature_names[columns])
        ax.set(xlabel=f"Change of the {self.of} per deviation of the column")
        ax.margins(y=0.02)
        ax.legend(loc="lower right", framealpha=0.9)
        return self


def _read(model: Any, X: Any, of: str) -> Any:
    """Return rows as an array or a CSR matrix, or refuse what has no gradient."""
    check_ours(model, "model", ", with X as the steps before have made it")
    if of not in ("output", "probability"):
        raise ValueError(f"of must be 'output' or 'probability', got {of!r}.")
    X = model._read_rows(X)
    model._model.targets.n_values(of)
    return X


def _parts(
    model: Model, X: Any, of: str, rows: Array | None = None
) -> Iterator[tuple[slice, Array, Array]]:
    """Yield some rows after the other: which, and their gradients in X and in steps of A[0].

    The gradients, (n_values, n, ...), may be in arrays that are used again. `rows` are those of
    A[0], if they are others than those of X.
    """
    inputs, targets, networks = model.inputs, model.targets, model.networks
    n_values, parameters = targets.n_values(of) or 1, networks[0].parameters
    width, dtype = parameters.sizes[0], parameters.theta.dtype
    row = 4 * len(networks) * sum(parameters.sizes) + (3 * n_values + 1) * width
    N = min(CHUNK, X.shape[0], max(MEMORY_LIMIT // (row * dtype.itemsize), 1))
    passes = [network.passes(N, backward=True) for network in networks]
    gradients, one = np.empty((n_values, N, width), dtype), np.empty((N, width), dtype)
    with np.errstate(all="ignore"):
        for part in gen_batches(X.shape[0], N):
            n, x = part.stop - part.start, X[part]
            at = [workspace.over(n) for workspace in passes]
            Z = _forward(model, x, at, None if rows is None else rows[part])
            for i, gradient in enumerate(gradients[:, :n]):
                dZ = targets.slope(Z, of, i).T / len(networks)
                for k, (network, arrays) in enumerate(zip(networks, at, strict=True)):
                    np.copyto(arrays.dZ[arrays.L], dZ)
                    backward_to_input(network.parameters, arrays, one[:n] if k else gradient)
                    if k:
                        gradient += one[:n]
            G = gradients[:, :n]
            yield part, in_columns(inputs, x, G), G[:, :, steps(inputs)]


def _forward(model: Model, X: Any, passes: list[Pass], rows: Array | None) -> Array:
    """Go forward through all networks; return the mean of their raw outputs, (n, n_outputs)."""
    inputs = model.inputs
    origin, expansion = inputs.origin(X), None
    if rows is None:
        rows, expansion = inputs.rows(X), inputs.expansion
    for network, at in zip(model.networks, passes, strict=True):
        at.read(rows, origin, expansion)
        forward(network.parameters, at, network.loss)
        slopes(at)
    return np.mean([at.Z[at.L].T for at in passes], axis=0)


def _values(model: Any, X: Array, of: str) -> Array:
    """Return what the gradients are of."""
    targets = model._model.targets
    return model._model.outputs(X, lambda Z: targets.value(Z, of)).astype(np.float64)


def _baseline(model: Any, baseline: Any, X: Array) -> Array:
    """Return a baseline for every row."""
    inputs = model._model.inputs
    if baseline is None:
        start = middle(inputs)
    elif np.ndim(baseline) == 1 and not inputs.categories:
        start = np.asarray(baseline, dtype=np.float64)
        assert_all_finite(start, input_name="baseline")
    else:
        start = model._read_rows(baseline)
        start = start.toarray() if issparse(start) else start
    if start.shape not in (X.shape[1:], (1, X.shape[1]), X.shape):
        raise ValueError(
            f"baseline must have the shape {X.shape[1:]} of a row or {X.shape} of X, got"
            f" {start.shape}."
        )
    return np.broadcast_to(start.astype(X.dtype), X.shape)


def _integrals(
    model: Model, start: Array, stop: Array, of: str, pieces: int, at_once: int
) -> Array:
    """Return the integrals of some rows, (n, n_values, n_features).

    By Gauss and Legendre's rule on equal pieces. Numbers go in a straight line in their own units,
    and what tells of gaps and categories does so in A[0].
    """
    x, weights = np.polynomial.legendre.leggauss(POINTS)
    t = (np.arange(pieces)[:, None] + (1.0 + x) / 2.0).ravel()[:, None] / pieces
    weights = np.tile(weights, pieces) / (2.0 * pieces)
    inputs, n_values = model.inputs, model.targets.n_values(of) or 1
    numeric, jumping = inputs.numeric, steps(inputs)
    jumps = [inputs(end)[:, None, jumping] for end in (start, stop)]
    start, stop = filled(inputs, start)[:, None], filled(inputs, stop)[:, None]
    shares = np.zeros((len(start), n_values, start.shape[2]))
    for some in gen_batches(len(t), at_once):
        X = start + t[some] * (stop - start)  # (n, points, n_features)
        between = jumps[0] + t[some] * (jumps[1] - jumps[0])
        of_numbers, of_steps = _along_path(model, X, of, between)
        mean = np.einsum("inpj,p->nij", of_numbers, weights[some])[:, :, numeric]
        shares[:, :, numeric] += (stop - start)[:, :, numeric] * mean
        mean = np.einsum("inpj,p->nij", of_steps, weights[some])
        of_jumps = (jumps[1] - jumps[0]) * mean
        for k, j in enumerate(inputs.sources[jumping]):
            shares[:, :, j] += of_jumps[:, :, k]
    return shares


def _along_path(model: Model, X: Array, of: str, between: Array) -> tuple[Array, Array]:
    """Return gradients at points, in X and in what steps in A[0], which is `between` there.

    All have shape (n_values, n, n_points, ...).
    """
    inputs, n_values = model.inputs, model.targets.n_values(of) or 1
    rows, shape = X.reshape(-1, X.shape[2]), (n_values, *X.shape[:2])
    of_numbers = np.empty((n_values, *rows.shape), inputs.dtype)
    of_steps = np.empty((n_values, len(rows), between.shape[2]), inputs.dtype)
    A = None
    if between.shape[2]:
        A = inputs(rows)
        A[:, steps(inputs)] = between.reshape(len(rows), -1)
    for part, *both in _parts(model, rows, of, A):
        of_numbers[:, part], of_steps[:, part] = both
    return of_numbers.reshape(*shape, -1), of_steps.reshape(*shape, -1)
