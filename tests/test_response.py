from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._export.response import parse_response
from dtmetrics.exporters import Batch, ExportResult, Outcome
from tests.support.exporter_contract import a_batch
from tests.support.recorder import MOMENT

NOW = 1_700_000_000.0
FIVE = a_batch(*(f"k{n} count,delta=1" for n in range(5)))


def result_of(
    status: int, content: object = b"", batch: Batch = FIVE, **headers: str
) -> ExportResult:
    """Parse a response; content that is not bytes is encoded as JSON."""
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return parse_response(batch, status=status, headers=named, content=raw, now=NOW)


def report(invalid: int, *lines: Any, ok: str = "linesOk") -> dict[str, object]:
    """Return a validation response."""
    listed = {"code": 400, "message": f"{invalid} invalid lines", "invalidLines": lines}
    return {ok: 5 - invalid, "linesInvalid": invalid, "error": listed}


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"\xff\x00", b"[]", b"null", report(0)]
)
def test_202(content: object) -> None:
    """A 202 means that every line was accepted, whatever its text."""
    result = result_of(202, content)
    assert (result.outcome, result.rejected) == (Outcome.ANSWERED, 0)
    assert result.reason == ""


@pytest.mark.parametrize("status", [200, 202, 400])
@pytest.mark.parametrize("name", ["linesOk", "linesValid"])
def test_validation_response(status: int, name: str) -> None:
    """Both spellings are read, and rejected lines are listed, counted from 0."""
    result = result_of(status, report(1, {"line": 3, "error": "bad key"}, ok=name))
    assert (result.outcome, result.rejected) == (Outcome.ANSWERED, 1)
    assert result.rejected_lines == [(2, "bad key")]
    assert result.reason == "1 lines rejected"


def test_truncated_list() -> None:
    """The count of rejected lines may exceed the list, which is truncated."""
    result = result_of(400, report(4, {"line": 1, "error": "bad"}))
    assert result.rejected == 4
    assert len(result.rejected_lines) == 1


def test_missing_count() -> None:
    """Without a count of invalid lines, it is derived from the count of valid ones."""
    assert result_of(400, {"linesOk": 3}).rejected == 2
    assert result_of(400, {"linesValid": 3}).rejected == 2
    assert result_of(400, {"linesOk": 3, "linesInvalid": "?"}).rejected == 2
    assert result_of(400, {"linesOk": "?"}).rejected == 0


def test_no_line_was_examined() -> None:
    """A validation response with both counts at 0 is ignored; the status decides."""
    nothing = report(0) | {"linesOk": 0}  # the request exceeded a limit
    assert result_of(400, nothing).outcome is Outcome.MALFORMED
    assert result_of(200, nothing).outcome is Outcome.MISCONFIGURED
    assert result_of(202, nothing).outcome is Outcome.ANSWERED


def test_rejected_metadata() -> None:
    """A rejected line of metadata is listed, and costs no data point."""
    batch = Batch(b"#orders gauge dt.meta.unit=x", (), MOMENT)
    result = result_of(400, report(1, {"line": 1, "error": "bad unit"}), batch)
    assert (result.outcome, result.rejected) == (Outcome.ANSWERED, 0)
    assert result.rejected_lines == [(0, "bad unit")]


@pytest.mark.parametrize(
    "item",
    [
        None,
        3,
        "x",
        {},
        *({"line": line} for line in ("1", 0, 6, -1, True, 2.0, 10**30, None)),
    ],
)
def test_invalid_entries(item: object) -> None:
    """Entries that do not name a line of the batch are ignored."""
    assert result_of(400, report(0, item)).rejected_lines == []


def test_log_injection() -> None:
    """A line's message is made printable and short, so that it cannot forge a log."""
    evil = "bad\r\n2026-01-01 CRITICAL all is lost\x1b[31m\u202e\ud800" + "x" * 999
    ((_, text),) = result_of(400, report(1, {"line": 1, "error": evil})).rejected_lines
    assert text.isprintable()
    assert len(text) == 200
    ((_, text),) = result_of(400, report(1, {"line": 1, "error": [[1]]})).rejected_lines
    assert text == ""


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *((s, Outcome.MISCONFIGURED) for s in (200, 204, 301, 302, 304, 307, 308)),
        *((s, Outcome.MISCONFIGURED) for s in (401, 403, 404, 405, 407)),
        *((s, Outcome.THROTTLED) for s in (408, 425, 429, 503)),
        *((s, Outcome.INDETERMINATE) for s in (500, 501, 502, 504, 505, 599)),
        *((s, Outcome.REJECTED) for s in (402, 406, 411, 414, 418, 431)),
        (400, Outcome.MALFORMED),
        (413, Outcome.TOO_LARGE),
    ],
)
@pytest.mark.parametrize("content", [b"", b"<html>sorry</html>", {"error": {}}])
def test_statuses(status: int, outcome: Outcome, content: object) -> None:
    """Without a validation response, the status alone decides the outcome."""
    result = result_of(status, content)
    assert result.outcome is outcome
    assert result.reason == f"status {status}"
    assert result.rejected == 0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        (" 2.5 ", 2.5),
        ("0", 1.0),
        ("86400", 300.0),
        ("Tue, 14 Nov 2023 22:14:00 GMT", 40.0),  # NOW is 22:13:20
        ("Tue, 14 Nov 2023 22:13:00 GMT", 1.0),
        ("Tue, 14 Nov 2099 22:13:00 GMT", 300.0),
        ("Wed, 31 Feb 2029 00:00:00 GMT", None),
        ("Wed, 01 Foo 2029 00:00:00 GMT", None),
        ("Tue, 14 Nov 2023 22:14:00 +0000", None),
        ("nan", None),
        ("inf", None),
        ("-5", None),
        ("1e3", None),
        ("٣", None),  # a digit of another script
        ("7, 7", None),
        ("", None),
    ],
)
def test_retry_after(text: str, seconds: float | None) -> None:
    """Retry-After is read as seconds or as a date, and limited to 1 to 300 s."""
    assert result_of(429, retry_after=text).retry_after == seconds
    assert result_of(503, retry_after=text).retry_after == seconds


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
REPORTS = st.fixed_dictionaries(
    {},
    optional={
        "linesOk": JSON,
        "linesValid": JSON,
        "linesInvalid": JSON,
        "error": JSON
        | st.fixed_dictionaries(
            {},
            optional={
                "invalidLines": JSON
                | st.lists(
                    st.fixed_dictionaries({}, optional={"line": JSON, "error": JSON})
                )
            },
        ),
    },
)
CONTENT = st.binary() | (JSON | REPORTS).map(lambda value: json.dumps(value).encode())


@given(
    st.integers(100, 999),
    st.text() | st.just("Tue, 99 Nov 9999 99:99:99 GMT"),
    CONTENT,
)
def test_never_raises(status: int, retry_after: str, content: bytes) -> None:
    """Any response is parsed, and rejects no more lines than the batch has."""
    result = result_of(status, content, retry_after=retry_after)
    assert 0 <= result.rejected <= 5
    assert result.retry_after is None or 1 <= result.retry_after <= 300
    for number, message in result.rejected_lines:
        assert 0 <= number < 5
        assert message.isprintable()


@pytest.mark.parametrize(
    "content",
    [b"[" * 65_536, b'{"linesOk":' * 5_000, b'{"linesOk":' + b"9" * 60_000 + b"}"],
    ids=["deep list", "deep object", "long number"],
)
def test_hostile_json(content: bytes) -> None:
    """Text made to break a JSON parser is handled as one without a report."""
    assert result_of(202, content).outcome is Outcome.ANSWERED
