"""Compresses what is posted, as long as the endpoint takes it.

344 KB of lines, a minute of a program with 2,000 series, become 52 KB in 0.9 ms.
Dynatrace does not document compression. Its own monitor of Google Cloud uses it:
https://github.com/dynatrace-oss/dynatrace-gcp-monitor
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import NamedTuple

from dtmetrics._core import log
from dtmetrics.exporters import Batch, ExportResult, Outcome

__all__ = ["Body", "Compression"]

# Level 6 saves 12 % more, in three times the time.
_LEVEL = 1
# A header and a checksum of gzip around the compressed data.
_GZIP = zlib.MAX_WBITS | 16


class Body(NamedTuple):
    """The body of a request, and the headers that describe its encoding."""

    content: bytes
    headers: Mapping[str, str]


class Compression:
    """Encodes the bodies for an endpoint, with gzip while that is enabled."""

    def __init__(self) -> None:
        self._enabled = False
        # Whether the endpoint has read a compressed body.
        self._confirmed = False

    def enable(self) -> None:
        """Compress what is posted, until the endpoint rejects it."""
        self._enabled = True

    def body(self, batch: Batch) -> Body:
        """Return the body that posts *batch*."""
        if not self._enabled:
            return Body(batch.text, {})
        packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        content = packer.compress(batch.text) + packer.flush()
        return Body(content, {"Content-Encoding": "gzip"})

    def is_rejected(
        self, body: Body, status: int, result: ExportResult, points: int
    ) -> bool:
        """Return whether the response means that *body* must be sent uncompressed.

        It may do so only if nothing of it was accepted: after a 415, and after a 400
        without an accepted line, until a compressed body has once been read. An
        endpoint that ignores the encoding takes each line of it for an invalid one.
        """
        if not body.headers:
            return False
        answered = result.outcome is Outcome.ANSWERED
        nothing_accepted = not answered or result.rejected >= points
        unread = status == 400 and nothing_accepted and not self._confirmed
        if status != 415 and not unread:
            self._confirmed = self._confirmed or answered
            return False
        if self._enabled:  # else another request has switched it off
            self._enabled = False
            log.warning(
                "the endpoint does not take compressed lines (status %d): "
                "compression is switched off",
                status,
            )
        return True
