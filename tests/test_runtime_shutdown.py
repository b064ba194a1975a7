from __future__ import annotations

import signal
import threading

import pytest

from dtmetrics import MemoryExporter
from dtmetrics._runtime.runtime import Runtime
from dtmetrics.exporters import Batch, ExportResult, Outcome
from tests.support.delivery_rig import REJECTED, Script
from tests.support.endpoint import PATIENCE
from tests.support.runtime_calls import Down, Stuck, inc, keys
from tests.support.signal_handler import handling


class Interrupted(MemoryExporter):
    """An exporter whose exports are interrupted by a signal."""

    def export(self, batch: Batch, timeout: float) -> ExportResult:
        signal.raise_signal(signal.SIGTERM)
        return super().export(batch, timeout)


def test_shutdown(runtime: Runtime) -> None:
    """Shutdown sends what is left and stops recording; a second call does nothing."""
    exporter = MemoryExporter()
    runtime.configure(exporter=exporter)
    inc(runtime)
    assert runtime.shutdown()
    inc(runtime)
    assert runtime.shutdown()
    assert runtime.flush()
    assert keys(exporter) == ["orders"]
    stats = runtime.stats()
    assert (stats.collected, stats.accepted, stats.waiting) == (1, 1, 0)


def test_shutdown_and_again(runtime: Runtime) -> None:
    """After shutdown() and configure(), earlier instruments record again."""
    runtime.configure(exporter=MemoryExporter(), interval=None)
    handle = runtime.meters.root.counter("orders")
    handle.inc()
    runtime.shutdown()
    exporter = MemoryExporter()
    runtime.configure(exporter=exporter, interval=None)
    handle.inc()
    assert runtime.flush()
    assert keys(exporter) == ["orders"]


def test_shutdown_when_down(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    """What a shutdown cannot deliver is logged, and stays in stats().waiting."""
    runtime.configure(exporter=Down())
    inc(runtime)
    assert not runtime.shutdown()
    stats = runtime.stats()
    assert (stats.collected, stats.waiting) == (1, 1)
    assert stats.last_error == "status 503"
    assert caplog.messages[-1] == "dtmetrics: shut down with 1 data points undelivered"


def test_dropped_at_shutdown(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    """Rejected and dropped points that no later flush can report are logged."""
    rejecting = ExportResult(Outcome.ANSWERED, 1, "1 lines rejected")
    runtime.configure(
        exporter=Script(rejecting, REJECTED), interval=None, metadata=False
    )
    inc(runtime)
    assert runtime.flush()
    inc(runtime)
    assert runtime.shutdown()
    assert caplog.messages[-1] == (
        "dtmetrics: shut down with 2 data points undelivered (2 rejected batch)"
    )


def test_shutdown_while_a_callback_hangs(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    """If a callback hangs, shutdown logs how many series were not collected."""
    inside, go = threading.Event(), threading.Event()

    @runtime.meters.root.observe("pool.size")
    def size() -> float:
        inside.set()
        assert go.wait(PATIENCE)
        return 1

    runtime.configure(exporter=MemoryExporter(), interval=0.01)
    inc(runtime)
    assert inside.wait(PATIENCE)
    inc(runtime, "sales")
    assert not runtime.shutdown(0.05)
    go.set()
    assert (
        "dtmetrics: shut down without what was recorded last, in 2 series"
        in caplog.messages
    )


def test_shutdown_is_bounded(runtime: Runtime) -> None:
    """With a hanging exporter, shutdown() and a second one return in time."""
    stuck = Stuck()
    runtime.configure(exporter=stuck, interval=0.01)
    inc(runtime)
    assert stuck.entered.wait(PATIENCE)
    answers: list[bool] = []
    ending = threading.Thread(target=lambda: answers.append(runtime.shutdown(0.3)))
    ending.start()
    while runtime.registry.recording:  # until the thread has begun
        ending.join(0.001)
    assert not runtime.shutdown(0.01)
    assert runtime.stats().waiting == 1
    ending.join(PATIENCE)
    assert answers == [False]
    stuck.release.set()


def test_shutdown_in_a_callback(runtime: Runtime) -> None:
    """In a callback of a flush, shutdown, flush and configure do nothing."""
    exporter = MemoryExporter()
    runtime.configure(exporter=exporter, interval=None)
    answers: list[bool] = []

    @runtime.meters.root.observe("pool.size")
    def size() -> float:
        answers.append(runtime.shutdown())
        answers.append(runtime.flush())
        runtime.configure(exporter=Down(), force=True)
        return 1

    inc(runtime)
    assert runtime.flush()
    assert answers == [False, False]
    assert keys(exporter) == ["orders", "pool.size"]
    assert runtime.shutdown()


def test_shutdown_in_a_signal_handler(runtime: Runtime) -> None:
    """In a signal handler that interrupts a flush, shutdown() returns False."""
    answers: list[bool] = []

    exporter = Interrupted()
    runtime.configure(exporter=exporter, interval=None)
    inc(runtime)
    with handling(signal.SIGTERM, lambda: answers.append(runtime.shutdown(PATIENCE))):
        assert runtime.flush()
    assert answers == [False]
    assert keys(exporter) == ["orders"]
    assert runtime.stats().accepted == 1


def test_configure_in_a_signal_handler(runtime: Runtime) -> None:
    """In a signal handler that interrupts a shutdown, configure() does nothing."""
    exporter, other = Interrupted(), MemoryExporter()
    runtime.configure(exporter=exporter, interval=None)
    inc(runtime)

    def handle() -> None:
        runtime.configure(exporter=other, interval=None, force=True)
        inc(runtime, "sales")

    with handling(signal.SIGTERM, handle):
        assert runtime.shutdown()
    assert (keys(exporter), keys(other)) == (["orders"], [])


def test_reset_before_configure(runtime: Runtime) -> None:
    """A child that was forked before configure() can call it."""
    runtime._reset_after_fork()
    exporter = MemoryExporter()
    runtime.configure(exporter=exporter, interval=None)
    inc(runtime)
    assert runtime.shutdown()
    assert keys(exporter) == ["orders"]


def test_fork_resets_everything(runtime: Runtime) -> None:
    """A child forked during a shutdown can shut down itself, with what it recorded."""
    exporter = MemoryExporter()
    runtime.configure(exporter=exporter, interval=None)
    inc(runtime)
    with runtime._lock.acquire(1.0) as acquired:
        assert acquired
        runtime._reset_after_fork()
        inc(runtime, "child")
        child: list[bool] = []
        thread = threading.Thread(target=lambda: child.append(runtime.shutdown()))
        thread.start()
        thread.join(PATIENCE)
    assert child == [True]
    assert keys(exporter) == ["child"]
