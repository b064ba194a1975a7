"""What the endpoint's reply means.

A 202 or 400 with a *validation response* has judged every line: the good ones were
taken. https://docs.dynatrace.com/docs/dynatrace-api/environment-api/metric-v2/post-ingest-metrics
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

from dtmetrics.exporters import Batch, ExportResult, LineMessage, Outcome

__all__ = ["judge"]

# Not taken, and may be soon: throttled, or somebody behind is not up yet.
_LATER = frozenset({408, 425, 429, 503})
# Not taken until somebody does something: a token without the scope, a wrong address,
# a proxy in between. A 404 may come from an ActiveGate whose module is off for now.
_SETTINGS = frozenset({401, 403, 404, 405, 407})
# What a status says that is in neither; whether something was taken before the
# endpoint failed (5xx), nobody can tell.
_OTHERS = {400: Outcome.MALFORMED, 413: Outcome.TOO_LARGE}

# The two forms of RFC 9110, 10.2.3; its obsolete dates are not read.
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_DATE = re.compile(
    r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} ([0-9]{2}:){2}[0-9]{2} GMT"
)


def judge(
    body: Batch, status: int, headers: Mapping[str, str], content: bytes, now: float
) -> ExportResult:
    """Return what became of *body* by the endpoint's reply.

    *headers* are looked up in lower case; *now* is in seconds since 1970.
    """
    verdict = _validation_response(content)
    if status == 202 or (status in (200, 400) and verdict is not None):
        return _answered(body, verdict or _NO_VERDICT)
    reason = f"status {status}"
    if status in _LATER:
        wait = _retry_after(headers.get("retry-after", "").strip(), now)
        return ExportResult(Outcome.THROTTLED, reason=reason, retry_after=wait)
    if status in _SETTINGS or status < 400:
        # Below 400: a page of somebody else (a portal, a redirect), and no ingest.
        return ExportResult(Outcome.MISCONFIGURED, reason=reason)
    other = Outcome.REJECTED if status < 500 else Outcome.INDETERMINATE
    return ExportResult(_OTHERS.get(status, other), reason=reason)


@dataclass(frozen=True, slots=True)
class _Verdict:
    ok: int | None = None
    invalid: int | None = None
    refused: tuple[LineMessage, ...] = field(default=())
    warnings: tuple[LineMessage, ...] = field(default=())


_NO_VERDICT = _Verdict()


def _answered(body: Batch, verdict: _Verdict) -> ExportResult:
    lines = body.text.count(b"\n") + 1
    refused = [note for note in verdict.refused if 0 <= note.line < lines]
    warnings = [note for note in verdict.warnings if 0 <= note.line < lines]
    invalid = verdict.invalid
    if invalid is None:
        invalid = 0 if verdict.ok is None else max(0, lines - verdict.ok)
    # Lists are cut ("First 10 errors reported"), so the count may exceed them.
    # Metadata is refused without any point being lost.
    rejected = min(max(invalid, len({note.line for note in refused})), body.points)
    reason = f"{rejected} lines refused" if rejected else ""
    return ExportResult(
        Outcome.ANSWERED, rejected, reason, rejected_lines=refused, warnings=warnings
    )


def _validation_response(content: bytes) -> _Verdict | None:
    """Read linesOk (linesValid from a OneAgent), linesInvalid and the listed lines.

    The list of warnings is documented as changedMetricKeys; real answers call it
    warningLines (micrometer-metrics/micrometer#5037).
    """
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(answer, dict) or not {"linesOk", "linesValid"} & answer.keys():
        return None
    warnings = answer.get("warnings")
    ok = _count(answer.get("linesOk", answer.get("linesValid")))
    invalid = _count(answer.get("linesInvalid"))
    if ok == invalid == 0:
        return None  # it has judged no line: a limit was exceeded
    return _Verdict(
        ok,
        invalid,
        _notes(answer.get("error"), "invalidLines", "error"),
        _notes(warnings, "warningLines", "warning")
        + _notes(warnings, "changedMetricKeys", "warning"),
    )


def _notes(found: Any, name: str, said: str) -> tuple[LineMessage, ...]:
    listed = found.get(name) if isinstance(found, dict) else None
    notes = [_note(item, said) for item in listed] if isinstance(listed, list) else []
    return tuple(note for note in notes if note is not None)


def _count(value: Any) -> int | None:
    # JSON's true is an int as well, to isinstance().
    return value if type(value) is int and value >= 0 else None


def _note(item: Any, said: str) -> LineMessage | None:
    if not isinstance(item, dict) or type(item.get("line")) is not int:
        return None
    message = item.get(said)
    text = message[:200] if isinstance(message, str) else ""
    # It will be logged: no line end of the endpoint's may start a line there.
    text = "".join(c if c.isprintable() else " " for c in text)
    # Lines are counted from 1: a request of one line is answered with "line": 1.
    return LineMessage(item["line"] - 1, text)


def _retry_after(text: str, now: float) -> float | None:
    """Return how long to wait, from 1 to 300 seconds whatever is asked for."""
    if _SECONDS.fullmatch(text):
        seconds = float(text)
    elif _DATE.fullmatch(text):
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now
        except ValueError:  # the 31st of February
            return None
    else:
        return None
    return min(max(seconds, 1.0), 300.0)
