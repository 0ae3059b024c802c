"""The learning rate as a factor that depends on the progress of the fit.

Progress runs from 0 at the first step to 1 after the last of `max_iter` epochs.
"""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[float], float]


def constant(p: float) -> float:
    """Return 1."""
    return 1.0


def cosine(p: float) -> float:
    """Return (1 + cos(pi p)) / 2, from 1 down to 0; Loshchilov and Hutter (2017)."""
    return 0.5 * (1.0 + math.cos(math.pi * p))


def one_cycle(p: float) -> float:
    """Return a rise from 1/25 to 1 over the first 0.3, then a fall to 0, both cosines.

    Smith and Topin (2019), "Super-convergence".
    """
    rise = 0.3
    if p < rise:
        return 1.0 - (1.0 - 1.0 / 25.0) * cosine(p / rise)
    return cosine((p - rise) / (1.0 - rise))


def coslog4(p: float) -> float:
    """Return (1 - cos(2 pi log2(1 + 15 p))) / 2: four waves, each longer; 0 at the end.

    Holzmüller, Grinsztajn and Steinwart (2024), "Better by default".
    """
    return 0.5 * (1.0 - math.cos(2.0 * math.pi * math.log2(1.0 + 15.0 * p)))


# The rates of invscaling, inverse_sqrt and adaptive follow the samples seen, the steps taken
# and the loss: the training loop knows them, and their factor of progress is 1.
SCHEDULES: dict[str, Schedule] = {
    "constant": constant,
    "invscaling": constant,
    "inverse_sqrt": constant,
    "adaptive": constant,
    "cosine": cosine,
    "one_cycle": one_cycle,
    "coslog4": coslog4,
}

ENDS_AT_ZERO = ("cosine", "one_cycle", "coslog4")


def with_warmup(schedule: Schedule, share: float) -> Schedule:
    """Return `schedule`, its factor growing linearly from 0 over the first `share`."""
    if not share:
        return schedule
    return lambda p: schedule(p) * min(1.0, p / share)
