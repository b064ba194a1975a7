"""Points as lines, lines as bodies within the endpoint's limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from dtmetrics._deliver.exporter import Body
from dtmetrics._wire.line import encode
from dtmetrics._wire.metadata import Metadata, encode_metadata
from dtmetrics._wire.point import DataPoint, Identity

__all__ = ["BYTES_LIMIT", "LINES_LIMIT", "pack", "pack_metadata"]

# The OneAgent takes 1,000 lines a request (oneagent-metric-api, 2026-01), the
# environment's API 1 MB of text; what is left of it is for headers and doubt.
LINES_LIMIT = 1_000
BYTES_LIMIT = 950_000
# A line of metadata has at most 9 KB: a description of 1,023 characters, escaped.
_METADATA_LINES_LIMIT = 100


def pack(chunks: Iterable[Iterable[DataPoint]], created_ms: int) -> Iterator[Body]:
    """Yield the points of *chunks* as bodies, holding one body at a time."""
    lines: list[bytes] = []
    identities: list[Identity] = []
    size = 0
    for chunk in chunks:
        for point in chunk:
            line = encode(point).encode()
            if len(lines) == LINES_LIMIT or size + len(line) >= BYTES_LIMIT:
                yield Body(b"\n".join(lines), tuple(identities), created_ms)
                lines.clear()
                identities.clear()
                size = 0
            lines.append(line)
            identities.append(point.identity)
            size += len(line) + 1
    if lines:
        yield Body(b"\n".join(lines), tuple(identities), created_ms)


def pack_metadata(news: Sequence[Metadata], created_ms: int) -> Iterator[Body]:
    """Yield what *news* says of metric keys as bodies, which hold no points."""
    lines = [line for line in map(encode_metadata, news) if line is not None]
    for start in range(0, len(lines), _METADATA_LINES_LIMIT):
        chunk = lines[start : start + _METADATA_LINES_LIMIT]
        yield Body("\n".join(chunk).encode(), (), created_ms)
