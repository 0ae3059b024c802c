"""Have an example of the gallery that warns fail, as a test would."""

from __future__ import annotations

import warnings
from typing import Any

_before: list[Any] = []


def reset(_conf: Any, _source: str, when: str) -> None:
    """Make warnings errors while an example runs, and give back the filters after it."""
    if when == "before":
        _before[:] = warnings.filters
        warnings.simplefilter("error")
    else:
        warnings.filters[:] = _before  # type: ignore[index]
