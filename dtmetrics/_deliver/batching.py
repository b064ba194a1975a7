"""Points as lines, lines as bodies within the endpoint's limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from dtmetrics._protocol.line import encode
from dtmetrics._protocol.metadata import Metadata, encode_metadata
from dtmetrics._protocol.point import DataPoints, Identity
from dtmetrics.exporters import Batch

__all__ = ["BYTES_LIMIT", "LINES_LIMIT", "pack", "pack_metadata"]

# The OneAgent takes 1,000 lines a request (oneagent-metric-api, 2026-01), the
# environment's API 1 MB of text; what is left of it is for headers and doubt.
LINES_LIMIT = 1_000
BYTES_LIMIT = 950_000
# A line of metadata has at most 9 KB: a description of 1,023 characters, escaped.
_METADATA_LINES_LIMIT = 100


def pack(chunks: Iterable[DataPoints], created_ms: int) -> Iterator[Batch]:
    """Yield the points of *chunks* as bodies, holding about one body at a time."""
    lines: list[str] = []
    owners: list[Identity] = []
    size = 0
    try:
        for chunk in chunks:
            # All of a chunk in one step, and its characters only: bytes are counted
            # once they are a body.
            fresh = encode(chunk)
            lines += fresh
            owners += chunk.identities
            size += sum(map(len, fresh))
            while len(lines) >= LINES_LIMIT or size >= BYTES_LIMIT:
                yield from _bodies(lines[:LINES_LIMIT], owners, created_ms)
                del lines[:LINES_LIMIT], owners[:LINES_LIMIT]
                size = sum(map(len, lines))
    except GeneratorExit:
        raise
    except BaseException:
        # Of a callback that was asked for a value, say. What has been drained by then
        # is in no series any more.
        yield from _bodies(lines, owners, created_ms) if lines else ()
        raise
    if lines:
        yield from _bodies(lines, owners, created_ms)


def _bodies(
    lines: Sequence[str], owners: Sequence[Identity], created_ms: int
) -> Iterator[Batch]:
    text = "\n".join(lines).encode()
    if len(text) <= BYTES_LIMIT or len(lines) == 1:
        yield Batch(text, tuple(owners[: len(lines)]), created_ms)
        return
    half = len(lines) // 2
    yield from _bodies(lines[:half], owners, created_ms)
    yield from _bodies(lines[half:], owners[half:], created_ms)


def pack_metadata(news: Sequence[Metadata], created_ms: int) -> Iterator[Batch]:
    """Yield what *news* says of metric keys as bodies, which hold no points."""
    lines = [line for line in map(encode_metadata, news) if line is not None]
    for start in range(0, len(lines), _METADATA_LINES_LIMIT):
        chunk = lines[start : start + _METADATA_LINES_LIMIT]
        yield Batch("\n".join(chunk).encode(), (), created_ms)
