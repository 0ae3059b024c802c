"""Gradient descent and its successors: steps on a flat vector, in place.

Every optimiser works through theta in blocks that stay in the cache together with the
optimiser's own arrays and two scratch blocks; nothing is allocated in a step.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import get_blas_funcs

from skdnn.core.activations import Array

# An optimiser works on so many bytes of each array at a time. Adam's step on 235,000 and
# 600,000 parameters took 1.3 times as long in blocks of 32 kB as in 128 kB, and 0.90 to 0.97
# in 256 kB. Larger ones were faster still, down to 0.75, on a machine with 32 MB of
# third-level cache; but the scratch memory grows with them.
BLOCK = 1 << 18

# Factors of columns are moved every so many steps, by as much as in all of them: every step took
# 1.2 times as long, every fourth 1.06, with the same errors.
EVERY = 4

# So many steps may pass until what has decayed to next to nothing is dropped: with a momentum
# of 1/2 it is then 5e-20 times what it was.
PERIOD = 64


def small(dtype: Any) -> float:
    """Return the square root of the least normal number of the type: 1e-19, or 1e-154."""
    return 2.0 ** (np.finfo(dtype).minexp // 2)


def drop_small(x: Array, scratch: Array) -> None:
    """Set to 0 what is less than `small` in magnitude, before it gets subnormal.

    An operation on subnormal numbers takes 20 to 200 times as long on some processors, and
    the weights of a unit that is never active, say, would come to them and stay there.
    """
    np.abs(x, out=scratch)
    np.greater_equal(scratch, small(x.dtype), out=scratch)
    x *= scratch


class Factors(NamedTuple):
    """Which columns of W[1] have a factor in common, as those that one column of X became."""

    of: NDArray[np.intp]  # the number of the factor of each column, (n[0],)
    n: int  # how many there are
    units: int  # n[1]: theta begins with b[1], and the columns of W[1] one after another
    rate: float  # what the learning rate is multiplied by for the logarithm of a factor

    def columns(self, theta: Array) -> Array:
        """Return the columns of W[1] in theta, or of dW[1] in a gradient, as rows."""
        n_inputs, n_units = len(self.of), self.units
        return theta[n_units : (1 + n_inputs) * n_units].reshape(n_inputs, n_units)

    def slopes(self, theta: Array, gradient: Array) -> NDArray[np.float64]:
        """Return dJ / d log f, which is the sum of W * dW over the columns that f multiplies."""
        each = np.einsum("ij,ij->i", self.columns(theta), self.columns(gradient))
        return np.bincount(self.of, each, self.n).astype(np.float64, copy=False)


class Optimizer:
    """State and step of an optimiser over n parameters.

    Parameters
    ----------
    n : int
        The number of parameters.
    dtype : dtype
        float32 or float64: that of theta, of the gradient and of the state.
    factors : ndarray of shape (n,), optional
        What the learning rate is multiplied by, parameter by parameter.
    n_besides : int, default=0
        How many more numbers than the parameters it moves.

    Attributes
    ----------
    state : ndarray of shape (n_states, n), or wider
        What it remembers, zero at first: of every parameter, and beyond them of what else it
        moves.
    t : int
        The number of steps taken.
    """

    name = ""
    n_states = 0
    n_decaying = 0  # how many of them are sums of gradients, which may decay to nothing

    def __init__(
        self, n: int, dtype: Any, factors: Array | None = None, n_besides: int = 0
    ) -> None:
        self.n = n
        self.state: Array = np.zeros((self.n_states, n + n_besides), dtype)
        self.t: int = 0
        self._factors = factors
        self._allocate()

    def _allocate(self) -> None:
        n, dtype = self.n, self.state.dtype
        size = BLOCK // dtype.itemsize
        scratch = np.empty(min(n, size), dtype)
        factors = self._factors
        # (block, its part of the state, of the factors, scratch), once and not in every step.
        self._blocks = [
            (
                slice(start, start + size),
                [memory[:n][start : start + size] for memory in self.state],
                None if factors is None else factors[start : start + size],
                scratch[: min(size, n - start)],
            )
            for start in range(0, n, size)
        ]
        self._axpy = get_blas_funcs("axpy", dtype=dtype)  # y <- y + a x

    def go_on(self, state: Array, t: int) -> None:
        """Take up what an optimiser of the same kind remembered after t steps."""
        self.state, self.t = np.require(state, self.state.dtype, "W"), t
        self._allocate()

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k not in ("_blocks", "_axpy")}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        vars(self).update(kept)
        self._allocate()

    def step(self, theta: Array, gradient: Array, rate: float) -> None:
        """Take one step of the learning rate `rate` down the gradient, in place."""
        self.t += 1
        is_one = len(self._blocks) == 1  # of which no part is taken: 0.3 us
        for block, state, factors, s in self._blocks:
            x, g = (theta, gradient) if is_one else (theta[block], gradient[block])
            self._update(x, g, rate, state, factors, s)
            if self.t % PERIOD == 0:
                for decaying in (x, *state[: self.n_decaying]):
                    drop_small(decaying, s)

    def _update(
        self,
        theta: Array,
        g: Array,
        rate: float,
        state: list[Array],
        factors: Array | None,
        s: Array,
    ) -> None:
        """Update a block of theta and of the state from the gradient g; s is scratch."""
        raise NotImplementedError


class GradientDescent(Optimizer):
    """theta <- theta - rate * gradient: the update of the paper's introduction."""

    name = "gd"

    def _update(self, theta, g, rate, state, factors, s):
        g = g if factors is None else np.multiply(g, factors, out=s)
        self._axpy(g, theta, a=-rate)


class Momentum(Optimizer):
    """v <- mu v - rate g; theta <- theta + v, or + mu v - rate g (Nesterov's form).

    Sutskever, Martens, Dahl and Hinton (2013), "On the importance of initialization
    and momentum in deep learning".
    """

    name = "sgd"
    n_states = n_decaying = 1

    def __init__(
        self,
        n: int,
        dtype: Any,
        factors: Array | None = None,
        momentum: float = 0.9,
        nesterov: bool = True,
    ) -> None:
        super().__init__(n, dtype, factors)
        self.momentum = momentum
        self.nesterov = nesterov

    def _update(self, theta, g, rate, state, factors, s):
        (v,) = state
        g = g if factors is None else np.multiply(g, factors, out=s)
        v *= self.momentum
        self._axpy(g, v, a=-rate)
        if self.nesterov:
            self._axpy(g, theta, a=-rate)
            self._axpy(v, theta, a=self.momentum)
        else:
            theta += v


class Adam(Optimizer):
    """m <- b1 m + g, v <- b2 v + g^2, theta <- theta - r m / (sqrt(v) + e).

    These m and v are those of Kingma and Ba (2015), "Adam: a method for stochastic
    optimization", divided by 1 - b1 and 1 - b2; r and e carry those factors and the
    corrections of the bias.

    What is stored is m / b1^k and v / b2^k, where k counts the steps since the last
    decay: m <- b1 m + g is then one call of BLAS, which adds a multiple of g, and r and e
    carry the powers too. Three passes fewer over a block: 1.2 to 1.7 times as fast.

    v takes (g + c)^2 for g^2, where c is so little (1e-16 in float32, 2e-151 in float64) that
    no digit of a g above 2e-9 shows it: v, and all that is squared, stays a normal number
    when g vanishes, but for the one in a thousand that is within 1 / 1000 of -c.

    With `scales` the columns of W[1] that one column of X became are multiplied by a common
    factor f besides, whose logarithm takes a step of Adam's down dJ / d log f: a column that
    tells much is soon larger than one that tells nothing. Holzmüller, Grinsztajn and Steinwart
    (2024), "Better by default", have a scale of every input, as a parameter of its own.
    """

    name = "adam"
    n_states = 2
    n_decaying = 1

    def __init__(
        self,
        n: int,
        dtype: Any,
        factors: Array | None = None,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        scales: Factors | None = None,
    ) -> None:
        super().__init__(n, dtype, factors, 0 if scales is None else scales.n)
        self.beta_1: float = beta_1
        self.beta_2: float = beta_2
        self.epsilon: float = epsilon
        self.scales = scales
        self._period_m, self._period_v = _period(beta_1), _period(beta_2)
        self._c = np.array(1024.0 * small(dtype), dtype)

    def step(self, theta: Array, gradient: Array, rate: float) -> None:
        t, b1, b2 = self.t, self.beta_1, self.beta_2
        k_m, k_v = t % self._period_m, t % self._period_v
        # What the stored moments are multiplied by before this step; once in a period.
        self._decay_m = b1**self._period_m if k_m == 0 and t > 0 else 1.0
        self._decay_v = b2**self._period_v if k_v == 0 and t > 0 else 1.0
        scale_m, scale_v = b1**k_m, b2**k_v
        self._gain_m, self._gain_v = 1.0 / scale_m, 1.0 / scale_v
        c = ((1.0 - b2) / (1.0 - b2 ** (t + 1)) * scale_v) ** 0.5
        self._e = self.epsilon / c
        due = self.scales is not None and t % EVERY == 0
        change = self._factors_by(theta, gradient, rate) if due else None
        rate *= (1.0 - b1) / (1.0 - b1 ** (t + 1)) * scale_m / c
        super().step(theta, gradient, rate)
        if self.scales is not None and change is not None:
            columns = self.scales.columns(theta)
            columns *= change[:, None]

    def _factors_by(self, theta: Array, gradient: Array, rate: float) -> Array:
        """Take Adam's step for the factors; return what it multiplies each column of W[1] by."""
        assert self.scales is not None
        b1, b2, k = self.beta_1, self.beta_2, self.t // EVERY + 1
        g = self.scales.slopes(theta, gradient)
        m, v = self.state[:, self.n :]
        m *= b1
        m += (1.0 - b1) * g
        m[np.abs(m) < small(m.dtype)] = 0.0
        v *= b2
        v += (1.0 - b2) * (g + self._c) ** 2
        step = m / (1.0 - b1**k) / (np.sqrt(v / (1.0 - b2**k)) + self.epsilon)
        change = np.exp(-EVERY * rate * self.scales.rate * step)
        return change[self.scales.of].astype(theta.dtype)

    def go_on(self, state: Array, t: int) -> None:
        if self.scales is not None and state.shape != self.state.shape:
            n = self.n  # an earlier fit had no factors, or others
            state = np.hstack([state[:, :n], np.zeros((len(state), self.scales.n), state.dtype)])
        super().go_on(state, t)

    def _update(self, theta, g, rate, state, factors, s):
        m, v = state
        n, axpy = s.size, self._axpy  # without keywords a step on 771 parameters took 0.95
        if self._decay_m != 1.0:
            m *= self._decay_m
        if self._decay_v != 1.0:
            v *= self._decay_v
        axpy(g, m, n, self._gain_m)
        np.add(g, self._c, s)
        np.square(s, s)
        axpy(s, v, n, self._gain_v)
        np.sqrt(v, s)
        np.add(s, self._e, s)
        np.divide(m, s, s)
        if factors is not None:
            s *= factors
        axpy(s, theta, n, -rate)


OPTIMIZERS: dict[str, type[Optimizer]] = {
    optimizer.name: optimizer for optimizer in (GradientDescent, Momentum, Adam)
}
"""The optimisers by the name of the solver."""


def _period(beta: float) -> int:
    """Return K, the largest with beta^K > 1 / 1000, and at least 1."""
    return max(int(math.log(1e-3) / math.log(beta)), 1) if beta > 0.0 else 1
