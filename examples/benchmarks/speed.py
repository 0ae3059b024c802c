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

# mypy: ignore-errors
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
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import scipy
import sklearn
from scipy.sparse import random_array
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from threadpoolctl import threadpool_limits

import skdnn
from skdnn import DNNBinaryClassifier, DNNClassifier, DNNRegressor
from skdnn.activations import ACTIVATIONS
from skdnn.inspection import input_gradient

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
    Workload((50, 256, 256, 256, 1), 256, np.float32, 5120, 20, "binary"),
    Workload((784, 256, 128, 10), 256, np.float32, 5120, 20, "classes"),
    Workload((128, 512, 512, 512, 10), 1024, np.float32, 5120, 20, "classes"),
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
    print(
        "\n| network | ours, ms a step | scikit-learn / ours | PyTorch / ours | ours / products |"
    )
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


def other_fits(pairs: int) -> None:
    """Print the sparse and the L-BFGS fit, and skdnn's default fit beside the plain one."""
    print("\n| fit | ours, s | scikit-learn / ours |")
    print("|---|---|---|")
    rng = np.random.default_rng(0)
    text = random_array((4000, 20000), density=0.002, format="csr", rng=rng)
    topics = rng.integers(0, 4, 4000)
    sparse = Workload((20000, 64, 4), 200, np.float64, 4000, 3, "classes")
    lbfgs = Workload((50, 100, 1), 200, np.float64, 5000, 40)
    for name, work, (X, y), params in [
        ("20,000 sparse columns (0.2 %), 64 units", sparse, (text, topics), {}),
        ("lbfgs, 5,000 x 50, 100 units", lbfgs, lbfgs.data(), {"solver": "lbfgs"}),
    ]:
        programs: dict[str, Callable[[], Any]] = {
            "ours": lambda w=work, X=X, y=y, p=params: fit_ours(w, X, y, **p),
            "sklearn": lambda w=work, X=X, y=y, p=params: fit_theirs(w, X, y, **p),
        }
        ours, ratios = compare(programs, pairs)
        print(f"| {name} | {ours:.2f} | {statistics.median(ratios['sklearn']):.2f} |", flush=True)
    work = WORKLOADS[2]
    X, y = work.data()
    programs = {
        "ours": lambda: fit_ours(work, X, y),
        "default": lambda: DNNRegressor(max_iter=work.epochs, random_state=0).fit(X, y),
    }
    ours, ratios = compare(programs, pairs)
    print(
        f"\nThe default fit of {work.name} takes {statistics.median(ratios['default']):.2f}"
        f" of the plain one's time, both for at most {work.epochs} epochs."
    )


def activations(pairs: int) -> None:
    """Print what a step of 107-100-1 at 200 takes with each activation, over that with relu."""
    print("\n| activation | f32, step / relu's | f64 |\n|---|---|---|")
    cells: dict[str, list[str]] = {name: [] for name in sorted(set(ACTIVATIONS) - {"sigmoid"})}
    for work in (WORKLOADS[3], WORKLOADS[2]):
        X, y = work.data()
        programs = {
            "ours" if name == "relu" else name: partial(fit_ours, work, X, y, activation=name)
            for name in cells
        }
        for name, ratios in compare(programs, pairs)[1].items():
            of = "relu" if name == "ours" else name
            cells[of].append(f"{statistics.median(ratios):.2f}")
    for name, pair in cells.items():
        print(f"| {name} | {' | '.join(pair)} |")


def predictions(pairs: int) -> None:
    """Print the time to predict."""
    print("\n| predict, 107-100-1, f64 | ours, ms | scikit-learn / ours |")
    print("|---|---|---|")
    work = Workload((107, 100, 1), 200, np.float64, 2000, 2)
    X, y = work.data()
    ours, theirs = fit_ours(work, X, y), fit_theirs(work, X, y)
    for n, times in (1, 2000), (100_000, 1):
        rows = np.random.default_rng(1).standard_normal((n, 107))
        programs: dict[str, Callable[[], Any]] = {
            "ours": lambda rows=rows, k=times: [ours.predict(rows) for _ in range(k)],
            "sklearn": lambda rows=rows, k=times: [theirs.predict(rows) for _ in range(k)],
        }
        seconds, ratios = compare(programs, pairs)
        print(
            f"| {n:,} rows | {1e3 * seconds / times:.3f}"
            f" | {statistics.median(ratios['sklearn']):.2f} |",
            flush=True,
        )


def input_gradients(pairs: int) -> None:
    """Print the gradient in the input of 100,000 rows beside their prediction."""
    print("\n| input_gradient, 96-96-1 | ms for 100,000 rows x 100 | / predict |\n|---|---|---|")
    X = np.random.default_rng(0).normal(size=(100_000, 100))
    y = X[:, 0] * X[:, 1] + X[:, 2]
    for dtype in np.float64, np.float32:
        rows = X.astype(dtype)
        for activation, scaling in (
            *((name, "clipped") for name in ("relu", "tanh", "gelu")),
            ("relu", "piecewise"),
        ):
            model = DNNRegressor(activation=activation, max_iter=1, scale_inputs=scaling)
            model.set_params(random_state=0).fit(rows[:2000], y[:2000])
            programs: dict[str, Callable[[], Any]] = {
                "ours": lambda m=model, rows=rows: input_gradient(m, rows),
                "predict": lambda m=model, rows=rows: m.predict(rows),
            }
            ours, ratios = compare(programs, pairs)
            ratio = 1.0 / statistics.median(ratios["predict"])
            name = f"{activation}, {scaling}, {np.dtype(dtype).name}"
            print(f"| {name} | {1e3 * ours:.0f} | {ratio:.2f} |")


def peak(function: Callable[[], Any]) -> float:
    """Return the most memory that one call has allocated, in MB."""
    tracemalloc.start()
    function()
    result = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return result


def start(pairs: int) -> None:
    """Print the processor time of a new Python until it has an estimator."""
    programs = {
        "ours": "from skdnn import DNNClassifier; DNNClassifier()",
        "sklearn": "from sklearn.neural_network import MLPClassifier; MLPClassifier()",
    }
    taken: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(1 + pairs):
        for name, code in programs.items():
            before = os.times()
            subprocess.run([sys.executable, "-c", code], check=True)
            after = os.times()
            taken[name].append(sum(after[2:4]) - sum(before[2:4]))  # of ended children
    ours, theirs = (of[1:] for of in taken.values())  # the first wrote the bytecode
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    print("\n| processor time to start, s | ours | scikit-learn | ours / scikit-learn |")
    print("|---|---|---|---|")
    for name, of in ("median", statistics.median), ("least", min):
        print(f"| {name} | {of(ours):.2f} | {of(theirs):.2f} | {of(ours) / of(theirs):.3f} |")
    print(f"Median of the ratios within pairs: {ratio:.3f}.")


def memory() -> None:
    """Print the peak memory of a fit above X."""
    work = Workload((128, 512, 512, 512, 10), 1024, np.float32, 20480, 1, "classes")
    X, y = work.data()
    parameters = sum(n * (n_prev + 1) for n_prev, n in pairwise(work.sizes))
    print(f"\nPeak memory of a fit of {work.name}, {work.rows:,} rows: ", end="")
    print(f"ours {peak(lambda: fit_ours(work, X, y)):.0f} MB,", end=" ")
    print(f"scikit-learn {peak(lambda: fit_theirs(work, X, y)):.0f} MB;", end=" ")
    print(f"X is {X.nbytes / 1e6:.0f} MB, the parameters {4e-6 * parameters:.1f} MB.")


def profile(index: int) -> None:
    """Print where the time of a step goes, part by part, each timed by itself."""
    from skdnn.core.optimizers import Adam
    from skdnn.fit.objective import Objective
    from skdnn.fit.rows import Batches, Rows
    from skdnn.network import forward

    work = WORKLOADS[index]
    X, y = work.data()
    steps = work.epochs * -(-work.rows // work.batch)
    model = fit_ours(work, X, y)
    network = model._model.networks[0]
    parameters, loss = network.parameters, network.loss
    Y, table = model._model.targets.encode(y, X.dtype)
    rows = Batches(Rows(X, Y, None, table))
    objective = Objective(rows, network, 0.0, work.batch)
    order = np.random.default_rng(0).permutation(work.rows)
    at = objective.workspaces[0].over(work.batch)
    Y, _, _ = rows.load(at, slice(0, work.batch))
    L, Z, A, dZ = at.L, at.Z, at.A, at.dZ
    adam = Adam(len(parameters.theta), parameters.theta.dtype)

    def activations() -> None:
        for l in range(1, L):
            at.g[l].forward(Z[l], A[l], at.scratch[l])
            at.g[l].derivative(Z[l], A[l], at.scratch[l])
            np.multiply(A[l], dZ[l], out=dZ[l])

    def losses() -> None:
        loss.output(Z[L], A[L], at.work)
        loss.value(Z[L], A[L], Y, None, at.work)
        loss.gradient(A[L], Y, None, 1.0, out=dZ[L])

    forward(parameters, at, loss)
    parts: dict[str, Callable[[], Any]] = {
        "products": products(work),
        "activations": lambda: [activations() for _ in range(steps)],
        "loss": lambda: [losses() for _ in range(steps)],
        "optimiser": lambda: [
            adam.step(parameters.theta, objective.gradient.theta, 1e-6) for _ in range(steps)
        ],
        "gather": lambda: [
            rows.take(order[i : i + objective.block])
            for _ in range(work.epochs)
            for i in range(0, work.rows, objective.block)
        ],
    }
    whole = min(seconds(lambda: fit_ours(work, X, y)) for _ in range(3))
    shares = {name: min(seconds(part) for _ in range(3)) / whole for name, part in parts.items()}
    shares["the rest, most of it Python"] = 1.0 - sum(shares.values())
    line = ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares.items())
    print(f"- {work.name}, {1e3 * whole / steps:.3f} ms a step: {line}")


def fit_beside(X: Any, y: Any) -> float:
    """Return the time of one fit."""
    work = WORKLOADS[2]
    return min(seconds(lambda: fit_ours(work, X, y)) for _ in range(3))


def spin() -> None:
    """Keep one core busy."""
    while True:
        pass


def busy_machine() -> None:
    """Print a fit beside a busy process, and two fits at once."""
    work = WORKLOADS[2]
    X, y = work.data()
    idle = fit_beside(X, y)
    neighbour = multiprocessing.get_context("spawn").Process(target=spin, daemon=True)
    neighbour.start()
    busy = fit_beside(X, y)
    neighbour.terminate()
    print(f"\nA fit beside a busy process takes {busy / idle:.2f} of its time alone.")
    grid = {"learning_rate_init": [1e-3, 2e-3, 3e-3, 4e-3, 6e-3, 8e-3]}
    models = {"skdnn": OURS[work.kind].plain, "scikit-learn": MLPRegressor}

    def search(model: Any, n_jobs: int) -> Callable[[], Any]:
        return lambda: GridSearchCV(model, grid, cv=5, n_jobs=n_jobs).fit(X, y)

    for name, make in models.items():
        model = make(**work.params())
        search(model, 2)()  # starts the processes
        ratio = seconds(search(model, 1)) / seconds(search(model, 2))
        print(f"GridSearchCV(n_jobs=2) is {ratio:.2f} times as fast as n_jobs=1 with {name}.")


def run_products(index: int, start: Any, took: Any) -> None:
    """Time the bare products of a workload from when all have met."""
    run = products(WORKLOADS[index])
    run()
    start.wait()
    took.put(seconds(run))


def of_two_processes(index: int) -> float:
    """Return how many times the products of one process two of them make in its time."""
    context = multiprocessing.get_context("spawn")
    times = []
    for n in 1, 2:
        start, took = context.Barrier(n), context.Queue()
        args = index, start, took
        processes = [context.Process(target=run_products, args=args) for _ in range(n)]
        for process in processes:
            process.start()
        times.append(max(took.get() for _ in processes))
        for process in processes:
            process.join()
    return 2.0 * times[0] / times[1]


def two_threads(pairs: int) -> None:
    """Print what a second thread gains for the widest networks."""
    programs = {"skdnn": fit_ours, "scikit-learn": fit_theirs}
    if torch is not None:
        programs["PyTorch"] = fit_torch
    print(f"\n| one thread / two | {' | '.join(programs)} | products, two processes |")
    print(f"|---|{len(programs) * '---|'}---|")
    for index in range(len(WORKLOADS) - 3, len(WORKLOADS)):
        work = WORKLOADS[index]
        X, y = work.data()
        gains: dict[str, list[float]] = {name: [] for name in programs}
        at_most: list[float] = []
        for _ in range(pairs):
            at_most.append(of_two_processes(index))
            for name, fit in programs.items():
                times = []
                for n in 1, 2:
                    if torch is not None:
                        torch.set_num_threads(n)
                    with threadpool_limits(n, user_api="blas"):
                        fit(work, X, y)
                        times.append(seconds(partial(fit, work, X, y)))
                gains[name].append(times[0] / times[1])
        cells = [f"{statistics.median(ratios):.2f}" for ratios in (*gains.values(), at_most)]
        print(f"| {work.name} | {' | '.join(cells)} |", flush=True)


def machine() -> None:
    """Print what this runs on."""
    cpu = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as lines:
            cpu = next(line.split(":")[1].strip() for line in lines if "model name" in line)
    except OSError:
        pass
    versions = [f"{m.__name__} {m.__version__}" for m in (skdnn, np, scipy, sklearn)]
    versions += [] if torch is None else [f"torch {torch.__version__}"]
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    print(f"{cpu}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the run;")
    print(f"Python {platform.python_version()}, {', '.join(versions)};")
    print(f"BLAS: {blas['name']} {blas['version']}, one thread.")


def main() -> None:
    """Print the tables that were asked for."""
    global clock
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--only", type=int, nargs="+", default=list(range(len(WORKLOADS))))
    tables = ["dense", "fits", "activations", "predict", "gradients", "start", "memory"]
    tables += ["profile", "busy", "threads"]
    parser.add_argument("--tables", nargs="+", choices=tables, default=tables)
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu: on a busy machine")
    args = parser.parse_args()
    clock = CLOCKS[args.clock]
    machine()
    if "dense" in args.tables:
        dense_table(args.pairs, args.only)
    if "fits" in args.tables:
        other_fits(args.pairs)
    if "activations" in args.tables:
        activations(args.pairs)
    if "predict" in args.tables:
        predictions(args.pairs)
    if "gradients" in args.tables:
        input_gradients(args.pairs)
    if "start" in args.tables:
        start(4 * args.pairs)
    if "memory" in args.tables:
        memory()
    if "profile" in args.tables:
        print()
        for index in (0, 3, 6):
            profile(index)
    if "busy" in args.tables:
        clock = CLOCKS["wall"]  # of all processes
        busy_machine()
    if "threads" in args.tables:
        clock = CLOCKS["wall"]
        two_threads(args.pairs)


if __name__ == "__main__":
    main()
