from __future__ import annotations

import os
import zlib

from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._spool.record import RECORD_LIMIT, TEXT_LIMIT, decode, encode
from dtmetrics.exporters import Batch
from tests.support.exporter_contract import a_body
from tests.support.recorder import MOMENT

ID = bytes(range(16))
BODY = a_body("orders,place=Zürich count,delta=7 1700000000000", "b gauge,1")


def record_of(text: bytes, payload: bytes | None = None) -> bytes:
    """Return a record as the format is described, written a second time."""
    payload = zlib.compress(text, 6) if payload is None else payload
    rest = ID + MOMENT.to_bytes(8, "big") + (1).to_bytes(4, "big")
    rest += len(payload).to_bytes(4, "big") + payload
    return b"DTMSPL01" + zlib.crc32(rest).to_bytes(4, "big") + rest


@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\n")), min_size=1
    ),
    st.integers(0, 2**64 - 1),
)
def test_comes_back(lines: list[str], created_ms: int) -> None:
    """A record says all that the body said, but for the dimensions of its series."""
    body = a_body(*lines, created_ms=created_ms)
    stored = decode(encode(body, ID))
    assert stored is not None
    assert stored.points == len(lines)
    assert (stored.body.text, stored.body.created_ms) == (body.text, created_ms)
    keys = [line.split(" ")[0].split(",")[0] for line in lines]
    assert [identity.key for identity in stored.body.identities] == keys


def test_is_as_described() -> None:
    """The format is the one that is described, to the byte."""
    stored = decode(record_of(b"a,b=c 1"))
    assert stored is not None
    assert (stored.body.text, stored.body.created_ms, stored.points) == (
        b"a,b=c 1",
        MOMENT,
        1,
    )
    written = encode(Batch(b"a 1", (), MOMENT), ID)
    assert written[:28] == b"DTMSPL01" + written[8:12] + ID
    assert written[28:36] == MOMENT.to_bytes(8, "big")


def test_any_flipped_bit() -> None:
    """A record of which any one bit has changed is not taken for one."""
    record = encode(BODY, ID)
    for place in range(len(record)):
        for bit in range(8):
            changed = bytearray(record)
            changed[place] ^= 1 << bit
            assert decode(bytes(changed)) is None


@given(st.data())
def test_any_changed_byte(data: st.DataObject) -> None:
    """Nor one of which some bytes have other values."""
    record = bytearray(encode(BODY, ID))
    place = data.draw(st.integers(0, len(record) - 4))
    new = data.draw(st.binary(min_size=1, max_size=4))
    changed = record[:place] + new + record[place + len(new) :]
    assert changed == record or decode(bytes(changed)) is None


def test_any_truncation() -> None:
    """Nor one whose end is missing, wherever it breaks off, or that goes on."""
    record = encode(BODY, ID)
    for size in range(len(record)):
        assert decode(record[:size]) is None
    assert decode(record + b"\0") is None
    assert decode(record + record) is None


@given(st.binary(max_size=200))
def test_noise(noise: bytes) -> None:
    """Nor is anything else, with or without the first bytes of a record."""
    assert decode(noise) is None
    assert decode(b"DTMSPL01" + noise) is None


@given(st.binary(max_size=50))
def test_right_sum_wrong_payload(payload: bytes) -> None:
    """Nor one whose payload was wrong from the start."""
    assert decode(record_of(b"", payload)) is None
    assert decode(record_of(b"", zlib.compress(b"a 1")[:-1])) is None
    assert decode(record_of(b"", zlib.compress(b"a 1") + b"more")) is None


def test_right_sum_wrong_length() -> None:
    """Nor one that is longer than it says, even if its sum is right."""
    longer = record_of(b"a 1")[12:] + b"!"
    assert decode(b"DTMSPL01" + zlib.crc32(longer).to_bytes(4, "big") + longer) is None


def test_no_bomb() -> None:
    """Nor one that would unpack to more than any body has."""
    assert decode(record_of(bytes(TEXT_LIMIT + 1))) is None
    fits = decode(record_of(bytes(TEXT_LIMIT)))
    assert fits is not None
    assert len(fits.body.text) == TEXT_LIMIT


def test_largest_record_is_read() -> None:
    """No body that may be kept makes a file that is too large to be read again."""
    body = Batch(os.urandom(TEXT_LIMIT), (), MOMENT)
    assert len(encode(body, ID)) <= RECORD_LIMIT
