from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from dtmetrics._export.deadline import DeadlineExporter
from dtmetrics._export.http import HttpExporter
from dtmetrics.exporters import Batch, Exporter, ExportResult, Outcome
from tests.support.deadline_exports import exports, punctual, within
from tests.support.delivery_rig import ANSWERED, INDETERMINATE, RETRY
from tests.support.endpoint import PATIENCE, Endpoint, accept, never
from tests.support.exporter_contract import ExporterContract, a_body


class TestPunctual(ExporterContract):
    @pytest.fixture
    def exporter(self) -> Iterator[Exporter]:
        with Endpoint() as endpoint:
            yield DeadlineExporter(HttpExporter(endpoint.url))


class Stubborn:
    """An exporter that does what it is told, and comes back from no abort."""

    most_seconds = 15.0

    def __init__(self, act: Callable[[], ExportResult]) -> None:
        self.act = act
        self.threads: list[str] = []
        self.aborted = 0

    def begin(self, body: Batch) -> Stubborn:
        return self

    def run(self, timeout: float) -> ExportResult:
        self.threads.append(threading.current_thread().name)
        return self.act()

    def export(self, body: Batch, timeout: float) -> ExportResult:
        return self.run(timeout)

    def abort(self) -> ExportResult:
        self.aborted += 1
        return INDETERMINATE

    def close(self) -> None:
        pass

    def reset_after_fork(self) -> None:
        pass


def test_late_result() -> None:
    """What comes from a thread that was left behind changes nothing any more."""
    go, results = threading.Event(), [ANSWERED, RETRY]

    def hang() -> ExportResult:
        if results[-1] is RETRY:
            results.pop()
            assert go.wait(PATIENCE)
        return results[-1]

    exporter = DeadlineExporter(Stubborn(hang))
    assert exporter.export(a_body(), 0.0) is INDETERMINATE
    (late,) = exports()
    assert exporter.export(a_body(), 5.0) is ANSWERED
    go.set()
    late.join(PATIENCE)


def test_most_seconds() -> None:
    """However much time there is, an attempt gets no more than fits its endpoint."""
    go = threading.Event()

    def hang() -> ExportResult:
        assert go.wait(PATIENCE)
        return ANSWERED

    inner = Stubborn(hang)
    inner.most_seconds = 0.0
    with within(0.5 + 0.3):
        assert DeadlineExporter(inner).export(a_body(), 600.0) is INDETERMINATE
    go.set()
    assert HttpExporter("http://x.example", local=True).most_seconds == 5.0
    assert HttpExporter("http://x.example").most_seconds == 15.0


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), KeyboardInterrupt()])
def test_errors(error: BaseException) -> None:
    """What an export raises is raised where it is waited for."""

    def fail() -> ExportResult:
        raise error

    with pytest.raises(type(error)) as caught:
        DeadlineExporter(Stubborn(fail)).export(a_body(), 5.0)
    assert caught.value is error


def test_late_error() -> None:
    """What a thread raises that was left behind is heard by nobody."""
    go = threading.Event()

    def fail() -> ExportResult:
        assert go.wait(PATIENCE)
        raise SystemError

    inner = Stubborn(fail)
    assert DeadlineExporter(inner).export(a_body(), 0.0) is INDETERMINATE
    assert inner.aborted == 1
    go.set()


def test_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be had the export is done by who asks for it."""

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    inner = Stubborn(lambda: ANSWERED)
    exporter = DeadlineExporter(inner)
    exporter.export(a_body(), 5.0)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    for _ in range(4):
        assert exporter.export(a_body(), 5.0) is ANSWERED
    assert inner.threads == ["dtmetrics-export"] + ["MainThread"] * 4


def test_meanwhile() -> None:
    """While an export is waited for, what else is due is done, as often as it wants."""
    go, calls = threading.Event(), []

    def meanwhile() -> float:
        calls.append(threading.current_thread().name)
        if len(calls) == 3:
            go.set()
            return 60.0
        return 0.01

    with Endpoint(accept(until=go)) as endpoint:
        exporter = punctual(endpoint.url, meanwhile=meanwhile)
        assert exporter.export(a_body(), 5.0).outcome is Outcome.ANSWERED
        exporter.close()
    assert calls == ["MainThread"] * 3


def test_meanwhile_to_the_end() -> None:
    """It neither prolongs an export nor ends it early, however soon it is due."""
    with Endpoint(never()) as endpoint:
        exporter = punctual(endpoint.url, meanwhile=lambda: -1.0)
        begin = time.monotonic()
        with within(0.3 + 0.5):
            exporter.export(a_body(), 0.3)
        assert time.monotonic() - begin >= 0.3
