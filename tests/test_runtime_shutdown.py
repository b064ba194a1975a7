from __future__ import annotations

import signal
import threading
from typing import Any

import pytest

from dtmetrics import MemoryExporter
from dtmetrics._runtime.runtime import Process
from dtmetrics.exporters import Batch, ExportResult, Outcome
from tests.support.delivery_rig import REJECTED, Script
from tests.support.endpoint import PATIENCE
from tests.support.process_messages import Down, inc, keys


class Gate(MemoryExporter):
    """Takes everything, once it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = threading.Event()
        self.go = threading.Event()

    def export(self, body: Batch, timeout: float) -> ExportResult:
        self.inside.set()
        assert self.go.wait(PATIENCE)
        return super().export(body, timeout)


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


def test_shutdown_when_down(process: Process, caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be delivered at the end is said, and is waiting in stats()."""
    process.configure(exporter=Down())
    inc(process)
    assert not process.shutdown()
    stats = process.stats()
    assert (stats.collected, stats.waiting) == (1, 1)
    assert stats.last_error == "status 503"
    assert caplog.messages[-1] == "dtmetrics: shut down with 1 data points undelivered"


def test_lost_at_the_end(process: Process, caplog: pytest.LogCaptureFixture) -> None:
    """What is given up at the very end, when no later flush can tell, is said there."""
    rejecting = ExportResult(Outcome.ANSWERED, 1, "1 lines refused")
    process.configure(
        exporter=Script(rejecting, REJECTED), interval=None, metadata=False
    )
    inc(process)
    assert process.flush()
    inc(process)
    assert process.shutdown()
    assert caplog.messages[-1] == (
        "dtmetrics: shut down with 2 data points undelivered (2 rejected batch)"
    )


def test_shutdown_while_a_callback_hangs(
    process: Process, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be collected any more is in no account; the log says so."""
    inside, go = threading.Event(), threading.Event()

    @process.meters.root.observe("pool.size")
    def size() -> float:
        inside.set()
        assert go.wait(PATIENCE)
        return 1

    process.configure(exporter=MemoryExporter(), interval=0.01)
    inc(process)
    assert inside.wait(PATIENCE)
    inc(process, "sales")
    assert not process.shutdown(0.05)
    go.set()
    assert (
        "dtmetrics: shut down without what was recorded last, in 2 series"
        in caplog.messages
    )


def test_shutdown_is_bounded(process: Process) -> None:
    """A hanging exporter keeps neither shutdown, nor those who ask meanwhile."""
    gate = Gate()
    process.configure(exporter=gate, interval=0.01)
    inc(process)
    assert gate.inside.wait(PATIENCE)
    answers: list[bool] = []
    ending = threading.Thread(target=lambda: answers.append(process.shutdown(0.3)))
    ending.start()
    while process.registry.recording:  # until the other is at it
        ending.join(0.001)
    assert not process.shutdown(0.01)
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
        def export(self, body: Batch, timeout: float) -> ExportResult:
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
        def export(self, body: Batch, timeout: float) -> ExportResult:
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


def test_fork_resets_everything(process: Process) -> None:
    """A child that was forked in the middle of a shutdown shuts down by itself."""
    exporter = MemoryExporter()
    process.configure(exporter=exporter, interval=None)
    inc(process)
    with process._lock.acquire(1.0) as acquired:
        assert acquired
        process._reset_after_fork()
        inc(process, "child")
        child: list[bool] = []
        thread = threading.Thread(target=lambda: child.append(process.shutdown()))
        thread.start()
        thread.join(PATIENCE)
    assert child == [True]
    assert keys(exporter) == ["child"]
