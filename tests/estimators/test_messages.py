"""What is refused is named as the user named it, with what is wrong and what to do."""

import inspect
import re
import subprocess
import sys
import textwrap
from importlib.util import find_spec

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import get_scorer, get_scorer_names
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler
from sklearn.utils._param_validation import InvalidParameterError

from skdnn import DNNBinaryClassifier, DNNClassifier, DNNRegressor
from skdnn.columns import is_frame
from skdnn.declaration import HERE_IT_IS, Names
from skdnn.door import FOREIGN

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

ESTIMATORS = [DNNRegressor, DNNBinaryClassifier, DNNClassifier]
EACH = pytest.mark.parametrize("Estimator", ESTIMATORS)
LOSSES = ["squared_error", "absolute_error", "huber", "quantile", "poisson"]
N = 30
X = np.random.default_rng(0).normal(size=(N, 3))
Y = {DNNRegressor: X[:, 0], DNNBinaryClassifier: np.arange(N) % 2, DNNClassifier: np.arange(N) % 3}
ONES = np.ones(N)


def small(Estimator, **params):
    params = {"hidden_layer_sizes": (3,), "solver": "gd", "max_iter": 1, **params}
    return Estimator.plain(**params)


def arguments(Estimator, **given):
    """Return all that fit takes, with some of it replaced; rows to validate on like those."""
    if is_frame(given.get("X")):
        given = {"X_val": given["X"], **given}
    y = Y[Estimator]
    rows = {"X": X, "y": y, "sample_weight": ONES}
    return {**rows, **{f"{name}_val": value for name, value in rows.items()}, **given}


def refusal(Estimator, params=None, **given):
    """Return what a fit with these arguments says."""
    with pytest.raises((TypeError, ValueError)) as error:
        small(Estimator, **(params or {})).fit(**arguments(Estimator, **given))
    return str(error.value)


def named(message):
    """Return the arguments of fit that a message names."""
    return set(re.findall(r"\b(?:X|y|sample_weight)(?:_val)?\b", message))


def with_entry(value, array):
    """Return a copy, of type object, with one entry replaced."""
    array = array.astype(object)
    array.flat[4] = value
    return array


# A fault is reported by the name of what has it

ROWS = {
    "infinity": with_entry(np.inf, X).astype(float),
    "a dict": with_entry({}, X),
    "text": np.full((N, 3), "a"),
    "numbers as text": X.astype(str),
    "dates": np.arange(3 * N).reshape(N, 3).astype("M8[D]"),
    "complex": X + 1j,
    "1-d": X[:, 0],
    "3-d": np.zeros((N, 3, 2)),
    "sparse 1-d": scipy.sparse.coo_array(X[:, 0]),
    "sparse NaN": scipy.sparse.csr_array(with_entry(np.nan, X).astype(float)),
    "a number": 3.0,
    "a str": "abc",
    "no rows": X[:0],
    "ragged": [[1.0, 2.0, 3.0], [1.0, 2.0]],
}


@EACH
@pytest.mark.parametrize("fault", ROWS)
@pytest.mark.parametrize("name", ["X", "X_val"])
def test_a_fault_of_rows_is_reported_by_their_name(Estimator, fault, name):
    assert named(refusal(Estimator, **{name: ROWS[fault]})) == {name}


@pytest.mark.parametrize("name", ["X", "X_val"])
def test_names_of_two_kinds_are_reported_by_name(name):
    frame = pd.DataFrame(X, columns=["a", 1, 2])
    assert name in named(refusal(DNNClassifier, **{name: frame}))


def targets(Estimator):
    y = Y[Estimator]
    return {
        "NaN": with_entry(np.nan, y).astype(float),
        "infinity": with_entry(np.inf, y).astype(float),
        "None": with_entry(None, y),
        "too long": np.r_[y, y],
        "too short": y[:-2],
        "3-d": np.zeros((N, 2, 2)),
        "another width": np.c_[y, 1 - y],
        "a number": 3,
        "complex": y + 1j,
        "dicts": np.full(N, {}),
        "bytes": np.full(N, b"a"),
        "text among numbers": with_entry("a", y),
    }


@EACH
@pytest.mark.parametrize("fault", targets(DNNRegressor))
@pytest.mark.parametrize("name", ["y", "y_val"])
def test_a_fault_of_targets_is_reported_by_their_name(Estimator, fault, name):
    if (Estimator, fault, name) in [
        (DNNRegressor, "another width", "y"),  # two targets
        (DNNBinaryClassifier, "another width", "y"),  # two labels
    ]:
        name = "y_val"
    assert named(refusal(Estimator, **{name: targets(Estimator)[fault]})) == {name}


@pytest.mark.parametrize("Estimator", [DNNBinaryClassifier, DNNClassifier])
@pytest.mark.parametrize("labels", ["text", "numbers"])
def test_labels_that_y_does_not_have_are_reported_as_those_of_y_val(Estimator, labels):
    y = np.where(Y[Estimator] > 0, "a", "b") if labels == "text" else Y[Estimator] + 5
    assert "y_val must hold classes of [0, 1" in refusal(Estimator, y_val=y)


WEIGHTS = {
    "NaN": with_entry(np.nan, ONES).astype(float),
    "infinity": with_entry(np.inf, ONES).astype(float),
    "None": with_entry(None, ONES),
    "a dict": with_entry({}, ONES),
    "below 0": -ONES,
    "all 0": 0 * ONES,
    "too long": np.ones(N + 1),
    "2-d": np.ones((N, 2)),
    "text": np.full(N, "a"),
    "numbers as text": np.full(N, "1.5"),
    "dates": np.arange(N).astype("M8[D]"),
    "complex": ONES + 1j,
    "sparse 1-d": scipy.sparse.coo_array(ONES),
    "sparse": scipy.sparse.csr_array(ONES[:, None]),
    "a str": "abc",
}


@EACH
@pytest.mark.parametrize("fault", WEIGHTS)
@pytest.mark.parametrize("name", ["sample_weight", "sample_weight_val"])
def test_a_fault_of_weights_is_reported_by_their_name(Estimator, fault, name):
    message = refusal(Estimator, **{name: WEIGHTS[fault]})
    assert named(message) == {name}


@EACH
@pytest.mark.parametrize("missing", ["X_val", "y_val"])
def test_half_a_validation_set_is_refused(Estimator, missing):
    assert f"{missing} is None" in refusal(Estimator, **{missing: None})


@EACH
def test_validation_weights_without_their_rows_are_refused(Estimator):
    message = refusal(Estimator, X_val=None, y_val=None)
    assert "sample_weight_val" in message and "X_val is None" in message


# What is missing or infinite among objects


@EACH
@pytest.mark.parametrize("name", ["y", "y_val"])
@pytest.mark.parametrize("container", [np.asarray, list, lambda y: pd.Series(y, dtype=object)])
@pytest.mark.parametrize(
    "entry, what",
    [
        (None, "NaN"), (np.nan, "NaN"), (np.float32("nan"), "NaN"), (pd.NA, "NaN"),
        (pd.NaT, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity"),
    ],
)  # fmt: skip
def test_an_object_that_is_no_value_is_refused_by_name(Estimator, name, container, entry, what):
    y = container(with_entry(entry, Y[Estimator]))
    assert f"{name} contains {what}" in refusal(Estimator, **{name: y})


@pytest.mark.parametrize("Estimator", [DNNBinaryClassifier, DNNClassifier])
@pytest.mark.parametrize("entry", [None, np.nan, pd.NA])
def test_a_label_that_is_missing_among_text_is_refused_by_name(Estimator, entry):
    y = with_entry(entry, np.where(Y[Estimator] > 0, "a", "b"))
    assert "y contains NaN" in refusal(Estimator, y=y)


@pytest.mark.parametrize("Estimator", [DNNBinaryClassifier, DNNClassifier])
def test_labels_of_two_kinds_are_refused(Estimator):
    y = with_entry("a", Y[Estimator])
    assert "y must hold labels of one kind; got int and str" in refusal(Estimator, y=y)


# Text and dates, which NumPy reads as numbers

DATES = pd.date_range("2020-01-01", periods=N)
TEXT = {
    "str": X.astype(str),
    "bytes": X.astype("S"),
    "StringDType": X.astype(np.dtypes.StringDType()),
    "objects": X.astype(str).astype(object),
    "list": X.astype(str).tolist(),
    "one entry": with_entry("1.5", X),
    "frame": pd.DataFrame(X.astype(str), columns=list("abc")),
    "frame of objects": pd.DataFrame(X.astype(str).astype(object)),
    "one column": pd.DataFrame(X, columns=list("abc")).assign(b=X[:, 0].astype(str)),
    "categories": pd.DataFrame(X, columns=list("abc")).assign(b=pd.Categorical(["1", "2"] * 15)),
    "polars": pl.DataFrame(X.astype(str).tolist(), schema=list("abc"), orient="row"),
    "words": np.full((N, 3), "a"),
}
WHEN = {
    "dates": np.arange(3 * N).reshape(N, 3).astype("M8[s]"),
    "durations": np.arange(3 * N).reshape(N, 3).astype("m8[s]"),
    "frame": pd.DataFrame({"a": DATES, "b": DATES, "c": DATES}),
    "frame with a zone": pd.DataFrame({name: DATES.tz_localize("UTC") for name in "abc"}),
    "frame of durations": pd.DataFrame({name: DATES - DATES[0] for name in "abc"}),
    "one column": pd.DataFrame(X, columns=list("abc")).assign(b=DATES),
    "polars": pl.DataFrame({name: DATES.to_numpy() for name in "abc"}),
}


@EACH
@pytest.mark.parametrize("container", TEXT)
@pytest.mark.parametrize("name", ["X", "X_val"])
def test_text_is_not_read_as_numbers(Estimator, container, name):
    if is_frame(TEXT[container]) and name == "X_val":
        numbers = type(TEXT[container])({column: ONES for column in TEXT[container].columns})
        given = {"X": numbers, "X_val": TEXT[container]}
    else:
        given = {name: TEXT[container]}
    message = refusal(Estimator, params={"categorical_features": None}, **given)
    pattern = rf"{name}(\[.*\])? must hold numbers; .*astype\(float\).*categorical_features"
    assert re.match(pattern, message)


@EACH
@pytest.mark.parametrize("container", WHEN)
def test_dates_are_not_read_as_numbers(Estimator, container):
    message = refusal(Estimator, X=WHEN[container])
    pattern = r"X(\[.*\])? must hold numbers( or categories)?; got (datetime|timedelta)"
    assert re.match(pattern, message, re.IGNORECASE)
    assert "skrub" in message


@pytest.mark.parametrize("given", [TEXT["one column"], WHEN["one column"]])
def test_the_column_is_named(given):
    message = refusal(DNNClassifier, params={"categorical_features": None}, X=given)
    assert message.startswith("X['b'] must hold numbers")


def test_names_that_occur_twice_are_refused_as_elsewhere():
    frame = pd.DataFrame(X, columns=list("aab"))
    assert "unique column names" in refusal(DNNClassifier, X=frame)


@EACH
@pytest.mark.parametrize("given", [TEXT["str"], TEXT["frame"], WHEN["dates"], WHEN["frame"]])
@pytest.mark.filterwarnings("ignore:X has feature names")
def test_a_fitted_estimator_refuses_them_too(Estimator, given):
    model = small(Estimator).fit(X, Y[Estimator])
    with pytest.raises(ValueError, match=r"X(\[.*\])? must hold numbers"):
        model.predict(given)


NUMBERS = {
    "ints": X.astype(int),
    "bools": X > 0,
    "objects": X.astype(object),
    "list": X.tolist(),
    "frame": pd.DataFrame(X),
    "frame of kinds": pd.DataFrame({"a": X[:, 0], "b": X[:, 1] > 0, "c": np.arange(N)}),
    "nullable": pd.DataFrame(X.astype(int)).astype("Int64"),
    "categories": pd.DataFrame({name: pd.Categorical([1, 2] * 15) for name in "abc"}),
    "sparse frame": pd.DataFrame(np.abs(X)).astype(pd.SparseDtype(float, 0.0)),
    "polars": pl.DataFrame(X, schema=list("abc")),
    "sparse": scipy.sparse.csr_array(X),
}


@pytest.mark.parametrize("container", NUMBERS)
def test_numbers_are_read_from_any_container(container):
    given = NUMBERS[container]
    assert small(DNNClassifier).fit(given, Y[DNNClassifier]).predict(given).shape == (N,)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", ["y", "y_val"])
@pytest.mark.parametrize(
    "y",
    [
        np.arange(N).astype(str),
        np.arange(N).astype("S"),
        np.arange(N).astype(str).astype(object),
        [str(i) for i in range(N)],
        pd.Series(np.arange(N).astype(str)),
        with_entry("1.5", np.arange(N)),
        np.full(N, "a"),
        np.full((N, 2), "1"),
    ],
    ids=["str", "bytes", "objects", "list", "series", "one entry", "words", "two columns"],
)
def test_text_is_no_target_of_a_regression_whatever_the_loss(loss, name, y):
    model = small(DNNRegressor, loss=loss)
    with pytest.raises(ValueError, match=rf"{name} must hold numbers; .*DNNClassifier"):
        model.fit(**{**arguments(DNNRegressor, y=np.arange(N), y_val=np.arange(N)), name: y})


@pytest.mark.parametrize("y", [np.arange(N).astype("M8[D]"), np.arange(N).astype("m8[D]"), DATES])
def test_dates_are_no_target_of_a_regression(y):
    assert refusal(DNNRegressor, y=y).startswith("y must hold numbers; got ")


# The form of y


HAS_CSR_VECTORS = tuple(map(int, scipy.__version__.split(".")[:2])) >= (1, 15)


@EACH
@pytest.mark.parametrize(
    "make", [scipy.sparse.coo_array, *([scipy.sparse.csr_array] if HAS_CSR_VECTORS else [])]
)
def test_a_sparse_vector_of_targets_is_read_as_the_dense_one(Estimator, make):
    sparse = {name: make(Y[Estimator]) for name in ("y", "y_val")}
    ours, theirs = (
        small(Estimator, random_state=0).fit(**arguments(Estimator, **given)).coefs_[0]
        for given in (sparse, {})
    )
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize(
    "values", [(-1, 1), (1, 2), (0, 2), (0, -1), (5, 6), (3, 3), (-1.0, 1.0), (0, 255)]
)
@pytest.mark.parametrize("container", [np.asarray, scipy.sparse.csr_array, pd.DataFrame])
@pytest.mark.parametrize("params", [{}, {"class_weight": "balanced"}])
@pytest.mark.parametrize("name", ["y", "y_val"])
def test_an_indicator_matrix_of_other_values_is_refused_with_them(values, container, params, name):
    zero_one = (X > 0).astype(int)
    given = {"y": zero_one, "y_val": zero_one}
    given[name] = container(np.where(X > 0, values[1], values[0]))
    with pytest.raises(ValueError) as error:
        small(DNNBinaryClassifier, **params).fit(**arguments(DNNBinaryClassifier, **given))
    assert str(error.value).startswith(f"{name} must be an indicator matrix of 0 and 1")
    assert f"the values {sorted({*values})}" in str(error.value)


@pytest.mark.parametrize("values", [[0, 1, 2], ["no", "yes"], [*range(12)]])
def test_an_indicator_matrix_of_more_values_is_refused_with_the_first_of_them(values):
    y = np.resize(values, (N, 2))
    named = re.escape(str(values[:10]).strip("[]"))
    with pytest.raises(ValueError, match=rf"^y must be an indicator matrix .*{named}[,\]]"):
        small(DNNBinaryClassifier).fit(X, y)


def test_partial_fit_refuses_an_indicator_matrix_of_other_values():
    with pytest.raises(ValueError, match=r"indicator matrix of 0 and 1.*\[1, 2\]"):
        small(DNNBinaryClassifier).partial_fit(X, (X > 0) + 1, classes=[0, 1, 2])


@pytest.mark.parametrize("dtype", [bool, int, float, np.int8])
@pytest.mark.parametrize("matrix", [X > 0, X < 9, X > 9], ids=["both", "ones", "zeros"])
def test_an_indicator_matrix_may_have_any_type(dtype, matrix):
    y = matrix.astype(dtype)
    assert small(DNNBinaryClassifier).fit(X, y).predict(X).shape == y.shape


@pytest.mark.parametrize("dtype", [int, float, bool])
@pytest.mark.parametrize("container", [np.asarray, scipy.sparse.csr_array, pd.DataFrame])
@pytest.mark.parametrize("name", ["y", "y_val"])
def test_one_hot_labels_are_sent_to_argmax(dtype, container, name):
    one_hot = container(np.eye(3, dtype=dtype)[Y[DNNClassifier]])
    message = refusal(DNNClassifier, **{name: one_hot})
    assert f"numpy.argmax({name}, axis=1)" in message and "DNNBinaryClassifier" in message


@pytest.mark.parametrize("Estimator", [DNNBinaryClassifier, DNNClassifier])
@pytest.mark.parametrize("label", [0, 1, "a", True, 2.0])
def test_one_class_alone_is_refused_with_its_label(Estimator, label):
    y = np.full(N, label)
    assert f"2 classes; got 1 class only: {y[:1].tolist()}" in refusal(Estimator, y=y, y_val=y)


@pytest.mark.parametrize("width, classes", [(2, [0, 1, 2]), (3, [0, 1]), (2, [0]), (3, range(5))])
def test_classes_of_another_number_than_the_labels_are_refused(width, classes):
    model = small(DNNBinaryClassifier)
    with pytest.raises(ValueError, match=rf"each of the {width} columns of y; got \[0"):
        model.partial_fit(X, (X > 0)[:, :width].astype(int), classes=classes)
    assert not hasattr(model, "classes_")


@pytest.mark.parametrize("Estimator", [DNNBinaryClassifier, DNNClassifier])
@pytest.mark.parametrize("classes", [[0, None], [0, "a"], 5, [0.0, np.nan], [[0, 1], [1]]])
def test_unfit_classes_are_refused_by_name(Estimator, classes):
    with pytest.raises((TypeError, ValueError), match="classes"):
        small(Estimator).partial_fit(X, Y[Estimator], classes=classes)


@pytest.mark.parametrize("later", [["a", "b", "c"], [0, 1], [0, 1, 3], [-1, 1, 2]])
def test_other_classes_in_a_later_call_are_refused(later):
    model = small(DNNClassifier).partial_fit(X, Y[DNNClassifier], classes=[0, 1, 2])
    with pytest.raises(ValueError, match="must be the same as on the first call"):
        model.partial_fit(X, Y[DNNClassifier], classes=later)


# Arrays that live elsewhere


def foreign(library):
    """Return an object that can do nothing but be of a library."""
    return type("Array", (), {"__module__": f"{library}.inner", "__slots__": ()})()


class Duck:
    """An array of the standard that is not NumPy's."""

    def __array_namespace__(self):
        raise AssertionError("it was computed with")


@EACH
@pytest.mark.parametrize("library", FOREIGN)
@pytest.mark.parametrize("name", [*inspect.signature(DNNRegressor.fit).parameters][1:])
def test_an_array_of_another_library_is_refused_by_name_and_unread(Estimator, library, name):
    message = refusal(Estimator, **{name: foreign(library)})
    assert message.startswith(f"{name} must be an array of NumPy")
    assert f"got a {library}.inner.Array" in message
    assert f"pass {FOREIGN[library].format(name)}." in message


@EACH
@pytest.mark.parametrize("name", [*inspect.signature(DNNRegressor.fit).parameters][1:])
def test_an_array_of_any_library_with_the_standards_interface_is_refused(Estimator, name):
    assert f"pass numpy.asarray({name})." in refusal(Estimator, **{name: Duck()})


@EACH
@pytest.mark.parametrize("name", [*inspect.signature(DNNRegressor.fit).parameters][1:])
def test_a_lazy_frame_is_refused(Estimator, name):
    assert f"pass {name}.collect()." in refusal(Estimator, **{name: pl.LazyFrame(X)})


@EACH
@pytest.mark.parametrize("call", ["predict", "score", "partial_fit"])
@pytest.mark.parametrize("given", [foreign("torch"), foreign("dask"), Duck()])
def test_every_method_refuses_them(Estimator, call, given):
    model = small(Estimator).fit(X, Y[Estimator])
    arguments = (given,) if call == "predict" else (given, Y[Estimator])
    with pytest.raises(TypeError, match=r"X must be an array of NumPy"):
        getattr(model, call)(*arguments)


@pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed")
@pytest.mark.parametrize("dispatch", [False, True])
def test_a_tensor_is_refused_with_and_without_dispatch(dispatch):
    program = f"""
        import numpy as np, torch
        from sklearn import config_context
        from skdnn import DNNClassifier
        X, y = torch.eye(4), torch.arange(4)
        with config_context(array_api_dispatch={dispatch}):
            model = DNNClassifier(max_iter=1).fit(np.eye(4), np.arange(4))
            for call in (lambda: model.fit(X, y), lambda: model.fit(np.eye(4), y),
                         lambda: model.predict(X), lambda: model.score(X, y)):
                try:
                    call()
                except TypeError as error:
                    assert "got a torch.Tensor" in str(error), error
                else:
                    raise AssertionError("it was taken")
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        env={"SCIPY_ARRAY_API": "1", "PYTHONPATH": ":".join(sys.path)},
    )
    assert done.returncode == 0, done.stderr


# In a pipeline


def in_pipeline(*steps, frame=False, **config):
    """Return what a pipeline says that is given rows to validate on by the step's name."""
    data = load_wine(as_frame=frame)
    rows, rows_val, y, y_val = train_test_split(data.data, data.target, random_state=0)
    network = DNNClassifier(3, max_iter=1, random_state=0)
    pipeline = make_pipeline(*steps, network).set_output(**config)
    with pytest.raises((ValueError, UserWarning)) as error:
        pipeline.fit(rows, y, dnnclassifier__X_val=rows_val, dnnclassifier__y_val=y_val)
    return str(error.value)


@pytest.mark.parametrize(
    "steps, options",
    [
        ([StandardScaler()], {"frame": True}),
        ([MinMaxScaler()], {"frame": True}),
        ([PCA(13)], {"frame": True}),
        ([PCA(13)], {"frame": True, "transform": "pandas"}),
        ([PCA(2)], {"frame": True}),
        ([PCA(2)], {}),
        ([StandardScaler()], {"transform": "pandas"}),
        ([StandardScaler()], {}),
        ([MinMaxScaler()], {}),
        (
            [make_column_transformer((OneHotEncoder(sparse_output=False), [0]))],
            {"frame": True, "transform": "pandas"},
        ),
    ],
)
def test_untransformed_validation_rows_in_a_pipeline_are_told_of_transform_input(steps, options):
    message = in_pipeline(*steps, **options)
    assert message.count("X_val") > 1 and "transform_input=['X_val']" in message


@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer])
@pytest.mark.parametrize("sparse", [False, True])
def test_rows_of_the_same_kind_draw_no_warning(load, sparse):
    rows, y = load(return_X_y=True)
    rows = scipy.sparse.csr_array(rows) if sparse else rows
    rows, rows_val, y, y_val = train_test_split(rows, y, random_state=0)
    DNNClassifier(3, max_iter=1).fit(rows, y, X_val=rows_val, y_val=y_val)


def test_a_column_that_does_not_vary_draws_no_warning():
    constant = np.c_[X, ONES]
    y = Y[DNNClassifier]
    small(DNNClassifier).fit(constant, y, X_val=constant + np.r_[0, 0, 0, 99], y_val=y)


@pytest.mark.parametrize("sparse", [False, True])
def test_the_columns_that_are_far_off_are_named(sparse):
    y, off = Y[DNNClassifier], X - [0, 0, 1000]
    with pytest.warns(UserWarning, match=r"10 times the range of X .* columns \[2\]"):
        small(DNNClassifier).fit(
            X, y, X_val=scipy.sparse.csr_array(off) if sparse else off, y_val=y
        )


def test_transform_input_is_the_answer():
    rows, rows_val, y, y_val = train_test_split(*load_wine(return_X_y=True), random_state=0)
    with config_context(enable_metadata_routing=True):
        network = DNNClassifier(3, max_iter=1).set_fit_request(X_val=True, y_val=True)
        steps = [("scale", StandardScaler()), ("network", network)]
        pipeline = Pipeline(steps, transform_input=["X_val"])
        pipeline.fit(rows, y, X_val=rows_val, y_val=y_val)
    assert len(pipeline[-1].validation_loss_curve_) == 1


# Names of parameters and what they may be


def one_letter_less(name):
    return name[: len(name) // 2] + name[len(name) // 2 + 1 :]


NAMED = [(E, name) for E in ESTIMATORS for name in inspect.signature(E).parameters]


@pytest.mark.parametrize("Estimator, name", NAMED)
def test_a_mistyped_parameter_gets_the_nearest_name(Estimator, name):
    typo = {one_letter_less(name): 1}
    for call in (Estimator, Estimator.plain, Estimator().set_params):
        with pytest.raises((TypeError, ValueError), match=r"Did you mean") as error:
            call(**typo)
        assert repr(name) in str(error.value).split("Did you mean")[1]
        assert repr(next(iter(typo))) in str(error.value)


@EACH
def test_a_typo_in_a_step_of_a_pipeline_gets_the_nearest_name(Estimator):
    pipeline = Pipeline([("scale", StandardScaler()), ("network", Estimator())])
    with pytest.raises(ValueError, match=r"Did you mean 'alpha'\?"):
        pipeline.set_params(network__alhpa=1)


@EACH
@pytest.mark.parametrize("name", HERE_IT_IS)
def test_what_another_library_calls_it_is_translated(Estimator, name):
    expected = f"What other libraries call '{name}' is {HERE_IT_IS[name]} here"
    for call in (Estimator, Estimator().set_params):
        with pytest.raises((TypeError, ValueError), match=expected):
            call(**{name: 1})


@EACH
def test_every_translation_is_a_name_that_there_is(Estimator):
    known = {*inspect.signature(Estimator).parameters, *inspect.signature(Estimator.fit).parameters}
    assert {one for names in HERE_IT_IS.values() for one in names.split(" and ")} <= known
    assert not known & {*HERE_IT_IS}


def names_of(Estimator, parameter):
    """Return the names that the rule of a parameter takes."""
    rules = Estimator._parameter_constraints[parameter]
    return {name for rule in rules if isinstance(rule, Names) for name in rule.options}


OPTIONS = [(E, name) for E in ESTIMATORS for name in E._parameter_constraints if names_of(E, name)]


@pytest.mark.parametrize("Estimator, name", OPTIONS)
def test_a_mistyped_option_gets_the_nearest_name(Estimator, name):
    for option in names_of(Estimator, name):
        for typo in (option.upper(), f"{option}_"):
            with pytest.raises(InvalidParameterError, match=r"Did you mean") as error:
                small(Estimator).set_params(**{name: typo}).fit(X, Y[Estimator])
            assert repr(option) in str(error.value).split("Did you mean")[1]


@pytest.mark.parametrize("Estimator, name", OPTIONS)
def test_options_are_sorted_and_no_more_than_can_be_read(Estimator, name):
    with pytest.raises(InvalidParameterError) as error:
        small(Estimator).set_params(**{name: "%"}).fit(X, Y[Estimator])
    options = re.search(r"among \{(.*?)\}", str(error.value))[1].split(", ")
    assert options == sorted(options) and len(options) <= 12
    assert "Did you mean" not in str(error.value)


def test_a_scorers_typo_gets_the_nearest_names_and_where_all_are():
    with pytest.raises(InvalidParameterError) as error:
        small(DNNClassifier, scoring="roc_auc_ovrr").fit(X, Y[DNNClassifier])
    assert "get_scorer_names()" in str(error.value) and "'roc_auc_ovr'" in str(error.value)
    assert len(str(error.value)) < 300


@EACH
@pytest.mark.parametrize("rate", [0.01, 1, np.float32(0.1), None, "0.01"])
@pytest.mark.parametrize("solver", ["gd", "sgd", "adam", "lbfgs"])
def test_a_number_for_learning_rate_is_sent_to_learning_rate_init(Estimator, rate, solver):
    model = small(Estimator, learning_rate=rate, solver=solver)
    with pytest.raises(InvalidParameterError, match="learning_rate_init"):
        model.fit(X, Y[Estimator])


@EACH
@pytest.mark.parametrize("names", [["rleu"], ("rleu",), np.array(["rleu"])])
def test_a_typo_in_a_list_of_activations_gets_the_nearest_name(Estimator, names):
    with pytest.raises(InvalidParameterError, match=r"Did you mean 'relu'"):
        small(Estimator, activation=names).fit(X, Y[Estimator])


# Whose method it was


class Mine(DNNClassifier):
    """A user's own."""


METHODS = ["fit", "partial_fit", "predict", "predict_proba", "predict_log_proba",
           "decision_function"]  # fmt: skip


@pytest.mark.parametrize("Estimator", [*ESTIMATORS, Mine])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kwargs", [{}, {"X": X, "eval_set": 1}, {"X": X, "y": X, "foo": 1}])
def test_a_call_that_does_not_fit_is_refused_by_the_users_class(Estimator, method, kwargs):
    if not hasattr(Estimator(), method):
        pytest.skip("it has none")
    with pytest.raises(TypeError) as error:
        getattr(Estimator(), method)(**kwargs)
    assert str(error.value).startswith(f"{Estimator.__name__}.{method}() ")
    assert not re.search(r"\b_|Base", str(error.value))


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_the_constructor_is_named_by_its_own_class(Estimator):
    class Other(Estimator):
        def __init__(self, alpha=1):
            super().__init__(alhpa=alpha)

    with pytest.raises(TypeError, match=rf"^{Estimator.__name__}.__init__\(\) .*'alhpa'"):
        Other()


@EACH
def test_rows_by_the_name_of_others_are_sent_to_X_val(Estimator):
    with pytest.raises(TypeError, match=r"'eval_set'\. .* X_val and y_val here"):
        small(Estimator).fit(X, Y[Estimator], eval_set=[(X, Y[Estimator])])


@EACH
def test_an_error_from_within_a_method_is_its_own(Estimator):
    def fails(progress):
        raise TypeError("the schedule's own")

    with pytest.raises(TypeError, match=r"^learning_rate: the schedule's own$"):
        small(Estimator, learning_rate=fails).fit(X, Y[Estimator])


@EACH
def test_the_signatures_are_what_they_were(Estimator):
    assert [*inspect.signature(Estimator.fit).parameters][:3] == ["self", "X", "y"]
    assert BaseEstimator._get_param_names.__func__(Estimator) == sorted(
        inspect.signature(Estimator).parameters
    )


# A parameter is the culprit

WITHOUT_WEIGHTS = [
    name
    for name in get_scorer_names()
    if "sample_weight" not in inspect.signature(get_scorer(name)._score_func).parameters
]


@pytest.mark.parametrize("scoring", [*WITHOUT_WEIGHTS, lambda model, X, y: 1.0])
def test_a_score_that_takes_no_weights_is_refused_beside_weights(scoring):
    model = small(DNNRegressor, early_stopping=True, scoring=scoring)
    with pytest.raises(InvalidParameterError, match=r"'scoring' .* sample_weight"):
        model.fit(X, Y[DNNRegressor], sample_weight=ONES)


def test_there_are_scores_that_take_no_weights():
    assert "neg_max_error" in WITHOUT_WEIGHTS


@pytest.mark.parametrize("scoring", ["neg_max_error", lambda model, X, y: 1.0])
def test_a_score_that_takes_no_weights_serves_without_any(scoring):
    model = small(DNNRegressor, early_stopping=True, scoring=scoring)
    assert len(model.fit(X, Y[DNNRegressor]).validation_scores_) == 1


@pytest.mark.parametrize(
    "Estimator, scoring",
    [(DNNRegressor, "accuracy"), (DNNClassifier, "f1"), (DNNClassifier, lambda m, X, y: "high")],
)
def test_a_score_that_fails_is_named(Estimator, scoring):
    model = small(Estimator, early_stopping=True, scoring=scoring)
    with pytest.raises(ValueError, match=r"^scoring="):
        model.fit(X, Y[Estimator])


@pytest.mark.parametrize("Estimator", [DNNBinaryClassifier, DNNClassifier])
@pytest.mark.parametrize("weight", [np.nan, np.inf, -1.0, None, "a", [1, 2]])
def test_an_unfit_class_weight_is_named(Estimator, weight):
    with pytest.raises((TypeError, ValueError), match="class_weight"):
        small(Estimator, class_weight={0: weight}).fit(X, Y[Estimator])


# A warning is given once


def warned(call, category, match):
    """Return how often a call warns of something."""
    with pytest.warns(category, match=match) as record:
        call()
    return sum(bool(re.search(match, str(one.message))) for one in record)


ONCE = [{}, {"n_estimators": 2}, {"early_stopping": False}, {"solver": "sgd"}]


@EACH
@pytest.mark.parametrize("params", ONCE, ids=str)
@pytest.mark.parametrize("name", ["y", "y_val"])
def test_a_column_is_warned_of_once_and_by_name(Estimator, params, name):
    model = Estimator(hidden_layer_sizes=(3,), max_iter=2, **params)
    given = arguments(Estimator)
    given[name] = given[name][:, None]
    match = rf"A column-vector {name} was passed"
    assert warned(lambda: model.fit(**given), DataConversionWarning, match) == 1


@EACH
@pytest.mark.parametrize("params", ONCE, ids=str)
@pytest.mark.parametrize("n", [N, 3 * N])
def test_a_batch_size_beyond_the_rows_is_warned_of_once(Estimator, params, n):
    model = Estimator(hidden_layer_sizes=(3,), max_iter=2, batch_size=1000, **params)
    rows, y = np.resize(X, (n, 3)), np.resize(Y[Estimator], n)
    match = f"batch_size=1000 is more than the {n} training rows"
    assert warned(lambda: model.fit(rows, y), UserWarning, match) == 1


@EACH
@pytest.mark.parametrize("solver", ["gd", "lbfgs"])
def test_a_full_batch_has_no_size_to_warn_of(Estimator, solver):
    small(Estimator, solver=solver, batch_size=1000, max_fun=1).fit(X, Y[Estimator])
