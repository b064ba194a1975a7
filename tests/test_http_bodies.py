from __future__ import annotations

import gzip
import json
from collections.abc import Iterator

import httpx
import pytest

from dtmetrics._export.http import HttpExporter
from dtmetrics.exporters import ExportResult, LineMessage, Outcome
from tests.support.endpoint import (
    Endpoint,
    Verdict,
    accept,
    answer,
    bomb,
    dribble,
    flood,
)
from tests.support.exporter_contract import a_batch
from tests.support.http_post import exporter_calling, post
from tests.support.script import expect

REJECTED_LINE = json.dumps(
    {
        "linesOk": 0,
        "linesInvalid": 1,
        "error": {"code": 400, "invalidLines": [{"line": 1, "error": "invalid"}]},
    }
).encode()
GZIP_HEADER = "Content-Encoding: gzip"


def posted(status: int, body: bytes, *headers: str) -> ExportResult:
    """Post one line to an endpoint that sends this response."""
    with Endpoint(answer(status, body, headers)) as endpoint:
        exporter = HttpExporter(endpoint.url)
        result = exporter.export(a_batch(), 5.0)
        exporter.close()
    return result


def test_gzip() -> None:
    """A gzip response, which a proxy may send unrequested, is decompressed."""
    result = posted(400, gzip.compress(REJECTED_LINE), GZIP_HEADER)
    assert (result.outcome, result.rejected) == (Outcome.ANSWERED, 1)
    assert result.rejected_lines == [LineMessage(0, "invalid")]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        REJECTED_LINE,
        gzip.compress(REJECTED_LINE)[:-9],
        gzip.compress(b"\0" * (1 << 20)),
    ],
    ids=["empty", "not gzip", "truncated", "oversized"],
)
def test_invalid_gzip(body: bytes) -> None:
    """Invalid or oversized gzip is ignored, and the status alone decides."""
    assert posted(202, body, GZIP_HEADER).outcome is Outcome.ANSWERED
    assert posted(503, body, GZIP_HEADER).outcome is Outcome.THROTTLED


@pytest.mark.parametrize("status", [202, 503])
@pytest.mark.parametrize(
    "length", ["Content-Length: 1000000000", "Connection: close"], ids=["long", "open"]
)
def test_slow_text(status: int, length: str) -> None:
    """Reading a text that arrives byte by byte ends in time; the status counts."""
    result, _ = post(dribble(f"HTTP/1.1 {status} X\n{length}\n\n"), timeout=0.3)
    assert result.outcome is (Outcome.ANSWERED if status == 202 else Outcome.THROTTLED)


def test_late_202() -> None:
    """A 202 whose text never arrives is an acceptance: a retry would count twice."""
    verdict = dribble("HTTP/1.1 202 Accepted\nContent-Length: 99\n\n", pause=5)
    assert post(verdict, timeout=0.2)[0].outcome is Outcome.ANSWERED


MEASURE_MEMORY = """
import sys
from time import monotonic
from dtmetrics.exporters import Batch
from dtmetrics._export.http import HttpExporter, preload
from dtmetrics._export.deadline import DeadlineExporter

def peak():
    try:
        # On Linux, getrusage() starts from the peak of the parent.
        with open("/proc/self/status") as status:
            return next(int(s.split()[1]) for s in status if s.startswith("VmHWM"))
    except OSError:
        import resource
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

preload()
exporter = DeadlineExporter(HttpExporter(sys.argv[1]))
batch = Batch(b"a gauge,1", (), 0)
assert exporter.export(batch, 5.0).outcome.value == "answered"
before, begin = peak(), monotonic()
result = exporter.export(batch, 2.0)
print(result.outcome.value, peak() - before, monotonic() - begin)
exporter.close()
"""


@pytest.mark.parametrize(
    ("verdict", "outcome"),
    [
        (bomb(202), "answered"),
        (bomb(200), "misconfigured"),
        (flood(202, 100 << 20), "answered"),
        (flood(200, 100 << 20), "misconfigured"),
        (answer(202, headers=["X: y"] * 1_000_000), "indeterminate"),
    ],
    ids=["bomb", "bomb 200", "100 MB", "100 MB 200", "million headers"],
)
def test_memory_of_a_response(verdict: Verdict, outcome: str) -> None:
    """Any response takes less than 5 MB of memory and ends in time.

    Of 100 MB the beginning is read; of 300 KB that hold 300 MB, 64 KiB are inflated.
    """
    with Endpoint(accept(), verdict) as endpoint:
        result, kilobytes, seconds = expect(MEASURE_MEMORY, endpoint.url).split()
    assert result == outcome
    assert int(kilobytes) < 5_000
    assert float(seconds) < 2.0 + 4.0


def test_reads_64_kib() -> None:
    """A response without end is read to its limit; then the connection is closed."""
    parts: list[int] = []

    class Endless(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            while True:
                parts.append(8_192)
                yield b"x" * 8_192

        def close(self) -> None:
            parts.append(0)

    def respond(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=Endless())

    result = exporter_calling(respond).export(a_batch(), 5.0)
    assert result.outcome is Outcome.MISCONFIGURED
    assert sum(parts) <= 72 * 1024
    assert parts[-1] == 0
