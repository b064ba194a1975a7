"""What a response of the endpoint means for the batch that was posted.

A 202 or 400 with a *validation response* reports on every line, and the valid lines
have been accepted. Other responses concern the batch as a whole.
https://docs.dynatrace.com/docs/dynatrace-api/environment-api/metric-v2/post-ingest-metrics
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from dtmetrics.exporters import Batch, ExportResult, LineMessage, Outcome

__all__ = ["RESPONSE_LIMIT", "parse_response"]

#: How many bytes of a response are read.
RESPONSE_LIMIT = 64 * 1024

# Nothing was accepted, and the same request may succeed later: throttled, or a server
# behind the endpoint has not started yet.
_THROTTLED = frozenset({408, 425, 429, 503})
# Nothing is accepted until a setting changes: a token without the scope, a wrong URL, a
# proxy. A 404 also comes from an ActiveGate whose metrics module is switched off.
_MISCONFIGURED = frozenset({401, 403, 404, 405, 407})
_BY_STATUS = {400: Outcome.MALFORMED, 413: Outcome.TOO_LARGE}

_MAX_MESSAGE_CHARACTERS = 200

# The two forms of RFC 9110, section 10.2.3. Its obsolete date formats are not read.
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_DATE = re.compile(
    r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} ([0-9]{2}:){2}[0-9]{2} GMT"
)
# How long the endpoint may ask to wait, in seconds.
_MIN_RETRY_AFTER, _MAX_RETRY_AFTER = 1.0, 300.0


def parse_response(
    batch: Batch,
    *,
    status: int,
    headers: Mapping[str, str],
    content: bytes,
    now: float,
) -> ExportResult:
    """Return the result of posting *batch*.

    The names in *headers* are in lower case. *now* is in seconds since 1970.
    """
    if "gzip" in headers.get("content-encoding", ""):
        content = _decompress(content)
    report = _validation_response(content)
    if status == 202 or (status in (200, 400) and report is not None):
        return _answered(batch, report or _Report())
    reason = f"status {status}"
    if status in _THROTTLED:
        wait = _retry_after(headers.get("retry-after", "").strip(), now)
        return ExportResult(Outcome.THROTTLED, reason=reason, retry_after=wait)
    if status in _MISCONFIGURED or status < 400:
        # Below 400 the response is not from the metrics API: a login page, a redirect.
        return ExportResult(Outcome.MISCONFIGURED, reason=reason)
    # After a 5xx lines may have been accepted before the endpoint failed.
    other = Outcome.REJECTED if status < 500 else Outcome.INDETERMINATE
    return ExportResult(_BY_STATUS.get(status, other), reason=reason)


@dataclass(frozen=True, slots=True)
class _Report:
    """A validation response. A count that was absent or wrong is None."""

    ok: int | None = None
    invalid: int | None = None
    rejected: tuple[LineMessage, ...] = ()
    warnings: tuple[LineMessage, ...] = ()


def _answered(batch: Batch, report: _Report) -> ExportResult:
    lines = batch.text.count(b"\n") + 1
    listed = [message for message in report.rejected if 0 <= message.line < lines]
    warnings = [message for message in report.warnings if 0 <= message.line < lines]
    invalid = report.invalid
    if invalid is None:
        invalid = 0 if report.ok is None else max(0, lines - report.ok)
    # The endpoint lists the first 10 errors only, so that the count may exceed them. A
    # rejected line of metadata costs no data point.
    rejected = min(max(invalid, len({line for line, _ in listed})), batch.points)
    return ExportResult(
        Outcome.ANSWERED,
        rejected,
        f"{rejected} lines rejected" if rejected else "",
        rejected_lines=listed,
        warnings=warnings,
    )


def _validation_response(content: bytes) -> _Report | None:
    """Parse linesOk (linesValid from a OneAgent), linesInvalid and the listed lines.

    The warnings are documented as changedMetricKeys, and real responses name them
    warningLines (https://github.com/micrometer-metrics/micrometer/issues/5037).
    """
    try:
        response: object = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(response, dict) or not (
        {"linesOk", "linesValid"} & response.keys()
    ):
        return None
    ok = _count(response.get("linesOk", response.get("linesValid")))
    invalid = _count(response.get("linesInvalid"))
    if ok == invalid == 0:
        return None  # the request exceeded a limit, and no line was examined
    warnings = response.get("warnings")
    return _Report(
        ok,
        invalid,
        rejected=_messages(response.get("error"), "invalidLines", text="error"),
        warnings=_messages(warnings, "warningLines", text="warning")
        + _messages(warnings, "changedMetricKeys", text="warning"),
    )


def _count(value: object) -> int | None:
    # Not isinstance(): JSON's true would pass as an int.
    return value if type(value) is int and value >= 0 else None


def _messages(container: object, name: str, *, text: str) -> tuple[LineMessage, ...]:
    """Return the well-formed entries of the list *name*, with their *text* field."""
    entries = container.get(name) if isinstance(container, dict) else None
    if not isinstance(entries, list):
        return ()
    return tuple(
        # Lines are counted from 1: "line": 1 is the only line of a request.
        LineMessage(entry["line"] - 1, _printable(entry.get(text)))
        for entry in entries
        if isinstance(entry, dict) and type(entry.get("line")) is int
    )


def _printable(message: object) -> str:
    """Return *message* shortened and on one line: it is logged, and is not trusted."""
    text = message[:_MAX_MESSAGE_CHARACTERS] if isinstance(message, str) else ""
    return "".join(c if c.isprintable() else " " for c in text)


def _retry_after(text: str, now: float) -> float | None:
    """Return the seconds to wait, within limits, or None if *text* is malformed."""
    if _SECONDS.fullmatch(text):
        seconds = float(text)
    elif _DATE.fullmatch(text):
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now
        except ValueError:  # a date that does not exist, such as 31 February
            return None
    else:
        return None
    return min(max(seconds, _MIN_RETRY_AFTER), _MAX_RETRY_AFTER)


def _decompress(content: bytes) -> bytes:
    """Decompress gzip, up to the limit of a response. Malformed gzip gives nothing.

    The request does not accept gzip, but a proxy may send it. 306 KB of gzip can hold
    300 MB.
    """
    decompressor = zlib.decompressobj(wbits=31)
    try:
        return decompressor.decompress(content, RESPONSE_LIMIT)
    except zlib.error:
        return b""
