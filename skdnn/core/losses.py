"""Section 6 of the paper: the output layer, where delta = o - y (Theorem 6.1).

A loss comes with its output activation. Three pairs are the paper's: the identity with
the L2 loss, the sigmoid with binary and the softmax with categorical cross-entropy.
Theorem 6.1 says that all three have one gradient, which is therefore written once, in
:meth:`Loss.gradient`. It holds for every likelihood of an exponential family with its
canonical link, such as Poisson with the exponential. Another link divides it by what it
is off by, as with :class:`Gamma` and :class:`Tweedie`; the losses of robust regression
have no link. These override :meth:`Loss.delta` alone.

Values are computed from the raw outputs Z, never from the logarithm of a probability
that may have rounded to 0. Samples are columns: Z, A and Y have shape (m, N).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import boxcox, expit, exprel, xlogy

from skdnn.core.activations import Array, d_sigmoid, faint, write_softmax

__all__ = [
    "LOSSES",
    "AbsoluteError",
    "BinaryCrossEntropy",
    "CategoricalCrossEntropy",
    "Gamma",
    "Huber",
    "Loss",
    "Poisson",
    "Quantile",
    "SquaredError",
    "Tweedie",
]


class Loss:
    """A loss of the network's output, and the output activation that goes with it.

    To what an exponential makes ``faint`` is added, which no digit of
    an output above a millionth shows: no gradient is then subnormal, of however sure a network.

    Attributes
    ----------
    out_activation : str
        The output activation's name in scikit-learn's words.
    degree : float
        L(c o, c y) = c^degree L(o, y): a loss has the unit of y to this power.
    shifts : bool
        Whether y may be moved, o with it: then the network learns a centred y, else one
        that is divided only.
    least : float
        The least target that it takes.
    above : bool
        Whether targets have to be more than that.
    levels : tuple of float
        The quantiles of one target that the outputs are, in ascending order; () where every
        target has one output.
    options : tuple of str
        The estimator's parameters that its constructor takes, in order.
    """

    out_activation = "identity"
    degree: float = 1
    shifts = True
    least: float = -np.inf
    above = False
    levels: tuple[float, ...] = ()
    options: tuple[str, ...] = ()
    factor: float = 1.0  # of what `each` returns: a half need not cost a pass over it

    def output(self, Z: Array, A: Array, work: Array) -> None:
        """Write o = g[L](z) of every column of Z to A; `work` is as in `value`."""
        np.copyto(A, Z)

    def d_output(self, Z: Array) -> Array:
        """Return g[L]'(z), where g[L] acts on every output by itself; an array of any shape."""
        return np.ones_like(Z)

    def each(self, Z: Array, A: Array, Y: Array, work: Array) -> Array:
        """Return L / factor of every output and sample, (m, N), or of every sample, (N,).

        Parameters are those of `value`. The result may be a part of `work`.
        """
        raise NotImplementedError

    def value(
        self, Z: Array, A: Array, Y: Array, w: Array | None, work: Array, split: bool = False
    ) -> Any:
        """Return the sum over the samples of w_k L(o_k, y_k), in double precision.

        Parameters
        ----------
        Z, A : ndarray of shape (m, N)
            The raw outputs, and what `output` made of them.
        Y : ndarray of shape (m, N)
            The targets.
        w : ndarray of shape (N,) or (m, N), or None
            The weights of the samples, or of each output of theirs; None for 1.
        work : ndarray of shape (2, m, N)
            Memory to write to.
        split : bool, default=False
            Whether to return the sum for each output, an ndarray of shape (m,).
        """
        loss = self.each(Z, A, Y, work)
        if w is not None:
            loss *= w
        if split:
            return self.factor * np.sum(loss, axis=1, dtype=np.float64)
        return self.factor * float(np.sum(loss, dtype=np.float64))

    def output_and_value(self, Z: Array, Y: Array, w: Array | None, split: bool = False) -> Any:
        """Return a new array of o, and `value`, of raw outputs."""
        A, work = np.empty_like(Z), np.empty((2, *Z.shape), Z.dtype)
        self.output(Z, A, work)
        return A, self.value(Z, A, Y, w, work, split)

    def gradient(self, A: Array, Y: Array, w: Array | None, N: float, out: Array) -> None:
        """Write dZ[L] = Delta w / N to `out`, which may be A: equations (21), (36).

        N is an argument: it is the number of samples in the paper, their total weight
        where they are weighted, and that of all parts where the batch is one of many.
        """
        self.delta(A, Y, out)
        if w is not None:
            out *= w
        out *= 1.0 / N  # (21) dZ = Delta / N

    def delta(self, A: Array, Y: Array, out: Array) -> None:
        """Write Delta, the gradient in Z, to `out`, which may be A: by Theorem 6.1 A - Y.

        A loss that the theorem is not about says in its own formula what its delta is.
        """
        np.subtract(A, Y, out=out)


class SquaredError(Loss):
    """L(o, y) = |o - y|^2 / 2, o = z, equation (26); delta = o - y, equation (27)."""

    degree = 2
    factor = 0.5

    def each(self, Z: Array, A: Array, Y: Array, work: Array) -> Array:
        loss = np.subtract(Z, Y, out=work[0])
        np.square(loss, out=loss)
        return loss


class BinaryCrossEntropy(Loss):
    """L(o, y) = -(y log o + (1 - y) log(1 - o)), o = sigmoid(z), summed over outputs.

    In z it is softplus(z) - y z = max(z, 0) - log max(o, 1 - o) - y z, and delta =
    o - y, equation (33).
    """

    out_activation = "logistic"

    def output(self, Z: Array, A: Array, work: Array) -> None:
        expit(Z, A)
        A += faint(A.dtype)

    def d_output(self, Z: Array) -> Array:
        return d_sigmoid(Z)

    def each(self, Z: Array, A: Array, Y: Array, work: Array) -> Array:
        loss, term = work
        np.maximum(Z, 0.0, out=loss)
        np.subtract(1.0, A, out=term)
        np.maximum(A, term, out=term)  # at least 1/2
        np.log(term, out=term)
        loss -= term
        np.multiply(Y, Z, out=term)
        loss -= term
        return loss


class CategoricalCrossEntropy(Loss):
    """L(o, y) = -sum_i y_i log o_i, o = softmax(z), where the y_i sum to 1.

    In z it is logsumexp(z) - y.z, and delta = o - y (section 6.3).
    """

    out_activation = "softmax"

    def output(self, Z: Array, A: Array, work: Array) -> None:
        write_softmax(Z, A, work[0, :1])
        A += faint(A.dtype)

    def each(self, Z: Array, A: Array, Y: Array, work: Array) -> Array:
        # logsumexp(z) = max z - log max o, and the largest o is at least 1/m.
        loss, term = work[0, 0], work[1, 0]
        np.max(A, axis=0, out=term)
        np.log(term, out=term)
        np.max(Z, axis=0, out=loss)
        loss -= term
        np.multiply(Y, Z, out=work[1])
        loss -= np.sum(work[1], axis=0, out=term)
        return loss


class LogLink(Loss):
    """What the losses of o = exp(z) > 0 have in common, whose y may be scaled and not moved."""

    out_activation = "exp"
    shifts = False
    least = 0.0

    def output(self, Z: Array, A: Array, work: Array) -> None:
        np.exp(Z, out=A)
        A += faint(A.dtype)

    def d_output(self, Z: Array) -> Array:
        return np.exp(Z)


class Poisson(LogLink):
    """L(o, y) = y log(y / o) - y + o, o = exp(z), y >= 0: half the Poisson deviance.

    The log link is canonical: delta = o - y, as in Theorem 6.1.
    """

    def each(self, Z: Array, A: Array, Y: Array, work: Array) -> Array:
        loss, term = work
        xlogy(Y, Y, out=loss)
        loss -= Y
        loss += A
        np.multiply(Y, Z, out=term)
        loss -= term
        return loss


class Gamma(LogLink):
    """L(o, y) = y / o - log(y / o) - 1, o = exp(z), y > 0: half the gamma deviance.

    The canonical link would be -1 / o. Through the logarithm, which keeps o > 0, the o - y
    of Theorem 6.1 is divided by o: delta = (o - y) / o.
    """

    degree = 0
    above = True

    def each(self, Z: Array, A: Array, Y: Array, work: Array) -> Array:
        loss, term = work
        np.negative(Z, out=loss)
        np.exp(loss, out=loss)
        loss *= Y
        loss += Z
        loss -= np.log(Y, out=term)
        loss -= 1.0
        return loss

    def delta(self, A: Array, Y: Array, out: Array) -> None:
        np.divide(Y, A, out=out)
        np.subtract(1.0, out, out=out)


class Tweedie(LogLink):
    """L(o, y) = y (b(y, 1 - p) - b(o, 1 - p)) - (b(y, 2 - p) - b(o, 2 - p)), o = exp(z).

    Half the deviance of the family whose variance is o^p, p >= 1: of Poisson for p = 1 and
    of gamma for p = 2; for 1 < p < 2 of sums of gamma variables, a Poisson number of them,
    so that y = 0 is possible. b(t, s) = (t^s - 1) / s is Box and Cox's power, log t at s = 0.
    The logarithm is the canonical link for p = 1 alone: delta = (o - y) o^(1 - p).
    Jorgensen (1987), "Exponential dispersion models".
    """

    options = ("power",)

    def __init__(self, p: float) -> None:
        self.p = p

    @property
    def degree(self) -> float:  # type: ignore[override]  # it depends on p here
        """2 - p."""
        return 2.0 - self.p

    @property
    def above(self) -> bool:  # type: ignore[override]  # the same
        """Whether y = 0 has no density."""
        return self.p >= 2.0

    def each(self, Z: Array, A: Array, Y: Array, work: Array) -> Array:
        loss, term = work
        of_y = Y * boxcox(np.where(Y > 0.0, Y, 1.0), 1.0 - self.p) - boxcox(Y, 2.0 - self.p)
        self._power(Z, 2.0 - self.p, out=loss)
        loss += of_y
        self._power(Z, 1.0 - self.p, out=term)
        term *= Y
        loss -= term
        return loss

    def _power(self, Z: Array, s: float, out: Array) -> None:
        """Write b(exp z, s) = (e^(s z) - 1) / s."""
        np.multiply(Z, s, out=out)
        exprel(out, out=out)
        out *= Z

    def delta(self, A: Array, Y: Array, out: Array) -> None:
        power = A ** (1.0 - self.p)  # an array of its own, as `out` may be A
        np.subtract(A, Y, out=out)
        out *= power


class AbsoluteError(Loss):
    """L(o, y) = |o - y|, o = z; delta = sign(o - y)."""

    def each(self, Z: Array, A: Array, Y: Array, work: Array) -> Array:
        loss = np.subtract(Z, Y, out=work[0])
        np.abs(loss, out=loss)
        return loss

    def delta(self, A: Array, Y: Array, out: Array) -> None:
        np.subtract(A, Y, out=out)
        np.sign(out, out=out)


class Huber(Loss):
    """L(o, y) = r^2 / 2 for |r| <= d, else d (|r| - d / 2), with r = o - y, o = z.

    delta = r, held within [-d, d]; Huber (1964), "Robust estimation of a location
    parameter".
    """

    degree = 2
    factor = 0.5
    options = ("huber_delta",)

    def __init__(self, d: float) -> None:
        self.d = d

    def each(self, Z: Array, A: Array, Y: Array, work: Array) -> Array:
        r, c = work
        np.subtract(Z, Y, out=r)
        np.clip(r, -self.d, self.d, out=c)
        # c (r - c / 2) is both cases at once.
        r *= 2.0
        r -= c
        r *= c
        return r

    def delta(self, A: Array, Y: Array, out: Array) -> None:
        np.subtract(A, Y, out=out)
        np.clip(out, -self.d, self.d, out=out)


class Quantile(Loss):
    """L(o, y) = q (y - o) for y >= o, else (1 - q) (o - y), o = z: the pinball loss.

    delta = 1 - q for o > y, -q for o < y and 0 where they are equal; Koenker and
    Bassett (1978), "Regression quantiles". Of several q each has an output, all of them of
    one target, and their losses are summed.
    """

    factor = 0.5
    options = ("quantile",)

    def __init__(self, q: float | tuple[float, ...]) -> None:
        self.q = q

    @property
    def levels(self) -> tuple[float, ...]:  # type: ignore[override]  # it depends on q here
        """The quantiles, if there are several."""
        return self.q if isinstance(self.q, tuple) else ()

    @property
    def column(self) -> Any:
        """q, a row for every output if there are several."""
        return np.reshape(self.q, (-1, 1)) if self.levels else self.q

    def each(self, Z: Array, A: Array, Y: Array, work: Array) -> Array:
        # The two cases are (|r| + (1 - 2 q) r) / 2 with r = o - y.
        r, loss = work
        np.subtract(Z, Y, out=r)
        np.abs(r, out=loss)
        r *= 1.0 - 2.0 * self.column
        loss += r
        return loss

    def delta(self, A: Array, Y: Array, out: Array) -> None:
        np.subtract(A, Y, out=out)
        np.sign(out, out=out)
        np.clip(out, -self.column, 1.0 - self.column, out=out)


LOSSES: dict[str, type[Loss]] = {
    "squared_error": SquaredError,
    "absolute_error": AbsoluteError,
    "huber": Huber,
    "quantile": Quantile,
    "poisson": Poisson,
    "gamma": Gamma,
    "tweedie": Tweedie,
}
"""The losses of a regressor by name."""
