from __future__ import annotations

import signal
import socket
import threading
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from dtmetrics.exporters import ExportResult, Outcome
from tests.support.deadline_exports import exports, punctual, within
from tests.support.endpoint import PATIENCE, Endpoint, Verdict, dribble, never
from tests.support.exporter_contract import a_body

HEAD = "HTTP/1.1 202 Accepted\n"
HANDSHAKE = "\x16\x03\x03\x40\0"  # a record of TLS that has 16 KB, so it says


@pytest.mark.parametrize(
    ("verdict", "outcome"),
    [
        (never(), Outcome.INDETERMINATE),
        (never(before_reading=True), Outcome.RETRY),
        (dribble(HEAD), Outcome.INDETERMINATE),
        (dribble(HEAD, drip=b"X: y\r\n"), Outcome.INDETERMINATE),
        (dribble("", drip=b"HTTP/1.1 100 Continue\r\n\r\n"), Outcome.INDETERMINATE),
        (dribble(HEAD + "\n"), Outcome.ANSWERED),
        (dribble(HEAD + "Transfer-Encoding: chunked\n\n4\n"), Outcome.ANSWERED),
        (dribble("HTTP/1.1 503 X\n\n"), Outcome.THROTTLED),
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
    assert result.outcome is Outcome.RETRY


def test_next_after_a_late_one() -> None:
    """The export after one that was cut off has a connection of its own."""
    with Endpoint(dribble(HEAD)) as endpoint:
        exporter = punctual(endpoint.url)
        assert exporter.export(a_body(), 0.1).outcome is Outcome.INDETERMINATE
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


def test_no_name_server(resolver: threading.Event) -> None:
    """Who waits for a name server is left behind; the body waits, and is not sent late.

    At most three are left behind. When the names are known again all goes on.
    """
    with Endpoint() as endpoint:
        exporter = punctual(endpoint.url)
        for _ in range(3):
            with within(0.1 + 0.5 + 0.1):
                result = exporter.export(a_body(), 0.1)
            assert result.outcome is Outcome.RETRY
            assert result.reason == f"took too long at 127.0.0.1:{endpoint.port}"
        with within(0.1):
            result = exporter.export(a_body(), 5.0)
        assert result == ExportResult(Outcome.RETRY, reason="3 requests hang")
        assert len(exports()) == 3
        with within(0.1):
            exporter.close()
        resolver.set()
        for thread in exports():
            thread.join(PATIENCE)
        assert exporter.export(a_body(), 5.0).outcome is Outcome.ANSWERED
        exporter.close()
    assert len(endpoint.requests) == 1


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
