from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from typing import Any

import pytest

from dtmetrics import MemoryExporter, Stats
from dtmetrics._core.secret import Secret
from dtmetrics._deliver.cost import Cost, MetricCost
from dtmetrics._export.http import HttpExporter
from dtmetrics._runtime.runtime import Runtime
from dtmetrics._runtime.stats import ExporterStats
from dtmetrics.errors import ConfigError, ConflictError
from dtmetrics.exporters import Batch, ExportResult, Outcome
from tests.support.endpoint import PATIENCE, Endpoint
from tests.support.runtime_calls import Down, flusher_threads, inc, keys
from tests.support.thread_load import in_threads


def test_before_configure(runtime: Runtime) -> None:
    """Before configure() nothing is recorded, and every call returns normally."""
    inc(runtime)
    assert runtime.flush()
    assert runtime.stats() == Stats()
    assert runtime.shutdown()
    exporter = MemoryExporter()
    runtime.configure(exporter=exporter, interval=None)
    runtime.flush()
    assert exporter.lines == []


def test_configure_records(runtime: Runtime) -> None:
    """After configure() what is recorded is sent with the prefix and dimensions."""
    exporter = MemoryExporter()
    runtime.configure(
        exporter=exporter, interval=None, prefix="shop", dimensions={"region": "eu"}
    )
    inc(runtime)
    assert runtime.flush()
    (line,) = exporter.lines
    head = "shop.orders,dt.metrics.source=dtmetrics,region=eu count,delta=1 "
    assert line.startswith(head)


def test_second_configure_does_nothing(runtime: Runtime) -> None:
    """A second configure() changes nothing, and does not read its settings."""
    exporter = MemoryExporter()
    runtime.configure(exporter=exporter, interval=None)
    inc(runtime)
    runtime.configure(interval=-1, exporter=Down())
    assert runtime.flush()
    assert keys(exporter) == ["orders"]


def test_force_replaces(runtime: Runtime) -> None:
    """With force=True the running configuration sends what it has and is replaced.

    The counts go on: what the first exporter accepted is in the sums.
    """
    first, second = MemoryExporter(), MemoryExporter()
    runtime.configure(exporter=first)
    handle = runtime.meters.root.counter("orders")
    handle.inc()
    runtime.configure(exporter=second, force=True)
    assert keys(first) == ["orders"]
    stats = runtime.stats()
    assert (stats.collected, stats.accepted, stats.waiting) == (1, 1, 0)
    assert stats.exporters == {"MemoryExporter": ExporterStats()}
    handle.inc()
    assert runtime.flush()
    assert keys(second) == ["orders"]
    assert flusher_threads() == ["dtmetrics-flusher"]


def test_force_with_bad_settings(runtime: Runtime) -> None:
    """Invalid settings with force=True leave the running configuration in place."""
    exporter = MemoryExporter()
    runtime.configure(exporter=exporter, interval=None)
    with pytest.raises(ConfigError):
        runtime.configure(interval=-1, force=True)
    inc(runtime)
    assert runtime.flush()
    assert keys(exporter) == ["orders"]


def test_metadata_switched_off(runtime: Runtime) -> None:
    """With metadata=False no metadata is sent."""
    exporter = MemoryExporter()
    runtime.configure(exporter=exporter, interval=None, metadata=False)
    runtime.meters.root.counter("orders", unit="{order}").inc()
    assert runtime.flush()
    assert keys(exporter) == ["orders"]


def test_strict(runtime: Runtime) -> None:
    """Under strict=True configure() raises the first wrong definition and starts nothing."""
    runtime.meters.root.counter("orders")
    runtime.meters.root.gauge("orders")
    with pytest.raises(ConflictError):
        runtime.configure(exporter=MemoryExporter(), interval=None, strict=True)
    inc(runtime)
    assert runtime.stats() == Stats()


def test_none_means_default(runtime: Runtime) -> None:
    """None selects the default of every setting except interval."""
    runtime.configure(endpoint=None, token=None, exporter=None, dimensions=None)
    assert runtime.shutdown()


def test_empty_exporter(runtime: Runtime) -> None:
    """An exporter that is false as a bool is used all the same."""

    class Empty(MemoryExporter):
        def __len__(self) -> int:
            return 0

    exporter = Empty()
    runtime.configure(exporter=exporter, interval=None)
    inc(runtime)
    assert runtime.flush()
    assert keys(exporter) == ["orders"]


def test_thread_starts_with_the_first_record(runtime: Runtime) -> None:
    """The first record starts the thread; configure() and flush() do not."""
    runtime.configure(exporter=MemoryExporter())
    runtime.flush()
    assert flusher_threads() == []
    inc(runtime)
    assert flusher_threads() == ["dtmetrics-flusher"]
    assert runtime.shutdown()
    assert flusher_threads() == []


def test_stats_adds_up(runtime: Runtime) -> None:
    """Data points and invalid values are counted by what became of them."""

    class Half(MemoryExporter):
        def export(self, batch: Batch, timeout: float) -> ExportResult:
            return ExportResult(Outcome.ANSWERED, rejected=1)

    runtime.configure(exporter=Half(), interval=None, self_metrics=False)
    inc(runtime)
    inc(runtime, "sales")
    runtime.meters.root.counter("orders").inc("many")  # type: ignore[arg-type]
    assert runtime.flush()
    assert runtime.stats() == Stats(
        collected=2,
        accepted=1,
        rejected=1,
        dropped={},
        waiting=0,
        invalid={"not a number": 1},
        series=2,
        flushes=1,
        last_error="",
        exporters={"Half": ExporterStats(2, 1, 1, {}, 0)},
        cost=Cost(
            {"orders": MetricCost(1, 1.0), "sales": MetricCost(1, 1.0)}, 2, 2.0, 87_600
        ),
    )


def test_stats_are_not_shared(runtime: Runtime) -> None:
    """Changing a mapping of one Stats does not change the next one."""
    runtime.stats().dropped["x"] = 1  # type: ignore[index]
    assert runtime.stats().dropped == {}


def test_many_configure_at_once(runtime: Runtime) -> None:
    """If threads configure at once, one of them takes effect."""
    exporters = [MemoryExporter() for _ in range(8)]
    ready = threading.Barrier(8)

    def start(number: int) -> None:
        ready.wait(PATIENCE)
        runtime.configure(exporter=exporters[number], interval=None)

    in_threads(8, start)
    inc(runtime)
    assert runtime.flush()
    assert [keys(each) for each in exporters if each.lines] == [["orders"]]


def test_default_endpoint(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an endpoint it posts to the OneAgent on this host, without a token."""
    monkeypatch.setenv("DTMETRICS_TOKEN", "abc")
    made: list[tuple[Any, ...]] = []

    def init(
        self: HttpExporter, endpoint: str, token: Secret, *, local: bool, **_: Any
    ) -> None:
        made.append((endpoint, token.reveal(), local))

    monkeypatch.setattr(HttpExporter, "__init__", init)
    runtime.configure(interval=None)
    assert made == [("http://localhost:14499/metrics/ingest", "", True)]
    monkeypatch.undo()
    runtime._running = False


NEW_USER = """
    import dtmetrics
    dtmetrics.configure()
    dtmetrics.counter("orders").inc()
    input()
"""


@pytest.mark.processes
def test_first_value_arrives_within_seconds() -> None:
    """With default settings the first value of a program arrives after 5 s, not a minute."""
    with Endpoint() as endpoint:
        command = [sys.executable, "-c", textwrap.dedent(NEW_USER)]
        environ = {**os.environ, "DTMETRICS_ENDPOINT": endpoint.url}
        with subprocess.Popen(
            command, env=environ, stdin=subprocess.PIPE, stderr=subprocess.PIPE
        ) as program:
            started = time.monotonic()
            endpoint.wait_for_total("orders", 1)
            took = time.monotonic() - started
            _, errors = program.communicate(b"\n", PATIENCE)
    assert took < 20.0
    assert errors == b""
