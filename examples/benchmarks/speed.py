"""How fast skdnn trains and predicts, beside scikit-learn's MLP and PyTorch.

Every program trains the same network (sizes, batch, epochs, type, Adam with the same
constants, loss, no L2 term) on the same random rows, in turn within one process, on one
BLAS thread. A figure is the median of the ratios within pairs, so that what else runs on
the machine meets both sides. `products` is the floor: the bare matrix products of the
training, forward and backward, and nothing else. PyTorch is left out if it is not
installed.

Run ``python examples/benchmarks/speed.py``; ``--pairs 1`` is quick, ``--only 0 3`` takes
the first and the fourth workload, ``--tables dense`` the first table.
"""

from __future__ import annotations

import os

for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # before NumPy is imported

import argparse
import multiprocessing
import platform
import statistics
import subprocess
import sys
import time
import tracemalloc
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import scipy
import sklearn
from scipy.sparse import random_array
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor

import skdnn
from skdnn import DNNBinaryClassifier, DNNClassifier, DNNRegressor

try:
    import torch

    torch.set_num_threads(1)
except ImportError:
    torch = None

warnings.simplefilter("ignore")


@dataclass
class Workload:
    """One network and its data."""

    sizes: tuple[int, ...]
    batch: int
    dtype: Any
    rows: int
    epochs: int
    kind: str = "regression"

    @property
    def name(self) -> str:
        """The sizes, the batch and the type."""
        bits = "f64" if self.dtype is np.float64 else "f32"
        return f"{'-'.join(map(str, self.sizes))} at {self.batch}, {bits}"

    def data(self) -> tuple[Any, Any]:
        """Return random rows and targets."""
        rng = np.random.default_rng(0)
        X = rng.standard_normal((self.rows, self.sizes[0])).astype(self.dtype)
        if self.kind == "regression":
            return X, X[:, 0] * X[:, 1] + rng.standard_normal(self.rows).astype(self.dtype)
        return X, rng.integers(0, max(2, self.sizes[-1]), self.rows)

    def params(self) -> dict[str, Any]:
        """Return the parameters that skdnn and scikit-learn share."""
        return dict(
            hidden_layer_sizes=self.sizes[1:-1],
            batch_size=self.batch,
            max_iter=self.epochs,
            alpha=0.0,
            tol=0.0,
            n_iter_no_change=10**6,
            random_state=0,
        )


WORKLOADS = [
    Workload((20, 32, 3), 32, np.float64, 6400, 20, "classes"),
    Workload((64, 100, 10), 200, np.float64, 10000, 20, "classes"),
    Workload((107, 100, 1), 200, np.float64, 10000, 20),
    Workload((107, 100, 1), 200, np.float32, 10000, 40),
    Workload((8, 100, 100, 1), 200, np.float64, 10000, 20),
    Workload((50, 256, 256, 256, 1), 256, np.float32, 5120, 10, "binary"),
    Workload((784, 256, 128, 10), 256, np.float32, 5120, 10, "classes"),
    Workload((128, 512, 512, 512, 10), 1024, np.float32, 5120, 10, "classes"),
]
OURS = {"regression": DNNRegressor, "binary": DNNBinaryClassifier, "classes": DNNClassifier}


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
clock = CLOCKS["wall"]


def seconds(function: Callable[[], Any]) -> float:
    """Return the time of one call."""
    start = clock()
    function()
    return clock() - start


def fit_ours(work: Workload, X: Any, y: Any, **params: Any) -> Any:
    """Train the network by skdnn with nothing added."""
    return OURS[work.kind].plain(**{**work.params(), **params}).fit(X, y)


def fit_theirs(work: Workload, X: Any, y: Any, **params: Any) -> Any:
    """Train the network by scikit-learn."""
    MLP = MLPRegressor if work.kind == "regression" else MLPClassifier
    return MLP(**{**work.params(), **params}).fit(X, y)


def fit_torch(work: Workload, X: Any, y: Any) -> Any:
    """Train the network by PyTorch, eager, with its fused Adam and a bare loop."""
    layers: list[Any] = []
    dtype = torch.from_numpy(X).dtype
    for n_prev, n in pairwise(work.sizes):
        layers += [torch.nn.Linear(n_prev, n, dtype=dtype), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1])
    inputs, target = torch.from_numpy(X), torch.from_numpy(y)
    if work.kind == "classes":
        loss_of: Any = torch.nn.CrossEntropyLoss()
    else:
        binary = work.kind == "binary"
        loss_of = torch.nn.BCEWithLogitsLoss() if binary else torch.nn.MSELoss()
        target = target.to(dtype)[:, None]
    adam = torch.optim.Adam(model.parameters(), fused=True)
    for _ in range(work.epochs):
        total = 0.0
        for rows in torch.randperm(len(inputs)).split(work.batch):
            loss = loss_of(model(inputs[rows]), target[rows])
            adam.zero_grad()
            loss.backward()
            adam.step()
            total += loss.item() * len(rows)  # the others record the loss too
    return model


def products(work: Workload) -> Callable[[], None]:
    """Return a function that does the training's matrix products alone."""
    N, sizes, dtype = work.batch, work.sizes, work.dtype
    L = len(sizes) - 1
    A = [np.ones((n, N), dtype) for n in sizes]
    A[0] = np.ones((N, sizes[0]), dtype).T
    W = [np.full((n, n_prev), 1e-3, dtype) for n_prev, n in pairwise(sizes)]
    dW = [np.empty_like(w) for w in W]
    dZ = [np.full((n, N), 1e-3, dtype) for n in sizes]
    Z = [np.empty((n, N), dtype) for n in sizes]

    def run() -> None:
        for _ in range(work.epochs * -(-work.rows // N)):
            for l in range(L):
                np.matmul(W[l], A[l], out=Z[l + 1])
            for l in range(L - 1, -1, -1):
                np.matmul(dZ[l + 1], A[l].T, out=dW[l])
                if l:
                    np.matmul(W[l].T, dZ[l + 1], out=Z[l])

    return run


def compare(
    programs: dict[str, Callable[[], Any]], pairs: int
) -> tuple[float, dict[str, list[float]]]:
    """Run all programs in turn; return our median time, and the ratios theirs / ours."""
    for program in programs.values():
        program()
    ratios: dict[str, list[float]] = {name: [] for name in programs}
    ours = []
    for _ in range(pairs):
        times = {name: seconds(program) for name, program in programs.items()}
        ours.append(times["ours"])
        for name, value in times.items():
            ratios[name].append(value / times["ours"])
    return statistics.median(ours), ratios


def dense_table(pairs: int, only: list[int]) -> None:
    """Print the eight dense workloads, trained by Adam."""
    print("\n| network | ours, ms a step | scikit-learn / ours | PyTorch / ours | ours / products |")
    print("|---|---|---|---|---|")
    means: dict[str, list[float]] = {}
    for work in [WORKLOADS[i] for i in only]:
        X, y = work.data()
        programs: dict[str, Callable[[], Any]] = {
            "ours": lambda work=work, X=X, y=y: fit_ours(work, X, y),
            "sklearn": lambda work=work, X=X, y=y: fit_theirs(work, X, y),
            "products": products(work),
        }
        if torch is not None:
            programs["torch"] = lambda work=work, X=X, y=y: fit_torch(work, X, y)
        ours, ratios = compare(programs, pairs)
        medians = {name: statistics.median(values) for name, values in ratios.items()}
        for name, value in medians.items():
            means.setdefault(name, []).append(value)
        steps = work.epochs * -(-work.rows // work.batch)
        pytorch = f"{medians['torch']:.2f}" if torch is not None else "-"
        print(
            f"| {work.name} | {1e3 * ours / steps:.3f} | {medians['sklearn']:.2f}"
            f" | {pytorch} | {1 / medians['products']:.2f} |",
            flush=True,
        )
    for name in ("sklearn", "torch", "products"):
        if name in means:
            values = means[name]
            print(
                f"{name} / ours: geometric mean {statistics.geometric_mean(values):.2f},"
                f" least {min(values):.2f}"
            )
