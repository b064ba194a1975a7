"""The format of a batch in a file: magic, CRC-32, creation time, compressed lines."""

from __future__ import annotations

import zlib

from dtmetrics._protocol.point import Identity
from dtmetrics.exporters import Batch

__all__ = ["RECORD_LIMIT", "TEXT_LIMIT", "decode", "encode", "identities_of"]

#: The most bytes of text that a record may hold. No batch is larger.
TEXT_LIMIT = 4 << 20
#: The most bytes of a record: random bytes grow by 0.03 % in zlib, and a head is added.
RECORD_LIMIT = TEXT_LIMIT + 4096

# 8 bytes of magic | 4 of CRC-32 of all that follows | 8 of created_ms | zlib
_MAGIC = b"DTMSPL02"


def encode(batch: Batch) -> bytes:
    """Return *batch* as a record."""
    # Level 1 leaves a fifth of the size for 8 ms a MB. Level 6 saves little more.
    content = batch.created_ms.to_bytes(8, "big") + zlib.compress(batch.text, 1)
    return _MAGIC + zlib.crc32(content).to_bytes(4, "big") + content


def decode(record: bytes) -> Batch | None:
    """Return the batch in *record*, or None if its bytes are not those written."""
    magic, crc, content = record[:8], record[8:12], record[12:]
    if magic != _MAGIC or crc != zlib.crc32(content).to_bytes(4, "big"):
        return None
    decompressor = zlib.decompressobj()
    try:
        text = decompressor.decompress(content[8:], TEXT_LIMIT)
    except zlib.error:
        return None
    if not decompressor.eof or decompressor.unused_data:
        return None
    return Batch(text, identities_of(text), int.from_bytes(content[:8], "big"))


def identities_of(text: bytes) -> tuple[Identity, ...]:
    """Return an identity for each line: its metric key, without dimensions.

    The endpoint's messages about a recovered line then name at least the metric.
    """
    keys = [
        line.partition(b" ")[0].partition(b",")[0].decode(errors="replace")
        for line in text.split(b"\n")
    ]
    by_key = {key: Identity(key, key) for key in keys}
    return tuple([by_key[key] for key in keys])
