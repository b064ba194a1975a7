"""The times in the headers of an answer: when to come again, and the server's clock."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

__all__ = ["clock_ahead", "retry_after"]

# The two forms of RFC 9110, section 10.2.3. Its obsolete date formats are not read.
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_DATE = re.compile(
    r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} ([0-9]{2}:){2}[0-9]{2} GMT"
)
_DATE_LENGTH = len("Tue, 14 Nov 2023 22:14:00 GMT")
_MICROSECONDS = re.compile(r"[0-9]{16}")
# The shortest and the longest Retry-After that counts, in seconds.
_MIN_RETRY_AFTER, _MAX_RETRY_AFTER = 1.0, 300.0


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds to wait, within limits, or None if *headers* name no time.

    ``X-RateLimit-Reset`` counts where there is no ``Retry-After``. It is a moment in
    microseconds since 1970
    (https://docs.dynatrace.com/docs/dynatrace-api/basics/access-limit). A moment is
    compared with the clock of the server, if the answer shows that.
    """
    text = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(text):
        return _limited(float(text))
    date = _server_time(headers)
    now = now if date is None else date
    if text:
        moment = _seconds_of_date(text)
    else:
        reset = headers.get("x-ratelimit-reset", "").strip()
        moment = int(reset) / 1e6 if _MICROSECONDS.fullmatch(reset) else None
    return None if moment is None else _limited(moment - now)


def clock_ahead(headers: Mapping[str, str], now: float) -> float:
    """Return by how many seconds *now* is ahead of the server's clock, 0 if unknown.

    An answer with an ``Age`` comes from a cache, and its date is from the past.
    """
    date = _server_time(headers)
    return 0.0 if date is None or "age" in headers else now - date


def _server_time(headers: Mapping[str, str]) -> float | None:
    # Where a proxy and the endpoint send one each, the last counts.
    return _seconds_of_date(headers.get("date", "").strip()[-_DATE_LENGTH:])


def _limited(seconds: float) -> float:
    return min(max(seconds, _MIN_RETRY_AFTER), _MAX_RETRY_AFTER)


def _seconds_of_date(text: str) -> float | None:
    """Return the seconds since 1970 of an HTTP date, or None if it is not one."""
    if not _DATE.fullmatch(text):
        return None
    try:
        return parsedate_to_datetime(text).timestamp()
    except ValueError:  # a date that does not exist, such as 31 February
        return None
