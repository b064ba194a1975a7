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
from tests.support.exporter_contract import a_body
from tests.support.http_post import fake, post
from tests.support.script import expect

PARTLY = json.dumps(
    {
        "linesOk": 0,
        "linesInvalid": 1,
        "error": {"code": 400, "invalidLines": [{"line": 1, "error": "invalid"}]},
    }
).encode()
ZIPPED = "Content-Encoding: gzip"


def posted(status: int, body: bytes, *headers: str) -> ExportResult:
    """Post one line to who answers so."""
    with Endpoint(answer(status, body, headers)) as endpoint:
        exporter = HttpExporter(endpoint.url)
        result = exporter.export(a_body(), 5.0)
        exporter.close()
    return result


def test_gzip() -> None:
    """An answer in gzip, which a proxy may send unasked, is read as it was meant."""
    result = posted(400, gzip.compress(PARTLY), ZIPPED)
    assert (result.outcome, result.rejected) == (Outcome.ANSWERED, 1)
    assert result.rejected_lines == [LineMessage(0, "invalid")]


@pytest.mark.parametrize(
    "body",
    [b"", PARTLY, gzip.compress(PARTLY)[:-9], gzip.compress(b"\0" * (1 << 20))],
    ids=["empty", "plain", "cut", "bomb"],
)
def test_no_gzip(body: bytes) -> None:
    """What only says that it is gzip does no harm; a 202 says all without it."""
    assert posted(202, body, ZIPPED).outcome is Outcome.ANSWERED
    assert posted(503, body, ZIPPED).outcome is Outcome.THROTTLED


@pytest.mark.parametrize("body", [b"", b"<html>\xff</html>"], ids=["empty", "html"])
@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.MISCONFIGURED),
        (202, Outcome.ANSWERED),
        (400, Outcome.MALFORMED),
        (502, Outcome.INDETERMINATE),
    ],
)
def test_no_verdict(status: int, outcome: Outcome, body: bytes) -> None:
    """Without a verdict on the lines the status decides what became of the body."""
    assert posted(status, body).outcome is outcome


@pytest.mark.parametrize("status", [202, 503])
@pytest.mark.parametrize(
    "length", ["Content-Length: 1000000000", "Connection: close"], ids=["long", "open"]
)
def test_dribbled_text(status: int, length: str) -> None:
    """An answer's text that comes byte by byte is cut short, and its status counts."""
    result, _ = post(dribble(f"HTTP/1.1 {status} X\n{length}\n\n"), timeout=0.3)
    assert result.outcome is (Outcome.ANSWERED if status == 202 else Outcome.THROTTLED)


def test_late_202() -> None:
    """A 202 whose text never comes was a 202: sending again would count twice."""
    verdict = dribble("HTTP/1.1 202 Accepted\nContent-Length: 99\n\n", pause=5)
    assert post(verdict, timeout=0.2)[0].outcome is Outcome.ANSWERED


MEASURED = """
import sys
from time import monotonic
from dtmetrics.exporters import Batch
from dtmetrics._export.http import HttpExporter, preload
from dtmetrics._export.deadline import DeadlineExporter

def peak():
    try:
        # What getrusage() says begins with the peak of the parent, on Linux.
        with open("/proc/self/status") as status:
            return next(int(s.split()[1]) for s in status if s.startswith("VmHWM"))
    except OSError:
        import resource
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

preload()
exporter = DeadlineExporter(HttpExporter(sys.argv[1]))
body = Batch(b"a gauge,1", (), 0)
assert exporter.export(body, 5.0).outcome.value == "answered"
before, begin = peak(), monotonic()
result = exporter.export(body, 2.0)
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
def test_response_bomb(verdict: Verdict, outcome: str) -> None:
    """What an endpoint sends takes less than 5 MB of memory, and ends in time.

    300 KB that would inflate to 300 MB stay what they are, and not all is read.
    """
    with Endpoint(accept(), verdict) as endpoint:
        said, kilobytes, seconds = expect(MEASURED, endpoint.url).split()
    assert said == outcome
    assert int(kilobytes) < 5_000
    assert float(seconds) < 2.5


def test_reads_64_kib() -> None:
    """Of an answer without end a little is read; then the connection is closed."""
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

    result = fake(respond).export(a_body(), 5.0)
    assert result.outcome is Outcome.MISCONFIGURED
    assert sum(parts) <= 72 * 1024
    assert parts[-1] == 0


def test_large_portal_page() -> None:
    """A long page of somebody else is no answer, and the body waits."""
    result, _ = post(answer(200, b"<html>" + b"x" * 100_000))
    assert result.outcome is Outcome.MISCONFIGURED
