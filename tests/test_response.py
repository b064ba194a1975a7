from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._export.response import judge
from dtmetrics.exporters import Batch, ExportResult, Outcome
from tests.support.exporter_contract import a_body
from tests.support.recorder import MOMENT

NOW = 1_700_000_000.0
FIVE = a_body(*(f"k{n} count,delta=1" for n in range(5)))


def judged(
    status: int, content: object = b"", body: Batch = FIVE, **headers: str
) -> ExportResult:
    """Judge an answer; a content that is no bytes is sent as JSON."""
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return judge(body, status, named, raw, NOW)


def verdict(invalid: int, *lines: Any, ok: str = "linesOk") -> dict[str, object]:
    """Return a validation response."""
    listed = {"code": 400, "message": f"{invalid} invalid lines", "invalidLines": lines}
    return {ok: 5 - invalid, "linesInvalid": invalid, "error": listed}


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"\xff\x00", b"[]", b"null", verdict(0)]
)
def test_202_is_an_answer(content: object) -> None:
    """A 202 means that all was taken, whatever text comes with it."""
    result = judged(202, content)
    assert (result.outcome, result.rejected) == (Outcome.ANSWERED, 0)
    assert result.reason == ""


@pytest.mark.parametrize("status", [200, 202, 400])
@pytest.mark.parametrize("name", ["linesOk", "linesValid"])
def test_validation_response(status: int, name: str) -> None:
    """Both spellings are read; refused lines are counted from 0, and named."""
    result = judged(status, verdict(1, {"line": 3, "error": "bad key"}, ok=name))
    assert (result.outcome, result.rejected) == (Outcome.ANSWERED, 1)
    assert result.rejected_lines == [(2, "bad key")]
    assert result.reason == "1 lines refused"


def test_cut_list() -> None:
    """A list of the first ten refusals does not hide how many there were."""
    result = judged(400, verdict(4, {"line": 1, "error": "bad"}))
    assert result.rejected == 4
    assert len(result.rejected_lines) == 1


def test_uncounted() -> None:
    """What is not counted as invalid is what is missing among the valid."""
    assert judged(400, {"linesOk": 3}).rejected == 2
    assert judged(400, {"linesValid": 3}).rejected == 2
    assert judged(400, {"linesOk": 3, "linesInvalid": "?"}).rejected == 2
    assert judged(400, {"linesOk": "?"}).rejected == 0


def test_no_line_was_judged() -> None:
    """An answer without a line that was taken or refused has not taken any."""
    nothing = verdict(0) | {"linesOk": 0}  # of a request that exceeds a limit
    assert judged(400, nothing).outcome is Outcome.MALFORMED
    assert judged(200, nothing).outcome is Outcome.MISCONFIGURED
    assert judged(202, nothing).outcome is Outcome.ANSWERED


def test_metadata_refused() -> None:
    """A refused line of metadata loses no point, and is named all the same."""
    body = Batch(b"#orders gauge dt.meta.unit=x", (), MOMENT)
    result = judged(400, verdict(1, {"line": 1, "error": "bad unit"}), body)
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
def test_nonsense_in_the_list(item: object) -> None:
    """Entries that name no line of the body are passed over."""
    assert judged(400, verdict(0, item)).rejected_lines == []


def test_log_injection() -> None:
    """What the endpoint says about a line can neither forge a log line nor fill it."""
    evil = "bad\r\n2026-01-01 CRITICAL all is lost\x1b[31m\u202e\ud800" + "x" * 999
    ((_, text),) = judged(400, verdict(1, {"line": 1, "error": evil})).rejected_lines
    assert text.isprintable()
    assert len(text) == 200
    ((_, text),) = judged(400, verdict(1, {"line": 1, "error": [[1]]})).rejected_lines
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
    """Without a validation response the status alone says what became of a body."""
    result = judged(status, content)
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
    """Asked to wait, by seconds or by date, it waits between 1 and 300 seconds."""
    assert judged(429, retry_after=text).retry_after == seconds
    assert judged(503, retry_after=text).retry_after == seconds


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
LIKELY = st.fixed_dictionaries(
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
CONTENT = st.binary() | (JSON | LIKELY).map(lambda value: json.dumps(value).encode())


@given(
    st.integers(100, 999),
    st.text() | st.just("Tue, 99 Nov 9999 99:99:99 GMT"),
    CONTENT,
)
def test_never_raises(status: int, retry_after: str, content: bytes) -> None:
    """Whatever answers, it is judged, and the account stays within the body."""
    result = judge(FIVE, status, {"retry-after": retry_after}, content, NOW)
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
    """Text made to break a parser is no validation response, and breaks nothing."""
    assert judged(202, content).outcome is Outcome.ANSWERED
