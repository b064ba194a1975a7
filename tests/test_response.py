from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics.exporters import Batch, Outcome
from tests.support.exporter_contract import a_batch
from tests.support.recorder import MOMENT
from tests.support.responses import ENVELOPE, result_of


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
    without = {"linesOk": 0, "linesInvalid": 0, "error": None}
    assert result_of(400, without).outcome is Outcome.MALFORMED
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
    "content",
    [
        b"",
        b"<html><title>400 Bad Request</title></html>",
        b"Bad Request",
        b"[]",
        b'"x"',
        {},
        {"error": "Bad Request", "status": 400},
        {"error": {}},
        {"error": {"code": "400", "message": "x"}},
        {"error": {"code": True, "message": "x"}},
        {"error": {"code": 400}},
        {"error": {"code": 400, "message": None}},
        {"error": [400]},
    ],
)
def test_400_of_another_server(content: object) -> None:
    """A 400 without a documented form is not a verdict on the lines: the batch waits."""
    result = result_of(400, content)
    assert result.outcome is Outcome.MISCONFIGURED
    assert "a page that is not Dynatrace's" in result.reason


def test_400_about_the_batch() -> None:
    """An error envelope with 400 is Dynatrace's, and concerns the batch as a whole."""
    result = result_of(400, ENVELOPE)
    assert result.outcome is Outcome.MALFORMED
    assert "could not read the request" in result.reason


@pytest.mark.parametrize(
    "page",
    [
        b"<center>The plain HTTP request was sent to HTTPS port</center>",
        b"Reason: You're speaking plain HTTP to an SSL-enabled server port.<br />",
        b"Client sent an HTTP request to an HTTPS server.\n",
        b"Bad Request\r\nThis combination of host and port requires TLS.\r\n",
    ],
    ids=["nginx", "Apache", "Go", "Tomcat"],
)
def test_plain_http_to_a_tls_port(page: bytes) -> None:
    """The pages by which servers refuse plain HTTP on a TLS port are recognized."""
    result = result_of(400, page)
    assert result.outcome is Outcome.MISCONFIGURED
    assert result.reason.endswith("this port speaks TLS; begin endpoint with https://")


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            "Token is missing required scope. Use one of: metrics.ingest (Ingest metrics)",
            "the token lacks the scope metrics.ingest",
        ),
        (
            "Missing permission storage:metrics:write",
            "the token lacks the scope storage:metrics:write",
        ),
        ("Scope evil.example is missing", "access is denied"),
        ("", "access is denied"),
    ],
)
def test_missing_scope(message: str, words: str) -> None:
    """The scope that a 403 in the documented form names is in the reason."""
    envelope = {"error": {"code": 403, "message": message}}
    assert words in result_of(403, envelope).reason
    assert "evil" not in result_of(403, envelope).reason


def test_scope_in_another_form() -> None:
    """A 403 without the documented form names no scope, whatever its page contains."""
    reason = result_of(403, b"<html>metrics.ingest CANARY").reason
    assert "access is denied" in reason
    assert "CANARY" not in reason


@pytest.mark.parametrize(
    ("size", "outcome"), [(1_000, Outcome.MISCONFIGURED), (1_001, Outcome.TOO_LARGE)]
)
def test_413(size: int, outcome: Outcome) -> None:
    """A 413 is about the size, unless the batch is so small that nothing would pass."""
    result = result_of(413, batch=a_batch("x" * size))
    assert result.outcome is outcome
    assert result.reason.startswith("status 413 at ag.example:9999: ")


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
