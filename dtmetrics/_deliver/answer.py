"""What the endpoint's reply means.

A 202 or 400 with a *validation response* has judged every line: the good ones were
taken. https://docs.dynatrace.com/docs/dynatrace-api/environment-api/metric-v2/post-ingest-metrics
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dtmetrics._deliver.exporter import Body, ExportResult, Outcome, Refused

__all__ = ["judge"]

# Not taken, and may be one day: throttled, switched off for now (an ActiveGate whose
# module is off answers 404), a token that is being renewed, a proxy in between.
_LATER = frozenset({401, 403, 404, 405, 407, 408, 425, 429, 503})
# Whether it was taken before something behind the endpoint failed, nobody can tell.
_DOUBTFUL = frozenset({500, 502, 504})


def judge(
    body: Body, status: int, headers: Mapping[str, str], content: bytes
) -> ExportResult:
    """Return what became of *body* by the endpoint's reply."""
    verdict = _validation_response(content)
    if status == 202 or (status in (200, 400) and verdict is not None):
        return _answered(body, verdict or _NO_VERDICT)
    reason = f"status {status}"
    if status in _LATER or status < 400:
        # Below 400: a page of somebody else (a portal, a redirect), and no ingest.
        return ExportResult(
            Outcome.KEEP, reason=reason, retry_after=_retry_after(headers)
        )
    if status in _DOUBTFUL:
        return ExportResult(Outcome.UNKNOWN, reason=reason)
    return ExportResult(Outcome.DROP, reason=reason)


@dataclass(frozen=True, slots=True)
class _Verdict:
    invalid: int = 0
    refused: tuple[Refused, ...] = field(default=())


_NO_VERDICT = _Verdict()


def _answered(body: Body, verdict: _Verdict) -> ExportResult:
    lines = body.text.count(b"\n") + 1
    refused = [line for line in verdict.refused if 0 <= line.line < lines]
    # Metadata is refused without any point being lost.
    rejected = min(max(verdict.invalid, len(refused)), body.points)
    reason = f"{rejected} lines refused" if rejected else ""
    return ExportResult(Outcome.ANSWERED, rejected, reason, refused=refused)


def _validation_response(content: bytes) -> _Verdict | None:
    """Read linesOk (linesValid from a OneAgent), linesInvalid and the refused lines."""
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(answer, dict) or not {"linesOk", "linesValid"} & answer.keys():
        return None
    error = answer.get("error")
    listed = error.get("invalidLines") if isinstance(error, dict) else None
    refused = [_refused(item) for item in listed] if isinstance(listed, list) else []
    invalid = answer.get("linesInvalid")
    return _Verdict(
        invalid if isinstance(invalid, int) and invalid >= 0 else 0,
        tuple(item for item in refused if item is not None),
    )


def _refused(item: Any) -> Refused | None:
    if not isinstance(item, dict) or not isinstance(item.get("line"), int):
        return None
    # Lines are counted from 1: a request of one line is answered with "line": 1.
    return Refused(item["line"] - 1, str(item.get("error", ""))[:200])


def _retry_after(headers: Mapping[str, str]) -> float | None:
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return min(max(seconds, 1.0), 300.0)
