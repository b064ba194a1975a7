from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from dtmetrics._export.deadline import DeadlineExporter
from dtmetrics._export.http import HttpExporter
from dtmetrics.exporters import Batch, Exporter, ExportResult, Outcome
from tests.support.deadline_exports import deadline_exporter, export_threads, within
from tests.support.endpoint import PATIENCE, Endpoint, accept, never
from tests.support.exporter_contract import ExporterContract, a_batch

ANSWERED = ExportResult(Outcome.ANSWERED)
RETRY = ExportResult(Outcome.RETRY, reason="status 503")
INDETERMINATE = ExportResult(Outcome.INDETERMINATE, reason="ReadTimeout")


class TestDeadline(ExporterContract):
    @pytest.fixture
    def exporter(self) -> Iterator[Exporter]:
        with Endpoint() as endpoint:
            yield DeadlineExporter(HttpExporter(endpoint.url))


class Unabortable:
    """An exporter, and its own request, that calls *act* and ignores ``abort()``."""

    max_seconds = 15.0

    def __init__(self, act: Callable[[], ExportResult]) -> None:
        self.act = act
        self.threads: list[str] = []
        self.aborted = 0

    def prepare(self, batch: Batch) -> Unabortable:
        return self

    def send(self, timeout: float) -> ExportResult:
        self.threads.append(threading.current_thread().name)
        return self.act()

    def export(self, batch: Batch, timeout: float) -> ExportResult:
        return self.send(timeout)

    def abort(self) -> ExportResult:
        self.aborted += 1
        return INDETERMINATE

    def close(self) -> None:
        pass

    def reset_after_fork(self) -> None:
        pass


def test_late_result() -> None:
    """The late result of an abandoned thread does not replace a newer one."""
    go, results = threading.Event(), [ANSWERED, RETRY]

    def hang() -> ExportResult:
        if results[-1] is RETRY:
            results.pop()
            assert go.wait(PATIENCE)
        return results[-1]

    exporter = DeadlineExporter(Unabortable(hang))
    assert exporter.export(a_batch(), 0.0) is INDETERMINATE
    (late,) = export_threads()
    assert exporter.export(a_batch(), 5.0) is ANSWERED
    go.set()
    late.join(PATIENCE)


def test_max_seconds() -> None:
    """However long the timeout, an export ends after the exporter's max_seconds."""
    go = threading.Event()

    def hang() -> ExportResult:
        assert go.wait(PATIENCE)
        return ANSWERED

    inner = Unabortable(hang)
    inner.max_seconds = 0.0
    with within(0.5):
        assert DeadlineExporter(inner).export(a_batch(), 600.0) is INDETERMINATE
    go.set()
    assert HttpExporter("http://x.example", local=True).max_seconds == 5.0
    assert HttpExporter("http://x.example").max_seconds == 15.0


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), KeyboardInterrupt()])
def test_error_is_raised(error: BaseException) -> None:
    """An error in the export thread is raised in the waiting thread."""

    def fail() -> ExportResult:
        raise error

    with pytest.raises(type(error)) as caught:
        DeadlineExporter(Unabortable(fail)).export(a_batch(), 5.0)
    assert caught.value is error


def test_late_error() -> None:
    """An error in an abandoned thread is discarded."""
    go = threading.Event()

    def fail() -> ExportResult:
        assert go.wait(PATIENCE)
        raise SystemError

    inner = Unabortable(fail)
    assert DeadlineExporter(inner).export(a_batch(), 0.0) is INDETERMINATE
    assert inner.aborted == 1
    go.set()


def test_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """If no thread can be started, the export runs in the calling thread."""

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    inner = Unabortable(lambda: ANSWERED)
    exporter = DeadlineExporter(inner)
    exporter.export(a_batch(), 5.0)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    for _ in range(4):
        assert exporter.export(a_batch(), 5.0) is ANSWERED
    assert inner.threads == ["dtmetrics-export"] + ["MainThread"] * 4


def test_while_waiting() -> None:
    """While an export waits, the callback runs in the waiting thread when it is due."""
    go, calls = threading.Event(), []

    def while_waiting() -> float:
        calls.append(threading.current_thread().name)
        if len(calls) == 3:
            go.set()
            return 60.0
        return 0.01

    with Endpoint(accept(until=go)) as endpoint:
        exporter = deadline_exporter(endpoint.url, while_waiting)
        assert exporter.export(a_batch(), 5.0).outcome is Outcome.ANSWERED
        exporter.close()
    assert calls == ["MainThread"] * 3


def test_callback_does_not_move_the_deadline() -> None:
    """A callback that is always due neither extends an export nor shortens it."""
    with Endpoint(never()) as endpoint:
        exporter = deadline_exporter(endpoint.url, lambda: -1.0)
        begin = time.monotonic()
        with within(0.3 + 0.5):
            exporter.export(a_batch(), 0.3)
        assert time.monotonic() - begin >= 0.3


def test_the_thread_ends_first() -> None:
    """Once an export has returned, its thread has ended.

    A subinterpreter that ends while a thread of it still runs aborts the process.
    """

    def send() -> ExportResult:
        # Lets the other thread run after each step of this one.
        sys.setprofile(lambda *_: time.sleep(0))
        return ANSWERED

    exporter = DeadlineExporter(Unabortable(send))
    for _ in range(20):
        assert exporter.export(a_batch(), 5.0) is ANSWERED
        assert export_threads() == []
