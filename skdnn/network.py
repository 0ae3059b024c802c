"""Sections 4 and 5 of the paper: the flow through a network, forward and backward.

The source is ``skdnn/core/network.py``.
"""

from skdnn.core.network import (
    Network,
    Parameters,
    Pass,
    Workspace,
    backward,
    backward_to_input,
    forward,
    slopes,
)

__all__ = [
    "Network",
    "Parameters",
    "Pass",
    "Workspace",
    "backward",
    "backward_to_input",
    "forward",
    "slopes",
]
