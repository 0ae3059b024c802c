"""Fitted models as PyTorch modules: for fine-tuning, GPUs, and tools that ask for a module.

PyTorch is imported when :func:`to_module` is called: skdnn does not need it.
"""

from __future__ import annotations

from typing import Any

from skdnn.base import check_ours

__all__ = ["to_module"]


def to_module(model: Any, keepdim: bool = False) -> Any:
    """Return a fitted model as a PyTorch module, from the user's columns to its predictions.

    The weights are copies, and trainable; scales and centres are buffers. Of several networks
    the module has all, and gives what their mean does.

    Parameters
    ----------
    model : fitted DNNRegressor, DNNBinaryClassifier or DNNClassifier
        Not changed.
    keepdim : bool, default=False
        Whether a single output has a column of its own, which shap's explainers ask for.

    Returns
    -------
    torch.nn.Module
        From a tensor of shape (n, n_features), in the type of the model (float64, or float32 if
        it was fitted to that), to what ``predict`` gives for a regressor and
        ``decision_function`` for a classifier, of shape (n,) or (n, n_outputs). Its parts are
        ``inputs``, the change of coordinates; ``networks``, each a ``torch.nn.Sequential``; and
        ``targets``, from the mean of their outputs to the prediction. Where columns hold
        categories the tensor has the numbers of their levels, in the order of ``categories_``,
        and NaN for what is missing: its method ``rows`` makes it of a frame.

    Raises
    ------
    TypeError
        If the model is not one of skdnn's.
    sklearn.exceptions.NotFittedError
        If it is not fitted.
    ImportError
        If PyTorch is not installed.
    ValueError
        If an activation is one of your own, of which PyTorch has none.

    See Also
    --------
    skdnn.onnx.register : The same for ONNX.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skdnn import DNNRegressor
    >>> from skdnn.torch import to_module
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = DNNRegressor(random_state=0).fit(X, y)
    >>> to_module(model)  # doctest: +SKIP
    Model(...)
    """
    check_ours(model, "model")
    try:
        from skdnn.modules import Model
    except ImportError as error:
        raise ImportError(
            "to_module needs PyTorch, which is not installed: pip install torch."
        ) from error
    return Model(model._model, keepdim)
