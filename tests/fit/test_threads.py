"""BLAS is kept to one thread in a fit, which may have a second of its own: with the same bits."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.sparse import csr_array
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from skdnn import DNNBinaryClassifier, DNNClassifier, DNNRegressor
from skdnn.encodings import Expansion
from skdnn.fit import objective
from skdnn.fit import threads as blas
from skdnn.fit.threads import both, n_parts, one_thread
from skdnn.fit.threads import threads as with_threads
from tests.cases import UNCONVERGED


class Library:
    """A BLAS library as threadpoolctl shows it, for machines with one core too."""

    user_api = "blas"

    def __init__(self, num_threads):
        self.num_threads = num_threads

    def set_num_threads(self, n):
        self.num_threads = n


@pytest.fixture
def libraries(monkeypatch):
    found = [Library(8), Library(2)]
    monkeypatch.setattr(blas, "_libraries", lambda: found)
    return found


def threads(libraries):
    return [library.num_threads for library in libraries]


@pytest.mark.parametrize("n", [1, 2])
def test_a_fit_takes_one_thread_of_blas_and_restores_the_others(libraries, n):
    with with_threads(n):
        assert threads(libraries) == [1, 1]
    assert threads(libraries) == [8, 2]


def test_the_shape_of_a_batch_alone_says_how_many_parts_it_has():
    assert n_parts((10, 20, 1), 200) == n_parts((107, 100, 1), 200) == 1
    assert n_parts((784, 256, 128, 10), 512) == n_parts((128, 512, 512, 512, 10), 1024) == 2
    assert n_parts((4000, 4000, 1), 500) == 1  # too few rows


@pytest.mark.parametrize("n", [1, 2])
def test_halves_are_worked_on_at_once_where_blas_had_threads(libraries, n):
    met = threading.Barrier(2)
    with with_threads(n):
        if n == 2:
            assert both(lambda x: (x, met.wait(10)), "ab")[1][0] == "b"
        else:
            first = threading.current_thread()
            assert both(lambda x: threading.current_thread() is first, "ab") == [True, True]


def test_there_is_no_second_thread_where_blas_had_one_or_another_fit_runs(libraries):
    def alone(_=None):
        here = threading.current_thread()
        with with_threads(2):
            return both(lambda x: threading.current_thread() is here, "ab") == [True, True]

    with with_threads(2), ThreadPoolExecutor(1) as pool:
        assert pool.submit(alone).result()
        assert both(lambda x: x, "ab") == ["a", "b"]
    for library in libraries:
        library.num_threads = 1
    assert alone()


def test_a_half_that_no_thread_has_begun_is_done_here(libraries):
    go_on, begun = threading.Event(), threading.Event()

    def wait():
        begun.set()
        assert go_on.wait(10)

    here = threading.current_thread()
    with with_threads(2):
        other = blas._here.pool.submit(wait)
        assert begun.wait(10)
        assert both(lambda x: threading.current_thread() is here, "ab") == [True, True]
        go_on.set()
        other.result()


@pytest.mark.parametrize("which", "ab")
def test_an_error_in_either_half_is_raised_and_ends_the_threads(libraries, which):
    def fail(x):
        return 1 / (x != which)

    with pytest.raises(ZeroDivisionError), with_threads(2):
        both(fail, "ab")
    assert threads(libraries) == [8, 2]
    with with_threads(2):
        assert both(str.upper, "ab") == ["A", "B"]


RNG = np.random.default_rng(0)
X = RNG.normal(size=(1100, 20)).astype(np.float32)
Y = np.column_stack([X[:, 0] * X[:, 1], X[:, 2]])
WIDE = dict(hidden_layer_sizes=(256, 256), batch_size=512, max_iter=2, random_state=0)
BY_THREADS = {
    "default": (DNNRegressor, {}, Y[:, 0]),
    "plain": (DNNRegressor.plain, {"n_iter_no_change": np.inf}, Y[:, 0]),
    "two targets": (DNNRegressor, {}, Y),
    "dropout": (DNNRegressor, {"dropout": 0.3}, Y[:, 0]),
    "weights": (DNNBinaryClassifier, {}, Y[:, 0] > 0),
    "in order": (DNNClassifier, {"shuffle": False}, np.digitize(Y[:, 0], [-1, 0, 1])),
    "smoothed": (DNNClassifier, {"scoring": "accuracy"}, np.digitize(Y[:, 0], [-1, 0, 1])),
    "full batch": (DNNRegressor.plain, {"solver": "gd", "batch_size": "auto"}, Y[:, 0]),
    "lbfgs": (DNNRegressor.plain, {"solver": "lbfgs"}, Y[:, 0]),
    "several networks": (DNNRegressor, {"n_estimators": 2}, Y[:, 0]),
    "float64": (DNNRegressor, {"precision": None}, Y[:, 0]),
    "sparse": (DNNRegressor, {}, Y[:, 0]),
}


@UNCONVERGED
@pytest.mark.parametrize("kind", BY_THREADS)
def test_a_fit_is_the_same_to_the_last_bit_with_one_thread_and_with_two(libraries, kind):
    make, params, y = BY_THREADS[kind]
    model = make(**{**WIDE, **params})
    rows = csr_array(np.where(np.abs(X) > 1, X, 0)) if kind == "sparse" else X
    weights = {"sample_weight": RNG.integers(0, 3, len(X))} if kind == "weights" else {}
    seen, halves = [], blas.both

    def watched(function, items):
        found = halves(function, items)
        seen.append(len(items) == 2 and getattr(blas._here, "pool", None) is not None)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objective, "both", watched)
        fits = []
        for n in (2, 1):
            libraries[:] = [Library(n)]
            fits.append(clone(model).fit(rows, y, **weights))
            assert any(seen) == (n == 2)
            seen.clear()
    two, one = fits
    for a, b in zip(two._model.networks, one._model.networks, strict=True):
        assert_array_equal(a.parameters.theta, b.parameters.theta)
    assert_array_equal(two.predict(rows), one.predict(rows))
    assert two.loss_ == one.loss_
    assert_array_equal(two.loss_curve_, one.loss_curve_)


def test_threads_are_restored_after_an_exception(libraries):
    with pytest.raises(ZeroDivisionError), one_thread():
        1 / 0  # noqa: B018
    assert threads(libraries) == [8, 2]


def test_a_fit_within_a_fit_restores_nothing_early(libraries):
    with one_thread():
        with one_thread():
            pass
        assert threads(libraries) == [1, 1]
    assert threads(libraries) == [8, 2]


def test_the_last_of_concurrent_fits_restores(libraries):
    first_is_in, second_is_in, first_is_out = (threading.Event() for _ in range(3))
    seen = []

    def first():
        with one_thread():
            first_is_in.set()
            assert second_is_in.wait(10)
        first_is_out.set()

    def second():
        assert first_is_in.wait(10)
        with one_thread():
            second_is_in.set()
            assert first_is_out.wait(10)
            seen.append(threads(libraries))

    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(first), pool.submit(second)]:
            future.result()
    assert seen == [[1, 1]]
    assert threads(libraries) == [8, 2]


def test_many_fits_at_once_leave_the_threads_as_they_were(libraries):
    def enter_and_leave(_):
        for _ in range(200):
            with one_thread():
                assert threads(libraries) == [1, 1]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(enter_and_leave, range(8)))
    assert threads(libraries) == [8, 2]


def test_an_outer_limit_of_one_is_left_alone(libraries, monkeypatch):
    for library in libraries:
        library.num_threads = 1
        monkeypatch.setattr(library, "set_num_threads", lambda n: pytest.fail("set"))
    with one_thread():
        assert threads(libraries) == [1, 1]


def test_what_is_set_within_a_fit_is_kept(libraries):
    with one_thread():
        libraries[0].set_num_threads(4)
    assert threads(libraries) == [4, 2]


@pytest.mark.parametrize("hidden", [8, (512, 512)])
def test_no_product_in_a_fit_has_more_than_one_thread_of_blas(hidden):
    # The threads of NumPy's BLAS and those of SciPy's took each other's cores.
    seen = []

    def score(model, X, y):
        seen.extend(threads(blas._libraries()))
        return 0.0

    with threadpool_limits(2, user_api="blas"):
        DNNRegressor(
            hidden_layer_sizes=hidden, batch_size=512, max_iter=2, scoring=score, random_state=0
        ).fit(X, Y[:, 0])
    assert seen
    assert set(seen) == {1}


@pytest.mark.parametrize("where", ["_libraries", "_set", "_restore"])
@pytest.mark.parametrize("after", [False, True])
def test_an_interrupt_while_the_threads_are_set_leaves_them_to_later_fits(
    where, after, monkeypatch
):
    if where == "_restore" and after:
        pytest.skip("all is done by then")
    with threadpool_limits(2, user_api="blas"):
        before, function = threads(blas._libraries()), getattr(blas, where)

        def interrupted(*args):
            monkeypatch.undo()
            if after:
                function(*args)
            raise KeyboardInterrupt

        monkeypatch.setattr(blas, where, interrupted)
        with pytest.raises(KeyboardInterrupt), one_thread():
            pass
        model = DNNRegressor(hidden_layer_sizes=(4,), max_iter=1, random_state=0)
        for _ in range(2):
            model.fit(X, Y).partial_fit(X, Y)
        assert threads(blas._libraries()) == before


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_rows_are_made_for_a_fit_by_one_thread_of_blas(method, monkeypatch):
    # A fork while BLAS's own threads work on a product leaves the parent waiting for them.
    seen, write = [], Expansion.__call__

    def look(self, rows, X):
        seen.append(threads(blas._libraries()))
        write(self, rows, X)

    monkeypatch.setattr(Expansion, "__call__", look)
    with threadpool_limits(2, user_api="blas"):
        getattr(DNNRegressor(max_iter=1, random_state=0), method)(X, Y[:, 0])
    assert seen and all(set(each) == {1} for each in seen)


def test_a_fit_of_any_thread_lowers_and_restores_the_threads_of_blas():
    # threadpoolctl ignores all threads but the first that has set OpenBLAS's.
    seen = []

    def look():
        with one_thread():
            seen.append(threads(blas._libraries()))

    with threadpool_limits(2, user_api="blas"):
        before = threads(blas._libraries())
        look()
        for _ in range(2):
            other = threading.Thread(target=look)
            other.start()
            other.join()
            assert threads(blas._libraries()) == before
    assert seen == [[1] * len(before)] * 3


def test_halves_are_done_one_by_one_where_there_are_no_more_threads(libraries):
    with with_threads(2):
        blas._here.pool.shutdown()  # as the interpreter does at its end
        assert both(str.upper, "ab") == ["A", "B"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("within", [False, True])
def test_a_forked_child_fits_though_another_thread_had_the_lock(libraries, within):
    has_lock, let_go = threading.Event(), threading.Event()

    def fit():
        with one_thread(), blas._lock:
            has_lock.set()
            assert let_go.wait(10)

    def fork():
        child = os.fork()
        if not child:
            signal.alarm(10)  # ends it if it waits for the lock
            with with_threads(2):
                right = both(str.upper, "ab") == ["A", "B"] and threads(libraries) == [1, 1]
            os._exit(0 if right and threads(libraries) == ([1, 1] if within else [8, 2]) else 1)
        return os.waitpid(child, 0)[1]

    if within:
        with with_threads(2):
            assert both(str.upper, "ab") == ["A", "B"]
            assert fork() == 0
        return
    other = threading.Thread(target=fit)
    other.start()
    assert has_lock.wait(10)
    ended = fork()
    let_go.set()
    other.join()
    assert ended == 0
    assert threads(libraries) == [8, 2]


def test_fit_restores_the_libraries_of_this_process():
    X = np.random.default_rng(0).normal(size=(50, 3))
    with threadpool_limits(2, user_api="blas"):
        before = threads(blas._libraries())
        seen = []
        model = DNNRegressor.plain(max_iter=2, n_iter_no_change=np.inf)
        with pytest.warns(UserWarning):
            model.fit(X, X[:, 0])
        seen = threads(blas._libraries())
    assert seen == before


def test_a_fit_that_fails_restores_the_libraries():
    X = np.random.default_rng(0).normal(size=(50, 3)) * 1e200
    with threadpool_limits(2, user_api="blas"):
        before = threads(blas._libraries())
        with pytest.raises(ValueError, match="infinite or NaN"):
            DNNRegressor.plain(solver="gd", learning_rate_init=1e100).fit(X, X[:, 0])
        assert threads(blas._libraries()) == before
