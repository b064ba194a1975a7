"""The endpoint's verdict on the lines of a request, and the answer that reports it.

The answer has the documented form, with the names that real answers use:
``warningLines``, not ``changedMetricKeys``
(https://github.com/micrometer-metrics/micrometer/issues/5037).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dtmetrics._protocol.parse import ParsedMetadata, ParsedPoint, parse
from dtmetrics._protocol.point import CountDelta
from dtmetrics._protocol.reader import Rejection

__all__ = ["BODY_LIMIT", "LineReport", "Verdict", "check_lines", "error_envelope"]

BODY_LIMIT = 1_000_000

_OLDEST_MS = 60 * 60 * 1000
_NEWEST_MS = 10 * 60 * 1000
# Real answers list the first 10 errors. At least 22 warnings have been seen in one.
_ERRORS_REPORTED = 10
_WARNINGS_REPORTED = 100


class LineReport(NamedTuple):
    """An error or a warning about one line. Lines are numbered from 1 on."""

    line_number: int
    text: str


class Verdict(NamedTuple):
    """The answer to a request, and its lines by what became of them."""

    status: int
    answer: dict[str, object]
    accepted: Sequence[ParsedPoint | ParsedMetadata] = ()
    rejected: Sequence[LineReport] = ()
    warnings: Sequence[LineReport] = ()


def check_lines(body: bytes, *, now_ms: int, lines_limit: int | None = None) -> Verdict:
    """Accept or reject each line of *body*, received at *now_ms*.

    *lines_limit* is the number of lines that one request may have: 1,000 for a
    OneAgent, any number for a Dynatrace environment.
    """
    if len(body) > BODY_LIMIT:
        return _rejected_request(
            413, f"request body too large: {len(body)} > {BODY_LIMIT} bytes"
        )
    # Not splitlines(): in this protocol only a line feed ends a line.
    lines = body.removesuffix(b"\n").split(b"\n")
    if not any(lines):
        return _answer([], [], [], "empty request")
    if lines_limit is not None and len(lines) > lines_limit:
        return _rejected_request(400, f"too many lines: {len(lines)} > {lines_limit}")
    accepted: list[ParsedPoint | ParsedMetadata] = []
    rejected: list[LineReport] = []
    warnings: list[LineReport] = []
    for number, line in enumerate(lines, 1):
        parsed = _check_line(line, now_ms)
        if isinstance(parsed, Rejection):
            rejected.append(LineReport(number, parsed.message))
            continue
        accepted.append(parsed)
        warnings.extend(LineReport(number, text) for text in _warnings(parsed))
    return _answer(accepted, rejected, warnings)


def error_envelope(status: int, message: str) -> dict[str, object]:
    """Return the body of an answer that is not about lines."""
    return {"error": {"code": status, "message": message}}


def _rejected_request(status: int, message: str) -> Verdict:
    return Verdict(status, error_envelope(status, message))


def _check_line(line: bytes, now_ms: int) -> ParsedPoint | ParsedMetadata | Rejection:
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        return Rejection(f"invalid UTF-8 at byte {error.start}", error.start)
    parsed = parse(text)
    if isinstance(parsed, ParsedPoint) and parsed.timestamp_ms is not None:
        age_ms = now_ms - parsed.timestamp_ms
        if not -_NEWEST_MS <= age_ms <= _OLDEST_MS:
            return Rejection(
                f"timestamp out of range: {parsed.timestamp_ms} is not between "
                "1 hour ago and 10 minutes ahead",
                len(text) - len(str(parsed.timestamp_ms)),
            )
    return parsed


def _warnings(parsed: ParsedPoint | ParsedMetadata) -> Iterator[str]:
    """Yield the warnings about an accepted line.

    Only Dynatrace Classic adds suffixes. Warning of them in any case shows which
    charts and queries need the other name.
    """
    if isinstance(parsed, ParsedMetadata):
        return
    key = parsed.key
    if isinstance(parsed.payload, CountDelta):
        if not key.endswith((".count", "_count")):
            yield f"metric key '{key}' changed to '{key}.count'"
    elif key.endswith(".count"):
        yield f"metric key '{key}' changed to '{key}.gauge'"
    if parsed.absolute:
        yield (
            f"metric key '{key}' reports a running total. "
            "Note that monotonic counters are deprecated."
        )


def _answer(
    accepted: Sequence[ParsedPoint | ParsedMetadata],
    rejected: Sequence[LineReport],
    warnings: Sequence[LineReport],
    problem: str | None = None,
) -> Verdict:
    error = warned = None
    if rejected or problem:
        message = f"{len(rejected)} invalid lines"
        if len(rejected) > _ERRORS_REPORTED:
            message = f"First {_ERRORS_REPORTED} errors reported"
        reported = rejected[:_ERRORS_REPORTED]
        lines = [{"line": number, "error": text} for number, text in reported]
        error = {"code": 400, "message": problem or message, "invalidLines": lines}
    if warnings:
        reported = warnings[:_WARNINGS_REPORTED]
        lines = [{"line": number, "warning": text} for number, text in reported]
        message = f"First {len(lines)} warnings reported"
        warned = {"message": message, "warningLines": lines}
    answer: dict[str, object] = {
        "linesOk": len(accepted),
        "linesInvalid": len(rejected),
        "error": error,
        "warnings": warned,
    }
    return Verdict(400 if error else 202, answer, accepted, rejected, warnings)
