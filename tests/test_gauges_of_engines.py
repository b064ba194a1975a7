"""The gauges of the workers of task engines."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.endpoint import Endpoint
from tests.support.engines import running
from tests.support.redis_server import RedisServer
from tests.support.script import python_path, run
from tests.support.worker_gauges import DEFINED, check_others, processes

pytestmark = [
    pytest.mark.processes,
    pytest.mark.timeout(120),
    pytest.mark.skipif(sys.platform == "win32", reason="its workers do not fork"),
]

# Two tasks run at once, because each ends when two have delivered. The broker is a
# directory, where the engine can use one.
CELERY = f"""
{DEFINED}
import time
from pathlib import Path
from celery import Celery
from dtmetrics import flush

if os.environ["WHERE"] == "before the fork":
    configure(interval=3_600.0)

options = {{"data_folder_in": "broker", "data_folder_out": "broker"}}
app = Celery("tasks", broker="filesystem://", broker_transport_options=options)

@app.task
def work():
    configure(interval=3_600.0)
    counter("tasks").inc()
    flush()
    Path(f"ran-{{os.getpid()}}").touch()
    end = time.monotonic() + 30
    while len(list(Path(".").glob("ran-*"))) < 2 and time.monotonic() < end:
        time.sleep(0.01)
"""

RQ = f"""
{DEFINED}
from dtmetrics import flush

configure(interval=3_600.0)

def work():
    counter("tasks").inc()
    assert flush()
"""


def environment(place: Path, url: str) -> dict[str, str]:
    """Return the variables of the programs, whose numbers are those of the test."""
    return {
        "DTMETRICS_ENDPOINT": url,
        "DTMETRICS_DIMENSIONS": f"place={place}",
        "PYTHONPATH": python_path(place),
    }


@pytest.mark.parametrize("where", ["before the fork", "in the task"])
def test_celery(where: str, tmp_path: Path) -> None:
    """Each process of Celery's pool has a number, wherever it is configured."""
    pytest.importorskip("celery")
    (tmp_path / "tasks.py").write_text(CELERY)
    (tmp_path / "broker").mkdir()
    command = ["-m", "celery", "--app=tasks", "worker", "--concurrency=2"]
    with Endpoint() as endpoint:
        environ = {**environment(tmp_path, endpoint.url), "WHERE": where}
        with running(command, tmp_path, **environ):
            environ["WHERE"] = "in the task"
            send = "import tasks; [tasks.work.delay() for _ in 'ab']"
            ended = run(send, cwd=tmp_path, **environ)
            assert ended.status == 0, ended.err
            endpoint.wait_for_total("tasks", 2)
        check_others(endpoint)
        assert processes(endpoint).keys() == {"0", "1"}


def test_rq(tmp_path: Path) -> None:
    """The process of each job takes over the number of the one before."""
    pytest.importorskip("rq")
    (tmp_path / "jobs.py").write_text(RQ)
    enqueue = (
        "import jobs, sys; from redis import Redis; from rq import Queue\n"
        "queue = Queue(connection=Redis.from_url(sys.argv[1]))\n"
        "[queue.enqueue(jobs.work) for _ in 'abc']"
    )
    with RedisServer() as redis, Endpoint() as endpoint:
        environ = environment(tmp_path, endpoint.url)
        ended = run(enqueue, redis.url, cwd=tmp_path, **environ)
        assert ended.status == 0, ended.err
        command = ["-m", "rq.cli", "worker", "--burst", f"--url={redis.url}"]
        with running(command, tmp_path, **environ):
            endpoint.wait_for_total("tasks", 3)
        check_others(endpoint)
        found = processes(endpoint)
    assert found.keys() == {"0"}
    assert len(found["0"]) == 3
