"""The gradients of a fitted estimator, and three independent ways to check them.

:func:`gradients` gives what training computes at the estimator's current weights:
Theorem 5.4 of the paper. :func:`check_gradients` compares every dW and db with

- central differences of the cost that training minimises (about 1e-8 relative, and
  blind to how the gradient was made);
- the complex-step derivative, Im J(theta + ih) / h, which has no cancellation and so is
  exact to rounding (about 1e-13); the cost is written here a second time, in forms that
  take complex numbers;
- PyTorch's autograd on PyTorch's own functions, in float64 (about 1e-13).

References
----------
Squire and Trapp (1998), "Using complex variables to estimate derivatives of real
functions", SIAM Review 40, 110-112.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import erf, xlogy

from skdnn import activations, losses
from skdnn.base import check_ours
from skdnn.core.activations import Array
from skdnn.core.network import Network, Parameters
from skdnn.door import read
from skdnn.fit.objective import Objective
from skdnn.fit.rows import Batches, Rows
from skdnn.fit.threads import one_thread
from skdnn.task import TaskInMemory, class_weight_of

__all__ = ["ArrayCheck", "GradientCheck", "Gradients", "check_gradients", "gradients"]


@dataclass(frozen=True)
class Gradients:
    """The cost J and its gradient.

    Attributes
    ----------
    cost : float
        J, with the L2 term.
    dW, db : list of ndarray
        dW[i] of the shape of ``weights_[i]``, (n[l], n[l-1]), and db[i] of that of
        ``biases_[i]``, where i = l - 1 for layer l = 1, ..., L.
    """

    cost: float
    dW: list[Array]
    db: list[Array]


class ArrayCheck(NamedTuple):
    """How one array of the gradient compares with the reference.

    Attributes
    ----------
    name : str
        ``"W[l]"`` or ``"b[l]"``, with the paper's l = 1, ..., L.
    shape : tuple of int
        The array's shape.
    absolute : float
        The largest difference; nan if no entry could be compared.
    relative : float
        `absolute` over the largest entry of the reference; 0 where both are all zeros.
    at_kinks : int
        The entries left out because the step of the difference crosses a kink.
    """

    name: str
    shape: tuple[int, ...]
    absolute: float
    relative: float
    at_kinks: int


@dataclass(frozen=True, repr=False)
class GradientCheck:
    """The result of :func:`check_gradients`; printed, it is a table.

    Attributes
    ----------
    estimator : str
        The class that was checked.
    method : str
        What its gradient was compared with.
    cost, reference_cost : float
        J as training computes it, and as the method does.
    arrays : list of ArrayCheck
        W[1], ..., W[L], b[1], ..., b[L].
    """

    estimator: str
    method: str
    cost: float
    reference_cost: float
    arrays: list[ArrayCheck]

    @property
    def max_relative_error(self) -> float:
        """The largest `relative` of the arrays that could be compared; nan if none could."""
        compared = [a.relative for a in self.arrays if a.at_kinks < prod(a.shape)]
        return float(np.max(compared)) if compared else np.nan

    def __repr__(self) -> str:
        rows = [("array", "shape", "absolute", "relative", "at kinks")]
        rows += [
            (a.name, str(a.shape), f"{a.absolute:.1e}", f"{a.relative:.1e}", str(a.at_kinks))
            for a in self.arrays
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        title = f"dJ of {self.estimator} against {self.method}, J = {self.cost:.6g}"
        lines = [
            "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
            for row in rows
        ]
        return "\n".join([title, *lines, f"max_relative_error = {self.max_relative_error:.1e}"])


@dataclass(frozen=True)
class _Problem:
    """What J is made of, in the network's coordinates."""

    rows: Rows
    network: Network
    alpha: float

    def objective(self) -> Objective:
        """Return what training minimises, on a full batch."""
        return Objective(Batches(self.rows), self.network, self.alpha, len(self.rows))

    def in_float64(self) -> _Problem:
        """Return a copy on dense arrays of float64, with targets in place of labels."""
        rows = self.rows
        X = rows.inputs(self.network.parameters.sizes[0])
        Y = rows.Y if rows.table is None else rows.table[rows.Y]
        w = np.ones(len(rows)) if rows.w is None else rows.w
        X, Y, w = (np.array(part, dtype=np.float64) for part in (X, Y, w))
        theta = self.network.parameters.theta.astype(np.float64)
        rows = Rows(X, Y, w, w_unit=rows.w_unit)
        return _Problem(rows, self.network.with_theta(theta), self.alpha)


class _Reference(NamedTuple):
    """The gradient by another way: its cost, a flat vector, and where it may not be used."""

    cost: float
    theta: Array
    at_kinks: Any  # an ndarray of bool


@np.errstate(all="ignore")
def gradients(
    estimator: Any, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
) -> Gradients:
    """Return the cost and its gradient at the current weights of a fitted estimator.

    They are those of a full batch of the given rows, in the network's own coordinates
    (inputs and targets scaled as the estimator does), with the L2 term and without the
    noise of training, such as dropout.

    Parameters
    ----------
    estimator : fitted DNNRegressor, DNNBinaryClassifier or DNNClassifier
        Not changed.
    X : array-like or sparse matrix of shape (n_samples, n_features)
        Rows in the user's units, as for ``fit``.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets or labels, as for ``fit``.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights, as for ``fit``.

    Returns
    -------
    Gradients
        With `cost`, `dW` and `db`, in the estimator's floating-point type.

    Raises
    ------
    TypeError
        If the estimator is not one of skdnn's.
    sklearn.exceptions.NotFittedError
        If it is not fitted.
    ValueError
        If the data is not what ``fit`` accepts, or a label was not seen by it.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skdnn import DNNClassifier
    >>> from skdnn.verify import gradients
    >>> X, y = load_iris(return_X_y=True)
    >>> model = DNNClassifier((5,), scale_inputs="clipped", random_state=0, max_iter=20)
    >>> dJ = gradients(model.fit(X, y), X, y)
    >>> [dW.shape for dW in dJ.dW], [db.shape for db in dJ.db]
    ([(5, 4), (3, 5)], [(5, 1), (3, 1)])
    >>> dJ.cost == model.loss_
    True
    """
    problem = _problem(estimator, X, y, sample_weight)
    cost, gradient = _analytic(problem)
    return Gradients(cost, gradient.W[1:], gradient.b[1:])


@np.errstate(all="ignore")
def check_gradients(
    estimator: Any,
    X: ArrayLike,
    y: ArrayLike,
    method: str = "central",
    sample_weight: ArrayLike | None = None,
) -> GradientCheck:
    """Compare the gradient that training uses with one computed another way.

    The reference is always computed in float64, from the estimator's own weights. At a
    minimum the gradient is zero, and relative differences are those of rounding: check
    a model that has not converged, or rows that it was not fitted to.

    Parameters
    ----------
    estimator : fitted DNNRegressor, DNNBinaryClassifier or DNNClassifier
        Not changed.
    X : array-like or sparse matrix of shape (n_samples, n_features)
        Rows in the user's units, as for ``fit``. "central" and "complex-step" evaluate
        the cost of all of them for every weight, so some tens of rows are enough.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets or labels, as for ``fit``.
    method : {"central", "complex-step", "autograd"}, default="central"
        The reference. An entry whose central difference would cross a kink (of relu at
        0, or of the absolute error) even with a 64 times smaller step is counted as
        `at_kinks` and not compared: there the difference is wrong, not the gradient.
        The other two methods take the side of the kink that the sample is on.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights, as for ``fit``.

    Returns
    -------
    GradientCheck
        With `max_relative_error`, and the differences of each array in `arrays`.

    Raises
    ------
    TypeError
        If the estimator is not one of skdnn's.
    sklearn.exceptions.NotFittedError
        If it is not fitted.
    ImportError
        If the method is "autograd" and PyTorch is not installed.
    ValueError
        If the data is not what ``fit`` accepts, if `method` is none of the three, or if
        it has no form of the estimator's activation or loss (one of your own): "central"
        works for all.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skdnn import DNNClassifier
    >>> from skdnn.verify import check_gradients
    >>> X, y = load_iris(return_X_y=True)
    >>> model = DNNClassifier((5,), scale_inputs="clipped", random_state=0, max_iter=20)
    >>> check = check_gradients(model.fit(X, y), X, y, method="complex-step")
    >>> check.max_relative_error < 1e-12
    True
    >>> print(check)
    dJ of DNNClassifier against complex-step, J = ...
    array   shape  absolute  relative  at kinks
    W[1]   (5, 4)   ...         0
    W[2]   (3, 5)   ...         0
    b[1]   (5, 1)   ...         0
    b[2]   (3, 1)   ...         0
    max_relative_error = ...
    """
    if method not in _METHODS:
        raise ValueError(f"method must be one of {sorted(_METHODS)}, got {method!r}.")
    problem = _problem(estimator, X, y, sample_weight)
    cost, gradient = _analytic(problem)
    # The products are small: a second thread would wait longer than it works.
    with one_thread():
        reference = _METHODS[method](problem.in_float64())
    theirs, at_kinks = gradient.like(reference.theta), gradient.like(reference.at_kinks)
    largest = float(np.max(np.abs(reference.theta)))
    arrays = [
        _compare(f"{name}[{l}]", ours[l], other[l], excluded[l], largest)
        for name, ours, other, excluded in (
            ("W", gradient.W, theirs.W, at_kinks.W),
            ("b", gradient.b, theirs.b, at_kinks.b),
        )
        for l in range(1, len(ours))
    ]
    return GradientCheck(type(estimator).__name__, method, cost, reference.cost, arrays)


def _problem(estimator: Any, X: Any, y: Any, sample_weight: Any) -> _Problem:
    """Take the data through the estimator's own door."""
    check_ours(estimator, "estimator", ", with X as the steps before have made it")
    if hasattr(estimator, "estimators_"):
        raise TypeError(
            "estimator must be one network; this one has n_estimators="
            f"{len(estimator.estimators_)}, each of its estimators_ can be checked."
        )
    model = estimator._model
    data = read(estimator, X, y, sample_weight, fresh=False)
    model.targets.check(data.y)
    weigh = model.targets.weigher(class_weight_of(estimator), data.y, data.w)
    task = TaskInMemory(data, model.inputs, model.targets, weigh, model.networks[0])
    rows = task.rows(data, model.inputs.dtype)
    return _Problem(rows, model.networks[0], float(estimator.alpha))


def _analytic(problem: _Problem) -> tuple[float, Parameters]:
    """Return J and its gradient as training computes them."""
    objective = problem.objective()
    return objective.value_and_gradient(problem.network.parameters).J, objective.gradient


def _compare(name: str, ours: Array, theirs: Array, excluded: Any, largest: float) -> ArrayCheck:
    """Compare an array; beside one of zeros with the largest entry of all arrays."""
    at_kinks = int(np.sum(excluded))
    if at_kinks == excluded.size:
        return ArrayCheck(name, ours.shape, np.nan, np.nan, at_kinks)
    absolute = float(np.max(np.abs(ours - theirs)[~excluded]))
    scale = float(np.max(np.abs(theirs)[~excluded])) or largest
    relative = absolute / scale if scale else (np.inf if absolute else 0.0)
    return ArrayCheck(name, ours.shape, absolute, relative, at_kinks)


# Central differences, of the cost that training minimises.


def _central(problem: _Problem) -> _Reference:
    objective, sides = problem.objective(), _sides(problem)
    parameters = problem.network.parameters
    theta = parameters.theta
    slope, at_kinks = np.empty_like(theta), np.zeros(len(theta), dtype=bool)
    for i, here in enumerate(theta.tolist()):
        step = np.cbrt(np.finfo(np.float64).eps) * max(1.0, abs(here))
        for h in (step, step / 8.0, step / 64.0):
            theta[i] = right = here + h
            J_right, sides_right = objective.value(parameters).J, sides()
            theta[i] = left = here - h
            J_left, sides_left = objective.value(parameters).J, sides()
            at_kinks[i] = not np.array_equal(sides_left, sides_right)
            if not at_kinks[i]:
                break
        theta[i] = here
        slope[i] = (J_right - J_left) / (right - left)
    return _Reference(objective.value(parameters).J, slope, at_kinks)


def _sides(problem: _Problem) -> Callable[[], Array]:
    """Return a function that tells on which side of every kink, or at it, the network is now."""
    network, rows = problem.network, problem.rows
    parameters, g = network.parameters, network.g
    X, L = rows.X.T, len(parameters.W) - 1
    Y = np.broadcast_to(rows.Y.T, (parameters.sizes[-1], len(rows)))  # of several quantiles too
    kinked = [False, *(_has_kink(of, np.zeros(1)) for of in g[1:])]
    y = Y[:, :1]
    kinked.append(_has_kink(lambda Z: network.loss.output_and_value(Z, y, None)[1], y))

    def sides() -> Array:
        A, found = X, []
        for l in range(1, L + 1 if any(kinked) else 1):
            Z = parameters.W[l] @ A + parameters.b[l]
            if kinked[l]:
                found.append(np.sign(Z - (Y if l == L else 0.0)).ravel())
            A = Z if l == L else g[l](Z)
        return np.concatenate(found) if found else np.empty(0)

    return sides


def _has_kink(g: Callable[[Array], Any], z: Array) -> bool:
    """Whether the slope of g jumps at z."""
    h = 1e-6
    return bool(abs(g(z + h) - 2.0 * g(z) + g(z - h)) > 1e-3 * h)


# The cost once more, for numbers of another kind: complex ones, or PyTorch's tensors.


def _cost(
    problem: _Problem, W: list[Any], b: list[Any], data: tuple[Any, Any, Any], forms: _Forms
) -> Any:
    """Return J from lists indexed 1..L, with every part in the form of that kind."""
    X, Y, w = data
    L = len(W) - 1
    A = X
    for l in range(1, L):
        A = _form(forms, problem.network.g[l], W[l] @ A + b[l])
    Z = W[L] @ A + b[L]
    total = (w * _form(forms, problem.network.loss, Z, Y)).sum()
    penalty = sum((W[l] ** 2).sum() for l in range(1, L + 1))
    alpha = problem.alpha / problem.rows.w_unit
    return (total + alpha / 2.0 * penalty) / problem.rows.weight


# For the class of an activation or a loss, a function of the instance and its arguments.
_Forms = dict[type, Callable[..., Any]]


def _form(forms: _Forms, part: Any, *args: Any) -> Any:
    form = forms.get(type(part))
    if form is None:
        raise ValueError(
            f"method must be 'central' for {type(part).__name__}: no other method has a form of it."
        )
    return form(part, *args)


# Complex numbers: each function is analytic on both sides of Re z = 0 and chooses the side
# by the real part, so that nothing overflows. The square of h underflows: real parts are
# those of real arithmetic, and what is exactly 0 there is on the same side of a kink here.


def _complex_step(problem: _Problem) -> _Reference:
    rows, ours, h = problem.rows, problem.network.parameters, 1e-200
    data = rows.X.T, rows.Y.T, rows.w
    parameters = ours.like(ours.theta.astype(complex))
    theta, slope = parameters.theta, np.empty_like(ours.theta)

    def cost() -> Any:
        return _cost(problem, parameters.W, parameters.b, data, _COMPLEX)

    for i in range(len(theta)):
        theta[i] += 1j * h
        slope[i] = cost().imag / h
        theta[i] = theta[i].real
    return _Reference(float(cost().real), slope, np.zeros(len(theta), dtype=bool))


def _c_sigmoid(z: Any) -> Any:
    e = np.exp(np.where(z.real > 0, -z, z))
    return np.where(z.real > 0, 1.0, e) / (1.0 + e)


def _c_softplus(z: Any) -> Any:
    return np.where(z.real > 0, z, 0.0) + np.log1p(np.exp(np.where(z.real > 0, -z, z)))


def _c_elu(g: activations.Elu, z: Any) -> Any:
    positive = z.real > 0
    return g.c * np.where(positive, z, g.r * np.expm1(np.where(positive, 0.0, z)))


def _c_logsumexp(z: Any) -> Any:
    top = np.max(z.real, axis=0, keepdims=True)
    return top + np.log(np.sum(np.exp(z - top), axis=0, keepdims=True))


def _c_huber(loss: losses.Huber, Z: Any, Y: Any) -> Any:
    r, d = Z - Y, loss.d
    outside = d * (r * np.sign(r.real) - d / 2.0)
    return np.where(np.abs(r.real) <= d, r**2 / 2.0, outside)


def _c_quantile(loss: losses.Quantile, Z: Any, Y: Any) -> Any:
    r, q = Z - Y, loss.column
    return np.where(r.real > 0, (1.0 - q) * r, -q * r) * (r.real != 0)


def _c_tweedie(loss: losses.Tweedie, Z: Any, Y: Any) -> Any:
    """Return half a deviance of power p, from (e^(s z) - 1) / s."""

    def power(s: float) -> Any:
        return np.expm1(s * Z) / s if s else Z

    return power(2.0 - loss.p) - Y * power(1.0 - loss.p) + _of_y(Y, loss.p)


def _of_y(Y: Any, p: float) -> Any:
    """Return what a deviance has of y alone."""
    Y = np.asarray(Y)
    if p == 1.0:
        return xlogy(Y, Y) - (Y - 1.0)
    if p == 2.0:
        return Y - 1.0 - np.log(Y)
    return Y ** (2.0 - p) / ((1.0 - p) * (2.0 - p)) - Y / (1.0 - p) + 1.0 / (2.0 - p)


_COMPLEX: _Forms = {
    activations.Identity: lambda g, z: z,
    activations.Logistic: lambda g, z: _c_sigmoid(z),
    activations.Tanh: lambda g, z: np.tanh(z),
    activations.Relu: lambda g, z: np.where(z.real > 0, z, 0.0),
    activations.LeakyRelu: lambda g, z: np.where(z.real > 0, z, 0.01 * z),
    activations.Elu: _c_elu,
    activations.Softplus: lambda g, z: _c_softplus(z),
    activations.Gelu: lambda g, z: 0.5 * z * (1.0 + erf(z / np.sqrt(2.0))),
    activations.Silu: lambda g, z: z * _c_sigmoid(z),
    activations.Mish: lambda g, z: z * np.tanh(_c_softplus(z)),
    losses.SquaredError: lambda loss, Z, Y: (Z - Y) ** 2 / 2.0,
    losses.BinaryCrossEntropy: lambda loss, Z, Y: _c_softplus(Z) - Y * Z,
    losses.CategoricalCrossEntropy: lambda loss, Z, Y: Y * (_c_logsumexp(Z) - Z),
    losses.Poisson: lambda loss, Z, Y: xlogy(Y, Y) - Y + np.exp(Z) - Y * Z,
    losses.Gamma: lambda loss, Z, Y: Y * np.exp(-Z) + Z - np.log(Y) - 1.0,
    losses.Tweedie: _c_tweedie,
    losses.AbsoluteError: lambda loss, Z, Y: (Z - Y) * np.sign((Z - Y).real),
    losses.Huber: _c_huber,
    losses.Quantile: _c_quantile,
}


# PyTorch: its own functions wherever it has one, and its own derivatives of them.


def _autograd(problem: _Problem) -> _Reference:
    try:
        torch = import_module("torch")
    except ImportError as error:
        raise ImportError(
            "method='autograd' needs PyTorch, which is not installed: pip install torch."
        ) from error

    rows, parameters = problem.rows, problem.network.parameters
    theta = torch.tensor(parameters.theta, requires_grad=True)
    entries: Any = np.arange(len(theta))
    numbers = parameters.like(entries)
    W, b = (
        [None, *(theta[torch.tensor(of)] for of in arrays[1:])] for arrays in (numbers.W, numbers.b)
    )
    data = torch.tensor(rows.X.T), torch.tensor(rows.Y.T), torch.tensor(rows.w)
    J = _cost(problem, W, b, data, _torch_forms(torch))
    J.backward()
    return _Reference(J.item(), theta.grad.numpy(), np.zeros(len(theta), dtype=bool))


def _torch_forms(torch: Any) -> _Forms:
    from skdnn.modules import ACTIVATIONS, activation

    F = torch.nn.functional
    # Of a loss PyTorch is to return each term.
    each = {"reduction": "none"}

    def poisson(loss: losses.Poisson, Z: Any, Y: Any) -> Any:
        return F.poisson_nll_loss(Z, Y, **each) + torch.xlogy(Y, Y) - Y

    def tweedie(loss: losses.Tweedie, Z: Any, Y: Any) -> Any:
        def power(s: float) -> Any:
            return (torch.exp(Z) ** s - 1.0) / s if s else Z

        return torch.tensor(_of_y(Y, loss.p)) + power(2.0 - loss.p) - Y * power(1.0 - loss.p)

    def quantile(loss: losses.Quantile, Z: Any, Y: Any) -> Any:
        q = torch.tensor(loss.column, dtype=torch.float64)
        return F.relu(Y - Z) * q + F.relu(Z - Y) * (1.0 - q)

    return {
        **{kind: lambda g, Z: activation(g)(Z) for kind in ACTIVATIONS},
        losses.SquaredError: lambda loss, Z, Y: F.mse_loss(Z, Y, **each) / 2.0,
        losses.BinaryCrossEntropy: lambda loss, Z, Y: F.binary_cross_entropy_with_logits(
            Z, Y, **each
        ),
        losses.CategoricalCrossEntropy: lambda loss, Z, Y: F.cross_entropy(Z.T, Y.T, **each),
        losses.Poisson: poisson,
        losses.Gamma: lambda loss, Z, Y: Y / torch.exp(Z) + Z - torch.log(Y) - 1.0,
        losses.Tweedie: tweedie,
        losses.AbsoluteError: lambda loss, Z, Y: F.l1_loss(Z, Y, **each),
        losses.Huber: lambda loss, Z, Y: F.huber_loss(Z, Y, **each, delta=loss.d),
        losses.Quantile: quantile,
    }


_METHODS = {"central": _central, "complex-step": _complex_step, "autograd": _autograd}
