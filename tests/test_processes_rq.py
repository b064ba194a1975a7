"""RQ loses nothing, with nothing but ``configure()`` in the worker or in the jobs."""

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

JOBS = 30
CONFIGURE = "import dtmetrics; dtmetrics.configure(interval=3600.0)\n"
WORK = """
from dtmetrics import counter, timed

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
# The process that SpawnWorker starts imports the jobs alone.
CASES = [
    (kind, place)
    for kind in WORKERS
    for place in ("worker", "jobs")
    if (kind, place) != ("spawn", "worker")
]


def enqueue(server: RedisServer, count: int = JOBS) -> Any:
    """Enqueue *count* jobs; return the queue."""
    queue = rq.Queue(connection=redis.Redis(port=server.port))
    for _ in range(count):
        queue.enqueue("work.work")
    return queue


def modules(place: Path, *, configured_by: str) -> list[str]:
    """Write the modules of a worker; return the options that name them."""
    in_jobs = configured_by == "jobs"
    (place / "work.py").write_text((CONFIGURE if in_jobs else "") + WORK)
    (place / "settings.py").write_text("" if in_jobs else CONFIGURE)
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
    with RedisServer() as server, Endpoint() as endpoint:
        queue = enqueue(server)
        options = [*WORKERS[kind], "-u", server.url, *options]
        burst(options, tmp_path, DTMETRICS_ENDPOINT=endpoint.url)
        assert queue.finished_job_registry.count == JOBS
    assert endpoint.total("task.runs") == JOBS


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
