"""The integration of Celery in real workers of each pool, with a real Redis."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter as Tally
from collections.abc import Iterator
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.endpoint import PATIENCE, Endpoint
from tests.support.engines import ran_tasks, running
from tests.support.platforms import needs_signals
from tests.support.protocol_grammar import lines_of
from tests.support.redis_server import RedisServer
from tests.support.script import run

pytest.importorskip("celery")
pytest.importorskip("redis")
pytestmark = [pytest.mark.processes, needs_signals, pytest.mark.timeout(150)]

TASKS = """
import os, signal, time
from pathlib import Path
from celery import Celery, signals
from dtmetrics import configure
from dtmetrics.integrations.celery import instrument_celery

here = Path(__file__).parent
app = Celery("shop", broker=os.environ["REDIS"], backend=os.environ["REDIS"])
app.conf.update(worker_hijack_root_logger=False, worker_prefetch_multiplier=2)
app.conf.broker_connection_retry_on_startup = True
configure(interval=float(os.environ["INTERVAL"]))
instrument_celery(app)

@signals.task_postrun.connect  # after the receiver of instrument_celery()
def ran(**_):
    if (here / "ran").exists():
        with open(here / "ran", "w") as pipe:
            pipe.write("x")

@app.task(name="add")
def add(first, second):
    return first + second

@app.task(name="total")
def total(numbers):
    return sum(numbers)

@app.task(name="flaky", bind=True, max_retries=2)
def flaky(self):
    raise self.retry(exc=ConnectionError(), countdown=0)

@app.task(name="wait")
def wait():
    open(here / "goes_on").close()

@app.task(name="stuck", time_limit=1)
def stuck():
    time.sleep(60)

@app.task(name="killed")
def killed():
    os.kill(os.getpid(), signal.SIGKILL)
"""
SEND = """
import sys
from tasks import add, app, flaky, total
from celery import chord

results = [add.delay(1, n) for n in range(10)]
results += [chord([add.s(1, n) for n in range(3)])(total.s())]
failing = [flaky.delay() for _ in range(2)]
for each in results:
    each.get(timeout=40)
for each in failing:
    each.get(timeout=40, propagate=False)
"""
WORKER = [
    "-m",
    "celery",
    "-A",
    "tasks",
    "worker",
    "--without-gossip",
    "--without-mingle",
]
POOLS = {
    "prefork": ["-c", "2"],
    "prefork, recycled": ["-c", "2", "--max-tasks-per-child", "3"],
    "prefork, autoscaled": ["--autoscale", "3,1"],
    "threads": ["-P", "threads", "-c", "4"],
    "gevent": ["-P", "gevent", "-c", "10"],
    "eventlet": ["-P", "eventlet", "-c", "10"],
    "solo": ["-P", "solo"],
}


class Shop:
    """The program of the tasks, its Redis, and the endpoint that it sends to."""

    def __init__(self, place: Path, endpoint: Endpoint, redis: RedisServer) -> None:
        self._place = place
        self.endpoint = endpoint
        self._environ = {
            "DTMETRICS_ENDPOINT": endpoint.url,
            "INTERVAL": "3600",
            "REDIS": redis.url,
        }
        (place / "tasks.py").write_text(TASKS, "utf-8")

    def worker(
        self, *options: str, **environ: str
    ) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """Run a worker until the end of the block."""
        environ = {**self._environ, **environ}
        return running([*WORKER, *options], self._place, **environ)

    def client(self, source: str) -> None:
        """Run a program that sends tasks."""
        environ = {**self._environ, "PYTHONWARNINGS": "ignore"}
        ended = run(source, cwd=self._place, **environ)
        assert ended.status == 0, ended.err

    def counts(self, key: str, *names: str) -> Tally[str]:
        """Return the number of events of *key*, by the dimensions *names*."""
        found: Tally[str] = Tally()
        for line in lines_of(self.endpoint.lines, key):
            value = line.numbers.get("count", line.numbers.get("delta", 0))
            label = " ".join(line.dimensions.get(name, "-") for name in names)
            found[label] += int(value)
        return found


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """Return the program, whose servers run."""
    with Endpoint() as endpoint, RedisServer() as redis:
        yield Shop(tmp_path, endpoint, redis)


MESSAGES = {"add": 13, "total": 1, "flaky": 6}


@pytest.mark.parametrize("options", POOLS.values(), ids=POOLS)
def test_pools(options: list[str], shop: Shop) -> None:
    """In each pool every message, try, retry and failure counts once."""
    for name in {"eventlet", "gevent"} & {*options}:
        if find_spec(name) is None:  # the import of eventlet warns
            pytest.skip(f"{name} is not installed")
    with shop.worker(*options) as worker:
        shop.client(SEND)
        os.kill(worker.pid, signal.SIGTERM)
        worker.wait(PATIENCE)
    for key in (
        "messaging.client.sent.messages",
        "messaging.client.consumed.messages",
        "celery.task.wait.duration",
    ):
        assert shop.counts(key, "celery.task.name") == MESSAGES
    name, state, error = "celery.task.name", "celery.task.state", "error.type"
    assert shop.counts("messaging.process.duration", name, state, error) == {
        "add SUCCESS -": 13,
        "total SUCCESS -": 1,
        "flaky RETRY ConnectionError": 4,
        "flaky FAILURE ConnectionError": 2,
    }
    of_all = "messaging.system", "messaging.destination.name", name, error
    failing = "redis celery flaky ConnectionError"
    assert shop.counts("celery.task.retries", *of_all) == {failing: 4}
    assert shop.counts("celery.task.failures", *of_all) == {failing: 2}


@pytest.mark.parametrize(
    ("signum", "group"),
    [(signal.SIGQUIT, False), (signal.SIGINT, False), (signal.SIGTERM, True)],
    ids=["cold", "interrupt", "group"],
)
def test_ends(signum: int, group: bool, shop: Shop, tmp_path: Path) -> None:
    """However a worker ends, nothing of the tasks that have ended is missing."""

    def complete() -> bool:
        keys = "messaging.client.consumed.messages", "messaging.process.duration"
        return all(shop.counts(key).total() == 20 for key in keys)

    with ran_tasks(tmp_path) as wait, shop.worker("-c", "2") as worker:
        shop.client("from tasks import add\nfor n in range(20): add.delay(1, n)")
        wait(20)
        (os.killpg if group else os.kill)(worker.pid, signum)
        assert shop.endpoint.wait_until(complete)


def test_tasks_that_are_killed(shop: Shop) -> None:
    """A task whose process a limit or a signal ends is one failure of that type."""
    expected = {
        "killed billiard.exceptions.WorkerLostError": 1,
        "stuck billiard.exceptions.TimeLimitExceeded": 1,
    }
    with shop.worker("-c", "1") as worker:
        shop.client(
            "from tasks import killed, stuck\n"
            "for task in (killed, stuck):\n"
            "    task.delay().get(timeout=40, propagate=False)"
        )
        os.kill(worker.pid, signal.SIGTERM)
        worker.wait(PATIENCE)
    names = "celery.task.name", "error.type"
    assert shop.counts("celery.task.failures", *names) == expected


def test_gauges(shop: Shop, tmp_path: Path) -> None:
    """The main process of a worker shows the tasks that run and those that wait."""
    os.mkfifo(tmp_path / "goes_on")

    def shown() -> set[str]:
        return {
            " ".join([line.key.rpartition(".")[2], *map(str, line.numbers.values())])
            for line in lines_of(shop.endpoint.lines)
            if line.key.startswith("celery.worker.")
        }

    options = "-c", "1", "--prefetch-multiplier", "3", "--hostname", "mail@here"
    with shop.worker(*options, INTERVAL="0.1"):
        shop.client("from tasks import wait\nfor _ in range(3): wait.delay()")
        full = {"active_tasks 1", "prefetched_tasks 2"}
        assert shop.endpoint.wait_until(lambda: full <= shown())
        pipe = os.open(tmp_path / "goes_on", os.O_RDWR)
        try:
            empty = {"active_tasks 0", "prefetched_tasks 0"}
            assert shop.endpoint.wait_until(lambda: empty <= shown())
        finally:
            os.close(pipe)
    assert {
        tuple(sorted(line.dimensions.items()))
        for line in lines_of(shop.endpoint.lines)
        if line.key.startswith("celery.worker.")
    } == {(("celery.worker.name", "mail@here"), ("dt.metrics.source", "dtmetrics"))}
