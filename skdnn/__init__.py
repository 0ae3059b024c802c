"""Deep neural networks as scikit-learn estimators, on NumPy alone."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from skdnn.estimators import DNNBinaryClassifier, DNNClassifier, DNNRegressor
from skdnn.version import __version__

if TYPE_CHECKING:
    from skdnn.checkpoint import Checkpoint
    from skdnn.display import LossCurveDisplay
    from skdnn.search import search_space

__all__ = [
    "Checkpoint",
    "DNNBinaryClassifier",
    "DNNClassifier",
    "DNNRegressor",
    "LossCurveDisplay",
    "__version__",
    "search_space",
]

# What a network does not need is imported when it is asked for.
LATER = {"Checkpoint": "checkpoint", "LossCurveDisplay": "display", "search_space": "search"}


def __getattr__(name: str) -> Any:
    if name in LATER.values():
        return import_module(f"skdnn.{name}")
    if name not in LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"skdnn.{LATER[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
