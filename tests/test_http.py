from __future__ import annotations

from collections.abc import Iterator

import pytest

from dtmetrics._export.http import HttpExporter
from dtmetrics.exporters import Exporter, Outcome
from tests.support.endpoint import (
    Endpoint,
    accept,
    answer,
    partly,
    refusing_port,
)
from tests.support.exporter_contract import ExporterContract, a_body
from tests.support.http_post import TOKEN, post


class TestHttp(ExporterContract):
    @pytest.fixture
    def exporter(self) -> Iterator[Exporter]:
        with Endpoint() as endpoint:
            yield HttpExporter(endpoint.url)


def test_request() -> None:
    """A body is posted byte for byte, as text, with the token, and nothing else."""
    body = a_body('orders,place="Zürich" count,delta=1 1700000000000', "b gauge,2")
    _, endpoint = post(body=body)
    (request,) = endpoint.requests
    assert request.method == "POST"
    assert request.target == "/metrics/ingest"
    assert request.body == body.text
    assert request.headers == {
        "host": f"127.0.0.1:{endpoint.port}",
        "content-type": "text/plain; charset=utf-8",
        "content-length": str(len(body.text)),
        "accept-encoding": "identity",
        "user-agent": "dtmetrics",
        "authorization": f"Api-Token {TOKEN}",
    }


def test_no_token() -> None:
    """Without a token no credentials are sent."""
    with Endpoint() as endpoint:
        exporter = HttpExporter(endpoint.url)
        exporter.export(a_body(), 5.0)
        exporter.close()
    assert "authorization" not in endpoint.requests[0].headers


def test_one_context() -> None:
    """What certificates are trusted is read once in a process: it costs 40 ms."""
    one, other = (HttpExporter(f"https://{name}.example") for name in "ab")
    assert one._tls is other._tls


def test_one_connection_for_a_flush() -> None:
    """Bodies that follow each other share a connection."""
    with Endpoint() as endpoint:
        exporter = HttpExporter(endpoint.url)
        for _ in range(3):
            assert exporter.export(a_body(), 5.0).outcome is Outcome.ANSWERED
        exporter.close()
    assert endpoint.connections == 1


def test_answer_in_part() -> None:
    """A 400 that has judged the lines is an answer: the good ones were taken."""
    body = a_body("a count,delta=1", "b count,delta=1", "c count,delta=1")
    result, _ = post(partly(2, 1, [(2, "invalid metric key")]), body=body)
    assert (result.outcome, result.rejected) == (Outcome.ANSWERED, 1)
    assert result.rejected_lines == [(1, "invalid metric key")]


def test_says_where() -> None:
    """What is wrong is told with the place that said so, and nothing else of it."""
    result, endpoint = post(answer(403, "<b>no</b>"))
    assert result.reason == f"status 403 at 127.0.0.1:{endpoint.port}"


def test_retry_after() -> None:
    """An endpoint that asks for a pause is heard."""
    result, _ = post(answer(429, headers=["Retry-After: 7"]))
    assert (result.outcome, result.retry_after) == (Outcome.THROTTLED, 7.0)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect(status: int) -> None:
    """A redirect is not followed: neither body nor token goes to another place."""
    with Endpoint() as other:
        result, _ = post(answer(status, headers=[f"Location: {other.url}"]))
        assert other.connections == 0
    assert result.outcome is Outcome.MISCONFIGURED


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_no_proxy(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment is not asked to reach this host."""
    monkeypatch.setenv(name, f"http://127.0.0.1:{refusing_port()}")
    assert post()[0].outcome is Outcome.ANSWERED


def test_debug_logs(caplog: pytest.LogCaptureFixture) -> None:
    """With every logger at DEBUG no token is logged, and no text that was sent."""
    with caplog.at_level("DEBUG"):
        post(accept(), body=a_body("orders.CANARY count,delta=1"))
    assert "CANARY" not in caplog.text


def test_child_lets_go() -> None:
    """After a fork the child's exports use a connection of their own."""
    with Endpoint() as endpoint:
        exporter = HttpExporter(endpoint.url)
        exporter.export(a_body(), 5.0)
        (inherited,) = exporter._idle
        exporter.reset_after_fork()
        exporter.export(a_body(), 5.0)
        exporter.close()
        inherited.transport.close()
    assert [request.connection for request in endpoint.requests] == [1, 2]
