"""Celery's default pool loses nothing, with nothing but ``configure()`` in the tasks."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.endpoint import Endpoint
from tests.support.engines import ran_tasks, running
from tests.support.platforms import needs_signals
from tests.support.script import run

pytest.importorskip("celery")
pytestmark = [pytest.mark.processes, needs_signals]

# A broker of files, so that no server is needed.
TASKS = """
from pathlib import Path
from celery import Celery
from dtmetrics import configure, counter, timed

here = Path(__file__).parent
app = Celery("tasks", broker="filesystem://")
app.conf.broker_transport_options = {
    "data_folder_in": str(here / "queue"),
    "data_folder_out": str(here / "queue"),
    "control_folder": str(here / "control"),
}
app.conf.worker_hijack_root_logger = False
app.conf.worker_prefetch_multiplier = 1
configure(interval=3600.0)
runs = counter("task.runs")

@app.task(name="work")
@timed("task.duration")
def work():
    runs.inc()
    with open(here / "ran", "w") as pipe:
        pipe.write("x")
"""
TIMES = 20


WORKER = ["worker", "-c", "2", "--without-gossip", "--without-mingle"]
CELERY = ["-m", "celery", "-A", "tasks"]
# Celery is imported after configure().
EARLY = """
import sys, dtmetrics
dtmetrics.configure(interval=3600.0)
import tasks
tasks.app.worker_main(sys.argv[1:])
"""
ENDS = {
    "warm": (signal.SIGTERM, False, CELERY, []),
    "cold": (signal.SIGQUIT, False, CELERY, []),
    "interrupt": (signal.SIGINT, False, CELERY, []),
    "group": (signal.SIGTERM, True, CELERY, []),
    "recycled": (signal.SIGTERM, False, CELERY, ["--max-tasks-per-child", "3"]),
    "autoscaled": (signal.SIGTERM, False, CELERY, ["--autoscale", "3,1"]),
    "configured first": (signal.SIGTERM, True, ["-c", EARLY], []),
}


@contextmanager
def after_all_tasks(
    arguments: list[str], place: Path, url: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker of the tasks, which are waiting then; begin when all have run."""
    (place / "queue").mkdir()
    (place / "tasks.py").write_text(TASKS, "utf-8")
    environ = {"DTMETRICS_ENDPOINT": url}
    send = f"import tasks\nfor _ in range({TIMES}): tasks.work.delay()"
    ended = run(send, cwd=place, **environ)
    assert ended.status == 0, ended.err
    with ran_tasks(place) as wait, running(arguments, place, **environ) as worker:
        wait(TIMES)
        yield worker


@pytest.mark.parametrize(
    ("signum", "group", "program", "options"), ENDS.values(), ids=ENDS
)
def test_prefork(
    signum: int, group: bool, program: list[str], options: list[str], tmp_path: Path
) -> None:
    """However the worker ends, each task counts once."""
    arguments = [*program, *WORKER, *options]
    with (
        Endpoint() as endpoint,
        after_all_tasks(arguments, tmp_path, endpoint.url) as worker,
    ):
        (os.killpg if group else os.kill)(worker.pid, signum)
        # Not for the end of the worker: a SIGTERM to the whole group lets it hang now
        # and then, without dtmetrics too.
        endpoint.wait_for_total("task.runs", TIMES)
