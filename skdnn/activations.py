"""Section 3 of the paper: activation functions and their derivatives.

Their source is ``skdnn/core/activations.py``.
"""

from skdnn.core.activations import *  # noqa: F403 - those that the core says are public
from skdnn.core.activations import __all__ as __all__
