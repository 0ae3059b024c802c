"""The same values give the same model and the same answers, in whatever container they come."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array, csc_matrix, csr_array, csr_matrix

from skdnn import DNNBinaryClassifier, DNNClassifier, DNNRegressor
from skdnn.inputs import SCALERS

N, D = 90, 4
rng = np.random.default_rng(0)
VALUES = rng.normal(size=(N, D)) * (rng.random((N, D)) < 0.6)  # many are 0
SCORE = VALUES @ [1.0, -2.0, 0.5, 0.0]
TARGETS = {
    DNNRegressor: SCORE,
    DNNBinaryClassifier: np.where(SCORE > 0, "yes", "no"),
    DNNClassifier: np.digitize(SCORE, [-0.5, 0.5]),
}


def read_only(X):
    X = X.copy()
    X.setflags(write=False)
    return X


def strided(X):
    wide = np.full((2 * len(X), X.shape[1] + 1), np.nan, X.dtype)
    wide[::2, 1:] = X
    return wide[::2, 1:]


def doubled(X):
    """Return a CSR matrix in which every entry stands twice, halved, and out of order."""
    rows = csr_array(X)
    data, indices = np.repeat(rows.data / 2.0, 2), np.repeat(rows.indices, 2)
    for i in range(len(X)):
        part = slice(2 * rows.indptr[i], 2 * rows.indptr[i + 1])
        data[part], indices[part] = data[part][::-1].copy(), indices[part][::-1].copy()
    return csr_array((data, indices.astype(np.int64), 2 * rows.indptr.astype(np.int64)), X.shape)


CONTAINERS = {
    "ndarray": np.array,
    "by columns": np.asfortranarray,
    "strided": strided,
    "read-only": read_only,
    "csr": csr_array,
    "csc": csc_matrix,
    "coo": coo_array,
    "csr matrix": csr_matrix,
    "doubled": doubled,
    "pandas": pd.DataFrame,
    "pandas sparse": lambda X: pd.DataFrame(X).astype(pd.SparseDtype(X.dtype, 0)),
    "polars": lambda X: pl.DataFrame(X, schema=list("abcd")),
}
container = st.sampled_from(sorted(CONTAINERS))


def outputs(model, X):
    return model.predict(X) if isinstance(model, DNNRegressor) else model.decision_function(X)


def fitted(Estimator, stage, X, X_val, **params):
    y = TARGETS[Estimator]
    params = {"hidden_layer_sizes": (6,), "max_iter": 3, "random_state": 0, **params}
    model = Estimator(**params)
    if stage == "partial_fit":
        classes = {} if Estimator is DNNRegressor else {"classes": np.unique(y)}
        return model.partial_fit(X, y, **classes).partial_fit(X, y)
    if stage == "warm start":
        return model.set_params(warm_start=True).fit(X, y).fit(X, y)
    return model.fit(X, y, X_val=X_val, y_val=None if X_val is None else y)


@given(
    Estimator=st.sampled_from(list(TARGETS)),
    names=st.tuples(container, container, container),
    dtype=st.sampled_from([np.float32, np.float64]),
    shift=st.sampled_from([0.0, 1.0, 1e3]),
    scale=st.sampled_from([1e-200, 1e-20, 1.0, 1e15, 1e200]),
    method=st.sampled_from([None, *SCALERS]),
    stage=st.sampled_from(["fit", "X_val", "partial_fit", "warm start"]),
    solver=st.sampled_from(["adam", "sgd", "gd"]),
)
@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore:X.* feature names:UserWarning",
    "ignore:X has feature names:UserWarning",
)
def test_the_container_changes_nothing(
    Estimator, names, dtype, shift, scale, method, stage, solver
):
    if method is None:  # and the network reads the columns as they are
        shift, scale = min(shift, 1.0), 1.0
    elif dtype == np.float32:
        scale = np.clip(scale, 1e-20, 1e15)
    X = ((VALUES + shift * (VALUES != 0)) * scale).astype(dtype)
    trained, validated, asked = (CONTAINERS[name] for name in names)
    params = {"scale_inputs": method, "solver": solver, "precision": None}
    params |= {} if solver != "gd" else {"learning_rate": "constant"}
    validates = stage == "X_val"
    if validates and "polars" in names[:2]:  # its columns have names, the others' have none
        validated = trained
    plain = fitted(Estimator, stage, X, X if validates else None, **params)
    other = fitted(Estimator, stage, trained(X), validated(X) if validates else None, **params)
    expected, got = outputs(plain, X), outputs(other, asked(X))
    largest = np.max(np.abs(expected)) + 1e-3
    # Inputs agree to 10 eps |centre| / scale; a few steps multiply that.
    tolerance = 1e5 * np.finfo(dtype).eps * (1.0 + shift)
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * largest)
