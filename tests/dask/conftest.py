"""A cluster of two processes that the tests of this folder share."""

import os
import signal

import pytest
from distributed import Client, LocalCluster


@pytest.fixture(scope="package")
def client():
    """Return a client of two workers of one thread each; what is killed is started again."""
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture
def kill(client):
    """Return what kills workers by their process ids, all of them or one."""

    def kill(n=None):
        for pid in list(client.run(os.getpid).values())[:n]:
            os.kill(pid, signal.SIGKILL)

    client.wait_for_workers(2)
    yield kill
    client.wait_for_workers(2)
