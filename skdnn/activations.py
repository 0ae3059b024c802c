"""Section 3 of the paper: activation functions and their derivatives.

Their source is ``skdnn/core/activations.py``.
"""

from skdnn.core.activations import (
    ACTIVATIONS,
    Activation,
    Elu,
    Gelu,
    Identity,
    LeakyRelu,
    Logistic,
    Mish,
    Relu,
    Silu,
    Softplus,
    Tanh,
    d_relu,
    d_relu_eps,
    d_sigmoid,
    relu,
    relu_eps,
    sigmoid,
    softmax,
)

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
