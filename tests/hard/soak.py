"""Fits and predictions without end: memory, handles and threads stay as they were."""

import gc
import os
import threading
import time
import warnings
from collections import Counter

import numpy as np
from scipy.sparse import csr_array

from skdnn import DNNClassifier, DNNRegressor
from tests.hard.estimators import answers, insist
from tests.hard.tables import Draw, draw_table

ROUND = 600  # predictions from one look at the memory to the next
FITS = 100  # of so many calls one is a fit besides
SETTLED = 6  # rounds until what is kept once is kept
SPARE = 2 << 20  # bytes that the allocator may hold more, whatever the number of calls


class Until:
    """Whether some seconds are over."""

    def __init__(self, seconds):
        self.stop = time.monotonic() + seconds

    def __call__(self):
        return time.monotonic() > self.stop

    def half(self):
        """Return when half of the time that is left is over."""
        return Until((self.stop - time.monotonic()) / 2)


def resident():
    """Return the bytes of this process that are in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def handles():
    return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))


def jobs():
    """Return what is called again and again: models with rows to predict."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 4))
    y, labels = X[:, 0], np.digitize(X[:, 0], [-1, 1])
    frame = draw_table(Draw(0), 100, 4).plain()
    params = {"hidden_layer_sizes": (8,), "max_iter": 2, "random_state": 0}
    return [
        (DNNRegressor(**params), X, y),
        (DNNClassifier(**params), X, labels),
        (DNNRegressor(**params, n_estimators=2), X, y),
        (DNNRegressor(**params, solver="lbfgs"), csr_array(X), y),
        (DNNClassifier(**params), frame, labels),
        (DNNRegressor(**params, scoring=None), X.astype(np.float32), y),
    ]


def soak(ends, collects):
    """Call until it `ends`; return the memory after every round."""
    if not collects:
        gc.disable()
    try:
        seen, work = [], [(model.fit(X, y), X, y) for model, X, y in jobs()]
        while not ends() or len(seen) < SETTLED + 3:
            for model, X, y in work:
                for _ in range(ROUND // len(work) // FITS):
                    model.fit(X, y)
                for _ in range(ROUND // len(work)):
                    answers(model, X[:1])
            seen.append(resident())
        return seen
    finally:
        gc.enable()


def search(seed, ends):
    """Call until it `ends`, half of the time without the collector; the seed decides nothing."""
    counts: Counter = Counter()
    faults = []
    if not os.path.exists("/proc/self/statm"):
        return counts, faults
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        soak(lambda: True, True)
        before, threads = handles(), threading.active_count()
        for collects in (True, False):
            seen = soak(ends.half() if collects else ends, collects)
            calls = ROUND * (len(seen) - SETTLED)
            growth = float(np.polyfit(np.arange(len(seen) - SETTLED), seen[SETTLED:], 1)[0])
            told = f"soak: predictions {'with' if collects else 'without'} the collector"
            counts[told] += calls
            counts[told.replace("predictions", "fits")] += calls // FITS
            print(f"{told}: {growth / ROUND:.2f} bytes a call of {calls}")
            if growth * len(seen) > max(SPARE, calls):
                faults.append(f"{told}: memory grows by {growth / ROUND:.1f} bytes a call")
    try:
        insist(handles() == before, "handles and threads were", before, "and are", handles())
        insist(threading.active_count() == threads, "threads are left")
    except AssertionError as error:
        faults.append(f"soak: {error}")
    return counts, faults
