"""Processes of Dask lose nothing, however a worker ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.endpoint import PATIENCE, Endpoint
from tests.support.engines import running
from tests.support.platforms import needs_signals
from tests.support.script import python_path

pytest.importorskip("distributed")
pytestmark = [pytest.mark.processes, pytest.mark.timeout(150), needs_signals]

# A task writes down that it ran: Dask runs a task again whose result has gone with its
# worker.
TASKS = """
import threading
from pathlib import Path
from dtmetrics import configure, counter

configure(interval=3600.0)
runs = counter("task.runs")
here = Path(__file__).parent

def work(number):
    runs.inc()
    with open(here / "ran", "a") as file:
        file.write("x")
    return number

def hang(name):
    (here / name).write_text("")
    threading.Event().wait()
"""

PROGRAM = """
import os, signal, subprocess, sys
import tasks
from distributed import Client, LocalCluster
from dtmetrics.integrations.dask import instrument_dask

def run(client):
    client.gather(client.map(tasks.work, range(20), pure=False))

def scale_down(cluster, client):
    client.retire_workers(list(client.scheduler_info()["workers"])[:1])
    run(client)

def restart(cluster, client):
    client.restart()
    run(client)

def hang(cluster, client):
    # Dask kills the worker, because it does not end.
    os.mkfifo(tasks.here / "hangs")
    future = client.submit(tasks.hang, "hangs")
    (tasks.here / "hangs").read_text()

def nothing(cluster, client):
    pass

def terminate(cluster, client):
    command = "-m distributed.cli.dask_worker --nworkers 1 --nthreads 1 --preload tasks"
    nanny = subprocess.Popen(
        [sys.executable, *command.split(), "--dashboard-address", "127.0.0.1:0",
         "--nanny-port", "0", cluster.scheduler_address]
    )
    client.wait_for_workers(3)
    run(client)
    nanny.send_signal(signal.SIGTERM)
    assert nanny.wait(60) == 0

if __name__ == "__main__":
    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0"
    ) as cluster, Client(cluster) as client:
        instrument_dask(client)
        run(client)
        globals()[sys.argv[1]](cluster, client)
"""
ROUNDS = {"nothing": 1, "scale_down": 2, "restart": 2, "terminate": 2, "hang": 1}


@pytest.mark.parametrize("end", ROUNDS)
def test_workers(end: str, tmp_path: Path) -> None:
    """Each execution arrives once, from workers that close, restart, are killed or stopped."""
    (tmp_path / "tasks.py").write_text(TASKS)
    (tmp_path / "program.py").write_text(PROGRAM)
    with Endpoint() as endpoint:
        environ = {
            "DTMETRICS_ENDPOINT": endpoint.url,
            "PYTHONPATH": python_path(tmp_path),
        }
        with running(["program.py", end], tmp_path, **environ) as program:
            status = program.wait(2 * PATIENCE)
        assert status == 0, (tmp_path / "log").read_text()
        ran = len((tmp_path / "ran").read_text())
        assert ran >= 20 * ROUNDS[end]
        assert endpoint.total("task.runs") == ran
        assert endpoint.total("dask.worker.task.executions") == ran
