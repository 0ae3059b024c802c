"""How the cost of a fit grows, beside scikit-learn's MLP and its gradient boosting.

One thing grows at a time: rows, columns, classes, hidden units, networks. Every fit has a process
of its own, one BLAS thread and few epochs (or trees), since it is the growth that is looked at: the
processor time is told, and the largest resident memory above that of the process with its data.
From a million rows on X is a memory map in float32, of which boosting makes a copy.

Run ``python examples/benchmarks/growth.py``; ``--only rows classes`` takes some of the five,
``--limit 60`` leaves out what would take longer than so many seconds by the point before it.
docs/growth_drawn.py draws what it prints.
"""

# mypy: ignore-errors
from __future__ import annotations

import os

for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # before NumPy is imported

import argparse
import platform
import tempfile
import threading
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import pairwise
from math import log10
from multiprocessing import get_context

import numpy as np
import psutil
import sklearn
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor

from skdnn import DNNClassifier, DNNRegressor

EPOCHS, TREES = 4, 10
GROWTHS = {
    "rows": [100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000],
    "columns": [10, 100, 1_000, 10_000],
    "classes": [2, 10, 100, 1_000],
    "units": [10, 100, 1_000, 10_000],
    "networks": [1, 2, 4, 8, 16],
}
PROGRAMS = ("skdnn", "MLP", "boosting")
MAPPED = 1_000_000  # rows, from which on X is on the disk


def data(what, size, folder):
    """Return X and y; y are labels where classes grow, else numbers."""
    n = {"rows": size, "columns": 2_000, "classes": 50_000}.get(what, 10_000)
    d = {"columns": size, "rows": 28}.get(what, 20)
    if n < MAPPED:
        X = np.random.default_rng(0).standard_normal((n, d))
    else:
        X = np.memmap(os.path.join(folder, "X"), np.float32, "w+", shape=(n, d))
        for part in range(0, n, 100_000):
            rows = X[part : part + 100_000]
            rows[...] = np.random.default_rng(part).standard_normal(rows.shape, np.float32)
        X.flush()
    y = np.sin(X[:, 0]) + X[:, 1] * X[:, 2]
    if what == "classes":
        y = (np.argsort(np.argsort(y)) * size // n).astype(int)
    return X, y


def model(program, what, size):
    """Return what is to be fitted."""
    regresses = what != "classes"
    hidden = (size, 96) if what == "units" else (96, 96)
    if program == "skdnn":
        kind = DNNRegressor if regresses else DNNClassifier
        several = {"n_estimators": size} if what == "networks" else {}
        return kind(hidden_layer_sizes=hidden, max_iter=EPOCHS, random_state=0, **several)
    if program == "MLP":
        kind = MLPRegressor if regresses else MLPClassifier
        return kind(hidden_layer_sizes=hidden, max_iter=EPOCHS, early_stopping=True, random_state=0)
    kind = HistGradientBoostingRegressor if regresses else HistGradientBoostingClassifier
    return kind(max_iter=TREES, early_stopping=False, random_state=0)


def told(program, what, size):
    """Fit once; return the seconds of the processor, and MiB at peak above those before."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        X, y = data(what, size, folder)
        few = np.arange(100) % 2 if what == "classes" else y[:100]
        model(program, what, size).fit(X[:100], few)  # what is imported and made once
        process = psutil.Process()
        before, most, over = process.memory_full_info().uss, [0], threading.Event()

        def watch():
            while not over.wait(0.005):
                most[0] = max(most[0], process.memory_full_info().uss)

        watcher = threading.Thread(target=watch)
        watcher.start()
        start = time.thread_time()
        model(program, what, size).fit(X, y)
        seconds = time.thread_time() - start
        over.set()
        watcher.join()
    return seconds, max(most[0] - before, 0) / 2**20


def measured(program, what, size):
    """Return what `told` does, of a process of its own; None if that has died."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        try:
            return pool.submit(told, program, what, size).result()
        except BrokenProcessPool:
            return None


def grown(what, limit):
    """Print seconds and MiB for every size and program."""
    print(f"\n| {what} | " + " | ".join(f"{name}, s | MiB" for name in PROGRAMS) + " |")
    print("|---" * (1 + 2 * len(PROGRAMS)) + "|")
    found = {name: {} for name in PROGRAMS}
    for before, size in pairwise([None, *GROWTHS[what]]):
        cells = []
        for name in PROGRAMS:
            last = found[name].get(before)
            asks = (what == "networks" and name != "skdnn") or (
                what == "units" and name == "boosting"
            )
            late = before and (last is None or last[0] * size / before > limit)
            if not (asks and before) and not late:
                found[name][size] = measured(name, what, size)
            seconds, memory = found[name].get(size) or (None, None)
            cells += ["", ""] if seconds is None else [f"{seconds:.3g}", f"{memory:.0f}"]
        print(f"| {size:,} | " + " | ".join(cells) + " |", flush=True)
    for name, points in found.items():
        of = [(size, at[0]) for size, at in points.items() if at is not None]
        if len(of) > 1:
            (a, first), (b, last) = of[-2:]
            slope = log10(last / first) / log10(b / a)
            print(f"{name}: from {a:,} to {b:,} time grows by the power {slope:.2f}")


def main():
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", default=list(GROWTHS), choices=GROWTHS)
    parser.add_argument("--limit", type=float, default=120)
    args = parser.parse_args()
    print(
        f"{platform.processor() or platform.machine()}; Python {platform.python_version()},"
        f" NumPy {np.__version__}, scikit-learn {sklearn.__version__}"
    )
    for what in args.only:
        grown(what, args.limit)


if __name__ == "__main__":
    main()
