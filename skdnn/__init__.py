"""Deep neural networks as scikit-learn estimators, on NumPy, SciPy and scikit-learn alone."""

from skdnn.checkpoint import Checkpoint
from skdnn.display import LossCurveDisplay
from skdnn.estimators import DNNBinaryClassifier, DNNClassifier, DNNRegressor
from skdnn.search import search_space
from skdnn.version import __version__

__all__ = [
    "Checkpoint",
    "DNNBinaryClassifier",
    "DNNClassifier",
    "DNNRegressor",
    "LossCurveDisplay",
    "__version__",
    "search_space",
]
