"""The time that a fit may take."""

from __future__ import annotations

import math
import time

KEPT = 0.05  # the share of the time that is left for what follows the training


class Clock:
    """Says how much is left of some seconds from now on; without end by default."""

    def __init__(self, seconds: float | None = None) -> None:
        self.end: float = math.inf if seconds is None else time.monotonic() + (1.0 - KEPT) * seconds

    @property
    def is_limited(self) -> bool:
        """Whether there is an end."""
        return self.end < math.inf

    @property
    def left(self) -> float:
        """The seconds that are left, which may be less than 0."""
        return self.end - time.monotonic()

    def after(self, share: float) -> float | None:
        """Return when a share of what is left is over, by `time.monotonic`; None for never."""
        return time.monotonic() + share * self.left if self.is_limited else None
