"""The defaults on hundreds of tables that nobody chose: beside boosting, an MLP and a linear model.

Every CSV file below ``--data FOLDER`` with 150 to 30,000 rows and 4 to 200 columns is a task, and
so are the some 600 of R's packages that the package pydataset brings with it, as
``tar -xzf resources.tar.gz`` in its folder unpacks them. What is predicted is the last column that
can be, or with ``--first`` the first one: a number of more than 10 values, or 2 to 10 values that
have 10 rows each. Text of as many values as half of the rows is left out, and of more than 10,000
rows these are drawn. A quarter of the rows is predicted.

A figure is the geometric mean over the tables of the ratio of errors (RMSE with a hundredth of the
target's deviation added, share of wrong rows with 0.005 added), of log losses (0.01 added), and of
processor times. ``--seed`` is that of the split. skdnn is given the frame as it is, its warnings as
errors; boosting has categories by type, the others have them one-hot, and means for gaps.
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

import numpy as np
import pandas as pd
from pandas.api.types import is_integer_dtype, is_numeric_dtype
from sklearn.compose import (
    TransformedTargetRegressor,
    make_column_selector,
    make_column_transformer,
)
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skdnn import DNNBinaryClassifier, DNNClassifier, DNNRegressor

OURS = {"regression": DNNRegressor, "binary": DNNBinaryClassifier, "multiclass": DNNClassifier}
SIZES = [(0, 400), (400, 1500), (1500, 30_000)]  # of training rows, from and below


def tables(folder, first):
    """Yield the tables: a name, the task, X and y."""
    seen = set()
    for path in sorted(pathlib.Path(folder).rglob("*.csv*")):
        try:
            table = pd.read_csv(path, low_memory=False)
        except (ValueError, UnicodeDecodeError):
            continue
        table = table[[name for name in table if not name.startswith("Unnamed")]]
        about = (*table.columns, len(table))
        if not 150 <= len(table) <= 30_000 or not 4 <= table.shape[1] <= 200 or about in seen:
            continue
        seen.add(about)
        table = table.loc[:, table.nunique() > 1]
        columns = list(table.columns)
        found = ((name, task_of(table[name])) for name in (columns if first else columns[::-1]))
        target, task = next(((name, task) for name, task in found if task), (None, None))
        if task is None:
            continue
        table = table[table[target].notna()]
        table = table.sample(min(len(table), 10_000), random_state=0)
        X = table.drop(columns=target)
        text = [name for name in X if not is_numeric_dtype(X[name])]
        X = X.drop(columns=[name for name in text if X[name].nunique() > 0.5 * len(X)])
        X = X.loc[:, X.nunique() > 1]
        X = X.astype({name: "category" for name in X if not is_numeric_dtype(X[name])})
        if X.shape[1]:
            y = table[target].to_numpy(float) if task == "regression" else table[target].astype(str)
            yield path.stem, task, X, np.asarray(y)


def task_of(column):
    """Return what to predict a column is, or None."""
    y = column.dropna()
    n = y.nunique()
    if len(y) < 150 or 2 > n:
        return None
    if is_numeric_dtype(y) and y.dtype != bool and n > 10:
        return None if is_integer_dtype(y) and n == len(y) else "regression"  # or an index
    if n > 10 or y.value_counts().min() < 10:
        return None
    return "binary" if n == 2 else "multiclass"


def boosting(task, X):
    make = HistGradientBoostingRegressor if task == "regression" else HistGradientBoostingClassifier
    return make(random_state=0, categorical_features="from_dtype")


def behind(task, X, regressor, classifier):
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    levels = OneHotEncoder(
        handle_unknown="infrequent_if_exist", min_frequency=3, sparse_output=False
    )
    of = make_column_selector
    encoded = make_column_transformer(
        (numbers, of(dtype_include="number")), (levels, of(dtype_exclude="number"))
    )
    return make_pipeline(encoded, regressor if task == "regression" else classifier)


def mlp(task, X):
    scaled = TransformedTargetRegressor(MLPRegressor(random_state=0), transformer=StandardScaler())
    return behind(task, X, scaled, MLPClassifier(random_state=0))


def linear(task, X):
    return behind(task, X, RidgeCV(np.logspace(-3, 3, 13)), LogisticRegression(max_iter=2000))


PEERS = {"boosting": boosting, "MLP": mlp, "linear": linear}


def measured(model, task, X, y, parts):
    """Return the error, the log loss and the processor time of a fit."""
    train, test = parts
    begin = time.process_time()
    model.fit(X.iloc[train], y[train])
    seconds = time.process_time() - begin
    if task == "regression":
        error = np.sqrt(np.mean((model.predict(X.iloc[test]) - y[test]) ** 2))
        return error + 0.01 * np.std(y[test]), np.nan, seconds
    P = model.predict_proba(X.iloc[test])
    wrong = np.mean(model.classes_[P.argmax(axis=1)] != y[test])
    return wrong + 0.005, log_loss(y[test], P, labels=model.classes_) + 0.01, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--first", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rows = []
    for name, task, X, y in tables(args.data, args.first):
        strata = None if task == "regression" else y
        parts = train_test_split(
            np.arange(len(y)), test_size=0.25, random_state=args.seed, stratify=strata
        )
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            ours = measured(OURS[task](random_state=0), task, X, y, parts)
        for peer, make in PEERS.items():
            coded = X
            if peer == "boosting":  # which takes 255 levels
                many = [c for c in X if X[c].dtype == "category" and X[c].nunique() > 250]
                coded = X.assign(**{c: X[c].cat.codes for c in many})
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                theirs = measured(make(task, X), task, coded, y, parts)
            ratios = np.divide(ours, theirs)
            rows.append((name, task, peer, len(parts[0]), *ratios))
    names = ["table", "task", "peer", "n", "error", "log loss", "time"]
    print_means(pd.DataFrame(rows, columns=names))


def print_means(found):
    """Print the geometric means, by task and peer, and by the number of rows."""
    sizes = [f"below {high:,} rows" for _, high in SIZES]
    print("| | tables", "error", "lower in", "log loss", "time", *sizes, "", sep=" | ")
    print("|---" * (6 + len(sizes)) + "|")
    for (task, peer), of in found.groupby(["task", "peer"], sort=False):
        mean = np.exp(np.log(of[["error", "log loss", "time"]]).mean())
        by_size = [of["error"][of["n"].between(low, high - 1)] for low, high in SIZES]
        cells = [f"{np.exp(np.log(part).mean()):.2f} ({len(part)})" for part in by_size]
        loss = "" if task == "regression" else f"{mean['log loss']:.2f}"
        wins = f"{(of['error'] < 1).mean():.0%}"
        head = [f"| {task}, {peer}", len(of), f"{mean['error']:.2f}", wins, loss]
        print(*head, f"{mean['time']:.2f}", *cells, "", sep=" | ")


if __name__ == "__main__":
    main()
