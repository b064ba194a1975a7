from __future__ import annotations

import threading
from typing import Any

import pytest

from dtmetrics import MemoryExporter, Stats
from dtmetrics._export.http import HttpExporter
from dtmetrics._runtime.runtime import Process
from dtmetrics.errors import ConfigError, ConflictError
from dtmetrics.exporters import Batch, ExportResult, Outcome
from tests.support.endpoint import PATIENCE
from tests.support.process_messages import Down, inc, keys


def threads() -> list[str]:
    """Return the names of the flushers that run."""
    names = (thread.name for thread in threading.enumerate())
    return [name for name in names if name == "dtmetrics-flusher"]


def test_before_configure(process: Process) -> None:
    """Before configure() nothing is kept, and every call is answered."""
    inc(process)
    assert process.flush()
    assert process.stats() == Stats()
    assert process.shutdown()
    exporter = MemoryExporter()
    process.configure(exporter=exporter, interval=None)
    process.flush()
    assert exporter.lines == []


def test_configure_records(process: Process) -> None:
    """After it everything recorded is sent with the settings it was given."""
    exporter = MemoryExporter()
    process.configure(
        exporter=exporter, interval=None, prefix="shop", dimensions={"region": "eu"}
    )
    inc(process)
    assert process.flush()
    (line,) = exporter.lines
    head = "shop.orders,dt.metrics.source=dtmetrics,region=eu count,delta=1 "
    assert line.startswith(head)


def test_second_configure_does_nothing(process: Process) -> None:
    """A second configure() leaves the first alone, and does not even look."""
    exporter = MemoryExporter()
    process.configure(exporter=exporter, interval=None)
    inc(process)
    process.configure(interval=-1, exporter=Down())
    assert process.flush()
    assert keys(exporter) == ["orders"]


def test_force_replaces(process: Process) -> None:
    """With force=True what runs is shut down, sending what it had, and replaced."""
    first, second = MemoryExporter(), MemoryExporter()
    process.configure(exporter=first)
    handle = process.meters.root.counter("orders")
    handle.inc()
    process.configure(exporter=second, force=True)
    assert keys(first) == ["orders"]
    assert process.stats() == Stats()
    handle.inc()
    assert process.flush()
    assert keys(second) == ["orders"]
    assert threads() == ["dtmetrics-flusher"]


def test_force_with_bad_settings(process: Process) -> None:
    """A replacement that cannot work replaces nothing."""
    exporter = MemoryExporter()
    process.configure(exporter=exporter, interval=None)
    with pytest.raises(ConfigError):
        process.configure(interval=-1, force=True)
    inc(process)
    assert process.flush()
    assert keys(exporter) == ["orders"]


def explained(process: Process) -> None:
    """Record something of a key that has a unit, and flush."""
    process.meters.root.counter("orders", unit="{order}").inc()
    assert process.flush()


def test_metadata(process: Process) -> None:
    """What a key means is sent after its data, and no point of the account."""
    exporter = MemoryExporter()
    process.configure(exporter=exporter, interval=None)
    for _ in range(2):
        explained(process)
    data = "orders,dt.metrics.source=dtmetrics count"
    assert [line.partition(",delta=")[0] for line in exporter.lines] == [
        data,
        "#orders count dt.meta.unit=Count",
        data,
    ]
    assert process.stats().collected == 2


def test_metadata_switched_off(process: Process) -> None:
    """With metadata=False there is only data."""
    exporter = MemoryExporter()
    process.configure(exporter=exporter, interval=None, metadata=False)
    explained(process)
    assert keys(exporter) == ["orders"]


def test_metadata_for_each_endpoint(process: Process) -> None:
    """What replaces a recording explains its keys anew: its endpoint knows of none."""
    exporters = MemoryExporter(), MemoryExporter()
    for exporter in exporters:
        process.configure(exporter=exporter, interval=None, force=True)
        explained(process)
    process.shutdown()
    for exporter in exporters:
        assert exporter.lines[1:] == ["#orders count dt.meta.unit=Count"]


def test_strict(process: Process) -> None:
    """Under strict=True the first wrong definition so far is raised, nothing runs."""
    process.meters.root.counter("orders")
    process.meters.root.gauge("orders")
    with pytest.raises(ConflictError):
        process.configure(exporter=MemoryExporter(), interval=None, strict=True)
    inc(process)
    assert process.stats() == Stats()


def test_none_means_not_given(process: Process) -> None:
    """None is no setting, save for the interval: what is unset may be passed on."""
    process.configure(endpoint=None, token=None, exporter=None, dimensions=None)
    assert process.shutdown()


def test_empty_exporter(process: Process) -> None:
    """An exporter that is empty as a list is, is one all the same."""

    class Empty(MemoryExporter):
        def __len__(self) -> int:
            return 0

    exporter = Empty()
    process.configure(exporter=exporter, interval=None)
    inc(process)
    assert process.flush()
    assert keys(exporter) == ["orders"]


def test_thread_starts_with_the_first_record(process: Process) -> None:
    """Neither configure() nor a flush starts the thread: the first record does."""
    process.configure(exporter=MemoryExporter())
    process.flush()
    assert threads() == []
    inc(process)
    assert threads() == ["dtmetrics-flusher"]
    assert process.shutdown()
    assert threads() == []


def test_no_interval_no_thread(process: Process) -> None:
    """With interval=None there is never a thread."""
    process.configure(exporter=MemoryExporter(), interval=None)
    inc(process)
    assert threads() == []


def test_stats_adds_up(process: Process) -> None:
    """What was collected is accepted, rejected, dropped or waiting."""

    class Half(MemoryExporter):
        def export(self, body: Batch, timeout: float) -> ExportResult:
            return ExportResult(Outcome.ANSWERED, rejected=1)

    process.configure(exporter=Half(), interval=None, self_metrics=False)
    inc(process)
    inc(process, "sales")
    process.meters.root.counter("orders").inc("many")  # type: ignore[arg-type]
    assert process.flush()
    assert process.stats() == Stats(
        collected=2,
        accepted=1,
        rejected=1,
        dropped={},
        waiting=0,
        invalid={"not a number": 1},
        series=2,
        flushes=1,
        last_error="",
    )


def test_stats_are_not_shared(process: Process) -> None:
    """Whoever changes the mapping of one answer changes no other."""
    process.stats().dropped["x"] = 1  # type: ignore[index]
    assert process.stats().dropped == {}


def test_many_configure_at_once(process: Process) -> None:
    """Threads that configure at once start one recording between them."""
    exporters = [MemoryExporter() for _ in range(8)]
    ready = threading.Barrier(8)

    def start(exporter: MemoryExporter) -> None:
        ready.wait(PATIENCE)
        process.configure(exporter=exporter, interval=None)

    started = [threading.Thread(target=start, args=(each,)) for each in exporters]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join(PATIENCE)
    inc(process)
    assert process.flush()
    assert [keys(each) for each in exporters if each.lines] == [["orders"]]


def test_default_endpoint(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any setting it posts to the OneAgent of this host, without a token."""
    monkeypatch.setenv("DTMETRICS_TOKEN", "abc")
    made: list[tuple[Any, ...]] = []
    monkeypatch.setattr(
        HttpExporter,
        "__init__",
        lambda self, *a, local, resend, ca_file: made.append((*a, local, resend)),
    )
    process.configure(interval=None)
    assert made == [("http://localhost:14499/metrics/ingest", True, True)]
    monkeypatch.undo()
    process._running = False
