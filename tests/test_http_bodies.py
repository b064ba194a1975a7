from __future__ import annotations

import gzip
import json

import pytest

from dtmetrics._deliver.exporter import ExportResult, LineNote, Outcome
from dtmetrics._deliver.http import HttpExporter
from tests.endpoint import Endpoint, answer
from tests.test_http import a_body

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
    assert result.refused == [LineNote(0, "invalid")]


@pytest.mark.parametrize(
    "body",
    [b"", PARTLY, gzip.compress(PARTLY)[:-9], gzip.compress(b"\0" * (1 << 20))],
    ids=["empty", "plain", "cut", "bomb"],
)
def test_no_gzip(body: bytes) -> None:
    """What only says that it is gzip does no harm; a 202 says all without it."""
    assert posted(202, body, ZIPPED).outcome is Outcome.ANSWERED
    assert posted(503, body, ZIPPED).outcome is Outcome.KEEP


@pytest.mark.parametrize("body", [b"", b"<html>\xff</html>"], ids=["empty", "html"])
@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.MISCONFIGURED),
        (202, Outcome.ANSWERED),
        (400, Outcome.UNREAD),
        (502, Outcome.UNKNOWN),
    ],
)
def test_no_verdict(status: int, outcome: Outcome, body: bytes) -> None:
    """Without a verdict on the lines the status decides what became of the body."""
    assert posted(status, body).outcome is outcome
