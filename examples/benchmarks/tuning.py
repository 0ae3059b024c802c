"""What searching parameters gains, and which of them matter.

Of each data set a split: at most 1,000 rows to train on, the rest, at most 4,000, to test. A
search draws configurations from a space, at random, judges each by a quarter of the training rows,
takes the best of the first 10, or of all 30, and fits it to all training rows. A figure is the
error on the test rows (1 - R2, or 1 - accuracy, plus 0.001) over that of the defaults; beside it
the same for scikit-learn's MLP, behind scalers, and gradient boosting, each over its own defaults
and over skdnn's. Which parameters matter: the share of the variance of the errors of a set's 30
configurations, by rank, that the values of one parameter explain, in thirds where it is a number.

Run ``python examples/benchmarks/tuning.py`` for scikit-learn's bundled sets, and ``--data FOLDER``
for a folder of .npz files as in ``defaults.py``, of which ``--only`` takes some.
"""

# mypy: ignore-errors
from __future__ import annotations

import os

for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # before NumPy is imported

import argparse
import pathlib
import warnings

import numpy as np
from defaults import ESTIMATORS, boosting, mlp, suite, task_of
from scipy.stats import loguniform, randint, rankdata
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import ParameterSampler, train_test_split

from skdnn import search_space

warnings.simplefilter("ignore", ConvergenceWarning)

OF_MLP = {
    "hidden_layer_sizes": [(50,), (100,), (200,), (50, 50), (100, 100), (200, 200)],
    "activation": ["relu", "tanh"],
    "alpha": loguniform(1e-5, 10.0),
    "learning_rate_init": loguniform(3e-4, 1e-2),
    "batch_size": [32, 64, 128, 200],
}
OF_BOOSTING = {
    "learning_rate": loguniform(0.01, 0.5),
    "max_leaf_nodes": randint(4, 64),
    "min_samples_leaf": randint(3, 60),
    "l2_regularization": loguniform(1e-6, 10.0),
    "max_iter": [50, 100, 200, 400],
}


def ours(task, n, seed):
    """Return the estimator of a task."""
    return ESTIMATORS[task](random_state=seed)


def prefix_of(model):
    """Return what stands before the parameters of the network or the trees."""
    names = [name for name in model.get_params() if name.endswith(("alpha", "max_leaf_nodes"))]
    return min(names, key=len).removesuffix("alpha").removesuffix("max_leaf_nodes")


def error(model, X, y, X_test, y_test):
    """Return the error of a fit; 2 where it fails."""
    try:
        return 1.001 - model.fit(X, y).score(X_test, y_test)
    except ValueError:
        return 2.0


def searched(make, space, X, y, X_test, y_test, n_trials=30):
    """Return the errors of the defaults, of the best of 10 and of 30, and the trials."""
    task = task_of(y)
    strata = None if task == "regression" else y
    parts = train_test_split(X, y, test_size=0.25, random_state=1, stratify=strata)
    X_fit, X_val, y_fit, y_val = parts
    model = make(task, len(y), 0)
    prefix = prefix_of(model)
    space = space or search_space(model)
    trials = list(ParameterSampler(space, n_trials, random_state=0))
    errors = []
    for trial in trials:
        one = make(task, len(y), 0).set_params(**{prefix + k: v for k, v in trial.items()})
        errors.append(error(one, X_fit, y_fit, X_val, y_val))
    found = [error(model, X, y, X_test, y_test)]
    for n in (10, n_trials):
        best = trials[int(np.argmin(errors[:n]))]
        one = make(task, len(y), 0).set_params(**{prefix + k: v for k, v in best.items()})
        found.append(error(one, X, y, X_test, y_test))
    return np.array(found), trials, errors


def shares(trials, errors):
    """Return how much of the variance of the errors' ranks each parameter explains."""
    ranks = rankdata(errors)
    told = {}
    for name in trials[0]:
        values = [trial[name] for trial in trials]
        if isinstance(values[0], float):
            of = np.digitize(values, np.quantile(values, [1 / 3, 2 / 3]))
        else:
            of = np.unique([str(v) for v in values], return_inverse=True)[1]
        between = sum(
            (of == k).sum() * (ranks[of == k].mean() - ranks.mean()) ** 2 for k in set(of)
        )
        total = np.sum((ranks - ranks.mean()) ** 2)
        # Less what groups of this number explain by chance.
        k, n = len(set(of)), len(ranks)
        told[name] = 1.0 - (1.0 - between / total) * (n - 1) / (n - k)
    return told


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path)
    parser.add_argument("--only", nargs="*")
    args = parser.parse_args()
    kinds = {"skdnn": (ours, None), "MLP": (mlp, OF_MLP), "boosting": (boosting, OF_BOOSTING)}
    logs, explained = {kind: [] for kind in kinds}, []
    print("| set | skdnn 10, 30 | MLP 0, 10, 30 | boosting 0, 10, 30 |\n|---|---|---|---|")
    for name, X, y in suite(args.data):
        if args.only and name not in args.only:
            continue
        rows = {"train_size": min(1000, int(0.75 * len(y))), "test_size": min(4000, len(y) // 4)}
        X, X_test, y, y_test = train_test_split(X, y, random_state=0, **rows)
        cells, base = [], None
        for kind, (make, space) in kinds.items():
            found, trials, errors = searched(make, space, X, y, X_test, y_test)
            base = found[0] if base is None else base
            if kind == "skdnn":
                explained.append(shares(trials, errors))
            logs[kind].append(np.log(found / base))
            cells.append(
                ", ".join(f"{v:.2f}" for v in (found / base)[1 if kind == "skdnn" else 0 :])
            )
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    means = {kind: np.exp(np.mean(log, axis=0)) for kind, log in logs.items()}
    print({kind: [round(float(v), 3) for v in mean] for kind, mean in means.items()})
    for name in explained[0]:
        print(f"{name}: {np.mean([of[name] for of in explained]):.2f}")


if __name__ == "__main__":
    main()
