from __future__ import annotations

import os
import zlib

from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._spool.record import RECORD_LIMIT, TEXT_LIMIT, decode, encode
from dtmetrics.exporters import Batch
from tests.support.exporter_contract import a_batch
from tests.support.recorder import MOMENT

BATCH = a_batch("orders,place=Zürich count,delta=7 1700000000000", "b gauge,1")


def record_of(text: bytes, payload: bytes | None = None) -> bytes:
    """Return a record with a valid checksum, written independently of encode()."""
    payload = zlib.compress(text, 6) if payload is None else payload
    rest = MOMENT.to_bytes(8, "big") + payload
    return b"DTMSPL02" + zlib.crc32(rest).to_bytes(4, "big") + rest


@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\n")), min_size=1
    ),
    st.integers(0, 2**64 - 1),
)
def test_round_trip(lines: list[str], created_ms: int) -> None:
    """A decoded record has the text, creation time and metric keys of its batch."""
    batch = a_batch(*lines, created_ms=created_ms)
    decoded = decode(encode(batch))
    assert decoded is not None
    assert decoded.points == len(lines)
    assert (decoded.text, decoded.created_ms) == (batch.text, created_ms)
    keys = [line.split(" ")[0].split(",")[0] for line in lines]
    assert [identity.key for identity in decoded.identities] == keys


def test_format() -> None:
    """A record is magic, CRC-32, creation time and zlib data, each at its place."""
    decoded = decode(record_of(b"a,b=c 1"))
    assert decoded is not None
    assert (decoded.text, decoded.created_ms) == (b"a,b=c 1", MOMENT)
    written = encode(Batch(b"a 1", (), MOMENT))
    assert written.startswith(b"DTMSPL02")
    assert written[12:20] == MOMENT.to_bytes(8, "big")
    assert zlib.decompress(written[20:]) == b"a 1"


def test_any_flipped_bit() -> None:
    """A record with any one bit flipped is corrupt."""
    record = encode(BATCH)
    for place in range(len(record)):
        for bit in range(8):
            changed = bytearray(record)
            changed[place] ^= 1 << bit
            assert decode(bytes(changed)) is None


@given(st.data())
def test_any_changed_bytes(data: st.DataObject) -> None:
    """A record with up to four neighbouring bytes changed is corrupt."""
    record = bytearray(encode(BATCH))
    place = data.draw(st.integers(0, len(record) - 4))
    new = data.draw(st.binary(min_size=1, max_size=4))
    changed = record[:place] + new + record[place + len(new) :]
    assert changed == record or decode(bytes(changed)) is None


def test_any_other_length() -> None:
    """A record cut anywhere, or followed by more bytes, is corrupt."""
    record = encode(BATCH)
    for size in range(len(record)):
        assert decode(record[:size]) is None
    assert decode(record + b"\0") is None
    assert decode(record + record) is None


@given(st.binary(max_size=200))
def test_noise(noise: bytes) -> None:
    """Random bytes are corrupt, with or without the magic of a record."""
    assert decode(noise) is None
    assert decode(b"DTMSPL02" + noise) is None


@given(st.binary(max_size=50))
def test_right_checksum_of_invalid_data(payload: bytes) -> None:
    """A valid checksum does not make invalid, cut or continued zlib data valid."""
    assert decode(record_of(b"", payload)) is None
    assert decode(record_of(b"", zlib.compress(b"a 1")[:-1])) is None
    assert decode(record_of(b"", zlib.compress(b"a 1") + b"more")) is None


def test_decompression_bomb() -> None:
    """A record that would decompress to more than TEXT_LIMIT is corrupt."""
    assert decode(record_of(bytes(TEXT_LIMIT + 1))) is None
    largest = decode(record_of(bytes(TEXT_LIMIT)))
    assert largest is not None
    assert len(largest.text) == TEXT_LIMIT


def test_largest_record() -> None:
    """The largest batch fits into RECORD_LIMIT even if zlib cannot compress it."""
    batch = Batch(os.urandom(TEXT_LIMIT), (), MOMENT)
    assert len(encode(batch)) <= RECORD_LIMIT
