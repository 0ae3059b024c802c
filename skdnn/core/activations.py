"""Section 3 of the paper: activation functions and their derivatives, side by side.

The paper's own functions (:func:`sigmoid`, :func:`relu`, :func:`relu_eps`,
:func:`softmax` and their derivatives) stand first, for plain arrays of any shape. The
samples are columns, so :func:`softmax` normalises each column (``axis=0``; Code 1 of
the paper prints ``axis=1``, which suits samples in rows).

What a hidden layer uses are the :class:`Activation` objects in :data:`ACTIVATIONS`.
They write into given memory and never allocate.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, ndtr

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "Elu",
    "Gelu",
    "Identity",
    "LeakyRelu",
    "Logistic",
    "Mish",
    "Relu",
    "Silu",
    "Softplus",
    "Tanh",
    "d_relu",
    "d_relu_eps",
    "d_sigmoid",
    "relu",
    "relu_eps",
    "sigmoid",
    "softmax",
]

Array = NDArray[np.floating[Any]]


@cache
def faint(dtype: Any) -> Array:
    """Return the cube root of the least normal number of the type: 2e-13, or 4e-103.

    An operation on subnormal numbers takes 20 to 200 times as long on some processors. An
    output, or the tail of an activation or of its slope, is not less than this, so that
    neither is a product of two of them. (To add an array of no dimension takes NumPy 0.1 us
    less than to add a number.)
    """
    return np.array(2.0 ** (np.finfo(dtype).minexp // 3), dtype)


@cache
def far(dtype: Any) -> float:
    """Return x with e^-x = ``faint``: 29, or 236."""
    return -math.log(2.0) * (np.finfo(dtype).minexp // 3)


def sigmoid(Z: ArrayLike, out: Array | None = None) -> Array:
    """Return the logistic sigmoid, g(z) = 1 / (1 + e^-z), without overflow.

    Parameters
    ----------
    Z : array-like
        Any shape.
    out : ndarray, optional
        Where to write; may be Z.

    Returns
    -------
    ndarray of the shape of Z

    Examples
    --------
    >>> from skdnn.activations import sigmoid
    >>> sigmoid([-1e4, 0.0, 1e4]).tolist()
    [0.0, 0.5, 1.0]
    """
    return expit(_floating(Z), out=out)


def d_sigmoid(Z: ArrayLike, out: Array | None = None) -> Array:
    """Return g'(z) = g(z) (1 - g(z)), equation (2), of the sigmoid.

    1 - g(z) is taken as g(-z), which does not round to 0 for large z.

    Examples
    --------
    >>> from skdnn.activations import d_sigmoid
    >>> float(d_sigmoid(0.0))
    0.25
    """
    Z = _floating(Z)
    return np.multiply(expit(Z), expit(-Z), out=out)


def relu(Z: ArrayLike, out: Array | None = None) -> Array:
    """Return g(z) = max(0, z)."""
    return np.maximum(_floating(Z), 0.0, out=out)


def d_relu(Z: ArrayLike, out: Array | None = None) -> Array:
    """Return g'(z) = 1 for z > 0 and 0 for z <= 0.

    At z = 0 the paper's equation (1) takes 1 and its text allows 0; this package takes
    0, as PyTorch and scikit-learn do: g' can then be read off g(z).

    Examples
    --------
    >>> from skdnn.activations import d_relu
    >>> d_relu([-2.0, 0.0, 3.0]).tolist()
    [0.0, 0.0, 1.0]
    """
    Z = _floating(Z)
    return np.greater(Z, 0.0, out=np.empty_like(Z) if out is None else out)


def relu_eps(Z: ArrayLike, epsilon: float = 1e-32, out: Array | None = None) -> Array:
    """Return the differentiable relu of section 3.

    -2/eps^3 z^4 - 3/eps^2 z^3 + z on [-eps, 0], and relu(z) elsewhere.

    Parameters
    ----------
    Z : array-like
        Any shape.
    epsilon : float, default=1e-32
        The width of the transition, > 0. The polynomial is evaluated in t = z / eps,
        since eps^3 underflows long before eps does.
    out : ndarray, optional
        Where to write.

    Returns
    -------
    ndarray of the shape of Z

    References
    ----------
    Lemma 3.1 of the paper: differentiable, slope 1 for z >= 0 and 0 for z <= -eps.
    """
    Z = _floating(Z)
    t = _transition(Z, epsilon)
    # -2 t^4 - 3 t^3 + t = -t (t + 1)^2 (2 t - 1): exactly 0 at both ends.
    bend = epsilon * (-t * np.square(t + 1.0) * (2.0 * t - 1.0))
    return np.add(np.maximum(Z, 0.0), bend, out=out)


def d_relu_eps(Z: ArrayLike, epsilon: float = 1e-32, out: Array | None = None) -> Array:
    """Return the slope of :func:`relu_eps`: 1 for z >= 0, 0 for z <= -epsilon.

    Between them -8 t^3 - 9 t^2 + 1, where t = z / epsilon.
    """
    t = _transition(_floating(Z), epsilon)
    # -8 t^3 - 9 t^2 + 1 = (1 + t) (1 - t - 8 t^2): exactly 0 at t = -1, 1 at t = 0.
    return np.multiply(1.0 + t, 1.0 - t - 8.0 * np.square(t), out=out)


def softmax(Z: ArrayLike, out: Array | None = None, row: Array | None = None) -> Array:
    """Return the softmax of each column, s(z)_i = e^z_i / sum_k e^z_k, without overflow.

    Parameters
    ----------
    Z : array-like of shape (m,) or (m, N)
        One sample, or N samples as columns.
    out : ndarray, optional
        Where to write; may be Z.
    row : ndarray of shape (1, N), optional
        Memory for the largest entry and the sum of every column.

    Returns
    -------
    ndarray of the shape of Z
        Every column sums to 1. Its Jacobian is equation (39), o_i (delta_ij - o_j).

    Examples
    --------
    >>> from skdnn.activations import softmax
    >>> softmax([[0.0, 1e4], [0.0, 0.0]]).tolist()
    [[0.5, 1.0], [0.5, 0.0]]
    """
    Z = _floating(Z)
    A = np.empty_like(Z) if out is None else out
    write_softmax(Z, A, row)
    return A


def write_softmax(Z: Array, A: Array, row: Array | None) -> None:
    """Write the softmax of each column of Z to A; the arguments are those of `softmax`."""
    # np.max and np.sum take 1.3 us more to call the same.
    np.subtract(Z, np.maximum.reduce(Z, axis=0, keepdims=True, out=row), A)
    np.exp(A, A)
    A /= np.add.reduce(A, axis=0, keepdims=True, out=row)


def _floating(Z: ArrayLike) -> Array:
    Z = np.asarray(Z)
    return Z if Z.dtype.kind == "f" else Z.astype(np.float64)


def _transition(Z: Array, epsilon: float) -> Array:
    """Return z / epsilon, clipped to [-1, 0]: where in the transition z lies."""
    t = np.clip(Z.astype(np.float64), -epsilon, 0.0) / epsilon  # epsilon may be 0 in float32
    return t.astype(Z.dtype)


class Activation:
    """A hidden layer's activation g and its derivative g', on given memory.

    ``in_place`` says that g'(z) can be had from a = g(z), so that Z and A share their
    memory. Otherwise `derivative` may spend Z: nobody reads it afterwards.
    ``has_scratch`` says whether a third array of the layer's shape is used, which is 0 at
    first and then the activation's own.

    Where g is an exponential tail, `forward` may hold Z at the bound beyond which the tail
    is less than ``faint``: g and g' there are those at the bound.
    """

    in_place = True
    has_scratch = False

    def forward(self, Z: Array, A: Array, scratch: Array | None) -> None:
        """Write a = g(z), equation (4), to A, which is Z if `in_place`."""
        raise NotImplementedError

    def derivative(self, Z: Array, A: Array, scratch: Array | None) -> None:
        """Write g'(z) over a: the forward pass's A is spent by now."""
        raise NotImplementedError

    def __call__(self, Z: ArrayLike) -> Array:
        """Return g(Z) as a new array."""
        return self._applied(Z)[1]

    def d(self, Z: ArrayLike) -> Array:
        """Return g'(Z) as a new array."""
        Z, A, scratch = self._applied(Z)
        self.derivative(Z, A, scratch)
        return A

    def _applied(self, Z: ArrayLike) -> tuple[Array, Array, Array]:
        """Return new arrays as `forward` leaves them: Z, A and scratch."""
        Z = np.array(Z, dtype=np.result_type(_floating(Z), np.float32))
        A, scratch = Z if self.in_place else np.empty_like(Z), np.zeros_like(Z)
        self.forward(Z, A, scratch)
        return Z, A, scratch


class Identity(Activation):
    """g(z) = z; g'(z) = 1."""

    def forward(self, Z: Array, A: Array, scratch: Any) -> None:
        """Leave A, which is Z."""

    def derivative(self, Z: Array, A: Array, scratch: Any) -> None:
        A.fill(1.0)


class Relu(Activation):
    """g(z) = max(0, z); g'(z) = 1 for z > 0, else 0: equation (1), with 0 at z = 0."""

    has_scratch = True  # and leaves it at 0: with an array NumPy takes 1/2 to 1/3 of the time

    def forward(self, Z: Array, A: Array, scratch: Any) -> None:
        np.maximum(Z, scratch, out=A)

    def derivative(self, Z: Array, A: Array, scratch: Any) -> None:
        np.greater(A, scratch, out=A)


class Logistic(Activation):
    """g(z) = 1 / (1 + e^-z); g'(z) = a (1 - a), equation (2)."""

    has_scratch = True

    def forward(self, Z: Array, A: Array, scratch: Any) -> None:
        _exp(Z, out=A)
        np.add(A, 1.0, out=scratch)
        A /= scratch

    def derivative(self, Z: Array, A: Array, scratch: Any) -> None:
        np.subtract(1.0, A, out=scratch)
        np.multiply(A, scratch, out=A)


class Tanh(Activation):
    """g(z) = tanh(z); g'(z) = 1 - a^2."""

    def forward(self, Z: Array, A: Array, scratch: Any) -> None:
        np.tanh(Z, out=A)

    def derivative(self, Z: Array, A: Array, scratch: Any) -> None:
        np.square(A, out=A)
        np.subtract(1.0, A, out=A)


class LeakyRelu(Activation):
    """g(z) = max(z, z / 100); g'(z) = 1 for z > 0, else 1 / 100.

    Maas, Hannun and Ng (2013), "Rectifier nonlinearities improve neural network
    acoustic models".
    """

    has_scratch = True

    def forward(self, Z: Array, A: Array, scratch: Any) -> None:
        np.multiply(Z, 0.01, out=scratch)
        np.maximum(Z, scratch, out=A)

    def derivative(self, Z: Array, A: Array, scratch: Any) -> None:
        d_relu(A, out=A)
        np.maximum(A, 0.01, out=A)


class Elu(Activation):
    """g(z) = c z for z > 0, else c r (e^z - 1); g'(z) = c for z > 0, else a + c r.

    c = r = 1 is the ELU of Clevert, Unterthiner and Hochreiter (2016).
    """

    has_scratch = True

    def __init__(self, c: float = 1.0, r: float = 1.0) -> None:
        self.c = c
        self.r = r

    def forward(self, Z: Array, A: Array, scratch: Any) -> None:
        # e^z - 1 = -2 p / (1 + p), p = tanh(-z / 2), which is 0 where z > 0. np.expm1 takes
        # 5 times as long as np.tanh on processors without AVX-512.
        np.minimum(Z, 0.0, out=scratch)
        scratch *= -0.5
        np.tanh(scratch, out=scratch)
        np.maximum(Z, 0.0, out=A)
        A *= 0.5 / self.r
        A -= scratch
        scratch += 1.0
        A /= scratch
        A *= 2.0 * self.c * self.r

    def derivative(self, Z: Array, A: Array, scratch: Any) -> None:
        if self.r != 1.0:
            np.greater(A, 0.0, out=scratch)
            scratch *= self.c * (1.0 - self.r)
        np.minimum(A, 0.0, out=A)
        A += self.c * self.r
        if self.r != 1.0:
            A += scratch


class Softplus(Activation):
    """g(z) = log(1 + e^z); g'(z) = sigmoid(z) = 1 - e^-a = 2 t / (1 + t), t = tanh(a / 2)."""

    has_scratch = True

    def forward(self, Z: Array, A: Array, scratch: Any) -> None:
        _exp(Z, out=scratch)
        np.log1p(scratch, out=scratch)
        np.maximum(Z, scratch, out=A)  # z itself where e^z is held

    def derivative(self, Z: Array, A: Array, scratch: Any) -> None:
        A *= 0.5
        np.tanh(A, out=A)
        np.add(A, 1.0, out=scratch)
        A /= scratch
        A *= 2.0


class Gelu(Activation):
    """g(z) = z P(z); g'(z) = P(z) + z p(z), P and p the normal distribution, density.

    Hendrycks and Gimpel (2016), "Gaussian error linear units", in its exact form. P(z) is
    found again as g(z) / z.
    """

    in_place = False
    has_scratch = True

    def forward(self, Z: Array, A: Array, scratch: Any) -> None:
        edge = math.sqrt(2.0 * far(Z.dtype))
        np.maximum(Z, -edge, out=Z)
        if Z.dtype == np.float32:
            _gelu_in_float32(Z, A, scratch, edge)
        else:
            ndtr(Z, out=A)
            A *= Z

    def derivative(self, Z: Array, A: Array, scratch: Any) -> None:
        edge, least = math.sqrt(2.0 * far(Z.dtype)), float(np.finfo(Z.dtype).tiny)
        np.abs(A, out=A)
        A += 2.0 * least
        np.abs(Z, out=scratch)
        scratch += 4.0 * least
        A /= scratch  # P, and 1/2 at 0
        np.clip(Z, -edge, edge, out=Z)
        np.square(Z, out=scratch)
        scratch *= -0.5
        np.exp(scratch, out=scratch)
        scratch *= 1.0 / math.sqrt(2.0 * math.pi)
        scratch *= Z
        A += scratch


# P(-x) = e^(-x^2 / 2) h(s), s = 1 / (x + 3), where h is this polynomial, its last coefficient
# first, within 6e-8 of it up to x = 7.6. With rounding g is within 4 units in the last place
# above z = -1, and 4 + z^2 / 2 below, in 1/4 of the time of SciPy's ndtr. In float64 it would
# need some 20 coefficients, and be no faster.
_H = (
    108.392337,
    -170.458932,
    84.4504769,
    -8.97363822,
    5.36268786,
    1.02080746,
    0.406886182,
    -0.000153416172,
)


def _gelu_in_float32(Z: Array, A: Array, scratch: Array, edge: float) -> None:
    """Write g(z) = max(z, 0) - x P(-x), x = |z|, to A."""
    np.abs(Z, out=scratch)
    np.minimum(scratch, edge, out=scratch)
    scratch += 3.0
    np.reciprocal(scratch, out=scratch)
    np.multiply(scratch, _H[0], out=A)
    for c in _H[1:-1]:
        A += c
        A *= scratch
    A += _H[-1]
    np.abs(Z, out=scratch)
    np.minimum(scratch, edge, out=scratch)
    A *= scratch
    np.square(scratch, out=scratch)
    scratch *= -0.5
    np.exp(scratch, out=scratch)
    A *= scratch
    np.maximum(Z, 0.0, out=scratch)
    np.subtract(scratch, A, out=A)


class Silu(Activation):
    """g(z) = z s; g'(z) = s (1 + z (1 - s)), where s = sigmoid(z).

    Elfwing, Uchibe and Doya (2018), "Sigmoid-weighted linear units"; also swish.
    """

    in_place = False
    has_scratch = True

    def forward(self, Z: Array, A: Array, scratch: Any) -> None:
        np.maximum(Z, -far(Z.dtype), out=Z)
        _exp(Z, out=A)
        np.add(A, 1.0, out=scratch)
        A /= scratch
        A *= Z

    def derivative(self, Z: Array, A: Array, scratch: Any) -> None:
        np.minimum(Z, far(Z.dtype), out=Z)
        np.exp(Z, out=A)
        np.add(A, 1.0, out=scratch)
        np.reciprocal(scratch, out=scratch)  # 1 - s
        A *= scratch
        scratch *= Z
        scratch += 1.0
        A *= scratch


class Mish(Activation):
    """g(z) = z n / (n + 2); g'(z) = (n (n + 2) + 4 z e (e + 1)) / (n + 2)^2.

    Here e = e^z and n = e (e + 2), so that n / (n + 2) = tanh(log(1 + e^z)). Misra
    (2019), "Mish: a self regularized non-monotonic activation function". Above z = 20
    the quotient and the slope are 1 to every digit of float64, and z is held there.
    """

    in_place = False
    has_scratch = True

    def forward(self, Z: Array, A: Array, scratch: Any) -> None:
        np.maximum(Z, -far(Z.dtype), out=Z)
        np.minimum(Z, 20.0, out=scratch)
        np.exp(scratch, out=scratch)
        np.add(scratch, 2.0, out=A)
        A *= scratch
        np.add(A, 2.0, out=scratch)
        A /= scratch
        A *= Z

    def derivative(self, Z: Array, A: Array, scratch: Any) -> None:
        np.minimum(Z, 20.0, out=Z)
        np.exp(Z, out=scratch)
        np.add(scratch, 2.0, out=A)
        A *= scratch  # n
        Z *= scratch
        scratch += 1.0
        Z *= scratch
        Z *= 4.0  # 4 z e (e + 1)
        np.add(A, 2.0, out=scratch)
        A *= scratch
        A += Z
        A /= scratch
        A /= scratch


def _exp(Z: Array, out: Array) -> None:
    """Write e^z, z held within the bounds where neither e^z nor e^-z is less than `faint`."""
    x = far(Z.dtype)
    np.clip(Z, -x, x, out=out)
    np.exp(out, out=out)


# c and r of SELU are the fixed point of Klambauer et al. (2017), "Self-normalizing
# neural networks": mean 0 and variance 1 are handed on from layer to layer.
ACTIVATIONS: dict[str, Activation] = {
    "identity": Identity(),
    "logistic": Logistic(),
    "tanh": Tanh(),
    "relu": Relu(),
    "leaky_relu": LeakyRelu(),
    "elu": Elu(),
    "selu": Elu(c=1.0507009873554805, r=1.6732632423543772),
    "gelu": Gelu(),
    "silu": Silu(),
    "mish": Mish(),
    "softplus": Softplus(),
}
"""The activations of hidden layers by name."""

ACTIVATIONS["sigmoid"] = ACTIVATIONS["logistic"]
