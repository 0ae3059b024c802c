"""A cluster of two processes that the tests of this folder share."""

import os
import signal
from contextlib import suppress

import pytest
from distributed import Client, LocalCluster, Status

OPTIONS = {"threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": 50}


@pytest.fixture(scope="package")
def cluster():
    """Return a client of two workers; what is killed is started again."""
    cluster = LocalCluster(n_workers=2, **OPTIONS)
    with Client(cluster, set_as_default=False) as client:
        yield client
    with suppress(KeyError):  # its own, of a worker that was killed as it came: all are closed then
        cluster.close()
    cluster.status = Status.closed


@pytest.fixture
def client(cluster):
    """Return the client, with two workers that answer."""
    try:
        cluster.wait_for_workers(2, timeout=30)
    except TimeoutError:  # who is killed as it starts is not started again
        cluster.cluster.scale(0)
        cluster.cluster.scale(2)
        cluster.wait_for_workers(2, timeout=60)
    return cluster


@pytest.fixture
def kill(client):
    """Return what kills workers by their process ids, all of them or one."""

    def kill(n=None):
        for pid in list(client.run(os.getpid).values())[:n]:
            os.kill(pid, signal.SIGKILL)

    return kill
