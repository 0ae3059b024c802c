"""How many subnormal numbers a fit works with, and the time that they cost.

float32 is subnormal below 1.2e-38, float64 below 2.2e-308. An Intel processor takes 20 to
200 times as long for an operation on such numbers; an AMD Zen hardly longer, so that there
the counts say something and the times do not.

Counted are, at the end of every epoch, the weights, what the optimiser remembers and the
average, and in every step the operands of every product. The time is the processor time of
a fit divided by that of the same fit while the processor takes such numbers for 0, which
``torch.set_flush_denormal`` asks it to do; without PyTorch there are the counts alone.

Run ``python examples/benchmarks/subnormals.py`` for friedman1 and scikit-learn's bundled
sets, ``--data FOLDER`` for a folder of .npz files with X and y (float y: regression).
``--only gelu sgd`` takes some configurations, ``--sets friedman1`` some data sets, and
``--pairs 0`` measures no time.
"""

# mypy: ignore-errors
from __future__ import annotations

import os

for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # before NumPy is imported

import argparse
import pathlib
import platform
import statistics
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import scipy
import sklearn
from sklearn import datasets
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

import skdnn
from skdnn import DNNBinaryClassifier, DNNClassifier, DNNRegressor
from skdnn.activations import ACTIVATIONS
from skdnn.core import network
from skdnn.core.optimizers import Optimizer

try:
    import torch
except ImportError:
    torch = None

warnings.simplefilter("ignore", ConvergenceWarning)

ESTIMATORS = {
    "regression": DNNRegressor,
    "binary": DNNBinaryClassifier,
    "multiclass": DNNClassifier,
}
ROWS = 4000  # to train on, at most
CONFIGURATIONS: dict[str, Callable[[type], Any]] = {
    "defaults": lambda Estimator: Estimator(random_state=0),
    **{
        name: lambda Estimator, name=name: Estimator(random_state=0, activation=name)
        for name in ACTIVATIONS
        if name not in ("identity", "sigmoid", "relu")
    },
    "sgd": lambda Estimator: Estimator(random_state=0, solver="sgd", learning_rate_init=0.05),
    "plain": lambda Estimator: Estimator.plain(random_state=0),
    "plain sgd": lambda Estimator: Estimator.plain(random_state=0, solver="sgd"),
    "long, float32": lambda Estimator: lasting(Estimator, precision="single"),
    "long, float64": lambda Estimator: lasting(Estimator, precision=None),
}


def lasting(Estimator: type, precision: str | None) -> Any:
    """Return the defaults at a constant rate for 300 epochs."""
    return Estimator(
        random_state=0,
        learning_rate="constant",
        max_iter=300,
        early_stopping=False,
        n_iter_no_change=np.inf,
        precision=precision,
    )


def suite(folder: pathlib.Path | None) -> Iterator[tuple[str, str, Any, Any]]:
    """Yield name, task and training rows of every data set."""
    sets = {"friedman1": datasets.make_friedman1(5000, 20, noise=0.1, random_state=0)}
    if folder is None:
        for name in ("diabetes", "breast_cancer", "wine", "digits"):
            sets[name] = getattr(datasets, f"load_{name}")(return_X_y=True)
    else:
        for path in sorted(folder.glob("*.npz")):
            with np.load(path) as stored:
                sets[path.stem] = stored["X"], stored["y"]
    for name, (X, y) in sets.items():
        n_classes = len(np.unique(y))
        counts = y.dtype.kind == "f" or name == "diabetes"
        task = "regression" if counts else "binary" if n_classes == 2 else "multiclass"
        if len(y) > ROWS:
            strata = None if task == "regression" else y
            X, _, y, _ = train_test_split(X, y, train_size=ROWS, random_state=0, stratify=strata)
        yield name, task, X, y


def subnormal(x: Any, dtype: Any = None) -> int:
    """Return how many numbers of an array are subnormal, or would be in another type."""
    size = np.abs(x)
    return int(np.count_nonzero((size > 0) & (size < np.finfo(dtype or x.dtype).tiny)))


class Count:
    """A callback, and what it counted: the most of every kind at the end of an epoch.

    In the place of NumPy in the core it counts the operands of products besides.
    """

    def __init__(self) -> None:
        self.most: Counter[str] = Counter()
        self.optimizer: Any = None

    def see(self, name: str, array: Any, dtype: Any = None) -> None:
        """Count an array of a kind."""
        self.most[name] = max(self.most[name], subnormal(array, dtype))

    def setup(self, estimator: Any, context: Any) -> None:
        """Be a callback."""

    def teardown(self, estimator: Any, context: Any) -> None:
        """Be a callback."""

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Be a callback."""

    def on_fit_task_end(self, estimator: Any, context: Any, *, fitted_estimator: Any) -> None:
        """Count what stands at the end of an epoch."""
        if "epoch" not in context.task_name:
            return
        self.see("weights", self.theta)
        for i, state in enumerate(self.optimizer.state):
            self.see(f"state {i + 1}", state)
        for array in (*fitted_estimator.weights_, *fitted_estimator.biases_):
            self.see("average", array, self.theta.dtype)

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def matmul(self, a: Any, b: Any, out: Any) -> Any:
        """Multiply, and count."""
        for operand in (a, b):
            if isinstance(operand, np.ndarray):  # and no sparse columns
                self.see("in products", operand)
        return np.matmul(a, b, out=out)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Count in every step meanwhile."""
        step = Optimizer.step

        def seen(optimizer: Any, theta: Any, gradient: Any, rate: float) -> None:
            step(optimizer, theta, gradient, rate)
            self.optimizer, self.theta = optimizer, theta

        network.np, Optimizer.step = self, seen
        try:
            yield
        finally:
            network.np, Optimizer.step = np, step


def seconds(model: Any, X: Any, y: Any, flush: bool) -> float:
    """Return the processor time of a fit, with subnormal numbers taken for 0 or not."""
    torch.set_flush_denormal(flush)
    start = time.process_time()
    model.fit(X, y)
    taken = time.process_time() - start
    torch.set_flush_denormal(False)
    return taken


def machine() -> None:
    """Print what this runs on."""
    cpu = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as lines:
            kinds = dict(line.strip().split("\t: ") for line in lines if "\t: " in line)
        cpu = f"{kinds['model name']} ({kinds['vendor_id']})"
    except (OSError, KeyError):
        pass
    versions = [f"{m.__name__} {m.__version__}" for m in (skdnn, np, scipy, sklearn)]
    versions += [] if torch is None else [f"torch {torch.__version__}"]
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    print(f"{cpu}; Python {platform.python_version()}, {', '.join(versions)};")
    print(f"BLAS: {blas['name']} {blas['version']}, one thread.\n")


def main() -> None:
    """Print the counts and the times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path)
    parser.add_argument("--sets", nargs="+")
    parser.add_argument("--only", nargs="+", choices=CONFIGURATIONS, default=list(CONFIGURATIONS))
    parser.add_argument("--pairs", type=int, default=3)
    args = parser.parse_args()
    machine()
    columns = ["weights", "state 1", "state 2", "average", "in products"]
    print(f"| data, configuration | {' | '.join(columns)} | time / flushed |")
    print("|---" * (len(columns) + 2) + "|")
    ratios: dict[str, list[float]] = {}
    for name, task, X, y in suite(args.data):
        if args.sets and name not in args.sets:
            continue
        for key in args.only:
            make, count = CONFIGURATIONS[key], Count()
            with count.at_work():
                make(ESTIMATORS[task]).set_callbacks(count).fit(X, y)
            cell = "-"
            if torch is not None and args.pairs:
                pairs = [
                    [seconds(make(ESTIMATORS[task]), X, y, flush) for flush in (False, True)]
                    for _ in range(args.pairs)
                ]
                ratio = statistics.median(ours / flushed for ours, flushed in pairs)
                ratios.setdefault(key, []).append(ratio)
                cell = f"{ratio:.2f}"
            cells = [str(count.most[column]) for column in columns]
            print(f"| {name}, {key} | {' | '.join(cells)} | {cell} |", flush=True)
    for key, values in ratios.items():
        print(
            f"{key}: geometric mean of the ratios {statistics.geometric_mean(values):.3f},"
            f" largest {max(values):.3f}"
        )


if __name__ == "__main__":
    main()
