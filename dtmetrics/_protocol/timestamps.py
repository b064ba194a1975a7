"""Timestamps of lines that were written by a clock which was ahead."""

from __future__ import annotations

import re

__all__ = ["AHEAD_MS", "restamp"]

#: The endpoint takes what is up to 10 minutes ahead of its own clock.
AHEAD_MS = 9 * 60_000
# A timestamp ends its line. Metadata ends in a word or a quote.
_TIMESTAMP = re.compile(rb" ([0-9]{1,15})$", re.MULTILINE)


def restamp(text: bytes, now_ms: int) -> tuple[bytes, int]:
    """Give lines from more than 9 minutes ahead the time *now_ms*; say how many.

    >>> restamp(b"orders count,delta=1 1700007200000", 1_700_000_000_000)
    (b'orders count,delta=1 1700000000000', 1)
    """
    limit = now_ms + AHEAD_MS
    now = b" %d" % now_ms
    count = 0

    def put_right(found: re.Match[bytes]) -> bytes:
        nonlocal count
        if int(found[1]) <= limit:
            return found[0]
        count += 1
        return now

    return _TIMESTAMP.sub(put_right, text), count
