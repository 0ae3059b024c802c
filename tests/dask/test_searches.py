"""Searches under joblib's backend of dask survive the death of a worker."""

import os
import signal
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, HalvingRandomSearchCV, cross_validate

from skdnn import DNNRegressor
from skdnn.dask import resilient
from tests.cases import UNCONVERGED
from tests.dask.cases import NUMBERS, X

pytestmark = UNCONVERGED
MODEL = DNNRegressor(hidden_layer_sizes=(6,), max_iter=3, random_state=0)


class DieOnce:
    """A scorer whose first call, of all processes, kills the one that it is called in."""

    def __init__(self, path):
        self.path = path

    def __call__(self, estimator, X, y):
        try:
            Path(self.path).touch(exist_ok=False)
        except FileExistsError:
            return r2_score(y, estimator.predict(X))
        os.kill(os.getpid(), signal.SIGKILL)


SEARCHES = {
    "grid": lambda scorer: GridSearchCV(MODEL, {"alpha": [0.0, 0.1]}, scoring=scorer, cv=3),
    "halving": lambda scorer: HalvingRandomSearchCV(
        MODEL, {"alpha": [0.0, 0.1]}, scoring=scorer, cv=3, random_state=0, min_resources=300
    ),
}


def results(name, scorer):
    if name == "cross_validate":
        return cross_validate(MODEL, X, NUMBERS, scoring=scorer, cv=4)["test_score"]
    return SEARCHES[name](scorer).fit(X, NUMBERS).cv_results_["mean_test_score"]


@pytest.mark.parametrize("name", [*SEARCHES, "cross_validate"])
def test_a_search_survives_the_death_of_a_worker(client, tmp_path, name):
    alive = tmp_path / "alive"
    alive.touch()
    scorer = DieOnce(str(tmp_path / "dead"))
    with joblib.parallel_config("dask", client=resilient(client)):
        survived = results(name, scorer)
    assert Path(scorer.path).exists()
    np.testing.assert_array_equal(survived, results(name, DieOnce(str(alive))))


def test_several_networks_are_found_by_workers_as_by_one_process(client):
    model = DNNRegressor(hidden_layer_sizes=(6,), max_iter=3, random_state=0, n_estimators=3)
    alone = model.fit(X, NUMBERS).predict(X)
    with joblib.parallel_config("dask", client=resilient(client)):
        together = model.set_params(n_jobs=-1).fit(X, NUMBERS).predict(X)
    np.testing.assert_array_equal(together, alone)


def test_what_is_scattered_has_a_lineage(client, kill):
    one, several = np.arange(3), [np.arange(4), np.arange(5)]
    scatter = resilient(client).scatter
    futures = [scatter(one), *scatter(several, broadcast=True, hash=False)]
    kill()
    for future, array in zip(futures, [one, *several], strict=True):
        np.testing.assert_array_equal(future.result(), array)
