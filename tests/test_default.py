from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from dtmetrics import MemoryExporter, Stats
from dtmetrics._deliver.exporter import Body, ExportResult, Outcome
from dtmetrics._deliver.http import HttpExporter
from dtmetrics._setup.default import Process
from dtmetrics.errors import ConfigError, ConflictError
from tests.endpoint import PATIENCE


class Gate(MemoryExporter):
    """Takes everything, once it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = threading.Event()
        self.go = threading.Event()

    def export(self, body: Body, timeout: float) -> ExportResult:
        self.inside.set()
        assert self.go.wait(PATIENCE)
        return super().export(body, timeout)


class Down(MemoryExporter):
    """Takes nothing."""

    def export(self, body: Body, timeout: float) -> ExportResult:
        return ExportResult(Outcome.KEEP, reason="status 503")


@pytest.fixture
def process() -> Iterator[Process]:
    """Return a process of its own, as ``import dtmetrics`` makes one."""
    made = Process()
    yield made
    made.shutdown()


def inc(process: Process, key: str = "orders") -> None:
    """Record something."""
    process.meters.root.counter(key).inc()


def keys(exporter: MemoryExporter) -> list[str]:
    """Return the keys of what was sent."""
    return [line.partition(",")[0] for line in exporter.lines]


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


def test_shutdown(process: Process) -> None:
    """Shutting down sends what is left, ends recording, and can be done again."""
    exporter = MemoryExporter()
    process.configure(exporter=exporter)
    inc(process)
    assert process.shutdown()
    inc(process)
    assert process.shutdown()
    assert process.flush()
    assert keys(exporter) == ["orders"]
    stats = process.stats()
    assert (stats.collected, stats.accepted, stats.waiting) == (1, 1, 0)


def test_shutdown_and_again(process: Process) -> None:
    """After a shutdown one may configure anew; old handles record again."""
    process.configure(exporter=MemoryExporter(), interval=None)
    handle = process.meters.root.counter("orders")
    handle.inc()
    process.shutdown()
    exporter = MemoryExporter()
    process.configure(exporter=exporter, interval=None)
    handle.inc()
    assert process.flush()
    assert keys(exporter) == ["orders"]


def test_shutdown_when_down(process: Process) -> None:
    """What cannot be delivered at the end is said, and is waiting in stats()."""
    process.configure(exporter=Down())
    inc(process)
    assert not process.shutdown()
    stats = process.stats()
    assert (stats.collected, stats.waiting) == (1, 1)
    assert stats.last_error == "status 503"


def test_stats_adds_up(process: Process) -> None:
    """What was collected is accepted, rejected, dropped or waiting."""

    class Half(MemoryExporter):
        def export(self, body: Body, timeout: float) -> ExportResult:
            return ExportResult(Outcome.ANSWERED, rejected=1)

    process.configure(exporter=Half(), interval=None)
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
        refused={"not a number": 1},
        series=2,
        flushes=1,
        last_error="",
    )


def test_stats_are_not_shared(process: Process) -> None:
    """Whoever changes the mapping of one answer changes no other."""
    process.stats().dropped["x"] = 1  # type: ignore[index]
    assert process.stats().dropped == {}


def test_shutdown_is_bounded(process: Process) -> None:
    """A hanging exporter keeps neither shutdown, nor those who ask meanwhile."""
    gate = Gate()
    process.configure(exporter=gate, interval=0.01)
    inc(process)
    assert gate.inside.wait(PATIENCE)
    answers: list[bool] = []
    ending = threading.Thread(target=lambda: answers.append(process.shutdown(0.3)))
    ending.start()
    assert not process.shutdown(0.01)  # another is at it
    assert process.stats().waiting == 1
    ending.join(PATIENCE)
    assert answers == [False]
    gate.go.set()


def test_shutdown_in_a_callback(process: Process) -> None:
    """In a callback of a flush nothing stops, and nothing hangs or is lost."""
    exporter = MemoryExporter()
    process.configure(exporter=exporter, interval=None)
    answers: list[bool] = []

    @process.meters.root.observe("pool.size")
    def size() -> float:
        answers.append(process.shutdown())
        answers.append(process.flush())
        process.configure(exporter=Down(), force=True)
        return 1

    inc(process)
    assert process.flush()
    assert answers == [False, False]
    assert keys(exporter) == ["orders", "pool.size"]
    assert process.shutdown()


def test_shutdown_in_a_signal_handler(process: Process) -> None:
    """A handler that shuts down in the middle of a flush gives way to it."""
    answers: list[bool] = []

    class Interrupted(MemoryExporter):
        def export(self, body: Body, timeout: float) -> ExportResult:
            signal.raise_signal(signal.SIGUSR1)
            return super().export(body, timeout)

    exporter = Interrupted()
    process.configure(exporter=exporter, interval=None)
    inc(process)
    before = signal.signal(
        signal.SIGUSR1, lambda *_: answers.append(process.shutdown(PATIENCE))
    )
    try:
        assert process.flush()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert answers == [False]
    assert keys(exporter) == ["orders"]
    assert process.stats().accepted == 1


def test_configure_in_a_signal_handler(process: Process) -> None:
    """A handler that interrupts a shutdown cannot configure in the middle of it."""

    class Interrupted(MemoryExporter):
        def export(self, body: Body, timeout: float) -> ExportResult:
            signal.raise_signal(signal.SIGUSR1)
            return super().export(body, timeout)

    exporter, other = Interrupted(), MemoryExporter()
    process.configure(exporter=exporter, interval=None)
    inc(process)

    def handle(*_: Any) -> None:
        process.configure(exporter=other, interval=None, force=True)
        inc(process, "sales")

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        assert process.shutdown()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert (keys(exporter), keys(other)) == (["orders"], [])


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


def test_fork_resets_everything(process: Process) -> None:
    """A child that was forked in the middle of a shutdown shuts down by itself."""
    exporter = MemoryExporter()
    process.configure(exporter=exporter, interval=None)
    inc(process)
    with process._turn.take(1.0) as mine:
        assert mine
        process._reset_after_fork()
        inc(process, "child")
        child: list[bool] = []
        thread = threading.Thread(target=lambda: child.append(process.shutdown()))
        thread.start()
        thread.join(PATIENCE)
    assert child == [True]
    assert keys(exporter) == ["child"]


def test_default_endpoint(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any setting it posts to the OneAgent of this host, without a token."""
    monkeypatch.setenv("DTMETRICS_TOKEN", "abc")
    made: list[tuple[Any, ...]] = []
    monkeypatch.setattr(
        HttpExporter, "__init__", lambda self, *a, local: made.append((*a, local))
    )
    process.configure(interval=None)
    ((endpoint, token, local),) = made
    assert endpoint == "http://localhost:14499/metrics/ingest"
    assert not token
    assert local
    monkeypatch.undo()
    process._running = False
