"""y in the network's coordinates, and back: one frozen part for each form of y.

A part knows its loss, its classes or its scale, how to encode y as the network's targets and
how to decode what comes out. It is learnt from the y of a first fit, and refuses any later y
that does not suit it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.class_weight import compute_class_weight

from skdnn.core.activations import Array
from skdnn.core.losses import (
    AbsoluteError,
    BinaryCrossEntropy,
    CategoricalCrossEntropy,
    Huber,
    Loss,
    Poisson,
    Quantile,
    SquaredError,
)
from skdnn.inputs import moments, positive
