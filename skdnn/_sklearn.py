"""What scikit-learn keeps to itself and skdnn uses all the same, each with its reason.

A release of scikit-learn may move any of these; nothing else of the package knows where they are.
"""

# ruff: noqa: F401 - the others import them from here

from __future__ import annotations

# Resets what was fitted, and skips the checks of parameters in nested calls: what makes an
# estimator's fit one to scikit-learn's callbacks and configuration.
from sklearn.base import _fit_context

# Takes rows by number from whatever container: callbacks and scorers get rows as they were given.
from sklearn.utils import _safe_indexing

# The rules of parameters and their messages: what users know from scikit-learn's own estimators.
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    InvalidParameterError,
    Options,
    StrOptions,
    validate_parameter_constraints,
)

# Weights are read, and columns named, as every estimator of scikit-learn reads and names them.
from sklearn.utils.validation import _check_sample_weight, _get_feature_names
