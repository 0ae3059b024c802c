"""A checkpoint is of one fit, told from every other, and of one run at a time."""

import errno
import functools
import json
import math
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import zipfile
from types import FunctionType, ModuleType

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.datasets import load_iris
from sklearn.metrics import accuracy_score, make_scorer

from skdnn import Checkpoint, DNNClassifier, DNNRegressor
from skdnn.fingerprint import fingerprint

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, y = load_iris(return_X_y=True)
X, y = X[::3], y[::3]


class Spy:
    """Counts the epochs of a fit, and does something at the end of each task."""

    def __init__(self, act=lambda context: None):
        self.epochs, self.act = 0, act

    def setup(self, estimator, context): ...

    def teardown(self, estimator, context): ...

    def on_fit_task_begin(self, estimator, context): ...

    def on_fit_task_end(self, estimator, context):
        self.epochs += context.task_name.endswith("epoch")
        self.act(context)


class Crash(Exception):
    pass


def raising(error):
    def act(*args, **kwargs):
        raise error

    return act


def model(**params):
    params = {"max_iter": 3, "learning_rate_init": 0.01, "random_state": 0, **params}
    return DNNClassifier.plain(hidden_layer_sizes=(3,), **params)


def fit(path, X=X, y=y, spy=None, every=1, **params):
    """Fit with a checkpoint, and return the estimator and the number of epochs that were run."""
    spy = spy or Spy()
    return model(**params).set_callbacks(Checkpoint(path, every), spy).fit(X, y), spy.epochs


def crashed(path, at=2, **params):
    """Leave the checkpoint of a fit that crashed at the end of its epoch `at`."""

    def act(context):
        if spy.epochs == at and context.task_name.endswith("epoch"):
            raise Crash

    spy = Spy(act)
    with pytest.raises(Crash):
        fit(path, spy=spy, **params)


def weights(estimator):
    nets = getattr(estimator, "estimators_", [estimator])
    return [a for net in nets for a in (*net.weights_, *net.biases_)]


def assert_same(one, other):
    for a, b in zip(weights(one), weights(other), strict=True):
        assert np.array_equal(a, b)
    for name in ("loss_curve_", "validation_loss_curve_", "search_loss_curve_", "loss_"):
        assert getattr(one, name) == getattr(other, name)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a fit"


# ---------------------------------------------------------------- functions as parameters


def times(k):
    return lambda p: k * (1 - p) + 0.1


def calls(inner):
    return lambda p: inner(p)


def with_default(k):
    def rate(p, k=k):
        return k

    return rate


def with_keyword_default(k):
    def rate(p, *, k=k):
        return k

    return rate


def wrapped(inner):
    @functools.wraps(inner)
    def rate(p):
        return inner(p)

    return rate


def attributed(k):
    def rate(p):
        return rate.k

    rate.k = k
    return rate


def twice(k):
    """Return a function that reads itself."""

    def rate(p):
        return k if p >= 1 else rate(1)

    return rate


def reading(**there):
    """Return a function that reads a name of its module, which has the given ones."""
    return FunctionType((lambda p: used(p)).__code__, {"__builtins__": __builtins__, **there})  # noqa: F821


def reading_module(**there):
    helpers = ModuleType("helpers_of_mine")
    vars(helpers).update(there)
    code = (lambda p: used.rate(p)).__code__  # noqa: F821
    return FunctionType(code, {"__builtins__": __builtins__, "used": helpers})


class Rate:
    """A schedule with a state."""

    def __init__(self, k):
        self.k = k

    def __call__(self, p):
        return self.k

    def method(self, p):
        return self.k

    @classmethod
    def made(cls, body):
        """Return an object of a class by the same name whose `__call__` is another."""
        return type("Rate", (cls,), {"__call__": body, "__qualname__": "Rate"})(1.0)


class Slotted:
    __slots__ = ("k",)

    def __init__(self, k):
        self.k = k

    def __call__(self, p):
        return self.k


class Frozen(Rate):
    """An object whose method stands in a property."""

    by = 1.0

    @property
    def rate(self):
        return self.by

    def __call__(self, p):
        return self.rate


def scorer_of(k):
    def score(estimator, X, y):
        return k * estimator.score(X, y)

    return score


def argued(labels, predicted, k=1):
    return k * accuracy_score(labels, predicted)


FUNCTIONS = {
    "names": lambda one: (lambda p: math.cos(p)) if one else (lambda p: math.sin(p)),
    "constants": lambda one: (lambda p: 1 - p / 2) if one else (lambda p: 1 - p / 3),
    "a set": lambda one: (
        (lambda p: p in {"a", "b", "c"}) if one else (lambda p: p in {"a", "b", "d"})
    ),
    "operators": lambda one: (lambda p: 1 + p) if one else (lambda p: 1 * p),
    "closure": lambda one: times(1 if one else 3),
    "closure over a function": lambda one: calls(times(1 if one else 3)),
    "closure over a built-in function": lambda one: calls(math.cos if one else math.sin),
    "closure over a ufunc": lambda one: calls(np.cos if one else np.sin),
    "closure over an array": lambda one: calls(np.array([1.0, 2.0 if one else 3.0]).take),
    "closure over the shape of an array": lambda one: calls(
        np.ones((2, 3) if one else (3, 2)).take
    ),
    "closure over the type of an array": lambda one: calls(
        np.ones(2, "f4" if one else "i4").__getitem__
    ),
    "closure over a large array": lambda one: calls(np.arange(5000.0 + one)[::-1].take),
    "closure over a sparse matrix": lambda one: calls(sp.eye(2 if one else 3).dot),
    "closure over a dict": lambda one: times({"a": [1, {2.0 if one else 3.0}]}),
    "closure over a generator": lambda one: times(np.random.default_rng(1 if one else 2)),
    "defaults": lambda one: with_default(1 if one else 3),
    "keyword defaults": lambda one: with_keyword_default(1 if one else 3),
    "nested code": lambda one: (
        (lambda p: (lambda q: q + 1)(p)) if one else (lambda p: (lambda q: q + 2)(p))
    ),
    "what it wraps": lambda one: wrapped(times(1 if one else 3)),
    "attributes": lambda one: attributed(1 if one else 3),
    "recursion": lambda one: twice(1 if one else 3),
    "a cache": lambda one: functools.lru_cache(times(1 if one else 3)),
    "a global function": lambda one: reading(used=times(1 if one else 3)),
    "a global number": lambda one: reading(used=1 if one else 3),
    "a module of one's own": lambda one: reading_module(rate=times(1 if one else 3)),
    "partial arguments": lambda one: functools.partial(pow, 2 if one else 3),
    "partial keywords": lambda one: functools.partial(argued, k=2 if one else 3),
    "partial function": lambda one: functools.partial(math.cos if one else math.sin),
    "bound method": lambda one: Rate(1 if one else 3).method,
    "callable object": lambda one: Rate(1 if one else 3),
    "callable object in slots": lambda one: Slotted(1 if one else 3),
    "code of a class": lambda one: Rate.made((lambda s, p: 1.0) if one else (lambda s, p: p)),
    "attribute of a class": lambda one: type("F", (Frozen,), {"by": 1.0 if one else 2.0})(1),
    "vectorised": lambda one: np.vectorize(times(1 if one else 3)),
    "polynomial": lambda one: np.poly1d([1, 2 if one else 3]),
}
SCORERS = {
    "scorer's closure": lambda one: scorer_of(1 if one else 3),
    "scorer's keywords": lambda one: make_scorer(argued, k=1 if one else 3),
    "scorer's sign": lambda one: make_scorer(argued, greater_is_better=one),
    "scorer's function": lambda one: make_scorer(
        (lambda y, p: np.mean(y == p)) if one else (lambda y, p: np.mean(y != p))
    ),
}


def asking(kind):
    """Return the parameters of a fit that asks for a function, and which they ask for."""
    if kind in SCORERS:
        return "scoring", lambda one: {"scoring": SCORERS[kind](one), "early_stopping": True}
    # A schedule is a number: what the functions return does not matter here.
    return "learning_rate", lambda one: {"learning_rate": Constant(FUNCTIONS[kind](one))}


class Constant:
    """A schedule that holds a function and does not call it."""

    def __init__(self, function):
        self.function = function

    def __call__(self, p):
        return 1.0


@pytest.mark.parametrize("kind", [*FUNCTIONS, *SCORERS])
def test_another_function_is_another_fit(path, kind):
    name, params = asking(kind)
    first = fit(path, **params(True))[0]
    with pytest.raises(ValueError, match=rf"belongs to another fit: {name} was"):
        fit(path, **params(False))
    assert_same(fit(path, **params(True))[0], first)


@pytest.mark.parametrize("kind", [*FUNCTIONS, *SCORERS])
def test_the_same_function_made_anew_is_the_same_fit(path, kind):
    params = asking(kind)[1]
    fit(path, **params(True))
    assert fit(path, **params(True))[1] == 0


def test_of_two_functions_that_look_alike_the_message_says_that_they_are_two(path):
    fit(path, learning_rate=times(1))
    with pytest.raises(ValueError, match=r"learning_rate was another <function times.*closure"):
        fit(path, learning_rate=times(3))


FUNCTION_SCRIPT = """
import dataclasses, enum, functools, math, sys
from skdnn.fingerprint import fingerprint

KNOWN = {"b", "a", "c"}

class Kind(enum.Enum):
    FAST = 1
    SLOW = 2

@dataclasses.dataclass
class Rate:
    k: float = 1.0
    words: set = dataclasses.field(default_factory=lambda: {"x", "y", "z"})
    kind: Kind = Kind.SLOW
    def __call__(self, p):
        return helper(p) if self.kind in Kind else p in {"some", "of", "many", "words"}

@functools.cache
def helper(p):
    return math.cos(p) if p in KNOWN else rate(p)

def rate(p):
    return helper(p)

print(fingerprint([rate, helper, Rate(), Rate().__call__, functools.partial(rate, p=2), KNOWN]))
"""


def test_a_function_is_the_same_in_another_process_and_on_other_lines():
    def told(seed, before):
        return subprocess.run(
            [sys.executable, "-c", before + FUNCTION_SCRIPT],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    assert told("1", "") == told("2", "# moved\n\n\n") == told("3", "x = 1\n")


CANNOT_BE_TOLD = {
    "generator": lambda: (i for i in range(3)),
    "lock": threading.Lock,
    "ufunc": lambda: np.frompyfunc(lambda x: x, 1, 1),
    "module": lambda: ModuleType("helpers_of_mine"),
}


@pytest.mark.parametrize("kind", CANNOT_BE_TOLD)
def test_what_cannot_be_told_apart_is_refused_by_name(path, kind):
    holder = Constant(CANNOT_BE_TOLD[kind]())
    with pytest.raises(TypeError, match=rf"cannot tell learning_rate=.*: it holds .*{kind}"):
        fit(path, learning_rate=holder)
    assert not path.exists()


def test_a_scorer_that_reads_an_open_file_is_refused(path, tmp_path):
    with (tmp_path / "log").open("w") as log:

        def score(estimator, X, y):
            log.write("scored")
            return 0.0

        with pytest.raises(TypeError, match=r"cannot tell scoring=.*TextIOWrapper"):
            fit(path, early_stopping=True, scoring=score)


def test_a_function_that_imports_ones_own_module_while_it_runs_is_refused(path):
    def rate(p):
        import helpers_of_mine

        return helpers_of_mine.rate(p)

    with pytest.raises(TypeError, match="imports helpers_of_mine while it runs"):
        fit(path, learning_rate=Constant(rate))


def test_a_function_may_import_a_library_while_it_runs(path):
    def rate(p):
        import math

        from scipy.special import expit

        return math.cos(expit(p))

    fit(path, learning_rate=rate)


def test_an_endless_chain_is_refused(path):
    chain = []
    for _ in range(100_000):
        chain = [chain]
    with pytest.raises(TypeError, match="nested too deeply"):
        fingerprint(chain)


def test_a_random_state_is_told_by_where_it_stands(path):
    first = fit(path, random_state=np.random.RandomState(0))[0]
    assert_same(fit(path, random_state=np.random.RandomState(0))[0], first)
    advanced = np.random.RandomState(0)
    advanced.rand()
    with pytest.raises(ValueError, match="another fit: random_state was"):
        fit(path, random_state=advanced)


def test_a_subclass_with_other_code_is_another_estimator(path):
    def sub(number):
        kind = type("Mine", (DNNClassifier,), {"number": lambda self: number})
        return kind(max_iter=2, random_state=0).set_callbacks(Checkpoint(path))

    sub(1).fit(X, y)
    sub(1).fit(X, y)
    with pytest.raises(ValueError, match="class was another Mine"):
        sub(2).fit(X, y)


# ------------------------------------------------------------------------------- the data


def csr(X):
    return sp.csr_array(X)


def with_wide_indices(X):
    X = csr(X)
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    return X


def unsorted(X):
    X = csr(X)
    for start, stop in zip(X.indptr[:-1], X.indptr[1:], strict=True):
        X.indices[start:stop] = X.indices[start:stop][::-1].copy()
        X.data[start:stop] = X.data[start:stop][::-1].copy()
    X.has_sorted_indices = False
    return X


def duplicated(X):
    X = csr(X)
    halves = np.repeat(X.data / 2, 2)
    return sp.csr_array((halves, np.repeat(X.indices, 2), X.indptr * 2), shape=X.shape)


def with_zeros(X):
    X = csr(X)
    rows, columns = np.nonzero(np.ones(X.shape))
    return sp.csr_array((X.toarray().ravel(), (rows, columns)), shape=X.shape)


def memory_map(X):
    with tempfile.TemporaryFile() as file:
        rows = np.memmap(file, X.dtype, shape=X.shape)
    rows[:] = X
    return rows


DENSE = {
    "Fortran order": np.asfortranarray,
    "every second row": lambda X: np.repeat(X, 2, axis=0)[::2],
    "backwards": lambda X: X[::-1].copy()[::-1],
    "list": np.ndarray.tolist,
    "frame": pd.DataFrame,
    "memory map": memory_map,
    "big-endian": lambda X: X.astype(">f8"),
    "read-only": lambda X: np.frombuffer(X.tobytes()).reshape(X.shape),
}
SPARSE = {
    "unsorted": unsorted,
    "duplicated": duplicated,
    "explicit zeros": with_zeros,
    "int64 indices": with_wide_indices,
    "matrix": sp.csr_matrix,
    "columns": sp.csc_array,
    "coordinates": sp.coo_array,
    "lists": lambda X: sp.lil_array(X),
}
HOLES = np.where(X > 3, X, 0.0)


@pytest.mark.parametrize("form", DENSE.values(), ids=DENSE)
def test_the_same_values_in_another_container_are_the_same_fit(path, form):
    first = fit(path)[0]
    again, n_epochs = fit(path, X=form(X))
    assert n_epochs == 0
    assert_same(again, first)


@pytest.mark.parametrize("form", SPARSE.values(), ids=SPARSE)
def test_the_same_sparse_values_in_another_form_are_the_same_fit(path, form):
    first = fit(path, X=csr(HOLES))[0]
    again, n_epochs = fit(path, X=form(HOLES))
    assert n_epochs == 0
    assert_same(again, first)


@pytest.mark.parametrize(
    "labels",
    [
        lambda y: y.astype(np.int8),
        lambda y: y.astype(np.uint64),
        lambda y: y.tolist(),
        lambda y: pd.Series(y),
    ],
)
def test_the_same_numbers_as_labels_in_another_type_are_the_same_fit(path, labels):
    fit(path)
    assert fit(path, y=labels(y))[1] == 0


@pytest.mark.parametrize(
    "labels", [lambda t: t.astype(object), lambda t: t.tolist(), lambda t: t.astype("U30")]
)
def test_the_same_texts_as_labels_in_another_type_are_the_same_fit(path, labels):
    texts = np.array(["low", "mid", "high"])[y]
    fit(path, y=texts)
    assert fit(path, y=labels(texts))[1] == 0


def wider(X):
    X = csr(X)
    return sp.csr_array((X.data, X.indices, X.indptr), shape=(X.shape[0], X.shape[1] + 1))


@pytest.mark.parametrize(
    "one, other",
    [
        (csr(HOLES), wider(HOLES)),
        (HOLES, np.hstack([HOLES, np.zeros((len(X), 1))])),
        (X.reshape(50, 4), X.reshape(50, 2, 2)[:, :, 0]),
        (csr(HOLES), csr(HOLES[:, ::-1])),
    ],
    ids=["an empty column", "a column of zeros", "fewer columns", "other columns"],
)
def test_other_rows_or_columns_are_another_fit(path, one, other):
    fit(path, X=one)
    with pytest.raises(ValueError, match=r"another fit: the data differ \(X\)"):
        fit(path, X=other)


SHAPES = [(6,), (6, 1), (1, 6), (2, 3), (3, 2), (0,), (0, 3), (3, 0), ()]


def test_arrays_of_other_shapes_are_told_apart():
    told = {fingerprint(np.ones(shape)) for shape in SHAPES}
    told |= {fingerprint(sp.csr_array(shape)) for shape in SHAPES if len(shape) == 2}
    assert len(told) == len(SHAPES) + sum(len(shape) == 2 for shape in SHAPES)


@pytest.mark.parametrize("n", [1, 7, 100_000])
def test_a_large_array_is_told_by_its_values_and_not_their_order_in_memory(n):
    rows = np.random.default_rng(0).normal(size=(n, 7))
    other = rows.copy()
    other[-1, -1] += 1e-15
    assert fingerprint(rows) == fingerprint(np.asfortranarray(rows)) != fingerprint(other)


@pytest.mark.parametrize("changed", [{"average_decay": 0.3}, {"beta_1": 0.8}, {"max_iter": 2}])
def test_a_warm_start_from_another_fit_is_another_fit(path, changed):
    def script(**params):
        first = DNNRegressor.plain(hidden_layer_sizes=(3,), warm_start=True, random_state=0)
        second = {"max_iter": 4, "average_decay": 0.5, "beta_1": 0.9}
        first.set_params(**{**second, **params}).fit(X, y)
        return first.set_params(**second).set_callbacks(Checkpoint(path)).fit(X, y)

    assert_same(script(), script())
    with pytest.raises(ValueError, match=r"the data differ \(earlier fit\)"):
        script(**changed)


# ------------------------------------------------------------------------------ processes

# Before each epoch it says so, and waits for a line.
SCRIPT = """
import os, sys, warnings
from sklearn.datasets import load_iris
from skdnn import Checkpoint, DNNClassifier

warnings.simplefilter("ignore")
X, y = load_iris(return_X_y=True)

class Gate:
    def setup(self, estimator, context): ...
    def teardown(self, estimator, context): ...
    def on_fit_task_begin(self, estimator, context): ...
    def on_fit_task_end(self, estimator, context):
        if sys.argv[3] == "gate":
            print("epoch", flush=True)
            sys.stdin.readline()

model = DNNClassifier.plain(
    hidden_layer_sizes=(4,), max_iter=8, random_state=0, alpha=float(sys.argv[2])
)
model.set_callbacks(Checkpoint(sys.argv[1], every=1), Gate()).fit(X, y)
print(b"".join(a.tobytes() for a in (*model.coefs_, *model.intercepts_)).hex())
"""


class Process:
    """A fit in a process of its own, epoch by epoch or all at once."""

    def __init__(self, path, alpha=0.1, gate=True):
        self.running = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(path), str(alpha), "gate" if gate else "free"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.running.kill()
        self.running.communicate()

    def epochs(self, n):
        """Let it run until it has ended n more epochs; it saves the last when it goes on."""
        for _ in range(n):
            assert self.running.stdout.readline() == "epoch\n"
            self.running.stdin.write("\n")
            self.running.stdin.flush()
        return self

    def end(self):
        """Let it run to its end; return what it printed last, and what it died of."""
        out, errors = self.running.communicate("\n" * 99)
        return (out.splitlines() or [""])[-1], (errors.splitlines() or [""])[-1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with Process(tmp_path_factory.mktemp("whole") / "file", gate=False) as process:
        return process.end()[0]


def test_of_two_processes_with_one_fit_the_later_owns_the_file_and_the_other_stops(path, whole):
    with Process(path) as first:
        first.epochs(3)
        with Process(path) as second:
            second.epochs(1)
            result, error = first.end()
            assert "RuntimeError" in error and str(path) in error
            assert f"process {second.running.pid} on" in error
            assert result == "epoch"
            assert second.end() == (whole, "")
    assert os.listdir(path.parent) == [path.name]


def test_of_two_processes_with_two_fits_the_second_is_refused_before_its_first_epoch(path, whole):
    with Process(path) as first:
        first.epochs(1)
        with Process(path, alpha=0.5) as second:
            result, error = second.end()
            assert "belongs to another fit: alpha was 0.1 and is 0.5" in error
            assert result == ""
        assert first.end() == (whole, "")


def test_of_many_processes_at_once_each_has_the_result_or_says_why_not(path, whole):
    running = [Process(path, gate=False) for _ in range(4)]
    ends = [process.end() for process in running]
    for result, error in ends:
        assert result == whole if not error else "has come to belong to process" in error
    assert (whole, "") in ends
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize("n", [0, 1, 5])
def test_an_owner_that_was_killed_stands_in_nobodys_way(path, whole, n):
    with Process(path) as first:
        first.epochs(n)
        assert first.running.stdout.readline() == "epoch\n"
    with Process(path, gate=False) as second:
        assert second.end() == (whole, "")


def test_a_fit_that_failed_stands_in_nobodys_way(path):
    crashed(path)
    assert fit(path)[1] == 3 - 1


def test_what_killed_writers_left_is_cleared_up_and_nothing_else(path):
    left = path.with_name(f"{path.name}.{'0123456789abcdef'}.tmp")
    mine = [path.with_name(path.name + end) for end in (".tmp", ".mine.tmp", "2.0123.tmp")]
    for file in (left, *mine):
        file.touch()
    fit(path)
    assert not left.exists() and all(file.exists() for file in mine)


def test_what_a_living_run_writes_may_be_cleared_up_by_one_that_stops(path, monkeypatch):
    replace, cleared = os.replace, []

    def late(temporary, name):
        if len(cleared) < 2:
            cleared.append(temporary)
            os.unlink(temporary)
        replace(temporary, name)

    monkeypatch.setattr(os, "replace", late)
    first = fit(path)[0]
    assert len(set(cleared)) == 2
    assert_same(fit(path)[0], first)


def test_a_file_that_was_deleted_under_a_fit_is_written_anew(path):
    spy = Spy(lambda context: path.unlink(missing_ok=True))
    first = fit(path, spy=spy)[0]
    again, n_epochs = fit(path)
    assert n_epochs == 0
    assert_same(again, first)


@pytest.mark.parametrize("content", [b"mine", b"PK is no archive", b""])
def test_a_file_that_was_put_there_under_a_fit_is_not_overwritten(path, content):
    spy = Spy(lambda context: path.write_bytes(content))
    with pytest.raises(RuntimeError, match="has come to belong to what is no checkpoint"):
        fit(path, spy=spy)
    assert path.read_bytes() == content
    assert os.listdir(path.parent) == [path.name]


def test_the_checkpoint_of_another_fit_that_was_put_there_is_not_overwritten(path, tmp_path):
    fit(tmp_path / "other", alpha=0.7)
    content = (tmp_path / "other").read_bytes()
    with pytest.raises(RuntimeError, match="has come to belong to process"):
        fit(path, spy=Spy(lambda context: path.write_bytes(content)))
    assert path.read_bytes() == content


def test_two_checkpoints_of_one_fit_with_one_path_are_an_error(path):
    with pytest.raises(RuntimeError, match="One path is for one fit at a time"):
        model().set_callbacks(Checkpoint(path, 1), Checkpoint(path, 1)).fit(X, y)


def test_two_checkpoints_of_one_fit_without_a_seed_have_the_same_seed(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    crashed(one, random_state=None)
    both = model(random_state=None).set_callbacks(Checkpoint(other, 1), Checkpoint(one, 1))
    first = both.fit(X, y)
    for path in (one, other):
        assert_same(fit(path, random_state=None)[0], first)


# ------------------------------------------------------------------------- files and paths


def rewrite(path, change):
    """Write a checkpoint with another header."""
    with np.load(path) as archive:
        parts = {name: archive[name] for name in archive.files}
    header = json.loads(str(parts["meta"]))
    header = change(header) or header
    with path.open("wb") as file:
        np.savez(file, **{**parts, "meta": np.array(json.dumps(header))})


KEYS = ["estimator", "parameters", "data", "seed", "complete", "runs"]


@pytest.mark.parametrize("key", KEYS)
def test_a_header_that_lacks_something_is_damaged(path, key):
    crashed(path)
    rewrite(path, lambda header: {k: v for k, v in header.items() if k != key})
    with pytest.raises(ValueError, match="is damaged"):
        fit(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda header: {**header, "runs": 3},
        lambda header: {**header, "runs": [[{}]]},
        lambda header: {**header, "seed": header["seed"] + 1},
        lambda header: header["runs"][0][0].update(epoch=3),
        lambda header: header["runs"][0][0].update(theta={"array": "array 9"}),
    ],
)
def test_a_header_that_was_changed_is_damaged(path, change):
    crashed(path)
    rewrite(path, change)
    with pytest.raises(ValueError, match="is damaged"):
        fit(path)


@pytest.mark.parametrize("header", [[], "text", 3, {}, {"fmt": 2}])
def test_an_archive_with_another_header_is_no_checkpoint(path, header):
    crashed(path)
    rewrite(path, lambda _: header or {"a": 1})
    with pytest.raises(ValueError, match="is not a checkpoint of skdnn"):
        fit(path)


def test_a_file_of_the_format_before_is_refused_by_name(path):
    with path.open("wb") as file:
        np.savez(file, meta=np.array(json.dumps({"format": "skdnn checkpoint 1", "stages": []})))
    with pytest.raises(ValueError, match=r"has the format 'skdnn checkpoint 1'; this version has"):
        fit(path)


def test_a_directory_as_the_path_is_refused(tmp_path):
    with pytest.raises(IsADirectoryError, match=f"{re.escape(str(tmp_path))} is a directory"):
        fit(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_as_the_path_is_refused_and_kept(path):
    os.mkfifo(path)
    with pytest.raises(OSError, match="must be a regular file"):
        fit(path)
    assert path.is_fifo()


def test_a_relative_path_is_one_from_where_the_callback_was_made(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    checkpoint = Checkpoint("file", every=1)

    def act(context):
        os.chdir(tmp_path / "there")

    monkeypatch.chdir(tmp_path)
    model().set_callbacks(checkpoint, Spy(act)).fit(X, y)
    assert os.listdir(tmp_path / "here") == ["file"] and not os.listdir(tmp_path / "there")


@pytest.fixture
def link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    try:
        (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "file")
    except OSError:
        pytest.skip("needs symbolic links")
    return tmp_path / "link"


def test_a_symbolic_link_is_followed_and_stays(link):
    crashed(link)
    assert link.is_symlink() and os.listdir(link.parent / "elsewhere") == ["file"]
    resumed, n_epochs = fit(link)
    assert n_epochs == 2 and link.is_symlink()
    assert_same(resumed, model().fit(X, y))


def test_a_link_to_itself_is_refused(link):
    link.unlink()
    link.symlink_to(link)
    with pytest.raises(OSError, match="must be a regular file"):
        fit(link)


def half_a_file(file, array, **options):
    file.write(b"half of it")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


FULL = {
    "while it is written": (np.lib.format, "write_array", half_a_file),
    "while it is flushed": (os, "fsync", raising(OSError(errno.ENOSPC, "No space left"))),
    "while it is named": (os, "replace", raising(OSError(errno.EDQUOT, "Quota exceeded"))),
}


@pytest.mark.parametrize("module, name, fault", FULL.values(), ids=FULL)
def test_a_full_disk_is_an_error_with_the_path_and_leaves_the_checkpoint(
    path, monkeypatch, module, name, fault
):
    crashed(path)
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(module, name, fault)
        with pytest.raises(OSError, match="could not be written") as raised:
            fit(path)
    assert raised.value.errno in (errno.ENOSPC, errno.EDQUOT)
    assert raised.value.filename == str(path)
    assert path.read_bytes() == before and os.listdir(path.parent) == [path.name]
    assert_same(fit(path)[0], model().fit(X, y))


LIMITED = """
import resource, sys, warnings
from sklearn.datasets import load_iris
from skdnn import Checkpoint, DNNClassifier

warnings.simplefilter("ignore")

class Limit:
    def setup(self, estimator, context): ...
    def teardown(self, estimator, context): ...
    def on_fit_task_begin(self, estimator, context): ...
    def on_fit_task_end(self, estimator, context):
        if context.task_id == 1:
            size = int(sys.argv[2])
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

model = DNNClassifier.plain(hidden_layer_sizes=(40, 40), max_iter=4, random_state=0)
model.set_callbacks(Checkpoint(sys.argv[1], every=1), Limit())
try:
    model.fit(*load_iris(return_X_y=True))
except OSError as error:
    print(error)
"""


@pytest.mark.parametrize("size", [0, 5000, 40000])
def test_a_file_system_that_takes_no_more_leaves_a_checkpoint_and_nothing_else(path, size):
    pytest.importorskip("resource")
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path), str(size)], capture_output=True, text=True
    )
    assert done.stderr == ""
    assert "could not be written" in done.stdout and str(path) in done.stdout
    assert os.listdir(path.parent) == [path.name]
    with np.load(path) as archive:  # of the epoch before
        assert json.loads(str(archive["meta"]))["runs"][0][0]["epoch"] == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_a_write_that_is_broken_off_leaves_nothing_behind(path, monkeypatch, error):
    crashed(path)
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", raising(error))
    with pytest.raises(error):
        fit(path)
    assert path.read_bytes() == before and os.listdir(path.parent) == [path.name]


def test_a_file_system_without_hard_links_will_do(path, monkeypatch):
    monkeypatch.setattr(os, "link", raising(OSError(errno.EPERM, "no links")))
    crashed(path)
    assert_same(fit(path)[0], model().fit(X, y))
    assert os.listdir(path.parent) == [path.name]


# ------------------------------------------------------------------------ several networks

SEVERAL = {
    "plain": dict(dropout=0.2, batch_size=20),
    "early stopping": dict(early_stopping=True, scoring="loss", batch_size=20),
    "refit": dict(early_stopping=True, refit=True, scoring="loss", average_decay=0.7),
    "calibrated": dict(early_stopping=True, refit=True, scoring="loss", calibrate=True),
    "without a seed": dict(random_state=None, early_stopping=True, refit=True),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("params", SEVERAL.values(), ids=SEVERAL)
def test_several_networks_go_on_bitwise_from_where_any_of_them_crashed(path, params, seed):
    params = {"n_estimators": 3, "max_iter": 8, "learning_rate_init": 0.05, **params}
    draw = np.random.seed  # random_state=None stands for NumPy's global generator
    draw(7)
    expected, n_epochs = fit(path.with_name("whole"), **params)
    moments, left = random.Random(seed), n_epochs
    draw(7)
    for least in (3, 1, 1, 1):  # before the first checkpoint there is no seed to go on with
        at = moments.randint(least, max(left // 2, least))
        crashed(path, at, every=2, **params)
        left -= at - 2
    resumed = fit(path, every=2, **params)[0]
    assert_same(resumed, expected)
    assert resumed.best_n_iter_ == expected.best_n_iter_
    assert resumed.validation_scores_ == expected.validation_scores_


def test_networks_that_were_found_are_not_fitted_again(path):
    expected, n_epochs = fit(path.with_name("whole"), n_estimators=4)
    crashed(path, n_epochs - 1, n_estimators=4)
    resumed, left = fit(path, n_estimators=4)
    assert left == 2
    assert_same(resumed, expected)


def test_an_interrupt_between_the_parts_of_an_archive_is_an_interrupt(path, monkeypatch):
    crashed(path)
    before, opened = path.read_bytes(), zipfile.ZipFile.open

    def interrupted(self, name, mode="r", **params):
        handle = opened(self, name, mode, **params)
        if mode == "w":
            kept.append(handle)
            raise KeyboardInterrupt
        return handle

    kept = []
    monkeypatch.setattr(zipfile.ZipFile, "open", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(path)
    monkeypatch.undo()
    assert path.read_bytes() == before and os.listdir(path.parent) == [path.name]


class TimeUp(Exception):
    """What a signal's handler may raise at any moment."""


SIGNALS = [TimeUp, TimeoutError, type("Alarm", (ValueError,), {}), KeyError, RuntimeError]


@pytest.mark.parametrize("error", SIGNALS)
@pytest.mark.parametrize("moment", [0, 1, 2])
def test_what_a_signal_raises_while_a_file_is_read_is_not_its_damage(
    moment, error, tmp_path, monkeypatch
):
    model = DNNClassifier(max_iter=3, random_state=0)
    model.set_callbacks(Checkpoint(tmp_path / "fit", every=1))
    model.set_callbacks(Checkpoint(tmp_path / "fit", every=1), Spy(raising(Crash)))
    with pytest.raises(Crash):
        model.fit(X, y)
    kept, load, moments = (tmp_path / "fit").read_bytes(), np.load, iter(range(9))

    def interrupted(*args, **kwargs):
        if next(moments) == moment:
            raise error("by a signal")
        return load(*args, **kwargs)

    monkeypatch.setattr(np, "load", interrupted)
    model.set_callbacks(Checkpoint(tmp_path / "fit", every=1))
    with pytest.raises(error, match="by a signal"):
        model.fit(X, y)
    monkeypatch.undo()
    assert moment or (tmp_path / "fit").read_bytes() == kept
    alone = DNNClassifier(max_iter=3, random_state=0).fit(X, y)
    assert np.array_equal(model.fit(X, y).predict_proba(X), alone.predict_proba(X))


@pytest.mark.parametrize("error", SIGNALS)
def test_what_a_signal_raises_while_a_file_is_written_is_not_an_error_of_zipfile(
    error, tmp_path, monkeypatch
):
    model = DNNClassifier(max_iter=3, random_state=0)
    model.set_callbacks(Checkpoint(tmp_path / "fit", every=1))
    monkeypatch.setattr(np.lib.format, "write_array", raising(error("by a signal")))
    with pytest.raises(error, match="by a signal"):
        model.fit(X, y)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("error", [MemoryError, ValueError])
def test_a_lack_of_memory_is_not_damage(error, tmp_path, monkeypatch):
    model = DNNClassifier(max_iter=3, random_state=0)
    model.set_callbacks(Checkpoint(tmp_path / "fit")).fit(X, y)

    def without(*args, **kwargs):
        if error is MemoryError:  # there is none for anything
            monkeypatch.setattr(np, "empty", raising(MemoryError()))
        raise MemoryError

    monkeypatch.setattr(np, "load", without)
    with pytest.raises(error) as caught:
        model.fit(X, y)
    assert ("damaged" in str(caught.value)) == (error is ValueError)
