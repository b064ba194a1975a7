"""Several exporters: each has an outbox, an account, a backoff and a thread."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dtmetrics import MemoryExporter
from dtmetrics._core.secret import Secret
from dtmetrics._runtime.runtime import Runtime
from dtmetrics._runtime.stats import Stats
from dtmetrics.exporters import (
    Batch,
    DynatraceExporter,
    ExportResult,
    LineMessage,
    Outcome,
)
from tests.support.endpoint import PATIENCE, Endpoint, answer, never
from tests.support.runtime_calls import Down, Stuck, inc, keys
from tests.support.script import expect, run

SETTINGS: dict[str, Any] = {
    "interval": None,
    "enrich": False,
    "metadata": False,
    "self_metrics": False,
}


class Signalling(MemoryExporter):
    """An exporter that sets an event once it has exported."""

    def __init__(self) -> None:
        super().__init__()
        self.exported = threading.Event()

    def export(self, batch: Batch, timeout: float) -> ExportResult:
        result = super().export(batch, timeout)
        self.exported.set()
        return result


def adds_up(stats: Any) -> bool:
    """Return whether an account adds up."""
    done = stats.accepted + stats.rejected + sum(stats.dropped.values())
    return bool(stats.collected == done + stats.waiting)


def test_each_gets_everything(runtime: Runtime) -> None:
    """Each exporter gets every point; stats() has the sum, and the counts of each."""
    first, second = MemoryExporter(), MemoryExporter()
    runtime.configure(exporters=[first, second, Down()], **SETTINGS)
    inc(runtime)
    assert not runtime.flush()
    assert keys(first) == keys(second) == ["orders"]
    stats = runtime.stats()
    assert stats[:5] == (3, 2, 0, {}, 1)
    assert stats.last_error == "status 503"
    assert {name: each[:5] for name, each in stats.exporters.items()} == {
        "MemoryExporter": (1, 1, 0, {}, 0),
        "MemoryExporter-2": (1, 1, 0, {}, 0),
        "Down": (1, 0, 0, {}, 1),
    }
    assert stats.exporters["Down"].last_error == "status 503"
    assert not runtime.shutdown()


def test_slow_one_delays_no_flush(runtime: Runtime) -> None:
    """flush() delivers to the others at once, and is False if one takes too long."""
    stuck, other = Stuck(), Signalling()
    runtime.configure(exporters=[stuck, other], **SETTINGS)
    inc(runtime)
    flushed: list[bool] = []
    flushing = threading.Thread(target=lambda: flushed.append(runtime.flush(0.5)))
    flushing.start()
    assert stuck.entered.wait(PATIENCE)
    assert other.exported.wait(PATIENCE)
    flushing.join()
    assert flushed == [False]
    stats = runtime.stats()
    assert stats.exporters["Signalling"].accepted == 1
    assert stats.exporters["Stuck"].waiting == 1
    stuck.release.set()
    assert runtime.flush()
    assert runtime.stats()[:5] == (2, 2, 0, {}, 0)


def test_slow_one_delays_no_interval(runtime: Runtime) -> None:
    """While one hangs, points are collected and delivered to the other on time."""
    stuck, other = Stuck(), Signalling()
    runtime.configure(exporters=[stuck, other], **{**SETTINGS, "interval": 0.02})
    inc(runtime)
    assert stuck.entered.wait(PATIENCE)
    for _ in range(3):
        other.exported.clear()
        inc(runtime)
        assert other.exported.wait(PATIENCE)
    assert stuck.lines == []
    stuck.release.set()
    assert runtime.shutdown()
    assert len(stuck.lines) == len(other.lines)
    assert adds_up(runtime.stats())


def test_backoff_of_its_own(runtime: Runtime) -> None:
    """An exporter that has to wait leaves the other one its pace."""
    down, other = Down(), MemoryExporter()
    runtime.configure(exporters=[down, other], **SETTINGS)
    for _ in range(3):
        inc(runtime)
        assert not runtime.flush()
    delivery = runtime._delivery
    assert delivery is not None
    waiting = [each.sender.backoff.retry_at for each in delivery.destinations]
    assert waiting[0] > 0
    assert waiting[1] == 0
    assert len(other.lines) == 3


def test_shutdown(runtime: Runtime) -> None:
    """shutdown() delivers to each within the time, and ends all threads."""
    stuck, other = Stuck(), MemoryExporter()
    runtime.configure(exporters=[stuck, other], **{**SETTINGS, "interval": 3_600.0})
    inc(runtime)
    begun = time.monotonic()
    assert not runtime.shutdown(0.3)
    assert time.monotonic() - begun < 5
    assert keys(other) == ["orders"]
    stuck.release.set()
    for thread in threading.enumerate():
        if thread.name.startswith("dtmetrics"):
            thread.join(PATIENCE)
    assert keys(stuck) == ["orders"]


def test_error_in_a_thread(runtime: Runtime, expects_errors: None) -> None:
    """An exporter that raises an exit ends no thread, and is named."""

    class Exits(MemoryExporter):
        def export(self, batch: Batch, timeout: float) -> ExportResult:
            raise SystemExit(3)

    exits, other = Exits(), Signalling()
    runtime.configure(exporters=[exits, other], **{**SETTINGS, "interval": 0.02})
    for _ in range(3):
        other.exported.clear()
        inc(runtime)
        assert other.exported.wait(PATIENCE)
    assert not runtime.flush()
    assert "SystemExit" in runtime.stats().exporters["Exits"].last_error
    runtime.shutdown(0.1)


def test_no_quarantine(runtime: Runtime) -> None:
    """One endpoint that rejects an instrument does not end it for the others."""

    class Rejects(MemoryExporter):
        def export(self, batch: Batch, timeout: float) -> ExportResult:
            return ExportResult(
                Outcome.ANSWERED, 1, rejected_lines=[LineMessage(0, "no")]
            )

    other = MemoryExporter()
    runtime.configure(exporters=[Rejects(), other], **SETTINGS)
    for _ in range(8):
        inc(runtime)
        runtime.flush()
    assert len(other.lines) == 8
    runtime.configure(exporter=Rejects(), force=True, **SETTINGS)
    for _ in range(8):
        inc(runtime)
        runtime.flush()
    assert runtime.stats().quarantined == {"orders": "no"}


def test_two_endpoints(runtime: Runtime) -> None:
    """Two environments get the points, each with its token; a dead one delays neither."""
    with Endpoint() as first, Endpoint(otherwise=never()) as dead, Endpoint() as third:
        runtime.configure(
            exporters=[
                DynatraceExporter(endpoint=each.url, token=f"token-{number}")
                for number, each in enumerate([first, dead, third])
            ],
            **SETTINGS,
        )
        inc(runtime)
        assert not runtime.flush(0.3)
        for number, each in ((0, first), (2, third)):
            (request,) = each.requests
            assert request.headers["authorization"] == f"Api-Token token-{number}"
            assert each.total("orders") == 1
        stats = runtime.stats()
        hosts = [f"127.0.0.1:{each.port}" for each in (first, dead, third)]
        assert list(stats.exporters) == hosts
        assert stats.exporters[hosts[1]].waiting == 1
        runtime.shutdown(0.1)


def test_metadata(runtime: Runtime) -> None:
    """Each exporter gets the metadata, also one that is added later."""
    first, second = MemoryExporter(), MemoryExporter()
    settings = {**SETTINGS, "metadata": True}
    counter = runtime.meters.root.counter("orders", unit="{order}")
    runtime.configure(exporter=first, **settings)
    counter.inc()
    runtime.flush()
    runtime.configure(exporters=[first, second], force=True, **settings)
    counter.inc()
    runtime.flush()
    for exporter in (first, second):
        assert any(line.startswith("#orders count") for line in exporter.lines)


def test_one_goes_another_comes(runtime: Runtime) -> None:
    """With force, what waits for an exporter that stays goes on waiting for it alone."""
    stays, goes, comes = Down(), MemoryExporter(), MemoryExporter()
    runtime.configure(exporters=[goes, stays], **SETTINGS)
    inc(runtime)
    runtime.flush()
    runtime.configure(exporters=[stays, comes], force=True, **SETTINGS)
    inc(runtime)
    runtime.flush()
    assert (keys(goes), keys(comes)) == (["orders"], ["orders"])
    stats = runtime.stats()
    assert stats.exporters["Down"][:5] == (2, 0, 0, {}, 2)
    assert stats[:5] == (4, 2, 0, {}, 2)
    runtime.configure(exporter=stays, force=True, **SETTINGS)
    assert runtime.stats().exporters["Down"].waiting == 2
    runtime.shutdown(0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the spool needs flock()")
def test_spool(runtime: Runtime, tmp_path: Path) -> None:
    """The spool stores what waits for an endpoint, and nothing for other exporters."""
    with Endpoint(otherwise=answer(503)) as endpoint:
        exporter = DynatraceExporter(endpoint=endpoint.url)
        runtime.configure(exporters=[Down(), exporter], spool=tmp_path, **SETTINGS)
        inc(runtime)
        assert not runtime.flush(1.0)
        spools = [each.spool for each in runtime.stats().exporters.values()]
        assert spools[0] == {}
        assert spools[1]["batches"] == runtime.stats().spool["batches"] == 1
        runtime.shutdown(0)


FORKS = """
import os, sys, threading
from dtmetrics import MemoryExporter, configure, counter, flush, shutdown, stats

first, second = MemoryExporter(), MemoryExporter()
configure(exporters=[first, second], interval=0.02, enrich=False, self_metrics=False)
orders = counter("orders")
orders.inc(5)
stop = threading.Event()
flushing = threading.Thread(target=lambda: [flush() for _ in iter(stop.is_set, True)])
flushing.start()
for _ in range(20):
    orders.inc()
    child = os.fork()
    if not child:
        orders.inc(7)
        done = shutdown()
        totals = [
            sum(float(l.partition("delta=")[2].split(" ")[0]) for l in each.lines)
            for each in (first, second)
        ]
        each = [e[:5] for e in stats().exporters.values()]
        good = done and totals == [7.0, 7.0] and stats()[0] == 2 * each[0][0]
        os._exit(0 if good else 1)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
flushing.join()
assert shutdown()
print([
    sum(float(l.partition("delta=")[2].split(" ")[0]) for l in each.lines)
    for each in (first, second)
])
"""


@pytest.mark.processes
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
def test_forks() -> None:
    """A forked child delivers its points to each exporter, and none of its parent's."""
    assert expect(FORKS, PYTHONWARNINGS="ignore") == "[25.0, 25.0]\n"


AT_EXIT = """
from dtmetrics import ConsoleExporter, MemoryExporter, configure, counter
import sys
configure(exporters=[ConsoleExporter(sys.stdout), ConsoleExporter()], {interval}enrich=False)
counter("orders").inc()
"""


@pytest.mark.parametrize("interval", ["", "interval=None, "])
def test_at_exit(interval: str) -> None:
    """A short program loses nothing, although no thread can be started at its exit."""
    ended = run(AT_EXIT.replace("{interval}", interval))
    assert ended.status == 0
    for out in (ended.out, ended.err):
        assert out.startswith("orders,dt.metrics.source=dtmetrics count,delta=1 ")


def test_from_the_environment(
    runtime: Runtime,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """DTMETRICS_EXPORTER adds the console to the endpoint, or replaces it."""
    monkeypatch.setenv("DTMETRICS_EXPORTER", "console, dynatrace")
    with Endpoint() as endpoint:
        runtime.configure(endpoint=endpoint.url, **SETTINGS)
        inc(runtime)
        assert runtime.flush()
        assert endpoint.total("orders") == 1
        assert capsys.readouterr().err.startswith("orders,")
        monkeypatch.setenv("DTMETRICS_EXPORTER", "console")
        runtime.configure(endpoint=Secret(endpoint.url), force=True, **SETTINGS)
        inc(runtime)
        assert runtime.flush()
        assert endpoint.total("orders") == 1
        assert capsys.readouterr().err.startswith("orders,")
        exporter = MemoryExporter()
        runtime.configure(exporter=exporter, force=True, **SETTINGS)
        inc(runtime)
        assert runtime.flush()
        assert keys(exporter) == ["orders"]
        assert capsys.readouterr().err == ""


def test_sum_at_every_moment(runtime: Runtime) -> None:
    """The account adds up at every moment, for each exporter and for the sum."""
    exporters = [MemoryExporter(), Down(), MemoryExporter()]
    runtime.configure(exporters=exporters, **{**SETTINGS, "interval": 0.005})
    stop = threading.Event()
    wrong: list[Stats] = []

    def repeat(call: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            while not stop.is_set():
                call()

        return run

    threads = [
        threading.Thread(target=repeat(call))
        for call in (lambda: inc(runtime), lambda: runtime.flush(0.1))
    ]
    for thread in threads:
        thread.start()
    for _ in range(300):
        stats = runtime.stats()
        if not all(map(adds_up, (stats, *stats.exporters.values()))):
            wrong.append(stats)
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    runtime.shutdown(0.1)
