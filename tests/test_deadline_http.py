from __future__ import annotations

import signal
import socket
import threading
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from dtmetrics.exporters import ExportResult, Outcome
from tests.support.deadline_exports import deadline_exporter, export_threads, within
from tests.support.endpoint import PATIENCE, Endpoint, Verdict, dribble, never
from tests.support.exporter_contract import a_batch
from tests.support.platforms import needs_signals
from tests.support.signal_handler import handling, signal_until

HEAD = "HTTP/1.1 202 Accepted\n"
HANDSHAKE = "\x16\x03\x03\x40\0"  # the header of a TLS record of 16 KB


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
        "no response",
        "not read",
        "status line",
        "header by header",
        "continue responses",
        "text",
        "chunk",
        "503",
    ],
)
def test_deadline(verdict: Verdict, outcome: Outcome) -> None:
    """Whatever the endpoint does, an export ends in time; a status it sent counts."""
    batch = a_batch("x" * (8 << 20) if verdict.before_reading else "a gauge,1")
    with Endpoint(verdict) as endpoint:
        exporter = deadline_exporter(endpoint.url)
        with within(0.3 + 0.5):
            result = exporter.export(batch, 0.3)
        exporter.close()
    assert result.outcome is outcome


def test_endless_handshake() -> None:
    """A TLS handshake that never ends is aborted, and the batch was not sent."""
    verdict = dribble(HANDSHAKE, drip=b"\0", before_reading=True)
    with Endpoint(verdict) as endpoint:
        exporter = deadline_exporter(endpoint.url.replace("http:", "https:"))
        with within(0.3 + 0.5):
            result = exporter.export(a_batch(), 0.3)
    assert result.outcome is Outcome.RETRY


def test_export_after_a_timeout() -> None:
    """The export after one that timed out uses a new connection."""
    with Endpoint(dribble(HEAD)) as endpoint:
        exporter = deadline_exporter(endpoint.url)
        assert exporter.export(a_batch(), 0.1).outcome is Outcome.INDETERMINATE
        assert exporter.export(a_batch(), 5.0).outcome is Outcome.ANSWERED
        exporter.close()
    assert endpoint.connections == 2


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Block every name lookup until the returned event is set."""
    answers = threading.Event()
    look_up = socket.getaddrinfo

    def wait(*args: Any, **kwargs: Any) -> Any:
        assert answers.wait(PATIENCE)
        return look_up(*args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", wait)
    yield answers
    answers.set()


def test_no_name_server(resolver: threading.Event) -> None:
    """An export that hangs in a name lookup is abandoned, and does not send later.

    At most three are abandoned at once. When lookups work again, so do exports.
    """
    with Endpoint() as endpoint:
        exporter = deadline_exporter(endpoint.url)
        for _ in range(3):
            with within(0.1 + 0.5):
                result = exporter.export(a_batch(), 0.1)
            assert result.outcome is Outcome.RETRY
            seen = (
                f"timed out at 127.0.0.1:{endpoint.port}: timed out while connecting; "
            )
            assert result.reason.startswith(seen)
        with within(0.1):
            result = exporter.export(a_batch(), 5.0)
        assert result == ExportResult(
            Outcome.RETRY, reason="3 earlier requests still hang"
        )
        assert len(export_threads()) == 3
        with within(0.1):
            exporter.close()
        resolver.set()
        for thread in export_threads():
            thread.join(PATIENCE)
        assert exporter.export(a_batch(), 5.0).outcome is Outcome.ANSWERED
        exporter.close()
    assert len(endpoint.requests) == 1


@needs_signals
def test_interrupted() -> None:
    """A signal handler that raises ends the wait and the request at once.

    The frames that the exception passes do not hold the token.
    """
    raised = threading.Event()

    def raise_once() -> None:
        if not raised.is_set():
            raised.set()
            raise KeyboardInterrupt

    def interrupt() -> None:
        endpoint.wait_for(1)
        signal_until(raised, signal.SIGUSR1)

    helper = threading.Thread(target=interrupt)
    with handling(signal.SIGUSR1, raise_once):
        try:
            with Endpoint(never()) as endpoint:
                exporter = deadline_exporter(endpoint.url)
                helper.start()
                with within(2.0), pytest.raises(KeyboardInterrupt) as caught:
                    exporter.export(a_batch(), 5.0)
                for thread in export_threads():
                    thread.join(PATIENCE)
                assert exporter.export(a_batch(), 5.0).outcome is Outcome.ANSWERED
                exporter.close()
        finally:
            helper.join(PATIENCE)
    shown = traceback.TracebackException.from_exception(
        caught.value, capture_locals=True
    )
    assert "CANARY" not in "".join(shown.format())
