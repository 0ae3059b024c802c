"""What the estimators on dask collections take, refuse and return; here, without a cluster."""

import pickle

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skdnn import DNNClassifier, DNNRegressor
from skdnn.dask import DaskDNNBinaryClassifier, DaskDNNClassifier, DaskDNNRegressor, batch_rows
from tests.cases import UNCONVERGED, Spy
from tests.dask.cases import CASES, LABELS, NUMBERS, N, X, cut, found, small

pytestmark = UNCONVERGED
FRAME = pd.DataFrame(X, columns=["a", "b", "c"])
EACH = pytest.mark.parametrize("name", CASES)


def fitted(name="regressor", **params):
    Estimator, y = CASES[name]
    return small(Estimator, **params).fit(cut(X), cut(y))


# Prediction


@EACH
def test_predictions_are_lazy_and_those_of_the_ordinary_estimator(name):
    model = fitted(name)
    local = model.to_local()
    methods = [m for m in ("predict", "predict_proba", "decision_function") if hasattr(local, m)]
    for method in methods:
        lazy = getattr(model, method)(cut(X))
        assert isinstance(lazy, da.Array)
        np.testing.assert_array_equal(lazy.compute(), getattr(local, method)(X))
        assert lazy.shape == getattr(local, method)(X).shape


@EACH
def test_the_score_of_partitions_is_that_of_all_rows(name):
    model, w = fitted(name), 1.0 + np.arange(N) % 3
    y = CASES[name][1]
    assert model.score(cut(X), cut(y)) == pytest.approx(model.to_local().score(X, y), abs=1e-12)
    theirs = model.to_local().score(X, y, w)
    assert model.score(cut(X), cut(y), cut(w)) == pytest.approx(theirs, abs=1e-12)


def test_the_score_of_several_quantiles_is_that_of_all_rows():
    model, w = fitted(loss="quantile", quantile=[0.1, 0.9]), 1.0 + np.arange(N) % 3
    theirs = model.to_local().score(X, NUMBERS, w)
    assert model.score(cut(X), cut(NUMBERS), cut(w)) == pytest.approx(theirs, abs=1e-12)


@EACH
def test_a_partition_without_weight_says_nothing_of_the_score(name):
    model, w, y = fitted(name), np.ones(N), CASES[name][1]
    w[: N // 4] = 0.0
    theirs = model.to_local().score(X, y, w)
    assert model.score(cut(X), cut(y), cut(w)) == pytest.approx(theirs, abs=1e-12)
    with pytest.raises(ValueError, match="X must have rows of weight > 0"):
        model.score(cut(X), cut(y), cut(0.0 * w))


def test_a_frame_is_predicted_by_its_names():
    frame = dd.from_pandas(FRAME, npartitions=3)
    model = small(DaskDNNRegressor).fit(frame, dd.from_pandas(pd.Series(NUMBERS), npartitions=3))
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    predicted = model.predict(frame).compute()
    np.testing.assert_allclose(predicted, model.to_local().predict(FRAME), rtol=1e-12)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[["b", "a", "c"]])


def test_rows_in_memory_are_predicted_at_once():
    model = fitted()
    assert isinstance(model.predict(X), np.ndarray)
    assert model.score(X, NUMBERS) == model.to_local().score(X, NUMBERS)


def test_predict_asks_for_a_fit():
    with pytest.raises(NotFittedError):
        DaskDNNRegressor().predict(cut(X))


# Partitions of all kinds


def test_an_empty_partition_changes_nothing():
    y = da.concatenate([cut(NUMBERS)[:400], cut(NUMBERS)[:0], cut(NUMBERS)[400:]])
    rows = da.concatenate([cut(X)[:400], cut(X)[:0], cut(X)[400:]])
    model = small(DaskDNNRegressor).fit(rows, y)
    assert found(model) == found(fitted())
    assert model.predict(rows).compute().shape == (N,)


def test_partitions_of_unknown_length_are_counted():
    keep = cut(X)[:, 0] > -9
    model = small(DaskDNNRegressor).fit(cut(X)[keep], cut(NUMBERS)[keep])
    assert found(model) == found(fitted())


def test_shards_are_equal_parts_of_any_partitions():
    one, other = (
        small(DaskDNNRegressor, n_shards=3).fit(cut(X, n), cut(NUMBERS, n)) for n in (2, 5)
    )
    assert found(one) == found(other)


def test_a_class_may_be_in_one_partition_only():
    y = np.repeat(["a", "b", "c", "d"], N // 4)
    rows = X + np.repeat(3.0 * np.arange(4), N // 4)[:, None]
    model = small(DaskDNNClassifier, max_iter=60).fit(cut(rows), cut(y))
    assert model.classes_.tolist() == ["a", "b", "c", "d"]
    assert set(model.predict(cut(rows)).compute()) == {"a", "b", "c", "d"}


def test_a_partition_of_weight_0_is_left_out():
    w = np.repeat([1.0, 0.0, 1.0, 1.0], N // 4)
    wild = np.where(w[:, None] > 0, X, 1e30)
    model = small(DaskDNNRegressor).fit(cut(wild), cut(NUMBERS), cut(w))
    assert np.all(np.abs(model._model.inputs.center) < 1)
    assert model.recipe_.n_rows == N * 3 // 4


def test_a_weight_of_two_counts_as_two_rows():
    params = {"solver": "lbfgs", "max_iter": 5, "alpha": 0.1}
    w = np.repeat([2.0, 1.0], N // 2)
    twice = np.concatenate([X[: N // 2], X]), np.concatenate([NUMBERS[: N // 2], NUMBERS])
    weighted = small(DaskDNNRegressor, **params).fit(cut(X), cut(NUMBERS), cut(w))
    repeated = small(DaskDNNRegressor, **params).fit(*map(cut, twice))
    np.testing.assert_allclose(weighted.loss_curve_, repeated.loss_curve_, rtol=1e-9)


def test_sparse_chunks_stay_sparse():
    rows = cut(X).map_blocks(scipy.sparse.csr_matrix)
    params = {"solver": "lbfgs", "max_iter": 5}
    sparse = small(DaskDNNRegressor, **params).fit(rows, cut(NUMBERS))
    dense = small(DaskDNNRegressor, **params).fit(cut(X), cut(NUMBERS))
    np.testing.assert_allclose(sparse.loss_curve_, dense.loss_curve_, rtol=1e-6)


def test_float32_stays_float32():
    model = small(DaskDNNRegressor).fit(cut(X.astype(np.float32)), cut(NUMBERS))
    assert model.predict(cut(X.astype(np.float32))).compute().dtype == np.float32


# Categories and missing values


TABLE = FRAME.assign(
    colour=np.where(np.arange(N) < 100, "red", np.resize(["blue", "green", None], N)),
    flag=np.resize([True, False, False], N),
    b=np.where(np.arange(N) % 7 == 0, np.nan, FRAME["b"]),
    c=np.where(np.arange(N) < 30, np.nan, FRAME["c"]),
)


def partitioned(frame, n=4):
    return dd.from_pandas(frame, npartitions=n)


@pytest.mark.parametrize("scaling", ["clipped", "robust", "piecewise", None])
def test_a_table_is_read_as_in_memory(scaling):
    y = pd.Series(NUMBERS + 2.0 * TABLE["flag"])
    params = {"solver": "lbfgs", "max_iter": 3, "scale_inputs": scaling}
    model = small(DaskDNNRegressor, **params).fit(partitioned(TABLE), partitioned(y))
    memory = small(DaskDNNRegressor, **params).to_local().fit(TABLE, y)
    assert model.input_names_ == memory.input_names_
    assert model.categories_ == memory.categories_
    np.testing.assert_allclose(model.loss_curve_, memory.loss_curve_, rtol=1e-9)
    predicted = model.predict(partitioned(TABLE, 3)).compute()
    np.testing.assert_allclose(predicted, model.to_local().predict(TABLE), rtol=1e-9)


def test_a_partition_without_a_value_is_read_as_the_others():
    frame = TABLE.assign(colour=TABLE["colour"].where(np.arange(N) >= N // 4))
    model = small(DaskDNNRegressor).fit(partitioned(frame), partitioned(pd.Series(NUMBERS)))
    assert model.categories_[3] == ["blue", "green"]


MANY = TABLE.assign(town=[f"t{i * i % 97}" for i in range(N)], shop=np.arange(N) // 20)
MANY["shop"] = MANY["shop"].astype(str)
MANY_Y = {"regressor": NUMBERS, "binary": NUMBERS > -1.0, "multiclass": LABELS}


@pytest.mark.parametrize("name", MANY_Y)
@pytest.mark.parametrize("weighted", [False, True])
def test_many_levels_are_told_by_the_means_of_rows_in_memory(name, weighted):
    y = pd.Series(MANY_Y[name])
    w = pd.Series(np.arange(N) % 3 * 0.7) if weighted else None
    params = {"solver": "lbfgs", "max_iter": 3, "precision": None}
    there = None if w is None else partitioned(w)
    model = small(CASES[name][0], **params).fit(partitioned(MANY), partitioned(y), there)
    memory = small(CASES[name][0], **params).to_local().fit(MANY, y, w)
    assert model.input_names_ == memory.input_names_
    assert sum(": mean of output" in one for one in model.input_names_) == 2 * model.n_outputs_
    np.testing.assert_allclose(model.loss_curve_, memory.loss_curve_, rtol=1e-12)
    ours, theirs = (one._model.networks[0].parameters.theta for one in (model, memory))
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_a_warm_start_goes_on_with_the_same_means():
    y, fits = pd.Series(NUMBERS), []
    params = {"solver": "lbfgs", "max_iter": 2, "precision": None, "warm_start": True}
    model = small(DaskDNNRegressor, **params)
    for one, data in ((model, (partitioned(MANY), partitioned(y))), (model.to_local(), (MANY, y))):
        fits.append(one.fit(*data).fit(*data).loss_curve_)
    np.testing.assert_allclose(*fits, rtol=1e-12)


def test_a_column_of_categories_in_one_partition_only_is_refused():
    parts = [FRAME[: N // 2], FRAME[N // 2 :].assign(b="text")]
    frame = dd.from_delayed([dask.delayed(p) for p in parts], meta=FRAME[:0], verify_meta=False)
    with pytest.raises(ValueError, match="In partition 0: column 'b' of X must hold categories"):
        small(DaskDNNRegressor).fit(frame, partitioned(pd.Series(NUMBERS), 2))


def test_listed_columns_of_an_array_are_categories():
    rows = np.column_stack([X, np.resize([3.0, 5.0, 8.0, np.nan], N)])
    model = small(DaskDNNRegressor, categorical_features=[3]).fit(cut(rows), cut(NUMBERS))
    assert model.categories_[3] == [3.0, 5.0, 8.0]


# The recipe


def test_every_shard_holds_out_its_part():
    model = fitted(n_shards=4)
    assert model.recipe_.n_held_out == N // 5
    assert model.recipe_.refitted == [True]


def test_given_rows_validate():
    model = small(DaskDNNRegressor).fit(cut(X), cut(NUMBERS), X_val=cut(X), y_val=cut(NUMBERS))
    assert model.recipe_.n_held_out == 0
    assert len(model.validation_loss_curve_) == 4


def test_a_warm_start_goes_on():
    params = {"early_stopping": False, "learning_rate": "constant", "learning_rate_init": 0.01}
    twice = small(DaskDNNRegressor, warm_start=True, **params)
    twice.fit(cut(X), cut(NUMBERS)).fit(cut(X), cut(NUMBERS))
    once = fitted(max_iter=8, **params)
    np.testing.assert_allclose(twice.loss_curve_, once.loss_curve_, rtol=1e-12)


def test_callbacks_are_given_the_collections():
    spy, data = Spy(), (cut(X), cut(NUMBERS))
    small(DaskDNNRegressor).set_callbacks(spy).fit(*data)
    name, rows, y, _, estimator = spy.seen[0]
    assert name == "epoch"
    assert rows is data[0]
    assert y is data[1]
    assert isinstance(estimator.predict(rows), da.Array)


def test_a_batch_is_worth_a_step():
    assert batch_rows(1000, 25_000) == 1000
    assert batch_rows(100_000, 25_000) == 4096
    assert batch_rows(10**7, 25_000) == 10**7 // 64
    assert batch_rows(10**9, 10**6) == 6667


# The estimators


@EACH
def test_to_local_is_independent(name):
    model = fitted(name)
    local = model.to_local()
    assert type(local) is type(model)._local
    before = model.predict(X)
    local.coefs_[0][...] = 0.0
    np.testing.assert_array_equal(model.predict(X), before)


def test_an_unfitted_one_has_a_local_too():
    local = DaskDNNRegressor(alpha=0.5).to_local()
    assert (type(local), local.alpha, local.batch_size) == (DNNRegressor, 0.5, "sqrt")
    assert not hasattr(local, "loss_")


def test_a_clone_shares_the_client_and_a_pickle_leaves_it():
    class Client:
        def no(self):
            raise AssertionError

        submit = map = gather = compute = __reduce__ = __deepcopy__ = no

    model = DaskDNNRegressor(client=Client(), alpha=0.5)
    assert clone(model).client is model.client
    assert clone(model).alpha == 0.5
    assert pickle.loads(pickle.dumps(model)).client is None


def test_a_fitted_one_is_pickled():
    model = fitted()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))


# Refusals


def unfit_in_the_third(array, value=np.nan):
    array = array.astype(float).copy()
    array[N * 5 // 8] = value
    return cut(array)


def other_columns():
    parts = [FRAME[:400], FRAME[400:].rename(columns={"b": "z"})]
    return dd.from_delayed([dask.delayed(p) for p in parts], meta=FRAME[:0], verify_meta=False)


HALVES = dd.from_pandas(FRAME, npartitions=2)
REFUSED = {
    "infinity in X": (unfit_in_the_third(X, np.inf), cut(NUMBERS), "In partition 2: .*infinity"),
    "NaN in y": (cut(X), unfit_in_the_third(NUMBERS), "In partition 2: .*y contains NaN"),
    "other columns": (
        other_columns(),
        dd.from_pandas(pd.Series(NUMBERS), npartitions=2),
        r"In partition 1: X must have the columns .*\['a', 'b', 'c'\]; it has \['a', 'z', 'c'\]",
    ),
    "fewer rows": (cut(X), cut(NUMBERS)[1:], f"y must have the {N} rows of X; it has {N - 1}"),
    "fewer partitions": (
        HALVES,
        dd.from_pandas(pd.Series(NUMBERS), npartitions=4),
        "y must have as many partitions as X, 2; it has 4",
    ),
    "no rows": (cut(X)[:0], cut(NUMBERS)[:0], "X must have rows"),
    "no y": (cut(X), None, "y must be passed"),
    "one dimension": (cut(NUMBERS), cut(NUMBERS), "X must have 2 dimensions"),
}


@pytest.mark.parametrize(("rows", "y", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_unfit_is_refused_by_partition(rows, y, message):
    with pytest.raises(ValueError, match=message):
        small(DaskDNNRegressor).fit(rows, y)


def test_labels_of_two_kinds_are_refused_by_partition():
    halves = [np.repeat(["a", "b"], N // 4), np.repeat([0, 1], N // 4)]
    y = da.concatenate([da.from_delayed(dask.delayed(h), (N // 2,), object) for h in halves])
    with pytest.raises(ValueError, match=r"In partition 1: y must be of one form .* numbers"):
        small(DaskDNNClassifier).fit(cut(X, 2), y)


def test_three_classes_are_too_many_for_two():
    with pytest.raises(ValueError, match="Only binary classification"):
        small(DaskDNNBinaryClassifier).fit(cut(X), cut(LABELS))


def test_weights_that_are_all_0_are_refused():
    with pytest.raises(ValueError, match="sample_weight must not be zero for every row"):
        small(DaskDNNRegressor).fit(cut(X), cut(NUMBERS), da.zeros(N, chunks=N // 4))


@pytest.mark.parametrize(
    ("params", "name"),
    [
        ({"scoring": "r2"}, "scoring"),
        ({"validation_fraction": [([0], [1])]}, "validation_fraction"),
        ({"n_shards": 0}, "n_shards"),
        ({"client": 3}, "client"),
        ({"batch_size": "clusters"}, "batch_size"),
    ],
)
def test_a_parameter_that_is_unfit_is_named(params, name):
    with pytest.raises(ValueError, match=f"The '{name}' parameter of DaskDNNRegressor must be"):
        small(DaskDNNRegressor, **params).fit(cut(X), cut(NUMBERS))


def test_rows_in_memory_are_refused_with_the_way_out():
    with pytest.raises(TypeError, match=r"got numpy.ndarray. There is dask.array.from_array"):
        small(DaskDNNRegressor).fit(X, NUMBERS)


def test_the_ordinary_estimator_points_here():
    with pytest.raises(TypeError, match=r"or fit it where it is with skdnn.dask"):
        DNNClassifier().fit(cut(X), cut(LABELS))


def test_partial_fit_is_of_the_ordinary_estimator():
    assert not hasattr(DaskDNNRegressor(), "partial_fit")


def test_a_failed_fit_leaves_what_was_there():
    model = fitted()
    before = found(model)
    with pytest.raises(ValueError, match="partition"):
        model.fit(cut(X), unfit_in_the_third(NUMBERS))
    assert found(model) == before


def test_calibration_gives_the_classes_their_shares():
    model = small(DaskDNNClassifier, max_iter=10).fit(cut(X), cut(LABELS))
    assert np.any(model.recipe_.intercepts[0])
    shares = [np.mean(label == LABELS) for label in model.classes_]
    mean = model.to_local().predict_proba(X).mean(axis=0)
    np.testing.assert_allclose(mean, shares, atol=0.003)
