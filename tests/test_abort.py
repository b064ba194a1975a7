from __future__ import annotations

import ssl
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import httpx
import pytest

from dtmetrics._export.abort import AbortedError, ConnectionState, RequestTrace
from dtmetrics._export.http import HttpExporter
from dtmetrics.exporters import Outcome
from tests.support.aborting_trace import AbortingTrace
from tests.support.endpoint import Endpoint
from tests.support.exporter_contract import a_batch
from tests.support.http_post import exporter_calling


def outcomes(
    reused: bool,
    tls: ssl.SSLContext | None = None,
    trusted: ssl.SSLContext | None = None,
) -> Iterator[tuple[Outcome, Outcome, int]]:
    """Abort an export at each of its steps, over a new or a reused connection.

    Yields the outcome when it was aborted, the outcome at its end, and how often the
    endpoint received the batch.
    """
    for number, after in (divmod(turn, 2) for turn in count(2)):
        with Endpoint(tls=tls) as endpoint:
            exporter = HttpExporter(endpoint.url)
            if trusted is not None:
                exporter._tls.context = trusted
            if reused:
                exporter.export(a_batch(), 5.0)
            request = exporter.prepare(a_batch())
            trace = AbortingTrace(request, number, after=bool(after))
            result = request.send(5.0)
            exporter.close()
        if trace.at_step is None:
            assert result.outcome is Outcome.ANSWERED
            return
        received = len(endpoint.requests) - reused
        yield trace.at_step, result.outcome, received


def test_aborted_before_it_begins() -> None:
    """A request that was aborted before it has a connection stops at its first step."""
    trace = RequestTrace()
    assert trace.abort() is False
    with pytest.raises(AbortedError):
        trace("connection.connect_tcp.started", {})
    with pytest.raises(AbortedError):
        trace.begin(ConnectionState())


POSSIBLE = {
    # outcome when it was aborted, outcome at its end: how often it may be received
    (Outcome.RETRY, Outcome.RETRY): {0},
    (Outcome.INDETERMINATE, Outcome.RETRY): {0},
    (Outcome.INDETERMINATE, Outcome.INDETERMINATE): {0, 1},
    (Outcome.INDETERMINATE, Outcome.ANSWERED): {1},
}


@pytest.mark.parametrize("reused", [False, True], ids=["new", "reused"])
def test_aborted_at_any_step(reused: bool) -> None:
    """Aborted at any step, a batch reported as not sent is not received, then or later."""
    seen = list(outcomes(reused))
    for at_abort, at_end, received in seen:
        assert received in POSSIBLE[at_abort, at_end]
    assert {end for _, end, _ in seen} >= {Outcome.RETRY, Outcome.ANSWERED}


@pytest.mark.parametrize("reused", [False, True], ids=["new", "reused"])
def test_aborted_at_any_step_over_tls(
    tls: ssl.SSLContext, certificate: Path, reused: bool
) -> None:
    """Aborted at any step over https, a batch reported as not sent is not received."""
    trusted = ssl.create_default_context(cafile=str(certificate))
    seen = list(outcomes(reused, tls, trusted))
    for at_abort, at_end, received in seen:
        assert received in POSSIBLE[at_abort, at_end]
    assert {end for _, end, _ in seen} >= {Outcome.RETRY, Outcome.ANSWERED}


def test_aborted_before_sending() -> None:
    """A request that is aborted before it is sent opens no connection."""
    with Endpoint() as endpoint:
        request = HttpExporter(endpoint.url).prepare(a_batch())
        assert request.abort().outcome is Outcome.RETRY
        result = request.send(5.0)
    assert result.outcome is Outcome.RETRY
    assert result.reason.startswith(f"timed out at 127.0.0.1:{endpoint.port}: ")
    assert endpoint.connections == 0


def test_aborted_without_a_trace() -> None:
    """A request that was aborted is not sent even if httpx reports no steps."""
    exporter = exporter_calling(lambda request: httpx.Response(202, text=""))
    request = exporter.prepare(a_batch())
    request.abort()
    assert request.send(5.0).outcome is Outcome.RETRY
