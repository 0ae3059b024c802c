"""How near partial_fit over chunks comes to fit on the same rows.

    python examples/benchmarks/chunks.py [--rows 200000] [--passes 16]

A table like those of flights, made here: what is late at departure has a heavy tail, and what
is late on arrival follows from it, from the hour, the distance, the carrier and the place, with
a noise of 15 minutes. The rows come in 20 chunks, in 16 passes over them all, to estimators that
see one chunk at a time; `fit` has them all at once. Root mean squared errors on 50,000 other rows,
and processor seconds, on one thread.
"""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import argparse
import time
from functools import partial
from typing import Any

import numpy as np
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler

from skdnn import DNNRegressor

NOISE = 15.0


def flights(n, seed):
    """Return columns and delays of n flights: 6 numbers and 60 columns of 0 and 1."""
    rng, made = np.random.default_rng(seed), np.random.default_rng(0)
    late = np.where(rng.random(n) < 0.3, rng.lognormal(3.2, 1.2, n), rng.normal(-4.0, 4.0, n))
    hour, day = rng.integers(5, 24, n), rng.integers(1, 32, n)
    carrier, origin, month = rng.integers(0, 16, n), rng.integers(0, 3, n), rng.integers(0, 12, n)
    place = np.minimum(rng.geometric(0.08, n) - 1, 28)
    distance = made.uniform(100.0, 2500.0, 29)[place] + rng.normal(0.0, 20.0, n)
    slack = made.normal(0.0, 5.0, (16, 29))[carrier, place]
    season = made.normal(0.0, 4.0, (12, 3))[month, origin]
    caught_up = np.minimum(np.maximum(late, 0.0), 10.0 + distance / 200.0)
    delay = late - 0.5 * caught_up + slack + season * (hour / 12.0) - 6.0
    coded = [np.eye(k)[of] for k, of in ((16, carrier), (3, origin), (12, month), (29, place))]
    numbers = np.column_stack([late, hour, day, distance, 60.0 * hour, rng.random(n)])
    return np.hstack([numbers, *coded]), delay + rng.normal(0.0, NOISE, n)


def in_chunks(call, X, y, passes, chunks=20):
    """Call with every chunk, in as many passes."""
    for _ in range(passes):
        for part in np.array_split(np.arange(len(y)), chunks):
            call(X[part], y[part])


class Scaled:
    """An MLP behind a StandardScaler, both in part."""

    def __init__(self):
        self.scaler, self.mlp = StandardScaler(), MLPRegressor(random_state=0)

    def partial_fit(self, X, y):
        """Go on with some rows."""
        self.mlp.partial_fit(self.scaler.partial_fit(X).transform(X), y)

    def predict(self, X):
        """Predict."""
        return self.mlp.predict(self.scaler.transform(X))


def main():
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--passes", type=int, default=16)
    args = parser.parse_args()
    X, y = flights(args.rows, 1)
    X_test, y_test = flights(50_000, 2)
    rate: dict[str, Any] = dict(learning_rate="constant", learning_rate_init=0.005)
    standard = partial(DNNRegressor, scale_inputs="standard", random_state=0)
    clipped = partial(DNNRegressor, scale_inputs="clipped", random_state=0)
    estimators: dict[str, Any] = {
        "DNNRegressor().fit": DNNRegressor(random_state=0),
        "DNNRegressor().partial_fit": DNNRegressor(random_state=0),
        "batch_size=448, partial_fit": DNNRegressor(batch_size=448, random_state=0),
        "clipped, fit": clipped(),
        "clipped, partial_fit": clipped(),
        "standard, fit": standard(),
        "standard, partial_fit": standard(),
        "standard, partial_fit, constant 0.005": standard(**rate),
        "StandardScaler, MLPRegressor.partial_fit": Scaled(),
    }
    print(f"{args.rows} rows in 20 chunks, {args.passes} passes; noise alone {NOISE}")
    for words, model in estimators.items():
        start = time.process_time()
        if words.endswith("fit") and "partial" not in words:
            model.fit(X, y)
        else:
            in_chunks(model.partial_fit, X, y, args.passes)
        seconds = time.process_time() - start
        error = np.sqrt(np.mean((model.predict(X_test) - y_test) ** 2))
        print(f"{words:42}{error:8.2f}{seconds:8.1f} s", flush=True)


if __name__ == "__main__":
    main()
