"""What to search: few parameters, and where."""

from __future__ import annotations

from typing import Any

from scipy.stats import loguniform

from skdnn.parameters import STOCHASTIC, Common, Layers

__all__ = ["search_space"]

SIZES: list[Any] = [(48, 48), (96, 96), (192, 192), (192,), (96, 96, 96)]
SPACE: dict[str, Any] = {
    "learning_rate_init": loguniform(0.01, 0.2),
    "hidden_layer_sizes": SIZES,
    "activation": ["relu", "silu", "selu", "tanh"],
    "scale_inputs": ["clipped", "piecewise", "robust"],
    "weight_decay": loguniform(1e-3, 1.0),
}
# Of solvers without mini-batches, whose rate is fixed or none, and which decay by the L2 term.
SPACE_OF_BATCHES: dict[str, Any] = {
    "alpha": loguniform(1e-5, 10.0),
    "hidden_layer_sizes": SIZES,
    "activation": SPACE["activation"],
    "scale_inputs": SPACE["scale_inputs"],
}


def search_space(estimator: Any, prefix: str = "") -> dict[str, Any]:
    """Return parameters to search, with lists and distributions to draw from.

    For scikit-learn's ``RandomizedSearchCV`` and ``HalvingRandomSearchCV``: the layers and their
    activation, the rate, the scaling and the decay. What a search of them gained, and what each
    was worth, is on the page "How to tune". Change the dict as you like; a list of few values
    of each is a grid.

    Parameters
    ----------
    estimator : DNNRegressor, DNNBinaryClassifier or DNNClassifier
        Fitted or not; its `solver` decides: 'lbfgs' and 'gd' have no learning rate or decay to
        search, and have the L2 term `alpha` instead.
    prefix : str, default=""
        What stands before each name, such as ``"dnnregressor__"`` for a pipeline.

    Returns
    -------
    dict
        Of lists and distributions of SciPy, by the parameter's name.

    Raises
    ------
    TypeError
        If the estimator is not one of skdnn's.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.model_selection import RandomizedSearchCV
    >>> from skdnn import DNNClassifier, search_space
    >>> X, y = load_wine(return_X_y=True)
    >>> model = DNNClassifier(max_iter=5, random_state=0)
    >>> search = RandomizedSearchCV(model, search_space(model), n_iter=3, cv=3, random_state=0)
    >>> bool(search.fit(X, y).best_score_ > 0.9)
    True
    """
    if not isinstance(estimator, Common) or not isinstance(estimator, Layers):
        raise TypeError(
            f"estimator must be one of skdnn's, got {type(estimator).__name__}; of a pipeline give"
            " its last step, and the step's name with two underscores as the prefix."
        )
    space = SPACE if estimator.solver in STOCHASTIC else SPACE_OF_BATCHES
    return {prefix + name: of[:] if isinstance(of, list) else of for name, of in space.items()}
