"""A fit has one result, bit by bit: wherever its shards are, and whatever dies."""

import subprocess
import sys

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

from skdnn import Checkpoint
from skdnn.dask import DaskDNNClassifier, DaskDNNRegressor
from tests.cases import UNCONVERGED, Spy
from tests.dask.cases import CASES, LABELS, NUMBERS, X, cut, found, small

pytestmark = UNCONVERGED
VARIANTS = {
    "defaults": {},
    "dropout": {"dropout": 0.2, "batch_size": 100},
    "sgd": {"solver": "sgd", "weight_decay": 0.0, "early_stopping": False},
    "float64": {"precision": None, "scale_inputs": "robust"},
    "lbfgs": {"solver": "lbfgs", "max_iter": 8},
    "several": {"n_estimators": 2, "max_iter": 2},
    "three shards": {"n_shards": 3},
}


@pytest.mark.parametrize("params", VARIANTS.values(), ids=VARIANTS)
def test_shards_here_and_on_a_cluster_give_one_result(client, params):
    data = cut(X), cut(NUMBERS)
    here = small(DaskDNNRegressor, **params).fit(*data)
    there = small(DaskDNNRegressor, client=client, **params).fit(*data)
    assert found(there) == found(here)


def test_levels_told_by_means_on_a_cluster_are_those_here(client):
    table = pd.DataFrame(X, columns=list("abc")).assign(town=[f"t{i % 60}" for i in range(len(X))])
    data = [dd.from_pandas(part, npartitions=4) for part in (table, pd.Series(NUMBERS))]
    here, there = (small(DaskDNNRegressor, client=at).fit(*data) for at in (None, client))
    assert here._model.inputs.told
    assert found(there) == found(here)


def test_calibration_on_a_cluster_is_that_here(client):
    data, weights = (cut(X), cut(LABELS)), cut(1.0 + np.arange(len(X)) % 3)
    here, there = (
        small(DaskDNNClassifier, client=at, class_weight="balanced").fit(*data, weights)
        for at in (None, client)
    )
    assert here.recipe_.calibrate
    assert found(there) == found(here)
    assert there.score(*data, weights) == here.score(*data, weights)


@pytest.mark.parametrize(("solver", "n"), [("adam", 1), ("adam", None), ("lbfgs", 1)])
def test_the_death_of_workers_changes_nothing(client, kill, solver, n):
    data, deaths = (cut(X), cut(NUMBERS)), []

    def at_the_third_epoch(context):
        if context.task_name == "epoch" and context.task_id == 2:
            deaths.append(kill(n))
        return False

    model = small(DaskDNNRegressor, solver=solver, max_iter=6, client=client)
    model.set_callbacks(Spy(at_the_third_epoch)).fit(*data)
    assert len(deaths) == 1
    calm = small(DaskDNNRegressor, solver=solver, max_iter=6).fit(*data)
    assert found(model) == found(calm)


def test_a_worker_that_is_added_changes_nothing(client):
    data = cut(X), cut(NUMBERS)

    def at_the_second_epoch(context):
        if context.task_name == "epoch" and context.task_id == 1:
            client.cluster.scale(3)
            client.wait_for_workers(3, timeout=60)
        return False

    model = small(DaskDNNRegressor, client=client).set_callbacks(Spy(at_the_second_epoch))
    try:
        assert found(model.fit(*data)) == found(small(DaskDNNRegressor).fit(*data))
    finally:
        client.cluster.scale(2)


CLIENT_THAT_DIES = """
import os, signal
from distributed import Client
from skdnn import Checkpoint
from skdnn.dask import DaskDNNRegressor
from tests.cases import Spy
from tests.dask.cases import NUMBERS, X, cut, small

def at_the_third_epoch(context):
    if context.task_name == "epoch" and context.task_id == 2:
        os.kill(os.getpid(), signal.SIGKILL)

with Client({address!r}, set_as_default=False) as client:
    model = small(DaskDNNRegressor, client=client)
    model.set_callbacks(Checkpoint({path!r}, every=1), Spy(at_the_third_epoch))
    model.fit(cut(X), cut(NUMBERS))
"""


def test_a_checkpoint_survives_the_death_of_the_client(client, tmp_path):
    path = str(tmp_path / "fit")
    code = CLIENT_THAT_DIES.format(address=client.scheduler.address, path=path)
    dead = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert dead.returncode == -9, dead.stderr
    spy = Spy()
    model = small(DaskDNNRegressor, client=client)
    model.set_callbacks(Checkpoint(path, every=1), spy).fit(cut(X), cut(NUMBERS))
    assert ("end", "epoch", 0) in spy.events
    assert spy.events.count(("end", "epoch", 3)) == 0  # of four epochs two were left
    assert found(model) == found(small(DaskDNNRegressor).fit(cut(X), cut(NUMBERS)))


@pytest.mark.parametrize("name", CASES)
def test_one_shard_and_many_have_one_objective(name):
    Estimator, y = CASES[name]
    params = {"precision": None, "early_stopping": False, "solver": "lbfgs", "max_iter": 3}
    one, many = (
        small(Estimator, n_shards=n, **params).fit(cut(X), cut(y)).loss_curve_ for n in (1, 7)
    )
    np.testing.assert_allclose(many, one, rtol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_shards_have_the_objective_of_rows_in_memory(name):
    Estimator, y = CASES[name]
    params = {"solver": "lbfgs", "max_iter": 3}
    shards = small(Estimator, **params).fit(cut(X), cut(y))
    memory = small(Estimator, **params).to_local().fit(X, y)
    np.testing.assert_allclose(shards.loss_curve_, memory.loss_curve_, rtol=1e-9)
