from __future__ import annotations

import logging
import socket
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics import Stats
from dtmetrics._export.compression import Compression
from dtmetrics._export.http import HttpExporter
from dtmetrics._runtime.runtime import Runtime
from dtmetrics.exporters import Batch, ExportResult, Outcome
from dtmetrics.receiver import create_app, running
from tests.support.endpoint import Endpoint, Request, Verdict, accept, answer, partly
from tests.support.exporter_contract import a_batch
from tests.support.runtime_calls import inc

TWO = a_batch("a count,delta=1", "b count,delta=1")
METADATA = Batch(b"#a count dt.meta.unit=Count", (), 0)


def content(request: Request) -> bytes:
    """Return what was posted, inflated."""
    if request.headers.get("content-encoding") == "gzip":
        return zlib.decompress(request.body, zlib.MAX_WBITS | 16)
    return request.body


def encodings(endpoint: Endpoint) -> list[str]:
    """Return the encoding of each request."""
    return [r.headers.get("content-encoding", "") for r in endpoint.requests]


def export(
    *script: Verdict, batches: int = 2, batch: Batch = TWO
) -> tuple[list[ExportResult], Endpoint]:
    """Export *batch* several times with compression."""
    with Endpoint(*script) as endpoint:
        exporter = HttpExporter(endpoint.url)
        exporter.compress()
        results = [exporter.export(batch, 5.0) for _ in range(batches)]
        exporter.close()
    assert {content(request) for request in endpoint.requests} == {batch.text}
    return results, endpoint


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_body(text: str) -> None:
    """A compressed body holds the lines; one that is not compressed is the lines."""
    batch = Batch(text.encode(), (), 0)
    compression = Compression()
    assert compression.body(batch) == (batch.text, {})
    compression.enable()
    body = compression.body(batch)
    assert zlib.decompress(body.content, zlib.MAX_WBITS | 16) == batch.text
    assert body.headers == {"Content-Encoding": "gzip"}
    assert compression.body(batch) == body


def test_accepted() -> None:
    """Every batch is compressed while the endpoint takes that."""
    results, endpoint = export()
    assert [result.outcome for result in results] == [Outcome.ANSWERED] * 2
    assert encodings(endpoint) == ["gzip", "gzip"]


def test_off_by_default() -> None:
    """An exporter does not compress by default."""
    with Endpoint() as endpoint:
        exporter = HttpExporter(endpoint.url)
        exporter.export(TWO, 5.0)
        exporter.close()
    assert encodings(endpoint) == [""]


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (answer(415), 415),
        (answer(400), 400),
        (answer(400, "<html>Bad Request</html>"), 400),
        (answer(400, {"error": {"code": 400, "message": "empty request"}}), 400),
        # What an endpoint answers that takes the compressed bytes for lines.
        (partly(0, 7, [(1, "invalid metric key")]), 400),
    ],
    ids=range(5),
)
@pytest.mark.parametrize("batch", [TWO, METADATA], ids=["data", "metadata"])
def test_refused(
    refusal: Verdict, status: int, batch: Batch, caplog: pytest.LogCaptureFixture
) -> None:
    """A batch that is rejected as compressed is sent as it is at once, and logged once."""
    results, endpoint = export(refusal, batch=batch)
    assert [(r.outcome, r.rejected) for r in results] == [(Outcome.ANSWERED, 0)] * 2
    assert encodings(endpoint) == ["gzip", "", ""]
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        f"dtmetrics: the endpoint does not take compressed lines (status {status}): "
        "compression is switched off"
    )


@pytest.mark.parametrize("resend", [True, False])
def test_refused_connection(resend: bool) -> None:
    """The batch is sent again also where connections are not reused."""
    with Endpoint(answer(415, headers=["Connection: close"])) as endpoint:
        exporter = HttpExporter(endpoint.url, resend=resend)
        exporter.compress()
        assert exporter.export(TWO, 5.0).outcome is Outcome.ANSWERED
        exporter.close()
    assert encodings(endpoint) == ["gzip", ""]


def test_refused_later() -> None:
    """A 415 switches compression off whenever it comes, as from another of many servers."""
    results, endpoint = export(accept(), answer(415), batches=3)
    assert [result.outcome for result in results] == [Outcome.ANSWERED] * 3
    assert encodings(endpoint) == ["gzip", "gzip", "", ""]


def test_rejected_lines(caplog: pytest.LogCaptureFixture) -> None:
    """A 400 about some of the lines, or after a batch was read, is about the lines."""
    results, endpoint = export(partly(1, 1), partly(0, 2), answer(400), batches=3)
    assert [(r.outcome, r.rejected) for r in results[:2]] == [
        (Outcome.ANSWERED, 1),
        (Outcome.ANSWERED, 2),
    ]
    assert results[2].outcome is not Outcome.ANSWERED
    assert encodings(endpoint) == ["gzip"] * 3
    assert caplog.records == []


@pytest.mark.parametrize("status", [401, 403, 413, 429, 500, 503])
def test_other_status(status: int) -> None:
    """Any other status has its meaning, and proves nothing about compression."""
    results, endpoint = export(answer(status), answer(400), batches=2)
    assert results[0].outcome is not Outcome.ANSWERED
    assert results[1].outcome is Outcome.ANSWERED
    assert encodings(endpoint) == ["gzip", "gzip", ""]


def test_overlapping_requests(caplog: pytest.LogCaptureFixture) -> None:
    """Of two requests that were compressed, both are sent again, and one is logged."""
    compression = Compression()
    compression.enable()
    body = compression.body(TWO)
    refused = ExportResult(Outcome.REJECTED)
    for _ in range(2):
        assert compression.is_rejected(body, 415, refused, TWO.points)
    assert not compression.is_rejected(compression.body(TWO), 415, refused, TWO.points)
    assert len(caplog.records) == 1


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of another host, which leads to this one."""
    resolve: Any = socket.getaddrinfo

    def resolve_here(host: Any, *args: Any, **kwargs: Any) -> Any:
        return resolve("127.0.0.1", *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_here)
    return "activegate.example"


def run(runtime: Runtime, url: str) -> Stats:
    """Record and flush twice, with compression; return the account."""
    runtime.configure(
        endpoint=url,
        token="x",
        allow_plain_http=True,
        compression="gzip",
        interval=None,
    )
    for _ in range(2):
        inc(runtime)
        assert runtime.flush()
    return runtime.stats()


def test_remote_endpoint(runtime: Runtime, elsewhere: str) -> None:
    """With ``compression="gzip"``, what goes to another host is compressed."""
    with Endpoint() as endpoint:
        stats = run(runtime, endpoint.url.replace("127.0.0.1", elsewhere))
    assert encodings(endpoint) == ["gzip", "gzip"]
    assert stats.accepted == stats.collected == 2


def test_nothing_is_lost(runtime: Runtime, elsewhere: str) -> None:
    """An endpoint that refuses compression gets every data point once."""
    with Endpoint(answer(415)) as endpoint:
        stats = run(runtime, endpoint.url.replace("127.0.0.1", elsewhere))
    assert endpoint.total("orders") == 2
    assert stats.accepted == stats.collected == 2


def test_this_host(runtime: Runtime) -> None:
    """A OneAgent of this host gets nothing compressed."""
    with Endpoint() as endpoint:
        run(runtime, endpoint.url)
    assert encodings(endpoint) == ["", ""]


def test_receiver() -> None:
    """The receiver for development takes compressed lines."""
    with running(create_app()) as address:
        exporter = HttpExporter(f"{address}/api/v2/metrics/ingest")
        exporter.compress()
        result = exporter.export(TWO, 5.0)
        exporter.close()
    assert (result.outcome, result.rejected) == (Outcome.ANSWERED, 0)
