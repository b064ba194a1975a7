"""What a status means for a batch if the answer does not report on its lines.

Only a 400 in Dynatrace's form and a 413 are about the content of the request. With
every other status below 500 nothing was accepted, and the batch waits.
"""

from __future__ import annotations

from typing import NamedTuple

from dtmetrics._export import causes
from dtmetrics._export.causes import Cause
from dtmetrics.exporters import Outcome

__all__ = ["StatusMeaning", "meaning_of"]


class StatusMeaning(NamedTuple):
    """What becomes of the batch, and why."""

    outcome: Outcome
    cause: Cause


_UNAVAILABLE = StatusMeaning(Outcome.RETRY, causes.UNAVAILABLE)
# The server may name the time of the next attempt.
_BUSY = StatusMeaning(Outcome.THROTTLED, causes.UNAVAILABLE)
_PATH = StatusMeaning(Outcome.MISCONFIGURED, causes.PATH)

_BY_STATUS = {
    400: StatusMeaning(Outcome.MALFORMED, causes.MALFORMED),
    401: StatusMeaning(Outcome.MISCONFIGURED, causes.TOKEN),
    403: StatusMeaning(Outcome.MISCONFIGURED, causes.FORBIDDEN),
    # A 404 also comes from an ActiveGate whose metrics module is switched off.
    404: _PATH,
    405: _PATH,
    407: StatusMeaning(Outcome.MISCONFIGURED, causes.PROXY_AUTHENTICATION),
    408: _BUSY,
    409: _UNAVAILABLE,
    410: _PATH,
    413: StatusMeaning(Outcome.TOO_LARGE, causes.TOO_LARGE),
    415: StatusMeaning(Outcome.MISCONFIGURED, causes.MEDIA_TYPE),
    # The request reached the wrong server behind a balancer, or a locked resource.
    421: _UNAVAILABLE,
    423: _UNAVAILABLE,
    425: _BUSY,
    429: StatusMeaning(Outcome.THROTTLED, causes.THROTTLED),
    # A proxy gave up, and did so before the endpoint had answered.
    499: _UNAVAILABLE,
    503: _BUSY,
    # RFC 6585: a portal answers in place of the endpoint.
    511: StatusMeaning(Outcome.MISCONFIGURED, causes.PORTAL),
}


def meaning_of(status: int) -> StatusMeaning:
    """Return what *status* means."""
    known = _BY_STATUS.get(status)
    if known is not None:
        return known
    if status >= 500:
        # Lines may have been accepted before the endpoint failed.
        return StatusMeaning(Outcome.INDETERMINATE, causes.SERVER_ERROR)
    cause = causes.REFUSED_REQUEST
    if status < 400:
        cause = causes.REDIRECT if status >= 300 else causes.NOT_DYNATRACE
    return StatusMeaning(Outcome.MISCONFIGURED, cause)
