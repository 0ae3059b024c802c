"""Whether two checkouts of skdnn fit the same networks, bit by bit, and in what time.

Every case of cases.py is fitted by both, each in a process of its own on one BLAS thread.
A line says that all records of the two fits (weights, curves, counts, predictions, what
callbacks saw) are equal, or which differ and by how much: the largest difference over the
largest entry. A fit that fails is recorded by its error.

Run ``python examples/benchmarks/versions.py --against OTHER_CHECKOUT``; the exit status
is 1 if a case differs that ``--allow NAME ...`` does not name. ``--only TEXT ...`` takes
the cases with one of these in their names.

``--steps`` prints instead the processor time of a few fits, here over there: two
processes fit in turn, and a figure is the median of the ratios within ``--pairs`` pairs.
The same code comes out within 0.02 of 1, and the geometric mean within 0.005.
"""

# mypy: ignore-errors
from __future__ import annotations

import argparse
import os
import pickle
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.datasets import make_classification, make_friedman1

ROOT = Path(__file__).resolve().parents[2]
THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
KERNELS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # the machine's own are to be taken
EPOCHS = {0: 45, 1: 20, 2: 20, 4: 15, 6: 8}  # of speed.py's workloads, for about 0.3 s
DEFAULT_FITS = 3  # at a time, of 0.1 s


def start(checkout, directory, *arguments):
    """Start this script as a worker that takes skdnn from the checkout."""
    env = {name: value for name, value in os.environ.items() if name not in KERNELS}
    env |= {**dict.fromkeys(THREADS, "1"), "PYTHONPATH": str(checkout)}
    command = [sys.executable, "-W", "ignore", __file__, "--worker", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=env, cwd=directory, stdin=pipe, stdout=pipe)


def imported_from(checkout):
    """Refuse another skdnn than the checkout's."""
    import skdnn

    if Path(skdnn.__file__).resolve().parents[1] != Path(checkout).resolve():
        raise ImportError(f"skdnn is imported from {skdnn.__file__}, not from {checkout}.")


# The fits


def work_on_fits():
    """Write the records of the cases with the given texts in their names to stdout."""
    from cases import cases

    only = pickle.load(sys.stdin.buffer)
    chosen = [case for case in cases() if not only or any(text in case.name for text in only)]
    pickle.dump({case.name: case.run() for case in chosen}, sys.stdout.buffer)


def fits_of(checkout, only):
    """Return the records of all cases by name, and the seconds they took."""
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as directory:
        worker = start(checkout, directory, "fits", str(checkout))
        output, _ = worker.communicate(pickle.dumps(only))
    if worker.returncode:
        raise SystemExit(f"The worker for {checkout} failed.")
    return pickle.loads(output), time.perf_counter() - begin


def difference(a, b):
    """Return in what two arrays differ, or "" if they are equal."""
    if a is None or b is None:
        return "on one side only"
    if a.shape != b.shape or a.dtype != b.dtype:
        return f"{a.dtype} {a.shape} / {b.dtype} {b.shape}"
    if a.dtype.kind != "f":
        return "" if np.array_equal(a, b) else f"{(a != b).sum()} of {a.size} entries"
    if np.array_equal(a, b, equal_nan=True):
        return ""
    largest = max(np.nanmax(np.abs(a)), np.nanmax(np.abs(b)))
    return f"{np.max(np.abs(a - b)) / largest:.1e}"


def verdict(ours, theirs):
    """Return what is to be said of a case, and whether it is equal."""
    if "error" in ours and ours == theirs:
        return f"equal: {ours['error'][:60]}", True
    if "error" in ours or "error" in theirs:
        texts = [records.get("error", "no error") for records in (ours, theirs)]
        return f"differs: {' / '.join(texts)}", False
    names = {**ours, **theirs}
    found = {name: difference(ours.get(name), theirs.get(name)) for name in names}
    unequal = [f"{name} {text}" for name, text in found.items() if text]
    return f"differs: {', '.join(unequal)}" if unequal else "equal", not unequal


def compare_fits(other, only, allowed):
    """Print a line for each case; return how many differ that are not allowed to."""
    (ours, seconds), (theirs, seconds_there) = fits_of(ROOT, only), fits_of(other, only)
    failed = 0
    for name, records in ours.items():
        text, is_equal = verdict(records, theirs[name])
        failed += not is_equal and name not in allowed
        print(f"{name}: {text}{' (allowed)' if not is_equal and name in allowed else ''}")
    print(f"\n{len(ours)} cases, {seconds:.0f} s here and {seconds_there:.0f} s there; ", end="")
    print(f"{failed} differ" + (" that are not allowed to." if allowed else "."))
    return failed


# The times


def work_on_steps():
    """Fit the job of each number that comes, and answer with the processor time."""
    import skdnn

    jobs = pickle.load(sys.stdin.buffer)
    for line in sys.stdin.buffer:
        name, is_plain, params, X, y = jobs[int(line)]
        cls = getattr(skdnn, name)
        model = (cls.plain if is_plain else cls)(**params)
        begin = time.process_time()
        for _ in range(1 if is_plain else DEFAULT_FITS):
            model.fit(X, y)
        print(time.process_time() - begin, flush=True)


def jobs():
    """Yield what is timed by name: an estimator, if plain, its parameters, X and y."""
    from speed import OURS, WORKLOADS

    for index, epochs in EPOCHS.items():
        work = replace(WORKLOADS[index], epochs=epochs)
        yield work.name, (OURS[work.kind].__name__, True, work.params(), *work.data())
    numbers = make_friedman1(1000, n_features=20, noise=1.0, random_state=0)
    settings = {"n_features": 20, "n_informative": 8, "flip_y": 0.1, "random_state": 0}
    two, three = (make_classification(1000, n_classes=m, **settings) for m in (2, 3))
    for kind, data in {"regression": numbers, "binary": two, "classes": three}.items():
        name = OURS[kind].__name__
        yield f"{name} by default", (name, False, {"random_state": 0}, *data)


def seconds(worker, job):
    """Return the processor time that a worker takes for a job."""
    worker.stdin.write(b"%d\n" % job)
    worker.stdin.flush()
    return float(worker.stdout.readline())


def compare_steps(other, pairs):
    """Print the ratios of the times, here over there."""
    chosen = dict(jobs())
    with tempfile.TemporaryDirectory() as directory:
        here, there = (start(c, directory, "steps", str(c)) for c in (ROOT, other))
        with here, there:
            for worker in here, there:
                pickle.dump(list(chosen.values()), worker.stdin)
            print("\n| fit | here, s | here / there | quartiles |\n|---|---|---|---|")
            medians = []
            for job, name in enumerate(chosen):
                times = {here: [], there: []}
                for pair in range(-1, pairs):  # the first pays for more, and is left out
                    for worker in (here, there) if pair % 2 else (there, here):
                        times[worker].append(seconds(worker, job))
                ratios = np.divide(times[here], times[there])[1:]
                low, median, high = np.quantile(ratios, [0.25, 0.5, 0.75])
                medians.append(median)
                print(f"| {name} | {np.median(times[here]):.2f} | {median:.3f}", end="")
                print(f" | {low:.3f} to {high:.3f} |", flush=True)
    print(f"\nGeometric mean of the medians: {np.exp(np.mean(np.log(medians))):.3f}")


def main():
    """Compare, or do a worker's part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", type=Path, required=True, help="another checkout")
    parser.add_argument("--allow", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--only", nargs="+", default=[], metavar="TEXT")
    parser.add_argument("--steps", action="store_true", help="compare times instead")
    parser.add_argument("--pairs", type=int, default=20)
    args = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    from speed import machine

    machine()
    if args.steps:
        return compare_steps(args.against.resolve(), args.pairs)
    return compare_fits(args.against.resolve(), args.only, args.allow) > 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        imported_from(sys.argv[3])
        {"fits": work_on_fits, "steps": work_on_steps}[sys.argv[2]]()
    else:
        sys.exit(main())
