from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._protocol.parse import ParsedMetadata, ParsedPoint
from dtmetrics.receiver.verdict import BODY_LIMIT, LineReport, Verdict, check_lines

NOW = 1_700_000_000_000
HOUR = 60 * 60 * 1000


def check(body: bytes, lines_limit: int | None = None) -> Verdict:
    """Check the lines of *body* at the time ``NOW``."""
    return check_lines(body, now_ms=NOW, lines_limit=lines_limit)


def test_all_valid() -> None:
    """Valid lines are answered with 202, without errors or warnings."""
    verdict = check(b"a 1\n#a gauge dt.meta.unit=s\nb,c=d gauge,2")
    assert verdict.status == 202
    assert verdict.answer == {
        "linesOk": 3,
        "linesInvalid": 0,
        "error": None,
        "warnings": None,
    }
    kinds = [type(parsed) for parsed in verdict.accepted]
    assert kinds == [ParsedPoint, ParsedMetadata, ParsedPoint]


def test_some_rejected() -> None:
    """A rejected line is reported by its number from 1 on; the others are accepted."""
    verdict = check(b"a 1\nb\nc 3")
    assert verdict.status == 400
    assert verdict.answer == {
        "linesOk": 2,
        "linesInvalid": 1,
        "error": {
            "code": 400,
            "message": "1 invalid lines",
            "invalidLines": [{"line": 2, "error": "unexpected end of input"}],
        },
        "warnings": None,
    }
    assert verdict.rejected == [LineReport(2, "unexpected end of input")]


def test_many_rejected() -> None:
    """The answer lists the first 10 errors and counts all of them."""
    verdict = check(b"\n".join([b"a 1", *[b"b"] * 25]))
    error: Any = verdict.answer["error"]
    assert error["message"] == "First 10 errors reported"
    assert [line["line"] for line in error["invalidLines"]] == list(range(2, 12))
    assert verdict.answer["linesInvalid"] == len(verdict.rejected) == 25


@pytest.mark.parametrize("body", [b"", b"\n", b"\n\n\n"])
def test_empty(body: bytes) -> None:
    """A request without a line is answered with its own error."""
    verdict = check(body)
    assert verdict.status == 400
    error: Any = verdict.answer["error"]
    assert error["message"] == "empty request"


def test_line_ends() -> None:
    """Only a line feed ends a line, and the last line may have one."""
    assert check("a,b=x\u2028y\u0085z 1\nb 2\n".encode()).answer["linesOk"] == 2
    assert check(b"a 1\r\nb 2").answer["linesInvalid"] == 1
    assert [report.line_number for report in check(b"a 1\n\nb 2").rejected] == [2]


def test_not_utf8() -> None:
    """A line that is not UTF-8 is rejected, and the other lines are accepted."""
    verdict = check(b"a 1\nb,c=\xff 2\nd 3")
    assert verdict.rejected == [LineReport(2, "invalid UTF-8 at byte 4")]
    assert verdict.answer["linesOk"] == 2


def test_size() -> None:
    """A body of more than 1,000,000 bytes is rejected as a whole."""
    line = b"a,b=" + b"x" * 243 + b" 1\n"
    fits = line * (BODY_LIMIT // len(line))
    assert len(fits) == BODY_LIMIT
    assert check(fits).status == 202
    verdict = check(fits + b"x")
    assert verdict.status == 413
    assert verdict.accepted == ()
    assert verdict.answer == {
        "error": {
            "code": 413,
            "message": "request body too large: 1000001 > 1000000 bytes",
        }
    }


def test_line_limit() -> None:
    """A OneAgent accepts 1,000 lines in a request, an environment any number."""
    body = b"a 1\n" * 1001
    assert check(body).status == 202
    assert check(body[4:], lines_limit=1000).status == 202
    assert check(body, lines_limit=1000).answer == {
        "error": {"code": 400, "message": "too many lines: 1001 > 1000"}
    }


@pytest.mark.parametrize(
    ("age_ms", "status"),
    [(0, 202), (HOUR, 202), (HOUR + 1, 400), (-HOUR // 6, 202), (-HOUR // 6 - 1, 400)],
)
def test_time(age_ms: int, status: int) -> None:
    """A point may be up to one hour old or ten minutes ahead."""
    assert check(f"a 1 {NOW - age_ms}".encode()).status == status


def test_time_in_seconds() -> None:
    """A timestamp in seconds instead of milliseconds is rejected and shown."""
    (report,) = check(b"a 1 1700000000").rejected
    assert report.text.startswith("timestamp out of range: 1700000000 is not between")


@pytest.mark.parametrize(
    ("line", "warnings"),
    [
        ("x count,delta=1", ["metric key 'x' changed to 'x.count'"]),
        ("x.count count,delta=1", []),
        ("x_count count,delta=1", []),
        ("x.count 1", ["metric key 'x.count' changed to 'x.count.gauge'"]),
        ("x 1", []),
        (
            "x.count count,5",
            [
                (
                    "metric key 'x.count' reports a running total. "
                    "Note that monotonic counters are deprecated."
                )
            ],
        ),
        ("#x count dt.meta.unit=s", []),
    ],
)
def test_warnings(line: str, warnings: list[str]) -> None:
    """A line whose key Dynatrace Classic changes is accepted with a warning."""
    verdict = check(line.encode())
    assert verdict.status == 202
    assert [report.text for report in verdict.warnings] == warnings


def test_warnings_in_the_answer() -> None:
    """The answer lists warnings under the name that real answers use."""
    answer: Any = check(b"a 1\nx count,delta=1").answer
    assert answer["warnings"] == {
        "message": "First 1 warnings reported",
        "warningLines": [{"line": 2, "warning": "metric key 'x' changed to 'x.count'"}],
    }
    many: Any = check(b"x count,delta=1\n" * 500).answer
    assert many["warnings"]["message"] == "First 100 warnings reported"
    assert len(many["warnings"]["warningLines"]) == 100


@given(st.binary() | st.lists(st.binary()).map(b"\n".join))
def test_any_bytes(body: bytes) -> None:
    """Each line of any body is either accepted or rejected, once."""
    verdict = check(body)
    lines = body.removesuffix(b"\n").split(b"\n")
    checked = len(verdict.accepted) + len(verdict.rejected)
    assert checked == (len(lines) if any(lines) else 0)


@pytest.mark.parametrize(
    "line",
    [
        b"a,b=" + b"\\," * 24_000,
        b"a" + b".-" * 24_000,
        b"a" + b",b=c" * 12_000,
        b"a gauge," + b"1" * 49_000,
        b"#a gauge " + b"dt.meta.unit=s," * 3_300,
    ],
)
def test_hostile_megabyte(line: bytes) -> None:
    """A hostile body of one megabyte is checked within seconds, as a valid one is."""
    body = b"\n".join([line] * (BODY_LIMIT // (len(line) + 1)))
    started = time.process_time()
    assert check(body).status == 400
    assert time.process_time() - started < 5
