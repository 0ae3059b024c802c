"""Section 6 of the paper: the losses, each with its output activation.

Their source is ``skdnn/core/losses.py``.
"""

from skdnn.core.losses import *  # noqa: F403 - those that the core says are public
from skdnn.core.losses import __all__ as __all__
