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
from contextlib import contextmanager

import dask
import dask.array as da
import distributed
import numpy as np
from distributed import Client, LocalCluster
from sklearn.exceptions import ConvergenceWarning

import skdnn
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
    """A callback that notes when epochs end."""

    def __init__(self):
        self.times = []

    def setup(self, estimator, context):
        self.times.append(time.perf_counter())

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        self.times.append(time.perf_counter())

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
    for solver, params in KINDS.items():
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
                f" (at {min(moments):.1f} to {max(moments):.1f} s)"
            )


PARTS = {"kills": kills}


def main():
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
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
