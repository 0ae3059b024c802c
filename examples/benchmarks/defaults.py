"""What each default is worth: the defaults, and the defaults with one thing changed.

A figure is the geometric mean over the data sets of a task of the error (1 - R2, or 1 -
accuracy), the log loss or the processor time of a fit, divided by that of the defaults on
the same splits; the error has 0.001 added. The row "another seed" shows what chance does.

Run ``python examples/benchmarks/defaults.py`` for scikit-learn's bundled sets, and
``--data FOLDER`` for a folder of .npz files with X and y (float y: regression), or of .parquet
tables with a column "target", which are given as frames; of the peers boosting alone takes these,
a category of more than 255 levels behind scikit-learn's TargetEncoder.
``--only wider narrower`` takes some variants, ``--splits 4`` is the number of splits.
``--cost`` prints instead what a default fit does, and how long it takes, by rows;
``--peers`` how the defaults do against scikit-learn's MLP behind scalers and its gradient
boosting, on splits of their own, and against CatBoost's if that is installed; the others are
compared with scikit-learn's boosting too, as docs/error_against_time.py draws it.
"""

# mypy: ignore-errors
from __future__ import annotations

import os

for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # before NumPy is imported

import argparse
import pathlib
import time
import warnings
from functools import partial
from importlib import import_module

import numpy as np
from sklearn import datasets
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import KFold, train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, TargetEncoder

from skdnn import DNNBinaryClassifier, DNNClassifier, DNNRegressor, encodings
from skdnn.fit.recipe import batch_rows, n_epochs

try:
    import catboost
except ImportError:
    catboost = None

# A constant rate has not converged where a cosine has come to its end.
warnings.simplefilter("ignore", ConvergenceWarning)

SEED = "random_state"  # an offset to the split's number
EPOCHS = "max_iter"  # a multiple of the default's
BOOSTING = "HistGradientBoosting"
ENCODING = "encodings"  # constants of that module
VARIANTS = {
    "another seed": {SEED: 1000},
    "a refit no longer than the search": {EPOCHS: 1.0},
    "that, half the epochs": {EPOCHS: 0.5},
    "that, twice the epochs": {EPOCHS: 2.0},
    "float64": {"precision": None},
    "clipped scaling, no ramps": {"scale_inputs": "clipped"},
    "standard scaling": {"scale_inputs": "standard"},
    "robust scaling": {"scale_inputs": "robust"},
    "no scaling": {"scale_inputs": None},
    "16 ramps": {ENCODING: {"MOST_BINS": 16}},
    "6 ramps": {ENCODING: {"MOST_BINS": 6}},
    "a ramp for 32 rows": {ENCODING: {"ROWS_A_BIN": 32}},
    "ramps of height 1": {ENCODING: {"HEIGHT": 1.0}},
    "no knots in the tail": {ENCODING: {"LONG_TAIL": np.inf}},
    "means from 10 levels on": {ENCODING: {"MOST_HOT": 10}},
    "no means": {ENCODING: {"MOST_MEANS": 0}},
    "rare: a 250th": {ENCODING: {"RARE": 4e-3}},
    "rare: none": {ENCODING: {"RARE": 0.0}},
    "wider": {"hidden_layer_sizes": (128, 128)},
    "narrower": {"hidden_layer_sizes": (64, 64)},
    "one layer": {"hidden_layer_sizes": (256,)},
    "three layers": {"hidden_layer_sizes": (96, 96, 96)},
    "He's weights, biases 0": {"initializer": "he_normal"},
    "no layer rates": {"layer_rates": None, "learning_rate_init": 0.005},
    "rate 0.03": {"learning_rate_init": 0.03},
    "rate 0.08": {"learning_rate_init": 0.08},
    "constant rate": {"learning_rate": "constant"},
    "beta_2 0.999": {"beta_2": 0.999},
    "no average": {"average_decay": 0.0},
    "no decay": {"weight_decay": 0.0},
    "dropout 0.1": {"dropout": 0.1},
    "no refit": {"refit": False},
    "no held-out rows": {"early_stopping": False},
    "no calibration": {"calibrate": False},
    "labels as they are": {"label_smoothing": 0.0},
    "labels smoothed by 0.05 in the loss": {"label_smoothing": 0.05},
    "five networks": {"n_estimators": 5},
}


CONSTANTS = {
    name: getattr(encodings, name) for of in VARIANTS.values() for name in of.get(ENCODING, {})
}
ESTIMATORS = {
    "regression": DNNRegressor,
    "binary": DNNBinaryClassifier,
    "multiclass": DNNClassifier,
}


def suite(folder):
    """Yield name, X and y of every data set."""
    if folder is None:
        for name in ("diabetes", "breast_cancer", "wine", "digits"):
            yield name, *getattr(datasets, f"load_{name}")(return_X_y=True)
        return
    for file in sorted(folder.glob("*.npz")):
        with np.load(file) as stored:
            yield file.stem, stored["X"], stored["y"]
    for file in sorted(folder.glob("*.parquet")):
        X = import_module("pandas").read_parquet(file)
        y = X.pop("target")
        yield file.stem, X, y.to_numpy() if y.dtype.kind == "f" else y.astype(str).to_numpy(object)


def changed_estimator(task, n, seed, changed):
    """Return the estimator of a task for n rows with some defaults changed."""
    params = {**changed, SEED: seed + changed.get(SEED, 0)}
    for name, value in {**CONSTANTS, **params.pop(ENCODING, {})}.items():
        setattr(encodings, name, value)
    if EPOCHS in changed:
        params[EPOCHS] = max(1, round(changed[EPOCHS] * n_epochs(n)))
    return ESTIMATORS[task](**params)


def mlp(task, n, seed):
    """Return scikit-learn's network behind a scaler of the columns, and of the target."""
    network = MLPRegressor if task == "regression" else MLPClassifier
    model = make_pipeline(StandardScaler(), network(random_state=seed))
    if task == "regression":
        return TransformedTargetRegressor(model, transformer=StandardScaler())
    return model


def boosting(task, n, seed):
    """Return scikit-learn's gradient boosting."""
    if task == "regression":
        return HistGradientBoostingRegressor(random_state=seed)
    return HistGradientBoostingClassifier(random_state=seed)


def catboosting(task, n, seed):
    """Return CatBoost's, on one thread."""
    kind = catboost.CatBoostRegressor if task == "regression" else catboost.CatBoostClassifier
    return kind(random_seed=seed, thread_count=1, verbose=False, allow_writing_files=False)


def behind_encoder(make, X):
    """Return what makes an estimator that takes a table's categories of more than 255 levels."""
    wide = [c for c in getattr(X, "columns", ()) if X[c].dtype == "category"]
    wide = [c for c in wide if X[c].nunique() > 254]

    def made(task, n, seed):
        encoder = make_column_transformer(
            (TargetEncoder(cv=KFold(5, shuffle=True, random_state=seed)), wide),
            remainder="passthrough",
            verbose_feature_names_out=False,
        )
        return make_pipeline(encoder.set_output(transform="pandas"), make(task, n, seed))

    return made if wide else make


def measure(X, y, seed, make, stratified=False):
    """Return error, log loss (nan for regression) and seconds of one fit."""
    task = task_of(y)
    rows = {"train_size": min(4000, int(0.75 * len(y))), "test_size": min(4000, len(y) // 4)}
    strata = y if stratified and task != "regression" else None
    X, X_test, y, y_test = train_test_split(X, y, random_state=seed, stratify=strata, **rows)
    start = time.process_time()
    model = make(task, len(y), seed).fit(X, y)
    seconds = time.process_time() - start
    error = 1.0 - model.score(X_test, y_test)
    loss = np.nan
    if task != "regression":
        known = np.isin(y_test, model.classes_)
        proba = model.predict_proba(X_test[known])
        loss = log_loss(y_test[known], proba, labels=model.classes_)
    return np.array([error, loss, seconds])


def task_of(y):
    """Return "regression", "binary" or "multiclass"."""
    if y.dtype.kind == "f":
        return "regression"
    return "binary" if len(np.unique(y)) == 2 else "multiclass"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path)
    parser.add_argument("--only", nargs="*", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--splits", type=int, default=2)
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--peers", action="store_true")
    args = parser.parse_args()
    if args.cost:
        return cost()
    sets = list(suite(args.data))
    if args.peers:
        return peers(sets, range(args.splits))
    splits = range(100, 100 + args.splits)
    seen = {}
    measure(*sets[0][1:], 0, partial(changed_estimator, changed={}))  # the first pays for more
    print(f"{len(sets)} sets, {args.splits} splits\n")
    print(f"| change | {' | '.join(ESTIMATORS)} | time |\n|---|---|---|---|---|")
    for variant in ["none", *args.only]:
        ratios = {task: [] for task in ESTIMATORS}
        changed = VARIANTS.get(variant, {})
        make = partial(changed_estimator, changed=changed)
        for name, X, y in sets:
            if task_of(y) == "regression" and {"calibrate", "label_smoothing"} & set(changed):
                continue
            mean = mean_of([measure(X, y, seed, make) for seed in splits])
            ratios[task_of(y)].append(mean / seen.setdefault(name, mean))
        cells = [cell(rows) for rows in ratios.values()]
        time_ratio = geometric_mean([row for rows in ratios.values() for row in rows])[2]
        print(f"| {variant} | {' | '.join(cells)} | {time_ratio:.2f} |", flush=True)


def mean_of(runs):
    """Return the means over splits; an error of 0 must not make a ratio of 0."""
    return np.add(np.mean(runs, axis=0), (1e-3, 0.0, 0.0))


def peers(sets, splits):
    """Print the defaults, one network and five, divided by what else there is."""
    made = {"ours": {}, "ours, five networks": {"n_estimators": 5}}
    others = {"MLP, standardised": mlp, BOOSTING: boosting}
    if catboost is not None:
        others["CatBoost"] = catboosting
    makers = {name: partial(changed_estimator, changed=c) for name, c in made.items()} | others
    if any(hasattr(X, "columns") for _, X, _ in sets):  # MLPs do not take tables
        for name in {"MLP, standardised", "CatBoost"} & set(others):
            del makers[name], others[name]
    results = {name: {task: [] for task in ESTIMATORS} for name in makers}
    for _, X, y in sets:
        for name, make in makers.items():
            make = behind_encoder(make, X) if name == BOOSTING else make
            runs = [measure(X, y, seed, make, stratified=True) for seed in splits]
            results[name][task_of(y)].append(mean_of(runs))
    print(f"| {len(sets)} sets, {len(splits)} splits | {' | '.join(ESTIMATORS)} |")
    print("|---|---|---|---|")
    pairs = [(ours, theirs) for ours in made for theirs in others]
    pairs += [(name, BOOSTING) for name in others if name != BOOSTING]
    for one, other in pairs:
        cells = []
        for task in ESTIMATORS:
            ratios = np.array(results[one][task]) / results[other][task]
            ratios[:, 0] = np.clip(ratios[:, 0], 0.1, 10.0)
            cells.append(f"{cell(list(ratios))} in {geometric_mean(ratios)[2]:.2f} of the time")
        print(f"| {one} / {other} | {' | '.join(cells)} |")


def cost():
    """Print what a default fit does with Friedman's function of 20 columns and noise."""
    print("| rows | batch | epochs at most | best epoch | epochs of the refit | seconds |")
    print("|---|---|---|---|---|---|")
    DNNRegressor().fit(*datasets.make_friedman1(100))  # what only a first fit pays for
    for n in (63, 250, 1000, 4000, 16_000, 64_000, 256_000):
        X, y = datasets.make_friedman1(n, n_features=20, noise=1.0, random_state=0)
        start = time.process_time()
        model = DNNRegressor(random_state=0).fit(X, y)
        seconds = time.process_time() - start
        stops = model.validation_loss_curve_ is not None
        best, again = (model.best_n_iter_, model.n_iter_) if stops else ("", "")
        batch = batch_rows(n)
        print(f"| {n:,} | {batch} | {n_epochs(n)} | {best} | {again} | {seconds:.2f} |")


def geometric_mean(rows):
    """Return the means of the columns."""
    return np.exp(np.mean(np.log(rows), axis=0))


def cell(rows):
    """Return the ratio of the errors, and that of the log losses in brackets."""
    if not rows:
        return ""
    error, loss, _ = geometric_mean(rows)
    return f"{error:.3f}" + ("" if np.isnan(loss) else f" ({loss:.3f})")


if __name__ == "__main__":
    main()
