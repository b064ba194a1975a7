"""The format of a batch in a file: magic, CRC-32, creation time, compressed lines."""

from __future__ import annotations

import struct
import zlib

from dtmetrics._protocol.point import Identity
from dtmetrics.exporters import Batch

__all__ = ["RECORD_LIMIT", "TEXT_LIMIT", "decode", "encode"]

#: The most bytes of text that a record may hold. No batch is larger.
TEXT_LIMIT = 4 << 20
#: The most bytes of a record: random bytes grow by 0.03 % in zlib, and a head is added.
RECORD_LIMIT = TEXT_LIMIT + 4096

# MAGIC | CRC-32 of all that follows | created_ms | zlib
_MAGIC = b"DTMSPL02"
_CRC = struct.Struct(">I")
_CREATED_MS = struct.Struct(">Q")
_CRC_END = len(_MAGIC) + _CRC.size
_HEAD_SIZE = _CRC_END + _CREATED_MS.size


def encode(batch: Batch) -> bytes:
    """Return *batch* as a record."""
    # Level 1 leaves a fifth of the size for 8 ms a MB. Level 6 saves little more.
    content = _CREATED_MS.pack(batch.created_ms) + zlib.compress(batch.text, 1)
    return _MAGIC + _CRC.pack(zlib.crc32(content)) + content


def decode(record: bytes) -> Batch | None:
    """Return the batch in *record*, or None if its bytes are not those written."""
    if len(record) < _HEAD_SIZE or not record.startswith(_MAGIC):
        return None
    (crc,) = _CRC.unpack_from(record, len(_MAGIC))
    if zlib.crc32(memoryview(record)[_CRC_END:]) != crc:
        return None
    (created_ms,) = _CREATED_MS.unpack_from(record, _CRC_END)
    text = _decompress(record[_HEAD_SIZE:])
    return None if text is None else Batch(text, _identities(text), created_ms)


def _decompress(payload: bytes) -> bytes | None:
    """Return the text of *payload*, or None if it is invalid or over TEXT_LIMIT."""
    decompressor = zlib.decompressobj()
    try:
        text = decompressor.decompress(payload, TEXT_LIMIT)
    except zlib.error:
        return None
    return text if decompressor.eof and not decompressor.unused_data else None


def _identities(text: bytes) -> tuple[Identity, ...]:
    """Return an identity for each line: its metric key, without dimensions.

    The endpoint's messages about a recovered line then name at least the metric.
    """
    keys = [
        line.partition(b" ")[0].partition(b",")[0].decode(errors="replace")
        for line in text.split(b"\n")
    ]
    by_key = {key: Identity(key, key) for key in keys}
    return tuple([by_key[key] for key in keys])
