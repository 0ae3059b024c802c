"""How many threads BLAS takes inside a fit.

A product of small matrices gains nothing from a second thread, and on a machine that
others use it loses much: the threads wait for each other at the end of every product, so
that a step of 0.4 ms took 3 ms. A fit whose products are all small therefore asks for one
thread. The setting belongs to the whole process: fits that run at once share it, the last
one to end restores what was there, and it is only ever lowered.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from typing import Any

from threadpoolctl import ThreadpoolController

# Floating-point operations of a product, about a millisecond of one core. On two free cores
# a second thread made it 0.7 times as fast at 4e6, 1.1 at 2e7, 1.2 to 1.3 here and 1.7 at 5e8.
LARGE_PRODUCT = 5e7

_lock = threading.Lock()
_fits = 0  # that run now with one thread
_lowered: list[tuple[Any, int]] = []  # the libraries that were set to 1, and from what


@cache
def _libraries() -> list[Any]:
    """Return the BLAS libraries of the process; to look for them takes milliseconds."""
    controllers = ThreadpoolController().lib_controllers
    return [library for library in controllers if library.user_api == "blas"]


@contextmanager
def one_thread_if_small(sizes: Sequence[int], N: int) -> Iterator[None]:
    """Keep BLAS to one thread in the body if no product in a pass over N samples is large."""
    if max(2.0 * N * n * n_prev for n_prev, n in pairwise(sizes)) >= LARGE_PRODUCT:
        yield
        return
    with one_thread():
        yield


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep BLAS to one thread in the body."""
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _fits
    with _lock:
        _fits += 1
        for library in _libraries():
            if library.num_threads > 1:
                _lowered.append((library, library.num_threads))
                library.set_num_threads(1)


def _leave() -> None:
    global _fits
    with _lock:
        _fits -= 1
        if _fits:
            return
        while _lowered:
            library, n = _lowered.pop()
            if library.num_threads == 1:  # else somebody has set it since
                library.set_num_threads(n)
