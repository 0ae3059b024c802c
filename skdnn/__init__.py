"""Deep neural networks as scikit-learn estimators, on NumPy alone."""

from skdnn.checkpoint import Checkpoint
from skdnn.display import LossCurveDisplay
from skdnn.estimators import DNNBinaryClassifier, DNNClassifier, DNNRegressor

__version__ = "0.1.0"

__all__ = ["Checkpoint", "DNNBinaryClassifier", "DNNClassifier", "DNNRegressor", "LossCurveDisplay"]
