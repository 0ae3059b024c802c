"""Threads that fit, predict, pickle and set limits at once: each has what one alone would have."""

import pickle
import threading
import warnings
from collections import Counter

import numpy as np
from threadpoolctl import ThreadpoolController, threadpool_limits

from skdnn import DNNBinaryClassifier, DNNClassifier, DNNRegressor
from tests.cases import contents_of, differing
from tests.hard.estimators import answers
from tests.hard.tables import Draw

N_THREADS = 8


def models():
    """Return what the threads share: estimators that are fitted, and their rows."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 4))
    score = X @ [1.0, -2.0, 0.5, 0.0]
    params = {"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0}
    return [
        (DNNRegressor(**params).fit(X, score), X, score),
        (DNNBinaryClassifier(**params).fit(X, score > 0), X, score > 0),
        (DNNClassifier(**params, solver="lbfgs").fit(X, score > 0), X, score > 0),
        (DNNRegressor(**params, n_estimators=2).fit(X, score), X, score),
    ]


def work(draw, shared, expected, limits, counts, faults, ends):
    """Do one thing after the other until it `ends`."""
    while not ends():
        i = draw.between(0, len(shared) - 1)
        model, X, y = shared[i]
        what = draw.one(["fit", "predict", "pickle", *(["limit"] if limits else [])])
        try:
            if what == "limit":
                with threadpool_limits(draw.between(1, 2), user_api="blas"):
                    same = np.array_equal(answers(model, X), expected[i][0])
            elif what == "predict":
                same = np.array_equal(answers(model, X), expected[i][0])
            elif what == "pickle":
                again = pickle.loads(pickle.dumps(model))
                same = not differing(contents_of(again), expected[i][1])
            else:
                again = type(model)(**model.get_params()).fit(X, y)
                same = not differing(contents_of(again), expected[i][1])
        except Exception as error:
            faults.append(f"races: {what} of {model} gave {error!r}")
            continue
        if same:
            counts[f"races: {what}"] += 1
        else:
            faults.append(f"races: {what} of {model} differs from that of one thread")


def limits_now():
    return [(lib.filepath, lib.num_threads) for lib in ThreadpoolController().lib_controllers]


def search(seed, ends):
    """Race, first without limits of the user's own, which are to be as they were, then with."""
    counts: Counter = Counter()
    faults: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shared = models()
        expected = [(answers(model, X), contents_of(model)) for model, X, _ in shared]
        for limits in (False, True):
            before = limits_now()
            each = [Counter() for _ in range(N_THREADS)]
            rounds = [iter(range(50)) for _ in each]
            threads = [
                threading.Thread(
                    target=work,
                    args=(Draw(seed, k), shared, expected, limits, each[k], faults),
                    kwargs={"ends": _until(ends, rounds[k], limits)},
                )
                for k in range(N_THREADS)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            counts = sum(each, counts)
            if not limits and limits_now() != before:
                faults.append(f"races: the limits were {before} and are {limits_now()}")
    return counts, faults


def _until(ends, rounds, limits):
    """Return when a thread ends: the race without limits has so many rounds, or the time."""
    return (lambda: ends()) if limits else (lambda: ends() or next(rounds, None) is None)
