from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from dtmetrics._export.http import HttpExporter
from dtmetrics.exporters import Exporter, Outcome
from tests.support.endpoint import (
    Endpoint,
    accept,
    answer,
    refusing_port,
)
from tests.support.exporter_contract import ExporterContract, a_batch
from tests.support.http_post import TOKEN, post


class TestHttp(ExporterContract):
    @pytest.fixture
    def exporter(self) -> Iterator[Exporter]:
        with Endpoint() as endpoint:
            yield HttpExporter(endpoint.url)


def test_request() -> None:
    """A batch is posted byte for byte, as text, with the token and no other header."""
    batch = a_batch('orders,place="Zürich" count,delta=1 1700000000000', "b gauge,2")
    _, endpoint = post(batch=batch)
    (request,) = endpoint.requests
    assert request.method == "POST"
    assert request.target == "/metrics/ingest"
    assert request.body == batch.text
    assert request.headers == {
        "host": f"127.0.0.1:{endpoint.port}",
        "content-type": "text/plain; charset=utf-8",
        "content-length": str(len(batch.text)),
        "accept-encoding": "identity",
        "user-agent": f"dtmetrics (pid {os.getpid()})",
        "authorization": f"Api-Token {TOKEN}",
    }


def test_no_token() -> None:
    """Without a token no Authorization header is sent."""
    with Endpoint() as endpoint:
        exporter = HttpExporter(endpoint.url)
        exporter.export(a_batch(), 5.0)
        exporter.close()
    assert "authorization" not in endpoint.requests[0].headers


def test_shared_tls_context() -> None:
    """Exporters share a TLS context: loading the trusted certificates takes 40 ms."""
    one, other = (HttpExporter(f"https://{name}.example") for name in "ab")
    assert one._tls.context is other._tls.context


def test_connection_is_reused() -> None:
    """Batches that are sent in succession share a connection."""
    with Endpoint() as endpoint:
        exporter = HttpExporter(endpoint.url)
        for _ in range(3):
            assert exporter.export(a_batch(), 5.0).outcome is Outcome.ANSWERED
        exporter.close()
    assert endpoint.connections == 1


@pytest.mark.parametrize(
    ("status", "connections"),
    [
        *((status, [1, 2]) for status in (400, 401, 403, 404, 408, 421, 499)),
        *((status, [1, 2]) for status in (500, 502, 503, 504)),
        *((status, [1, 1]) for status in (413, 429)),
    ],
)
def test_connection_of_a_failure(status: int, connections: list[int]) -> None:
    """After a failure of the server the next request opens a new connection.

    A balancer leads each connection to one server, and the next one to another.
    """
    with Endpoint(answer(status)) as endpoint:
        exporter = HttpExporter(endpoint.url)
        for _ in connections:
            result = exporter.export(a_batch("x" * 2_000), 5.0)
        exporter.close()
    assert result.outcome is Outcome.ANSWERED
    assert [request.connection for request in endpoint.requests] == connections


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forked_child_connects_itself() -> None:
    """A forked child opens a connection of its own, and the parent's stays open."""
    with Endpoint() as endpoint:
        exporter = HttpExporter(endpoint.url)
        exporter.export(a_batch(), 5.0)
        pid = os.fork()
        if not pid:
            exporter.reset_after_fork()
            outcome = exporter.export(a_batch(), 5.0).outcome
            os._exit(outcome is not Outcome.ANSWERED)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        exporter.export(a_batch(), 5.0)
        exporter.close()
    assert [request.connection for request in endpoint.requests] == [1, 2, 1]


def test_reason_names_the_host() -> None:
    """A reason holds the status and the host, and nothing of the response's text."""
    result, endpoint = post(answer(403, "<b>no</b>"))
    host = f"127.0.0.1:{endpoint.port}"
    assert result.reason.startswith(f"status 403 at {host}: access is denied; ")
    assert "<b>" not in result.reason


def test_retry_after() -> None:
    """A Retry-After header reaches the result."""
    result, _ = post(answer(429, headers=["Retry-After: 7"]))
    assert (result.outcome, result.retry_after) == (Outcome.THROTTLED, 7.0)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect(status: int) -> None:
    """A redirect is not followed: batch and token go to the configured host only."""
    with Endpoint() as other:
        result, _ = post(answer(status, headers=[f"Location: {other.url}"]))
        assert other.connections == 0
    assert result.outcome is Outcome.MISCONFIGURED


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_no_proxy(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxy variables of the environment are ignored."""
    monkeypatch.setenv(name, f"http://127.0.0.1:{refusing_port()}")
    assert post()[0].outcome is Outcome.ANSWERED


def test_debug_logs(caplog: pytest.LogCaptureFixture) -> None:
    """With every logger at DEBUG, neither the token nor a line is logged."""
    with caplog.at_level("DEBUG"):
        post(accept(), batch=a_batch("orders.CANARY count,delta=1"))
    assert "CANARY" not in caplog.text
