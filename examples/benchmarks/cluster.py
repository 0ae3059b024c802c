"""What skdnn.dask does on a cluster of this machine's processes, part by part.

``python examples/benchmarks/cluster.py PART ...`` with any of

kills
    Fits by adam and lbfgs in whose middle a worker, or both, are killed by SIGKILL, or one is
    added: whether the result is bit by bit that of the fit that nobody disturbs, and the
    longest time without an epoch. ``--kills 10`` of each solver.
exact
    The same shards in this process, on one worker and on two, bit by bit; and one shard
    against eight in float64.
step
    The time of a step beside its arithmetic, for 25,000 parameters.
speed
    Two workers against one, beside two independent fits against one. ``--rows 4000000``.
memory
    The client's largest memory above that before the fit, beside the parameters' bytes.
batches
    What a larger batch costs, and what a higher rate gives back.
"""

# mypy: ignore-errors
from __future__ import annotations

import os

for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # before NumPy is imported

import argparse
import platform
import signal
import statistics
import threading
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

import dask
import dask.array as da
import distributed
import numpy as np
import psutil
from distributed import Client, LocalCluster
from sklearn.exceptions import ConvergenceWarning

import skdnn
from skdnn import DNNRegressor
from skdnn.dask import DaskDNNRegressor

warnings.simplefilter("ignore", ConvergenceWarning)


@contextmanager
def cluster(n_workers):
    """Start workers of one thread each; yield the cluster and a client of it."""
    options = dict(threads_per_worker=1, dashboard_address=":0", silence_logs=50)
    with (
        LocalCluster(n_workers=n_workers, **options) as local,
        Client(local, set_as_default=False) as client,
    ):
        yield local, client


def made(n, n_features, n_shards, dtype=np.float64, seed=0):
    """Return rows of a smooth function with noise, that workers draw by themselves."""
    rng = da.random.default_rng(seed)
    X = rng.normal(size=(n, n_features), chunks=(-(-n // n_shards), n_features)).astype(dtype)
    noise = rng.normal(size=n, chunks=X.chunks[0])
    return X, da.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2] - abs(X[:, 3]) + 0.3 * noise


def found(model):
    """Return all that a fit has found, as bytes."""
    theta = [network.parameters.theta for network in model._model.networks]
    curves = model.loss_curve_, model.validation_loss_curve_ or 0.0, model.loss_
    return b"".join(np.asarray(part).tobytes() for part in (*theta, *curves))


class Clock:
    """A callback that notes when epochs end, and the processor time by then.

    Parameters
    ----------
    workers : list of psutil.Process
        Whose time counts besides that of this process.
    """

    def __init__(self, workers=()):
        self.workers, self.times, self.work = workers, [], []

    def note(self):
        """Note the time."""
        spent = sum(sum(worker.cpu_times()[:2]) for worker in self.workers)
        self.times.append(time.perf_counter())
        self.work.append(spent + time.process_time())

    def setup(self, estimator, context):
        self.note()

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        self.note()

    @property
    def longest(self):
        """The longest time from one epoch to the next."""
        return max(np.diff(self.times))


def kill(client, n=1):
    """Kill workers by their process ids; return how many there were."""
    pids = list(client.run(os.getpid).values())
    for pid in pids[:n]:
        os.kill(pid, signal.SIGKILL)
    return len(pids)


KINDS = {
    "adam": dict(hidden_layer_sizes=(64, 64), batch_size=16_000, max_iter=12, dropout=0.1),
    "lbfgs": dict(hidden_layer_sizes=(64, 64), solver="lbfgs", max_iter=50),
}


def kills(args):
    """Kill workers at random moments."""
    X, y = made(40_000, 20, 8)
    rng = np.random.default_rng(args.seed)
    disturb = {
        "one worker killed": lambda local, client: kill(client),
        "both killed": lambda local, client: kill(client, 2),
        "one added": lambda local, client: local.scale(3),
    }
    for solver in args.solvers:
        params = KINDS[solver]
        with cluster(2) as (_, client):
            clock = Clock()
            model = DaskDNNRegressor(random_state=0, client=client, **params)
            calm = found(model.set_callbacks(clock).fit(X, y))
            took = clock.times[-1] - clock.times[0]
            print(f"{solver}: undisturbed {took:.1f} s, {len(clock.times)} ends of epochs")
        for what, do in disturb.items():
            n = args.kills if what == "one worker killed" else max(args.kills // 3, 1)
            same, longest, moments = 0, [], []
            for _ in range(n):
                with cluster(2) as (local, client):
                    clock, moment = Clock(), rng.uniform(0.0, 0.9 * took)
                    timer = threading.Timer(moment, do, (local, client))
                    timer.start()
                    model = DaskDNNRegressor(random_state=0, client=client, **params)
                    same += found(model.set_callbacks(clock).fit(X, y)) == calm
                    timer.join()
                    longest.append(clock.longest)
                    moments.append(moment)
            print(
                f"  {what}: {same} of {n} bit by bit the same; the longest pause from one epoch"
                f" to the next {max(longest):.1f} s, median {statistics.median(longest):.1f} s"
                f" (at {min(moments):.1f} to {max(moments):.1f} s)",
                flush=True,
            )


def exact(args):
    """Compare shards here with shards on workers, and one shard with eight."""
    X, y = made(20_000, 20, 8)
    for solver, params in KINDS.items():
        here = found(DaskDNNRegressor(random_state=0, **params).fit(X, y))
        for n in (1, 2):
            with cluster(n) as (_, client):
                model = DaskDNNRegressor(random_state=0, client=client, **params)
                same = found(model.fit(X, y)) == here
                print(f"{solver}, {n} workers: bit by bit what it is in this process: {same}")
    params = dict(hidden_layer_sizes=(64, 64), solver="lbfgs", random_state=0, max_iter=1)
    one, eight = (DaskDNNRegressor(n_shards=n, **params).fit(X, y) for n in (1, 8))
    losses = one.loss_curve_[0], eight.loss_curve_[0]
    print(
        f"one shard and eight, float64: the loss after a step differs by"
        f" {abs(losses[1] / losses[0] - 1):.1e}, the weights by"
        f" {max(np.abs(a - b).max() for a, b in zip(one.coefs_, eight.coefs_, strict=True)):.1e}"
    )


def step(args):
    """Time steps whose arithmetic is next to nothing."""
    for n_shards in (2, 8, 32):
        X, y = made(40 * n_shards, 50, n_shards)
        for n_workers in (1, 2):
            with cluster(n_workers) as (_, client):
                workers = [psutil.Process(pid) for pid in client.run(os.getpid).values()]
                clock = Clock(workers)
                model = DaskDNNRegressor(
                    hidden_layer_sizes=(100, 100, 96),  # 24,993 parameters
                    batch_size=2 * n_shards,
                    max_iter=14,
                    early_stopping=False,
                    random_state=0,
                    client=client,
                )
                model.set_callbacks(clock).fit(X, y)
                each = 1000 * np.diff(clock.times)[2:-1] / 20
                work = 1000 * np.diff(clock.work)[2:-1] / 20
                print(
                    f"{n_shards} shards, {n_workers} workers: {np.median(each):.0f} ms a step (of"
                    f" 12 epochs {min(each):.0f} to {max(each):.0f}), processor time of all"
                    f" processes {np.median(work):.0f} ms"
                )


def local_fit(rows):
    """Fit some rows in this process; return the seconds of its second epoch and on."""
    rng = np.random.default_rng(rows)
    X = rng.normal(size=(rows, 50)).astype(np.float32)
    y = np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2]
    clock = Clock()
    model = DNNRegressor(
        hidden_layer_sizes=(256, 256), batch_size=2048, max_iter=3, early_stopping=False
    )
    model.set_callbacks(clock).fit(X, y)
    return clock.times[-2] - clock.times[1]


def speed(args):
    """Compare two workers with one, and two independent fits at once with one."""
    both, alone, epochs = [], [], {1: [], 2: []}
    pool = ProcessPoolExecutor(2, get_context("spawn"))
    list(pool.map(local_fit, [2048, 2048]))
    X, y = made(args.rows, 50, 8, np.float32)
    batch_size = args.batch or 131_072
    for _ in range(args.rounds):
        alone.append(next(pool.map(local_fit, [args.rows // 8])))
        both.append(max(pool.map(local_fit, [args.rows // 8] * 2)))
        for n in (1, 2):
            with cluster(n) as (_, client):
                clock = Clock()
                model = DaskDNNRegressor(
                    hidden_layer_sizes=(256, 256),
                    batch_size=batch_size,
                    max_iter=3,
                    early_stopping=False,
                    client=client,
                    random_state=0,
                )
                model.set_callbacks(clock).fit(X, y)
                epochs[n] += list(np.diff(clock.times)[1:-1])
        independent = 2 * statistics.median(alone) / statistics.median(both)
        workers = statistics.median(epochs[1]) / statistics.median(epochs[2])
        print(
            f"two local fits at once: {independent:.2f} times the rows of one; two workers:"
            f" {workers:.2f} times as fast as one, {workers / independent:.2f} of it (an epoch of"
            f" {args.rows} rows {statistics.median(epochs[1]):.1f} and"
            f" {statistics.median(epochs[2]):.1f} s)"
        )


def memory(args):
    """Fit 1.3 million parameters, and ask the system for the client's peak."""
    with cluster(2) as (_, client):
        for hidden in ((64, 64), (1024, 1024)):
            X, y = made(200_000, 100, 8, np.float32)
            model = DaskDNNRegressor(
                hidden_layer_sizes=hidden, batch_size=50_000, max_iter=2, client=client
            )
            before, peak = resident(), Peak()
            model.fit(X, y)
            n_bytes = 8 * model._model.networks[0].parameters.theta.size
            more = peak.stop() - before
            print(
                f"{hidden}: the client's memory grew by at most {more / 2**20:.0f} MiB; the"
                f" parameters have {n_bytes / 2**20:.1f} MiB, and 8 times that and 100 MB would"
                f" be {(8 * n_bytes + 1e8) / 2**20:.0f}"
            )


def resident():
    """Return the resident memory of this process in bytes."""
    return psutil.Process().memory_info().rss


class Peak(threading.Thread):
    """Looks at the resident memory every 2 ms."""

    def __init__(self):
        super().__init__(daemon=True)
        self.peak, self.on = 0, True
        self.start()

    def run(self):
        while self.on:
            self.peak = max(self.peak, resident())
            time.sleep(0.002)

    def stop(self):
        self.on = False
        self.join()
        return self.peak


def batches(args):
    """Fit larger and larger batches, at higher rates, and judge them on rows of their own."""
    n = min(args.rows, 200_000)
    X, y = (part.compute() for part in made(n + 50_000, 20, 1, np.float32))
    test, y_test = X[n:], y[n:]
    rows = da.from_array(X[:n], chunks=(n // 4, 20)), da.from_array(y[:n], chunks=n // 4)
    for epochs in (16, 48):
        for batch in (448, 1792, 7168, 28_672):
            for factor in (0.5, 1, 2, 4):
                start = time.process_time()
                params = {"batch_size": batch, "learning_rate_init": 0.05 * factor}
                model = DaskDNNRegressor(**params, max_iter=epochs, refit=False, random_state=0)
                error = np.sqrt(np.mean((model.fit(*rows).predict(test) - y_test) ** 2))
                print(
                    f"{epochs} epochs of {-(-n * 4 // 5 // batch)} steps of {batch} rows, rate"
                    f" {0.05 * factor:g}: error {error:.4f} (the noise is 0.3; processor"
                    f" {time.process_time() - start:.0f} s)",
                    flush=True,
                )


PARTS = {part.__name__: part for part in (kills, exact, step, speed, memory, batches)}


def main():
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--solvers", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", choices=("spawn", "forkserver"), default="spawn")
    args = parser.parse_args()
    dask.config.set({"distributed.worker.multiprocessing-method": args.start})
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores; Python"
        f" {platform.python_version()}, NumPy {np.__version__}, dask {dask.__version__},"
        f" distributed {distributed.__version__}, skdnn {skdnn.__version__}"
    )
    for part in args.parts:
        print(f"-- {part}")
        PARTS[part](args)


if __name__ == "__main__":
    main()
