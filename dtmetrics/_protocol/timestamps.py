"""Timestamps of lines that were written by a clock which was ahead."""

from __future__ import annotations

import re

__all__ = ["AHEAD_MS", "restamp"]

#: The endpoint rejects points from more than 10 minutes ahead of its own clock; one
#: minute is left for the way and for clocks that differ. Source:
#: https://docs.dynatrace.com/docs/ingest-from/extend-dynatrace/extend-metrics/reference/metric-ingestion-protocol
AHEAD_MS = 9 * 60_000
# A timestamp ends its line. Metadata ends in a word or a quote.
_TIMESTAMP = re.compile(rb" ([0-9]{1,15})$", re.MULTILINE)


def restamp(text: bytes, now_ms: int) -> tuple[bytes, int]:
    """Replace timestamps from more than 9 minutes ahead by *now_ms*.

    Return the new text, and how many lines were changed.

    >>> restamp(b"orders count,delta=1 1700007200000", 1_700_000_000_000)
    (b'orders count,delta=1 1700000000000', 1)
    """
    limit = now_ms + AHEAD_MS
    now = b" %d" % now_ms
    count = 0

    def replace(found: re.Match[bytes]) -> bytes:
        nonlocal count
        if int(found[1]) <= limit:
            return found[0]
        count += 1
        return now

    return _TIMESTAMP.sub(replace, text), count
