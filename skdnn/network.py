"""Sections 4 and 5 of the paper: the flow through a network, forward and backward.

Their source is ``skdnn/core/network.py``.
"""

from skdnn.core.network import *  # noqa: F403 - those that the core says are public
from skdnn.core.network import __all__ as __all__
