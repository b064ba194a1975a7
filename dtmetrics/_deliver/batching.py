"""Batching: data points as lines, lines as batches within the endpoint's limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from dtmetrics._protocol.line import encode
from dtmetrics._protocol.metadata import Metadata, encode_metadata
from dtmetrics._protocol.point import DataPoints, Identity
from dtmetrics.exporters import Batch

__all__ = ["BYTES_LIMIT", "LINES_LIMIT", "batches", "metadata_batches"]

#: The OneAgent takes 1,000 lines in a request:
#: https://docs.dynatrace.com/docs/ingest-from/extend-dynatrace/extend-metrics/ingestion-methods/oneagent-metric-api
LINES_LIMIT = 1_000
#: The environment's API takes 1 MB of text; the difference is a margin:
#: https://docs.dynatrace.com/docs/dynatrace-api/environment-api/metric-v2/post-ingest-metrics
BYTES_LIMIT = 950_000
# A line of metadata has at most 9 KB: a description of 1,023 characters, escaped.
_METADATA_LINES_LIMIT = 100


def batches(chunks: Iterable[DataPoints], created_ms: int) -> Iterator[Batch]:
    """Yield the points of *chunks* in batches, holding about one batch at a time."""
    lines: list[str] = []
    identities: list[Identity] = []
    size = 0
    for chunk in chunks:
        # A chunk in one step, and its characters only: bytes are counted once a batch
        # is complete.
        new = encode(chunk)
        lines += new
        identities += chunk.identities
        size += sum(map(len, new))
        while len(lines) >= LINES_LIMIT or size >= BYTES_LIMIT:
            yield from _within_bytes(lines[:LINES_LIMIT], identities, created_ms)
            del lines[:LINES_LIMIT], identities[:LINES_LIMIT]
            size = sum(map(len, lines))
    if lines:
        yield from _within_bytes(lines, identities, created_ms)


def _within_bytes(
    lines: Sequence[str], identities: Sequence[Identity], created_ms: int
) -> Iterator[Batch]:
    text = "\n".join(lines).encode()
    if len(text) <= BYTES_LIMIT or len(lines) == 1:
        yield Batch(text, tuple(identities[: len(lines)]), created_ms)
        return
    half = len(lines) // 2
    yield from _within_bytes(lines[:half], identities, created_ms)
    yield from _within_bytes(lines[half:], identities[half:], created_ms)


def metadata_batches(metadata: Sequence[Metadata], created_ms: int) -> Iterator[Batch]:
    """Yield *metadata* in batches, which hold no points."""
    lines = [line for line in map(encode_metadata, metadata) if line is not None]
    for start in range(0, len(lines), _METADATA_LINES_LIMIT):
        chunk = lines[start : start + _METADATA_LINES_LIMIT]
        yield Batch("\n".join(chunk).encode(), (), created_ms)
