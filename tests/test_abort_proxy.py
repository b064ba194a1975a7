"""What may have arrived when a request ends that goes through a proxy."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any, NamedTuple

import pytest

from dtmetrics._core.secret import Secret
from dtmetrics._export.abort import ConnectionState, RequestTrace
from dtmetrics._export.connections import Route
from dtmetrics._export.deadline import DeadlineExporter
from dtmetrics._export.http import HttpExporter
from dtmetrics._export.tls import TlsFiles
from dtmetrics.exporters import Outcome
from tests.support.aborting_trace import AbortingTrace
from tests.support.authority import Authority
from tests.support.endpoint import PATIENCE, Endpoint, never
from tests.support.exporter_contract import a_batch
from tests.support.http_post import symptom_of
from tests.support.proxy_server import ProxyServer

HOST = "abc12345.live.dynatrace.com"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return the authority of all certificates."""
    return Authority(tmp_path_factory.mktemp("authority"))


class Seen(NamedTuple):
    """What was known of a request when it was aborted, at its end, and what happened."""

    step: str
    at_step: Outcome | None
    at_end: Outcome
    received: int


def seen(authority: Authority, *, reused: bool, nested: bool) -> Iterator[Seen]:
    """Abort a request at each of its steps, over a new or a reused tunnel.

    With *nested* the proxy is reached by https too.
    """
    tls = authority.server("127.0.0.1") if nested else None
    for number, after in (divmod(turn, 2) for turn in count(2)):
        with (
            Endpoint(tls=authority.server(HOST)) as endpoint,
            ProxyServer({f"{HOST}:443": endpoint.port}, tls=tls) as proxy,
        ):
            route = Route(Secret(proxy.url), TlsFiles(str(authority.path)))
            exporter = HttpExporter(f"https://{HOST}/x", route=route)
            if reused:
                exporter.export(a_batch(), 5.0)
            request = exporter.prepare(a_batch())

            trace = AbortingTrace(request, number, after=bool(after))
            result = request.send(5.0)
            exporter.close()
        if not trace.step:
            assert result.outcome is Outcome.ANSWERED
            return
        received = len(endpoint.requests) - reused
        yield Seen(trace.step, trace.at_step, result.outcome, received)


@pytest.mark.parametrize("nested", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("reused", [False, True], ids=["new", "reused"])
@pytest.mark.processes
def test_aborted_at_any_step(authority: Authority, reused: bool, nested: bool) -> None:
    """Aborted at any step, a batch reported as not sent is not received, then or later.

    Up to the first byte of its text the report is certain, through the steps of the
    CONNECT too, which have the names of the batch's.
    """
    found = list(seen(authority, reused=reused, nested=nested))
    for each in found:
        if each.at_end is Outcome.RETRY:
            assert each.received == 0, each
        if each.at_step is Outcome.RETRY:
            assert (each.at_end, each.received) == (Outcome.RETRY, 0), each
    steps = [each.step for each in found]
    last = len(steps) - steps[::-1].index("http11.send_request_body.started") - 1
    before = found[: last - 1]
    assert {each.at_end for each in before} == {Outcome.RETRY}
    assert any(each.at_end is not Outcome.RETRY for each in found[last:])
    if not reused:
        assert "proxy.start_tls.complete" in steps
        assert steps.count("http11.send_request_headers.started") == 4


def test_deadline_during_connect(authority: Authority) -> None:
    """A proxy that never answers the CONNECT costs the timeout, and not the batch."""
    asked = threading.Event()
    release = threading.Event()

    def stall(line: str) -> None:
        asked.set()
        release.wait(PATIENCE)

    with ProxyServer({}) as proxy:
        proxy.on_request = stall
        exporter = DeadlineExporter(
            HttpExporter(f"https://{HOST}/x", route=Route(Secret(proxy.url)))
        )
        result = exporter.export(a_batch(), 0.3)
        release.set()
        exporter.close()
    assert asked.is_set()
    assert result.outcome is Outcome.RETRY
    assert symptom_of(result)[1].endswith(f" at the proxy {proxy.host}")
    assert "the proxy gives no answer" in result.reason


def test_deadline_behind_the_tunnel(authority: Authority) -> None:
    """An endpoint behind a proxy that never answers may have the batch."""
    with (
        Endpoint(never(), tls=authority.server(HOST)) as endpoint,
        ProxyServer({f"{HOST}:443": endpoint.port}) as proxy,
    ):
        route = Route(Secret(proxy.url), TlsFiles(str(authority.path)))
        exporter = DeadlineExporter(HttpExporter(f"https://{HOST}/x", route=route))
        result = exporter.export(a_batch(), 0.5)
        exporter.close()
    assert result.outcome is Outcome.INDETERMINATE
    assert symptom_of(result)[1].endswith(f" at {HOST}")


CONNECT = {"request": type("Request", (), {"method": b"CONNECT"})()}
POST = {"request": type("Request", (), {"method": b"POST"})()}


def after(*steps: tuple[str, Mapping[str, Any]]) -> RequestTrace:
    """Return the trace of a request after these steps."""
    trace = RequestTrace()
    trace.begin(ConnectionState())
    for step, info in steps:
        trace(step, info)
    return trace


def test_failed_connect_proves_nothing_of_the_batch() -> None:
    """A CONNECT that was not written as a whole proves nothing about the batch."""
    trace = after(
        ("http11.send_request_headers.started", CONNECT),
        ("http11.send_request_headers.failed", {}),
        ("http11.send_request_body.complete", {}),
    )
    assert not trace.may_have_arrived
    assert not trace.passed_proxy
    trace("proxy.start_tls.started", {})
    trace("http11.send_request_headers.started", POST)
    assert trace.passed_proxy
    trace("http11.send_request_body.started", {})
    assert trace.may_have_arrived


def test_unknown_steps() -> None:
    """If a later httpx does not give the request, a CONNECT counts as the batch."""
    trace = after(("http11.send_request_headers.started", {}))
    trace("http11.send_request_body.started", {})
    assert trace.may_have_arrived
