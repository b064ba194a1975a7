"""What a response of the endpoint means for the batch that was posted.

A 202 or 400 with a *validation response* reports on every line, and the valid lines
have been accepted. Other responses concern the batch as a whole. A 400 is a verdict on
the batch only if it has a documented form, a validation response or an error envelope:
proxies and other servers answer 400 too.
https://docs.dynatrace.com/docs/dynatrace-api/environment-api/metric-v2/post-ingest-metrics
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from dtmetrics._export import causes
from dtmetrics._export.answer_times import clock_ahead, retry_after
from dtmetrics._export.causes import Cause, Destination, explain
from dtmetrics._export.statuses import meaning_of
from dtmetrics.exporters import Batch, ExportResult, LineMessage, Outcome

__all__ = ["RESPONSE_LIMIT", "parse_response"]

#: How many bytes of a response are read.
RESPONSE_LIMIT = 64 * 1024

_MAX_MESSAGE_CHARACTERS = 200

# The scopes that a token for this API may lack. A message of the endpoint is searched
# for these, and its own words are not used.
_SCOPES = "metrics.ingest", "storage:metrics:write"

# Dynatrace takes lines of 50,000 characters. A server that rejects so few bytes rejects
# everything, and halving a batch further would drop each of its lines.
_NEVER_TOO_LARGE = 1_000

# What nginx, Apache, Go and Tomcat answer to plain HTTP on a TLS port.
_TLS_EXPECTED = (
    b"plain http request was sent to https port",
    b"speaking plain http to an ssl-enabled server port",
    b"client sent an http request to an https server",
    b"combination of host and port requires tls",
)


def parse_response(
    batch: Batch,
    *,
    status: int,
    headers: Mapping[str, str],
    content: bytes,
    now: float,
    to: Destination,
) -> ExportResult:
    """Return the result of posting *batch* to a destination.

    The names in *headers* are in lower case. *now* is in seconds since 1970.
    """
    if "gzip" in headers.get("content-encoding", ""):
        content = _decompress(content)
    ahead = clock_ahead(headers, now)
    body = _parse_object(content)
    report = _validation_response(body)
    if status == 202 or (status in (200, 400) and report is not None):
        return replace(_answered(batch, report or _Report()), clock_ahead=ahead)
    message = _error_message(body)
    outcome, cause = meaning_of(status)
    scope = ""
    if status == 400 and message is None and not _is_validation_response(body):
        outcome, cause = Outcome.MISCONFIGURED, _cause_of_page(content)
    elif status == 413 and len(batch.text) <= _NEVER_TOO_LARGE:
        outcome, cause = Outcome.MISCONFIGURED, causes.REFUSED_REQUEST
    elif status == 403 and (scope := _missing_scope(message)):
        cause = causes.SCOPE
    busy = outcome is Outcome.THROTTLED
    return ExportResult(
        outcome,
        reason=explain(f"status {status}", to, cause, scope),
        retry_after=retry_after(headers, now) if busy else None,
        clock_ahead=ahead,
    )


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


def _parse_object(content: bytes) -> dict[str, object]:
    """Return the JSON object that is the whole *content*, or an empty one."""
    try:
        body: object = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _error_message(body: Mapping[str, object]) -> str | None:
    """Return the message of an error envelope, or None if *body* is not one."""
    error = body.get("error")
    if not isinstance(error, dict) or type(error.get("code")) is not int:
        return None
    message = error.get("message")
    return message if isinstance(message, str) else None


def _missing_scope(message: str | None) -> str:
    """Return the scope that the *message* of a 403 names, or nothing."""
    return next((scope for scope in _SCOPES if scope in (message or "")), "")


def _cause_of_page(content: bytes) -> Cause:
    """Return why a server that is not Dynatrace's answers 400 with this *content*."""
    page = content.lower()
    if any(words in page for words in _TLS_EXPECTED):
        return causes.TLS_EXPECTED
    return causes.NOT_DYNATRACE


def _is_validation_response(body: Mapping[str, object]) -> bool:
    return bool({"linesOk", "linesValid"} & body.keys())


def _validation_response(response: Mapping[str, object]) -> _Report | None:
    """Read linesOk (linesValid from a OneAgent), linesInvalid and the listed lines.

    The warnings are documented as changedMetricKeys, and real responses name them
    warningLines (https://github.com/micrometer-metrics/micrometer/issues/5037).
    """
    if not _is_validation_response(response):
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
