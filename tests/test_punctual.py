from __future__ import annotations

import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from dtmetrics._deliver.exporter import Body, Exporter, ExportResult, Outcome
from dtmetrics._deliver.http import HttpExporter
from dtmetrics._deliver.punctual import PunctualExporter
from dtmetrics._deliver.secret import Secret
from tests.contract import ExporterContract, a_body
from tests.endpoint import PATIENCE, Endpoint, Verdict, accept, dribble, never
from tests.posting import TOKEN
from tests.rig import ANSWERED, KEEP, UNKNOWN

HEAD = "HTTP/1.1 202 Accepted\n"
HANDSHAKE = "\x16\x03\x03\x40\0"  # a record of TLS that has 16 KB, so it says


class TestPunctual(ExporterContract):
    @pytest.fixture
    def exporter(self) -> Iterator[Exporter]:
        with Endpoint() as endpoint:
            yield PunctualExporter(HttpExporter(endpoint.url))


def punctual(url: str, **kwargs: Any) -> PunctualExporter:
    """Return what posts there in time."""
    return PunctualExporter(HttpExporter(url, Secret(TOKEN), local=True), **kwargs)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Look that what is done takes no longer."""
    begin = time.monotonic()
    yield
    assert time.monotonic() - begin < seconds


@pytest.mark.parametrize(
    ("verdict", "outcome"),
    [
        (never(), Outcome.UNKNOWN),
        (never(before_reading=True), Outcome.KEEP),
        (dribble(HEAD), Outcome.UNKNOWN),
        (dribble(HEAD, drip=b"X: y\r\n"), Outcome.UNKNOWN),
        (dribble("", drip=b"HTTP/1.1 100 Continue\r\n\r\n"), Outcome.UNKNOWN),
        (dribble(HEAD + "\n"), Outcome.ANSWERED),
        (dribble(HEAD + "Transfer-Encoding: chunked\n\n4\n"), Outcome.ANSWERED),
        (dribble("HTTP/1.1 503 X\n\n"), Outcome.KEEP),
    ],
    ids=[
        "no answer",
        "not read",
        "head",
        "headers",
        "heads",
        "text",
        "chunk",
        "503",
    ],
)
def test_deadline(verdict: Verdict, outcome: Outcome) -> None:
    """Whatever the other side does, and does not, an export ends in time.

    What it said by then counts.
    """
    body = a_body("x" * (8 << 20) if verdict.before_reading else "a gauge,1")
    with Endpoint(verdict) as endpoint:
        exporter = punctual(endpoint.url)
        with within(0.3 + 0.5):
            result = exporter.export(body, 0.3)
        exporter.close()
    assert result.outcome is outcome


def test_deadline_of_a_handshake() -> None:
    """A handshake that never ends is ended as well, and nothing had left."""
    verdict = dribble(HANDSHAKE, drip=b"\0", before_reading=True)
    with Endpoint(verdict) as endpoint:
        exporter = punctual(endpoint.url.replace("http:", "https:"))
        with within(0.3 + 0.5):
            result = exporter.export(a_body(), 0.3)
    assert result.outcome is Outcome.KEEP


def test_next_after_a_late_one() -> None:
    """The export after one that was cut off has a connection of its own."""
    with Endpoint(dribble(HEAD)) as endpoint:
        exporter = punctual(endpoint.url)
        assert exporter.export(a_body(), 0.1).outcome is Outcome.UNKNOWN
        assert exporter.export(a_body(), 5.0).outcome is Outcome.ANSWERED
        exporter.close()
    assert endpoint.connections == 2


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Let no name server answer until that is set.

    No real one is asked: a function that waits stands for it.
    """
    answers = threading.Event()
    look_up = socket.getaddrinfo

    def wait(*args: Any, **kwargs: Any) -> Any:
        assert answers.wait(PATIENCE)
        return look_up(*args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", wait)
    yield answers
    answers.set()


def exports() -> list[threading.Thread]:
    """Return the threads of exports that go on."""
    return [t for t in threading.enumerate() if t.name == "dtmetrics-export"]


def test_no_name_server(resolver: threading.Event) -> None:
    """Who waits for a name server is left behind; the body waits, and is not sent late.

    At most three are left behind. When the names are known again all goes on.
    """
    with Endpoint() as endpoint:
        exporter = punctual(endpoint.url)
        for _ in range(3):
            with within(0.1 + 0.5 + 0.1):
                result = exporter.export(a_body(), 0.1)
            assert result.outcome is Outcome.KEEP
            assert result.reason == f"took too long at 127.0.0.1:{endpoint.port}"
        with within(0.1):
            result = exporter.export(a_body(), 5.0)
        assert result == ExportResult(Outcome.KEEP, reason="3 requests hang")
        assert len(exports()) == 3
        with within(0.1):
            exporter.close()
        resolver.set()
        for thread in exports():
            thread.join(PATIENCE)
        assert exporter.export(a_body(), 5.0).outcome is Outcome.ANSWERED
        exporter.close()
    assert len(endpoint.requests) == 1


class Stubborn:
    """An exporter that does what it is told, and comes back from no abort."""

    most_seconds = 15.0

    def __init__(self, act: Callable[[], ExportResult]) -> None:
        self.act = act
        self.threads: list[str] = []
        self.aborted = 0

    def begin(self, body: Body) -> Stubborn:
        return self

    def run(self, timeout: float) -> ExportResult:
        self.threads.append(threading.current_thread().name)
        return self.act()

    def export(self, body: Body, timeout: float) -> ExportResult:
        return self.run(timeout)

    def abort(self) -> ExportResult:
        self.aborted += 1
        return UNKNOWN

    def close(self) -> None:
        pass

    def reset_after_fork(self) -> None:
        pass


def test_late_result() -> None:
    """What comes from a thread that was left behind changes nothing any more."""
    go, results = threading.Event(), [ANSWERED, KEEP]

    def hang() -> ExportResult:
        if results[-1] is KEEP:
            results.pop()
            assert go.wait(PATIENCE)
        return results[-1]

    exporter = PunctualExporter(Stubborn(hang))
    assert exporter.export(a_body(), 0.0) is UNKNOWN
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
        assert PunctualExporter(inner).export(a_body(), 600.0) is UNKNOWN
    go.set()
    assert HttpExporter("http://x.example", local=True).most_seconds == 5.0
    assert HttpExporter("http://x.example").most_seconds == 15.0


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), KeyboardInterrupt()])
def test_errors(error: BaseException) -> None:
    """What an export raises is raised where it is waited for."""

    def fail() -> ExportResult:
        raise error

    with pytest.raises(type(error)) as caught:
        PunctualExporter(Stubborn(fail)).export(a_body(), 5.0)
    assert caught.value is error


def test_late_error() -> None:
    """What a thread raises that was left behind is heard by nobody."""
    go = threading.Event()

    def fail() -> ExportResult:
        assert go.wait(PATIENCE)
        raise SystemError

    inner = Stubborn(fail)
    assert PunctualExporter(inner).export(a_body(), 0.0) is UNKNOWN
    assert inner.aborted == 1
    go.set()


def test_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be had the export is done by who asks for it."""

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    inner = Stubborn(lambda: ANSWERED)
    exporter = PunctualExporter(inner)
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


def test_interrupted() -> None:
    """A handler that raises ends the wait at once, and the request.

    No frame that it passes holds the token.
    """

    def raise_it(*args: object) -> None:
        raise KeyboardInterrupt

    def interrupt() -> None:
        endpoint.wait_for(1)
        signal.pthread_kill(main, signal.SIGUSR1)

    main = threading.get_ident()
    before = signal.signal(signal.SIGUSR1, raise_it)
    helper = threading.Thread(target=interrupt)
    try:
        with Endpoint(never()) as endpoint:
            exporter = punctual(endpoint.url)
            helper.start()
            with within(2.0), pytest.raises(KeyboardInterrupt) as caught:
                exporter.export(a_body(), 5.0)
            for thread in exports():
                thread.join(PATIENCE)
            assert exporter.export(a_body(), 5.0).outcome is Outcome.ANSWERED
            exporter.close()
    finally:
        helper.join(PATIENCE)
        signal.signal(signal.SIGUSR1, before)
    shown = traceback.TracebackException.from_exception(
        caught.value, capture_locals=True
    )
    assert "CANARY" not in "".join(shown.format())
