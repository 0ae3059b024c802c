"""Threads inside a fit: BLAS has one, and the halves of a large batch have two of ours.

A product of small matrices gains nothing from a second thread, and on a machine that others
use it loses much: BLAS's threads wait for each other at the end of every product, so that a
step of 0.4 ms took 3 ms. Those of NumPy's BLAS and of SciPy's, which Adam adds with, took each
other's cores: 784-256-128-10 took 6 times as long with two threads as with one. The setting
belongs to the whole process: fits that run at once share it, the last one to end restores what
was there, and it is only ever lowered.

A large batch is halved by its shape alone, and what the halves give is added in their order:
it is the same to the last bit with one thread and with two.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache, partial
from itertools import pairwise
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

# Floating-point operations of a step that is worth halving, 1 to 3 milliseconds of one core: to
# hand a half to another thread takes 0.08. On one thread halves of 128 rows take 1.07 to 1.1 times
# as long as the whole, and of 512 rows 1.05.
SHARED = 1e8
ROWS_A_PART = 256  # at least

_lock = threading.Lock()
_fits: dict[object, int] = {}  # that run now with one thread, and in which thread each does
_lowered: list[tuple[Any, int]] = []  # the libraries that were set to 1, and from what
_here = threading.local()  # the pool of the other thread, if this one has one


@cache
def _libraries() -> list[Any]:
    """Return the BLAS libraries of the process; to look for them takes milliseconds."""
    controllers = ThreadpoolController().lib_controllers
    return [library for library in controllers if library.user_api == "blas"]


def n_parts(sizes: Sequence[int], N: int) -> int:
    """Return how many parts a batch of N rows is cut into, whatever threads there are."""
    operations = 6.0 * N * sum(n * n_prev for n_prev, n in pairwise(sizes))
    return 2 if operations >= SHARED and N >= 2 * ROWS_A_PART else 1


def both(function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    """Return what a function returns for each of one or two items, at once if there are threads."""
    pool, call = getattr(_here, "pool", None), None
    if pool is not None and len(items) == 2:
        with suppress(RuntimeError):  # the interpreter shuts down, and has no new threads
            call = pool.submit(function, items[1])
    if call is None:
        return [function(item) for item in items]
    first = function(items[0])
    # What has not begun by now, on a busy machine, is done here.
    return [first, function(items[1]) if call.cancel() else call.result()]


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Keep BLAS to one thread in the body; of n = 2, `both` has two if BLAS had more than one.

    Within a body that has two they stay those.
    """
    with one_thread() as allowed:
        if min(n, allowed) == 1 or getattr(_here, "pool", None) is not None:
            yield
            return
        with ThreadPoolExecutor(1, initializer=partial(np.seterr, all="ignore")) as pool:
            _here.pool = pool
            try:
                yield
            finally:
                _here.pool = None


@contextmanager
def one_thread() -> Iterator[int]:
    """Keep BLAS to one thread in the body; give how many it had before the outermost of these.

    An interrupt may come at any moment: what is set is undone, be it set or not.
    """
    libraries, fit, thread = _libraries(), object(), threading.get_ident()
    try:
        with _lock:
            if thread not in _fits.values():
                _here.allowed = max((library.num_threads for library in libraries), default=1)
            _fits[fit] = thread
            for library in libraries:
                if library.num_threads > 1:
                    _lowered.append((library, library.num_threads))
                    _set(library, 1)
        yield _here.allowed
    finally:
        with _lock:
            _fits.pop(fit, None)
            if not _fits:
                _restore()


def _restore() -> None:
    while _lowered:
        library, n = _lowered[-1]
        if library.num_threads == 1:  # else somebody has set it since
            _set(library, n)
        _lowered.pop()


def _set(library: Any, n: int) -> None:
    """Set the threads of a library from any thread.

    threadpoolctl ignores all threads but the first that has set OpenBLAS's, until that lets go.
    """
    let_go = getattr(library, "clear_controlling_thread", lambda force: None)
    let_go(force=True)
    library.set_num_threads(n)
    let_go(force=True)


def _after_fork() -> None:
    """Begin anew in a child: the fits of other threads are not in it, and may have had the lock."""
    global _lock, _fits
    _lock = threading.Lock()
    _here.pool = None
    _fits = {fit: thread for fit, thread in _fits.items() if thread == threading.get_ident()}
    if not _fits:
        _restore()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
