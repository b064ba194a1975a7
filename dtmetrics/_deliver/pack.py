"""Points as lines, lines as bodies within the endpoint's limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dtmetrics._deliver.exporter import Body
from dtmetrics._wire.line import encode
from dtmetrics._wire.point import DataPoint, Identity

__all__ = ["BYTES_LIMIT", "LINES_LIMIT", "pack"]

# The OneAgent takes 1,000 lines a request (oneagent-metric-api, 2026-01), the
# environment's API 1 MB of text; what is left of it is for headers and doubt.
LINES_LIMIT = 1_000
BYTES_LIMIT = 950_000


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
