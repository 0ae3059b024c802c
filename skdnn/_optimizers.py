"""Gradient descent and its successors: steps on a flat vector, in place.

Every optimiser works through theta in blocks that stay in the cache together with the
optimiser's own arrays and two scratch blocks; nothing is allocated in a step.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from skdnn.activations import Array

# Adam reads and writes five arrays of this many numbers for each block: 320 kB in
# float64, which a second-level cache holds. Whole vectors took 1.6 times as long on a
# network of 550,000 parameters.
BLOCK = 8192


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

    Attributes
    ----------
    state : ndarray of shape (n_states, n)
        What it remembers, zero at first.
    t : int
        The number of steps taken.
    """

    n_states = 0

    def __init__(self, n: int, dtype: Any, factors: Array | None = None) -> None:
        self.state = np.zeros((self.n_states, n), dtype)
        self.t = 0
        self._factors = factors
        self._allocate()

    def _allocate(self) -> None:
        self._scratch = np.empty((2, min(self.state.shape[1], BLOCK)), self.state.dtype)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k != "_scratch"}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        vars(self).update(kept)
        self._allocate()

    def step(self, theta: Array, gradient: Array, rate: float) -> None:
        """Take one step of the learning rate `rate` down the gradient, in place."""
        self.t += 1
        for start in range(0, len(theta), BLOCK):
            block = slice(start, start + BLOCK)
            g = gradient[block]
            s, r = self._scratch[:, : len(g)]
            if self._factors is not None:
                r = np.multiply(self._factors[block], rate, out=r)
            else:
                r = rate
            self._update(theta[block], g, r, self.state[:, block], s)

    def _update(self, theta: Array, g: Array, rate: float | Array, state: Array, s: Array) -> None:
        """Update a block of theta and of the state from the gradient g; s is scratch."""
        raise NotImplementedError


class GradientDescent(Optimizer):
    """theta <- theta - rate * gradient: the update of the paper's introduction."""

    def _update(self, theta, g, rate, state, s):
        np.multiply(g, rate, out=s)
        theta -= s


class Momentum(Optimizer):
    """v <- mu v - rate g; theta <- theta + v, or + mu v - rate g (Nesterov's form).

    Sutskever, Martens, Dahl and Hinton (2013), "On the importance of initialization
    and momentum in deep learning".
    """

    n_states = 1

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

    def _update(self, theta, g, rate, state, s):
        (v,) = state
        np.multiply(g, rate, out=s)
        v *= self.momentum
        v -= s
        if self.nesterov:
            theta -= s
            np.multiply(v, self.momentum, out=s)
            theta += s
        else:
            theta += v


class Adam(Optimizer):
    """m <- b1 m + g, v <- b2 v + g^2, theta <- theta - r m / (sqrt(v) + e).

    These m and v are those of Kingma and Ba (2015), "Adam: a method for stochastic
    optimization", divided by 1 - b1 and 1 - b2, which saves two passes over each; r
    and e carry those factors and the corrections of the bias.
    """

    n_states = 2

    def __init__(
        self,
        n: int,
        dtype: Any,
        factors: Array | None = None,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
    ) -> None:
        super().__init__(n, dtype, factors)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def step(self, theta, gradient, rate):
        t = self.t + 1
        c = ((1.0 - self.beta_2) / (1.0 - self.beta_2**t)) ** 0.5
        rate *= (1.0 - self.beta_1) / (1.0 - self.beta_1**t) / c
        self._e = self.epsilon / c
        super().step(theta, gradient, rate)

    def _update(self, theta, g, rate, state, s):
        m, v = state
        m *= self.beta_1
        m += g
        np.square(g, out=s)
        v *= self.beta_2
        v += s
        np.sqrt(v, out=s)
        s += self._e
        np.divide(m, s, out=s)
        s *= rate
        theta -= s
