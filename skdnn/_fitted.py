"""What a fitted estimator holds and predicts: its weights by two names, and its outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn import get_config
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from skdnn._objective import CHUNK
from skdnn.activations import Array
from skdnn.network import Network, Pass, forward

Decoder = Callable[[Array], NDArray[Any]]  # of raw outputs (n, m), row by row
MEMORY_LIMIT = 64 * 2**20  # bytes of work space for a forward pass


class Fitted(BaseEstimator):
    """The fitted network, or networks, of an estimator."""

    def _is_fitted(self) -> bool:
        return "_network" in vars(self) or "estimators_" in vars(self)

    def __sklearn_is_fitted__(self) -> bool:
        return self._is_fitted()

    # Views of the one flat vector

    @property
    def weights_(self) -> list[Array]:
        """W[1], ..., W[L] of the paper: W[l] has shape (n[l], n[l-1])."""
        return self._fitted_network("weights_").parameters.W[1:]

    @weights_.setter
    def weights_(self, weights: Sequence[ArrayLike]) -> None:
        self._set_parameters("weights_", weights, self.biases_)

    @property
    def biases_(self) -> list[Array]:
        """b[1], ..., b[L] of the paper: b[l] has shape (n[l], 1)."""
        return self._fitted_network("biases_").parameters.b[1:]

    @biases_.setter
    def biases_(self, biases: Sequence[ArrayLike]) -> None:
        self._set_parameters("biases_", self.weights_, biases)

    @property
    def coefs_(self) -> list[Array]:
        """The weights as scikit-learn has them: layer l of shape (n[l-1], n[l])."""
        return [W.T for W in self._fitted_network("coefs_").parameters.W[1:]]

    @coefs_.setter
    def coefs_(self, coefs: Sequence[ArrayLike]) -> None:
        self._set_parameters("coefs_", [np.transpose(c) for c in coefs], self.biases_)

    @property
    def intercepts_(self) -> list[Array]:
        """The biases as scikit-learn has them: layer l of shape (n[l],)."""
        return [b[:, 0] for b in self._fitted_network("intercepts_").parameters.b[1:]]

    @intercepts_.setter
    def intercepts_(self, intercepts: Sequence[ArrayLike]) -> None:
        columns = [np.reshape(b, (-1, 1)) for b in intercepts]
        self._set_parameters("intercepts_", self.weights_, columns)

    def _fitted_network(self, name: str) -> Network:
        if not self._is_fitted():
            raise AttributeError(f"This {type(self).__name__} has no {name!r} before fit.")
        if "estimators_" in vars(self):
            raise AttributeError(f"{name!r} is of each of estimators_, for n_estimators > 1.")
        return self._network

    def _set_parameters(
        self, name: str, weights: Sequence[ArrayLike], biases: Sequence[ArrayLike]
    ) -> None:
        """Take the given values into a vector of this estimator's own."""
        old = self._network.parameters
        new = old.like(np.empty_like(old.theta))
        targets = [*new.W[1:], *new.b[1:]]
        values = [np.asarray(value) for value in (*weights, *biases)]
        if [v.shape for v in values] != [t.shape for t in targets]:
            raise ValueError(
                f"{name} must fit the layers of sizes {old.sizes}; got arrays of shapes"
                f" {[np.shape(v) for v in values]} for weights (n[l], n[l-1]) and biases"
                " (n[l], 1)."
            )
        for target, value in zip(targets, values, strict=True):
            target[...] = value
        self._network = self._network.with_theta(new.theta)
        vars(self).pop("_state", None)

    # Prediction

    def _outputs(self, X: Any, decode: Decoder = lambda Z: Z) -> NDArray[Any]:
        """Validate X and return `decode` of the raw outputs Z[L] of its rows."""
        check_is_fitted(self)
        if not self._is_in_order(X):
            X = validate_data(
                self, X, accept_sparse="csr", dtype=(np.float64, np.float32), reset=False
            )
        if "estimators_" not in vars(self):
            return self._raw_outputs(X, self._network, self._network_inputs, decode)
        Z = sum(m._raw_outputs(X, m._network, m._network_inputs) for m in self.estimators_)
        return decode(Z / len(self.estimators_))

    def _is_in_order(self, X: Any) -> bool:
        """Whether X is an array that validate_data would return as it is.

        To ask costs 5 us, and validate_data 80 us.
        """
        if (
            type(X) is not np.ndarray
            or X.dtype not in (np.float64, np.float32)
            or X.ndim != 2
            or not len(X)
            or X.shape[1] != self.n_features_in_
            or hasattr(self, "feature_names_in_")
        ):
            return False
        with np.errstate(over="ignore", invalid="ignore"):
            return bool(np.isfinite(np.sum(X)))

    @staticmethod
    def _raw_outputs(
        X: Any,
        network: Network,
        prepare: Callable[[Any], Any] = lambda X: X,
        decode: Decoder = lambda Z: Z,
    ) -> NDArray[Any]:
        """Return what `decode` makes of Z[L], of shape (n, m), chunk by chunk.

        Each chunk is prepared by itself, so that nothing but X and the result has a row
        for every row of X.
        """
        n, sizes = X.shape[0], network.parameters.sizes
        dtype = network.parameters.theta.dtype
        widest = 4 * max(sizes) + 4 * sizes[-1]
        limit = min(MEMORY_LIMIT, get_config()["working_memory"] * 2**20)
        chunk = min(max(int(limit // (widest * dtype.itemsize)), 1), CHUNK)
        workspace = network.passes(min(chunk, n))
        result: Any = None
        with np.errstate(over="ignore"):
            for start in range(0, n, chunk):
                rows = prepare(X[start : start + chunk])
                at: Pass = workspace.over(rows.shape[0])
                at.read(rows)
                forward(network.parameters, at, network.loss)
                part = decode(at.Z[at.L].T)
                if result is None:
                    result = np.empty((n, *part.shape[1:]), part.dtype)
                result[start : start + chunk] = part
        return result

    def _network_inputs(self, X: Any) -> Any:
        """Return rows in the network's coordinates and of its type."""
        X = X.astype(self._dtype, copy=False)
        X = X if self._scaler is None else self._scaler(X)
        return X.astype(self._network.parameters.theta.dtype, copy=False)
