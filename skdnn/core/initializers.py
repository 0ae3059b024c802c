"""The first weights: zero-mean draws whose variance fits the widths of the layers.

Every draw is made in float64 from the generator passed in, whatever the type of the
parameters, so that a float32 and a float64 network start from the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from skdnn.core.activations import Array
from skdnn.core.network import Parameters

# The variance of a weight, by the number of inputs and of outputs of its layer.
VARIANCES: dict[str, Callable[[float, int], float]] = {
    "glorot": lambda fan_in, fan_out: 2.0 / (fan_in + fan_out),  # Glorot and Bengio (2010)
    "he": lambda fan_in, fan_out: 2.0 / fan_in,  # for relu; He, Zhang, Ren and Sun (2015)
    "lecun": lambda fan_in, fan_out: 1.0 / fan_in,  # LeCun, Bottou, Orr and Müller (1998)
}
SHAPES = ("uniform", "normal")
INITIALIZERS = (*(f"{family}_{shape}" for family in VARIANCES for shape in SHAPES), "spread")

# The family that keeps the variance of the signal from layer to layer, by activation;
# Glorot's for all others.
FAMILY_OF = {
    "relu": "he",
    "leaky_relu": "he",
    "elu": "he",
    "gelu": "he",
    "silu": "he",
    "mish": "he",
    "selu": "lecun",
}


def initialize(
    parameters: Parameters, names: list[str], rng: np.random.Generator, fan_in: float
) -> None:
    """Fill the weights of layer l by the initialiser names[l - 1], the biases with 0.

    Layer by layer, each by one of `INITIALIZERS`, or by 'spread_he', which is 'spread' in He's
    variance; these two fill the biases too. `fan_in`, the mean square of a row of A[0], stands in
    the place of the first layer's number of columns.
    """
    for b in parameters.b[1:]:
        b.fill(0.0)
    fans = [fan_in, *parameters.sizes[1:-1]]
    for W, b, name, n_in in zip(parameters.W[1:], parameters.b[1:], names, fans, strict=True):
        if name.startswith("spread"):
            gain = 2.0**0.5 if name == "spread_he" else 1.0
            spread(W, b, rng, gain * n_in**-0.5, last=W is parameters.W[-1])
            continue
        family, shape = name.split("_")
        deviation = VARIANCES[family](n_in, len(W)) ** 0.5
        if shape == "normal":
            W[...] = rng.normal(0.0, deviation, W.shape)
        else:
            bound = 3.0**0.5 * deviation
            W[...] = rng.uniform(-bound, bound, W.shape)


def spread(W: Array, b: Array, rng: np.random.Generator, deviation: float, last: bool) -> None:
    """Fill a layer so that its units' kinks lie all over the data; the last with 0.

    LeCun's variance keeps z of unit variance where the inputs have it, and biases of
    deviation 1/2 move each unit's kink away from the origin. An output of 0 is where
    training starts from.
    """
    if last:
        W.fill(0.0)
        return
    W[...] = rng.normal(0.0, deviation, W.shape)
    b[...] = rng.normal(0.0, 0.5, b.shape)
