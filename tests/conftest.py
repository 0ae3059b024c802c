"""Fixtures that several test files share."""

import gc

import pytest
from sklearn import config_context
from threadpoolctl import threadpool_limits


@pytest.fixture
def no_collector():
    """Switch the garbage collector off, so that only what nobody names is given back."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def one_thread():
    """Keep BLAS to one thread: a second one waits longer than it works on a busy machine."""
    with threadpool_limits(1, user_api="blas"):
        yield


@pytest.fixture
def routing():
    """Have scikit-learn route metadata."""
    with config_context(enable_metadata_routing=True):
        yield
