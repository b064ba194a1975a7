"""A body of lines as the endpoint judges it, and the answer it gives.

The answer has the documented form, with the names real answers use:
``warningLines``, not ``changedMetricKeys`` (micrometer-metrics/micrometer#5037).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dtmetrics._protocol.parse import ParsedMetadata, ParsedPoint, parse
from dtmetrics._protocol.point import CountDelta
from dtmetrics._protocol.reader import Rejection

__all__ = ["BODY_LIMIT", "LineNote", "Verdict", "error_envelope", "judge"]

BODY_LIMIT = 1_000_000

_OLDEST_MS = 60 * 60 * 1000
_NEWEST_MS = 10 * 60 * 1000
# Real answers list the first 10 errors, and have been seen to list 22 warnings.
_ERRORS_REPORTED = 10
_WARNINGS_REPORTED = 100


class LineNote(NamedTuple):
    """What the endpoint has to say about the line with this number, from 1 on."""

    line: int
    text: str


class Verdict(NamedTuple):
    """What became of a body: the answer, and what of the body was accepted."""

    status: int
    answer: dict[str, object]
    accepted: Sequence[ParsedPoint | ParsedMetadata] = ()
    invalid: Sequence[LineNote] = ()
    warnings: Sequence[LineNote] = ()


def judge(body: bytes, *, now_ms: int, lines_limit: int | None = None) -> Verdict:
    """Judge every line of *body* as received at *now_ms*.

    *lines_limit* is how many lines one request may have: 1,000 for a OneAgent, any
    number for a Dynatrace environment.
    """
    if len(body) > BODY_LIMIT:
        return _refused(
            413, f"request body too large: {len(body)} > {BODY_LIMIT} bytes"
        )
    # Not splitlines(): U+2028 and others are no line ends on this wire.
    lines = body.removesuffix(b"\n").split(b"\n")
    if not any(lines):
        return _answer([], [], [], "empty request")
    if lines_limit is not None and len(lines) > lines_limit:
        return _refused(400, f"too many lines: {len(lines)} > {lines_limit}")
    accepted: list[ParsedPoint | ParsedMetadata] = []
    invalid: list[LineNote] = []
    warnings: list[LineNote] = []
    for number, line in enumerate(lines, 1):
        parsed = _judge_line(line, now_ms)
        if isinstance(parsed, Rejection):
            invalid.append(LineNote(number, parsed.message))
            continue
        accepted.append(parsed)
        warnings.extend(LineNote(number, text) for text in _warnings(parsed))
    return _answer(accepted, invalid, warnings)


def error_envelope(status: int, message: str) -> dict[str, object]:
    """Return what the endpoint answers where there is nothing to say of lines."""
    return {"error": {"code": status, "message": message}}


def _refused(status: int, message: str) -> Verdict:
    return Verdict(status, error_envelope(status, message))


def _judge_line(line: bytes, now_ms: int) -> ParsedPoint | ParsedMetadata | Rejection:
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        return Rejection(f"invalid UTF-8 at byte {error.start}", error.start)
    parsed = parse(text)
    if isinstance(parsed, ParsedPoint) and parsed.timestamp_ms is not None:
        late = now_ms - parsed.timestamp_ms
        if not -_NEWEST_MS <= late <= _OLDEST_MS:
            return Rejection(
                f"timestamp out of range: {parsed.timestamp_ms} is not between "
                "1 hour ago and 10 minutes ahead",
                len(text) - len(str(parsed.timestamp_ms)),
            )
    return parsed


def _warnings(parsed: ParsedPoint | ParsedMetadata) -> Iterator[str]:
    """Yield what the endpoint remarks on an accepted line.

    Only classic metrics get suffixes. Warning of them always shows which charts and
    queries have to use the other name.
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
    invalid: Sequence[LineNote],
    warnings: Sequence[LineNote],
    fault: str | None = None,
) -> Verdict:
    error: dict[str, object] | None = None
    if invalid or fault:
        message = f"{len(invalid)} invalid lines"
        if len(invalid) > _ERRORS_REPORTED:
            message = f"First {_ERRORS_REPORTED} errors reported"
        listed = [
            {"line": note.line, "error": note.text}
            for note in invalid[:_ERRORS_REPORTED]
        ]
        error = {"code": 400, "message": fault or message, "invalidLines": listed}
    remarks: dict[str, object] | None = None
    if warnings:
        shown = [
            {"line": note.line, "warning": note.text}
            for note in warnings[:_WARNINGS_REPORTED]
        ]
        message = f"First {len(shown)} warnings reported"
        remarks = {"message": message, "warningLines": shown}
    answer: dict[str, object] = {
        "linesOk": len(accepted),
        "linesInvalid": len(invalid),
        "error": error,
        "warnings": remarks,
    }
    return Verdict(400 if error else 202, answer, accepted, invalid, warnings)
