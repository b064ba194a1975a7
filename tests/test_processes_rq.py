"""RQ loses nothing, whether its worker or its jobs call ``configure()``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.endpoint import PATIENCE, Endpoint, never
from tests.support.platforms import needs_signals
from tests.support.redis_server import RedisServer

rq = pytest.importorskip("rq")
redis = pytest.importorskip("redis")
pytestmark = [pytest.mark.processes, needs_signals]

CONFIGURE = "import dtmetrics; dtmetrics.configure(interval=3600.0)\n"
INSTRUMENT = "import dtmetrics.integrations.rq as rq; rq.instrument_rq()\n"
WORK = """
from dtmetrics import counter, timed
from dtmetrics.integrations.rq import instrument_rq

instrument_rq()
runs = counter("task.runs")

@timed("task.duration")
def work():
    runs.inc()
"""
RUN = [sys.executable, "-W", "ignore", "-m", "rq.cli"]


WORKERS = {
    "worker": ["worker"],
    "simple": ["worker", "-w", "rq.worker.SimpleWorker"],
    "pool": ["worker-pool", "-n", "2"],
    "spawn": ["worker", "-w", "rq.worker.SpawnWorker"],
}
#: How many jobs are run. In the jobs' module, each process imports the package. The
#: process that SpawnWorker starts imports RQ as well, and only the jobs.
CASES = {
    ("worker", "worker"): 30,
    ("worker", "jobs"): 15,
    ("simple", "worker"): 30,
    ("simple", "jobs"): 30,
    ("pool", "worker"): 30,
    ("pool", "jobs"): 15,
    ("spawn", "jobs"): 8,
}


def enqueue(server: RedisServer, count: int) -> Any:
    """Enqueue *count* jobs; return the queue."""
    queue = rq.Queue(connection=redis.Redis(port=server.port))
    for _ in range(count):
        queue.enqueue("work.work")
    return queue


def modules(place: Path, *, configured_by: str) -> list[str]:
    """Write the modules of a worker; return the options that name them."""
    in_jobs = configured_by == "jobs"
    (place / "work.py").write_text((CONFIGURE if in_jobs else "") + WORK)
    (place / "settings.py").write_text("" if in_jobs else CONFIGURE + INSTRUMENT)
    return ["-c", "settings", "-P", str(place)]


def burst(options: list[str], place: Path, **environ: str) -> None:
    """Run a worker until the queue is empty."""
    subprocess.run(
        [*RUN, *options, "--burst"],
        env={**os.environ, **environ},
        cwd=place,
        check=True,
        timeout=2 * PATIENCE,
    )


@pytest.mark.timeout(150)
@pytest.mark.parametrize(("kind", "configured_by"), CASES)
def test_burst(kind: str, configured_by: str, tmp_path: Path) -> None:
    """Each job of a worker that ends when the queue is empty counts once."""
    if kind == "spawn" and not hasattr(rq, "SpawnWorker"):
        pytest.skip("this RQ has no SpawnWorker")
    options = modules(tmp_path, configured_by=configured_by)
    jobs = CASES[kind, configured_by]
    with RedisServer() as server, Endpoint() as endpoint:
        queue = enqueue(server, jobs)
        options = [*WORKERS[kind], "-u", server.url, *options]
        burst(options, tmp_path, DTMETRICS_ENDPOINT=endpoint.url)
        assert queue.finished_job_registry.count == jobs
    for key in ("task.runs", "messaging.client.consumed.messages"):
        assert endpoint.total(key) == jobs
    if configured_by == "worker" and sys.platform == "linux":
        # The worker sends what the processes of its jobs have handed over.
        assert len(endpoint.requests) < jobs


@pytest.mark.timeout(150)
def test_mute_endpoint(tmp_path: Path) -> None:
    """After one job has waited for an endpoint in vain, the jobs after it do not wait."""
    options = modules(tmp_path, configured_by="jobs")
    with RedisServer() as server, Endpoint(otherwise=never()) as endpoint:
        queue = enqueue(server, 5)
        options = ["worker", "-u", server.url, *options]
        environ = {"DTMETRICS_ENDPOINT": endpoint.url, "TMPDIR": str(tmp_path)}
        burst(options, tmp_path, **environ)
        assert queue.finished_job_registry.count == 5
    assert len(endpoint.requests) == 1


@pytest.mark.timeout(150)
def test_killed_job(tmp_path: Path) -> None:
    """A job whose process is killed is counted by the worker, as a failure."""
    options = modules(tmp_path, configured_by="worker")
    kill = (
        "import os, signal\n\ndef work():\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    (tmp_path / "work.py").write_text(kill)
    with RedisServer() as server, Endpoint() as endpoint:
        queue = enqueue(server, 2)
        options = ["worker", "-u", server.url, *options]
        burst(options, tmp_path, DTMETRICS_ENDPOINT=endpoint.url)
        assert queue.failed_job_registry.count == 2
    assert endpoint.total("rq.task.failures") == 2
