"""A file larger than memory: 20 million rows of 28 columns, in a process of 1 GiB of data.

    python examples/benchmarks/out_of_core.py [--rows 20000000] [--folder DIR]

The rows are float32 in a file of 2.2 GB that is made first, 80 MB of targets beside it: a smooth
function of 13 of the columns, for which the default ramps are not needed, and a noise of 0.5. A
fifth of the rows, at most a pool, is held out; nothing is fitted again on them. RLIMIT_DATA keeps
the process to 1 GiB; maps of files do not count. For growing parts of the file: the root mean
squared error on 100,000 other rows, wall-clock and processor time of the fit, processor time for
a million rows and epoch, and the most anonymous memory above that after all imports.
"""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import argparse
import resource
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from skdnn import DNNRegressor

COLUMNS, NOISE, LIMIT, CHUNK = 28, 0.5, 1 << 30, 1 << 18
# Passes over the rows: many are not needed where there are many rows.
EPOCHS = {10**4: 60, 10**5: 20, 10**6: 8, 2 * 10**7: 2}


def made(n, seed):
    """Return n rows and their targets."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, COLUMNS), np.float32)
    a, b, c, d, e, f, g, h, i, j, k, l, m = X[:, :13].T
    y = np.sin(3.0 * a + b) + c * d + np.abs(e + f) + 2.0 * np.exp(-(g**2) - h**2)
    y += np.sin(2.0 * i) * j + np.maximum(np.maximum(k, l), m)
    return X, y + np.float32(NOISE) * rng.standard_normal(n, np.float32)


def write(folder, n):
    """Write n rows to a file, and their targets to another, chunk by chunk; return both as maps."""
    names = folder / "X.npy", folder / "y.npy"
    shapes = (n, COLUMNS), (n,)
    files = [
        np.lib.format.open_memmap(name, "w+", np.float32, shape)
        for name, shape in zip(names, shapes, strict=True)
    ]
    for start in range(0, n, CHUNK):
        part = slice(start, min(start + CHUNK, n))
        for file, values in zip(files, made(part.stop - start, [1, start]), strict=True):
            file[part] = values
    return [np.load(name, mmap_mode="r") for name in names]


class Peak:
    """The most anonymous memory of the process in the body, in MiB."""

    def __enter__(self):
        self.most = self.now()
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.done.set()
        self.thread.join()

    def watch(self):
        """Look a hundred times a second."""
        while not self.done.wait(0.01):
            self.most = max(self.most, self.now())

    @staticmethod
    def now():
        """Return the anonymous memory of the process."""
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) / 1024


def main():
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=max(EPOCHS))
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))
    before = Peak.now()
    X_test, y_test = made(100_000, 0)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        start = time.perf_counter()
        X, y = write(Path(folder), args.rows)
        print(f"{X.nbytes / 1e9:.1f} GB written in {time.perf_counter() - start:.0f} s", flush=True)
        print(f"{'rows':>10}{'epochs':>8}{'error':>8}{'wall s':>9}{'CPU s':>9}", end="")
        print(f"{'CPU s / 10^6 rows, epoch':>26}{'peak MiB':>10}")
        for n in sorted({min(n, args.rows) for n in EPOCHS}):
            epochs = EPOCHS[min(size for size in EPOCHS if size >= n)]
            model = DNNRegressor(
                scale_inputs="clipped", random_state=0, max_iter=epochs, refit=False
            )
            with Peak() as peak:
                wall, cpu = time.perf_counter(), time.process_time()
                model.fit(X[:n], y[:n])
                wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            error = np.sqrt(np.mean((model.predict(X_test) - y_test) ** 2))
            each = cpu / model.n_iter_ / n * 1e6
            print(f"{n:10}{model.n_iter_:8}{error:8.4f}{wall:9.1f}{cpu:9.1f}", end="")
            print(f"{each:26.2f}{peak.most - before:10.0f}", flush=True)
        start = time.perf_counter()
        score = model.score(X, y)
        print(f"score on all {len(y)} rows {score:.4f} in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
