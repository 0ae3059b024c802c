"""The names that parameters take, for type checkers and editors."""

from __future__ import annotations

from typing import Literal

AutoName = Literal["auto"]
SolverName = Literal["gd", "sgd", "adam", "lbfgs"]
ScheduleName = Literal[
    "auto", "constant", "invscaling", "adaptive", "cosine", "one_cycle", "coslog4", "inverse_sqrt"
]
InitializerName = Literal[
    "auto",
    "spread",
    "glorot_uniform",
    "glorot_normal",
    "he_uniform",
    "he_normal",
    "lecun_uniform",
    "lecun_normal",
]
ActivationName = Literal[
    "identity",
    "logistic",
    "sigmoid",
    "tanh",
    "relu",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "silu",
    "mish",
    "softplus",
]
LossName = Literal[
    "squared_error", "absolute_error", "huber", "quantile", "poisson", "gamma", "tweedie"
]
ScalingName = Literal["standard", "clipped", "robust", "piecewise"]
PrecisionName = Literal["auto", "single"]
