"""BLAS is kept to one thread in a small fit, and is left as it was found."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from skdnn import DNNRegressor
from skdnn.fit import threads as blas
from skdnn.fit.threads import one_thread_if_small

SMALL, LARGE = ((10, 20, 1), 200), ((512, 512, 512, 10), 1024)


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


def test_a_small_fit_takes_one_thread_and_restores_the_others(libraries):
    with one_thread_if_small(*SMALL):
        assert threads(libraries) == [1, 1]
    assert threads(libraries) == [8, 2]


def test_a_large_product_takes_the_threads_there_are(libraries):
    with one_thread_if_small(*LARGE):
        assert threads(libraries) == [8, 2]


def test_threads_are_restored_after_an_exception(libraries):
    with pytest.raises(ZeroDivisionError), one_thread_if_small(*SMALL):
        1 / 0  # noqa: B018
    assert threads(libraries) == [8, 2]


def test_a_fit_within_a_fit_restores_nothing_early(libraries):
    with one_thread_if_small(*SMALL):
        with one_thread_if_small(*SMALL):
            pass
        assert threads(libraries) == [1, 1]
    assert threads(libraries) == [8, 2]


def test_the_last_of_concurrent_fits_restores(libraries):
    first_is_in, second_is_in, first_is_out = (threading.Event() for _ in range(3))
    seen = []

    def first():
        with one_thread_if_small(*SMALL):
            first_is_in.set()
            assert second_is_in.wait(10)
        first_is_out.set()

    def second():
        assert first_is_in.wait(10)
        with one_thread_if_small(*SMALL):
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
            with one_thread_if_small(*SMALL):
                assert threads(libraries) == [1, 1]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(enter_and_leave, range(8)))
    assert threads(libraries) == [8, 2]


def test_an_outer_limit_of_one_is_left_alone(libraries, monkeypatch):
    for library in libraries:
        library.num_threads = 1
        monkeypatch.setattr(library, "set_num_threads", lambda n: pytest.fail("set"))
    with one_thread_if_small(*SMALL):
        assert threads(libraries) == [1, 1]


def test_what_is_set_within_a_fit_is_kept(libraries):
    with one_thread_if_small(*SMALL):
        libraries[0].set_num_threads(4)
    assert threads(libraries) == [4, 2]


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
