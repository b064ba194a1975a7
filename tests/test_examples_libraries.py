"""The programs in ``examples/libraries``, each run by the command on its page."""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from dtmetrics._process.groups import GROUPS
from dtmetrics.exporters import Outcome
from dtmetrics.integrations.asyncio import watch_event_loop
from dtmetrics.integrations.caches import instrument_cache
from dtmetrics.integrations.executors import instrument_executor
from dtmetrics.integrations.logging import MetricsHandler
from tests.support.endpoint import PATIENCE, Endpoint, accept, answer
from tests.support.engines import running
from tests.support.example_pages import ExamplePage, environment
from tests.support.protocol_grammar import lines_of
from tests.support.redis_server import RedisServer
from tests.support.script import run

#: The server that httpx_client.py and requests_client.py ask: two pages, and one missing.
ANSWERS = [answer(200, b"12"), answer(200, b"34"), answer(404, b"56")]

ASYNCIO = {"pages.fetched": 6}
JOB = {"import.rows": 4, "import.rows.bad": 1}
LIBRARY = {"shop.cache.hits": 2, "shop.cache.misses": 2}


def recorded(lines: list[str], key: str) -> dict[str, int | float]:
    """Return the number of values of the summary *key*, by ``error.type``."""
    return {
        line.dimensions.get("error.type", ""): line.numbers["count"]
        for line in lines_of(lines, key)
    }


@pytest.mark.parametrize(
    ("name", "totals"),
    [
        ("asyncio", ASYNCIO),
        ("batch-jobs", JOB),
        ("configuration-file", {"orders.placed": 3, "cache.hits": 3}),
        ("write-a-library", LIBRARY),
    ],
)
def test_program(name: str, totals: dict[str, int], tmp_path: Path) -> None:
    """The program ends silently, and what arrives is what its page lists."""
    page = ExamplePage(f"libraries/{name}")
    with Endpoint() as endpoint:
        done = page.run(endpoint, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    page.check(endpoint.lines)
    assert {key: endpoint.total(key) for key in totals} == totals


def test_percentiles(tmp_path: Path) -> None:
    """The estimates are those of the durations, and the counts are exact."""
    pytest.importorskip("fastdigest")
    page = ExamplePage("libraries/percentiles")
    with Endpoint() as endpoint:
        done = page.run(endpoint, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    page.check(endpoint.lines)
    numbers = {
        (line.key, line.dimensions.get("le")): line.numbers
        for line in lines_of(endpoint.lines)
    }
    assert numbers["checkout.duration.p50", None]["value"] == pytest.approx(0.25, 0.02)
    assert numbers["checkout.duration.p95", None]["value"] == pytest.approx(0.475, 0.02)
    assert numbers["checkout.duration.slo", "0.1"] == {"delta": 21}
    assert numbers["checkout.duration.slo", "0.5"] == {"delta": 101}
    assert numbers["checkout.active", None] == {
        "min": 0,
        "max": 1,
        "sum": 0,
        "count": 1,
    }


@pytest.mark.parametrize("name", ["httpx", "requests"])
def test_client(name: str, tmp_path: Path) -> None:
    """Each request of the program is recorded, and a missing page counts as an error."""
    pytest.importorskip(name)
    page = ExamplePage(f"libraries/{name}")
    with Endpoint(*ANSWERS) as server, Endpoint() as endpoint:
        done = page.run(endpoint, tmp_path, f"http://127.0.0.1:{server.port}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [each.target for each in server.requests] == ["/", "/?page=2", "/missing"]
    page.check(endpoint.lines)
    durations = recorded(endpoint.lines, "http.client.request.duration")
    assert durations == {"": 2, "404": 1}


def test_sqlalchemy(tmp_path: Path) -> None:
    """Each statement of the program is recorded, and so is its pool, at each run."""
    pytest.importorskip("sqlalchemy")
    page = ExamplePage("libraries/sqlalchemy")
    with Endpoint() as endpoint:
        page.run(endpoint, tmp_path)
        done = page.run(endpoint, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    page.check(
        endpoint.lines, missing={"dtmetrics.worker", "server.address", "server.port"}
    )
    operations = {
        line.dimensions["db.operation.name"]: line.dimensions
        for line in lines_of(endpoint.lines, "db.client.operation.duration")
    }
    assert operations.keys() == {"CREATE", "BATCH INSERT", "SELECT", "INSERT"}
    assert operations["INSERT"]["error.type"] == "sqlite3.IntegrityError"


@pytest.mark.processes
def test_celery(tmp_path: Path) -> None:
    """What the client and the worker of the page record arrives, each try once."""
    pytest.importorskip("celery")
    pytest.importorskip("redis")
    page = ExamplePage("libraries/celery")
    keys = {"celery.worker.active_tasks", "celery.worker.prefetched_tasks"}
    with Endpoint() as endpoint, RedisServer() as redis:
        broker = {"CELERY_BROKER_URL": redis.url, "CELERY_RESULT_BACKEND": redis.url}
        environ = {**environment(endpoint, **broker), "PYTHONPATH": str(page.folder)}
        with running(["-m", *page.command("celery")], tmp_path, **environ) as worker:
            done = page.run(endpoint, tmp_path, **broker)
            assert (done.returncode, done.stdout, done.stderr) == (0, "30\n", "")
            assert endpoint.wait_until(
                lambda: keys <= {line.partition(",")[0] for line in endpoint.lines}
            )
            os.kill(worker.pid, signal.SIGTERM)
            worker.wait(PATIENCE)
    page.check(endpoint.lines)
    tries = {"celery.task.retries": 2, "celery.task.failures": 1}
    messages = dict.fromkeys(("sent", "consumed"), 7)
    tries |= {f"messaging.client.{key}.messages": n for key, n in messages.items()}
    assert {key: endpoint.total(key) for key in tries} == tries
    ends = recorded(endpoint.lines, "messaging.process.duration")
    assert ends.keys() == {"", "ConnectionError"}


@pytest.mark.processes
def test_rq(tmp_path: Path) -> None:
    """What the client and the worker of the page record arrives, each try once."""
    pytest.importorskip("rq")
    page = ExamplePage("libraries/rq")
    with Endpoint() as endpoint, RedisServer() as redis:
        path = {"PYTHONPATH": str(page.folder)}
        client = page.run(endpoint, tmp_path, redis.url, **path)
        command = page.command("rq")[:-1]
        worker = subprocess.run(
            [
                sys.executable,
                "-W",
                "ignore",
                "-m",
                "rq.cli",
                *command[1:],
                redis.url,
                "--burst",
            ],
            cwd=tmp_path,
            env=environment(endpoint, **path),
            check=False,
            timeout=PATIENCE,
        )
    assert (client.returncode, client.stdout, client.stderr) == (0, "", "")
    assert worker.returncode == 0
    page.check(endpoint.lines)
    totals = {
        "messaging.client.sent.messages": 6,
        "messaging.client.consumed.messages": 6,
        "rq.task.retries": 2,
        "rq.task.failures": 1,
    }
    assert {key: endpoint.total(key) for key in totals} == totals
    ends = recorded(endpoint.lines, "messaging.process.duration")
    assert ends.keys() == {"", "ConnectionError"}


@pytest.mark.processes
def test_dask(tmp_path: Path) -> None:
    """Each task of the program is recorded, and all gauges of the cluster are sent."""
    pytest.importorskip("distributed")
    page = ExamplePage("libraries/dask")
    with Endpoint() as endpoint:
        done = page.run(endpoint, tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    page.check(endpoint.lines, missing={"error.type"})
    assert endpoint.total("dask.worker.task.executions") == 10


def test_runtime_metrics(tmp_path: Path) -> None:
    """What is observed is listed, but for what did not happen; the stack is logged."""
    page = ExamplePage("libraries/runtime-metrics")
    with Endpoint() as endpoint:
        done = page.run(endpoint, tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert "the event loop has been blocked for" in done.stderr
    assert "in blocking_job" in done.stderr
    listed, groups = page.arrives(), {row[1] for row in page.table("key")}
    lines = lines_of(endpoint.lines)
    for line in lines:
        found = line.dimensions.keys() - {"dt.metrics.source"}
        assert found == listed[line.key] - {"none"}, line
    absent = listed.keys() - {line.key for line in lines}
    if sys.platform == "linux":
        assert absent <= {f"cpython.gc.{name}" for name in MAY_BE_ABSENT}
    assert groups >= {*GROUPS}


#: What a short program may lack: nothing is sent of a counter that did not grow.
MAY_BE_ABSENT = (
    "collections",
    "collected_objects",
    "uncollectable_objects",
    "pause.duration",
)


def test_logging(tmp_path: Path) -> None:
    """Each record and each warning of the program is counted, and written as before."""
    page = ExamplePage("libraries/logging")
    with Endpoint() as endpoint:
        done = page.run(endpoint, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    page.check(endpoint.lines)
    counts = {
        (
            *map(each.dimensions.get, ("logger.name", "log.level", "warning.category")),
        ): (each.numbers["delta"])
        for each in lines_of(endpoint.lines)
        if each.dimensions.get("logger.name") != "dtmetrics"
    }
    assert counts == {
        ("shop.orders", "INFO", None): 3,
        ("shop.orders", "ERROR", None): 1,
        ("py.warnings", "WARNING", None): 1,
        (None, None, "DeprecationWarning"): 1,
    }
    assert "order 3 failed" in (tmp_path / "shop.log").read_text()


def test_executors_and_caches(tmp_path: Path) -> None:
    """Each task is recorded, one of them with its error, and each use of the cache."""
    page = ExamplePage("libraries/executors-and-caches")
    with Endpoint() as endpoint:
        done = page.run(endpoint, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    page.check(endpoint.lines)
    assert recorded(endpoint.lines, "executor.task.duration") == {
        "": 3,
        "ValueError": 1,
    }
    totals = [endpoint.total(f"cache.{name}") for name in ("hits", "misses")]
    assert totals == [1, 2]


@pytest.mark.parametrize(
    ("page", "function"),
    [
        ("runtime-metrics", watch_event_loop),
        ("logging", MetricsHandler),
        ("executors-and-caches", instrument_executor),
        ("executors-and-caches", instrument_cache),
    ],
)
def test_options_of_the_standard_library(page: str, function: Any) -> None:
    """The page lists each option of what measures a part of the standard library."""
    options = inspect.signature(function).parameters.keys() - {"executor", "cache"}
    assert ExamplePage(f"libraries/{page}").options() == options


@pytest.mark.parametrize(
    "name", ["celery", "dask", "httpx", "requests", "rq", "sqlalchemy"]
)
def test_options(name: str) -> None:
    """The page lists each option of the function that instruments the library."""
    pytest.importorskip({"dask": "distributed"}.get(name, name))
    module = import_module(f"dtmetrics.integrations.{name}")
    parameters = inspect.signature(getattr(module, f"instrument_{name}")).parameters
    taken = {
        each.name for each in parameters.values() if each.kind is each.KEYWORD_ONLY
    }
    assert ExamplePage(f"libraries/{name}").options() == taken


@pytest.mark.processes
def test_job_without_an_endpoint(tmp_path: Path) -> None:
    """A job prints how much it could not deliver, and with a spool its next run does."""
    page = ExamplePage("libraries/batch-jobs")
    spool = {"DTMETRICS_SPOOL": str(tmp_path / "spool")}
    with Endpoint(otherwise=answer(503)) as endpoint:
        first = page.run(endpoint, tmp_path, **spool)
        assert endpoint.lines == []
        endpoint._otherwise = accept()
        second = page.run(endpoint, tmp_path, **spool)
    assert (first.returncode, second.returncode) == (0, 0)
    assert "\n4 data points were not delivered\n" in first.stderr
    assert endpoint.total("import.rows") == 2 * 4


# -- an exporter of one's own ----------------------------------------------------------


def test_exporter(tmp_path: Path) -> None:
    """The exporter writes each line to its file once."""
    page = ExamplePage("libraries/own-exporter")
    with Endpoint() as endpoint:
        done = page.run(endpoint, tmp_path, "metrics.txt")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert endpoint.requests == []
    lines = (tmp_path / "metrics.txt").read_text().splitlines()
    page.check(lines)
    assert len(lines) == 2  # the counter, and its unit


FAILING = """
import runpy, sys
from pathlib import Path
from dtmetrics import flush

program, path = sys.argv = sys.argv[1:]
runpy.run_path(program)
print(flush(0.5))
Path(path).parent.mkdir()
print(flush())
"""


def test_exporter_without_a_directory(tmp_path: Path) -> None:
    """What the exporter cannot write waits, and is written once it can."""
    [program] = ExamplePage("libraries/own-exporter").programs
    path = tmp_path / "later" / "metrics.txt"
    ended = run(FAILING, program, path)
    assert (ended.status, ended.out) == (0, "False\nTrue\n")
    written = lines_of(path.read_text().splitlines())
    assert [line.numbers for line in written] == [{"delta": 3}]


def test_outcomes() -> None:
    """The page lists each outcome."""
    listed = {row[0] for row in ExamplePage("libraries/own-exporter").table("outcome")}
    assert listed == set(Outcome.__members__)
