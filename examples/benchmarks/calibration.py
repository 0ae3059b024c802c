"""Probabilities with no calibration, with the factor alone, and with the intercepts too.

A default classifier is fitted, and what its calibration did is taken back, wholly or in part; so
all three are of the same weights. Of two classes the rarer one is also made rarer, by leaving out
rows of it at random, until it has a tenth or a twentieth of all rows.

Printed are the geometric mean over the data sets of the log loss on unseen rows, divided by that
of the factor alone; the share of the sets on which it is lower; the mean probability of the rarest
class over its share, on the rows that were fitted to and on unseen ones, and how far from 1 the
latter is on average (as a ratio of either side); and the expected calibration error of the rarest
class, in ten bins of as many rows.

Run ``python examples/benchmarks/calibration.py`` for scikit-learn's bundled sets, and ``--data
FOLDER`` for a folder of .npz files with X and y; ``--splits 4`` is the number of splits.
"""

# mypy: ignore-errors
from __future__ import annotations

import os

for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # before NumPy is imported

import argparse
import pathlib

import numpy as np
from defaults import suite, task_of
from sklearn.model_selection import train_test_split

from skdnn import DNNBinaryClassifier, DNNClassifier

FORMS = ("none", "factor", "factor, intercepts")


def variants(X, y):
    """Yield the name of a group, and rows: as they are, and with fewer of the rarer of two."""
    if task_of(y) != "binary":
        yield "multiclass", lambda seed: (X, y)
        return
    yield "binary", lambda seed: (X, y)
    classes, counts = np.unique(y, return_counts=True)
    for share in (0.1, 0.05):
        n = int(share / (1 - share) * counts.max())
        if 20 <= n < counts.min():

            def rarer(seed, n=n):
                rare = np.flatnonzero(y == classes[np.argmin(counts)])
                drawn = np.random.default_rng(seed).choice(rare, n, replace=False)
                rows = np.sort(np.append(drawn, np.flatnonzero(y != y[rare[0]])))
                return X[rows], y[rows]

            yield f"binary, {share:.0%} rare", rarer


def measure(X, y, seed):
    """Return for each form its log loss, two ratios of the rarest class, and its error."""
    rows = {"train_size": min(4000, int(0.75 * len(y))), "test_size": min(4000, len(y) // 4)}
    X, X_test, y, y_test = train_test_split(X, y, random_state=seed, stratify=y, **rows)
    kind = DNNBinaryClassifier if task_of(y) == "binary" else DNNClassifier
    model = kind(random_state=seed).fit(X, y)
    factor, added = model.recipe_.calibration[0], np.array(model.recipe_.intercepts[0])
    labels, counts = np.searchsorted(model.classes_, y_test), np.unique(y, return_counts=True)[1]
    rare, found = np.argmin(counts), []
    for f, c in ((1 / factor, -added / factor), (1.0, -added), (1.0, 0.0)):
        log_p, log_p_test = (
            model._model.targets.log_probabilities(f * model._model.outputs(of) + c)
            for of in (X, X_test)
        )
        loss = -np.mean(log_p_test[np.arange(len(labels)), labels])
        p, is_rare = np.exp(log_p_test[:, rare]), labels == rare
        seen = np.exp(log_p[:, rare]).mean() * len(y) / counts[rare]
        ratio = p.mean() / max(is_rare.mean(), 1 / len(y_test))
        bins = np.array_split(np.argsort(p), 10)
        error = np.average(
            [abs(p[part].mean() - is_rare[part].mean()) for part in bins],
            weights=list(map(len, bins)),
        )
        found.append([loss, seen, ratio, abs(np.log(ratio)), error])
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path)
    parser.add_argument("--splits", type=int, default=3)
    args = parser.parse_args()
    groups = {}
    for _, X, y in suite(args.data):
        if task_of(y) == "regression":
            continue
        for group, rows in variants(X, y):
            runs = [measure(*rows(seed), seed) for seed in range(args.splits)]
            groups.setdefault(group, []).append(np.mean(runs, axis=0))
    print("| sets | calibration | log loss | lower on | seen | unseen | off by | error |")
    print("|---|---|---|---|---|---|---|---|")
    for group, sets in groups.items():
        table = np.array(sets)  # set, form, figure
        for i, form in enumerate(FORMS):
            loss = table[:, i, 0] / table[:, 1, 0]
            seen, ratio, off, error = table[:, i, 1:].mean(axis=0)
            print(
                f"| {group} ({len(sets)}) | {form} | {np.exp(np.mean(np.log(loss))):.3f}"
                f" | {np.mean(loss < 1):.0%} | {seen:.3f} | {ratio:.3f}"
                f" | {np.exp(off) - 1:.1%} | {error:.4f} |"
            )


if __name__ == "__main__":
    main()
