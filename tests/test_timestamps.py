"""Timestamps of lines that were written by a clock which was ahead."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._protocol.timestamps import restamp
from tests.support.recorder import MOMENT

AHEAD = 9 * 60_000


def text(*stamps: int) -> bytes:
    """Return a line for each of *stamps*."""
    return "\n".join(f'a,b="c 9" count,delta=7 {stamp}' for stamp in stamps).encode()


@given(st.lists(st.integers(MOMENT - 10 * AHEAD, MOMENT + 10 * AHEAD)))
def test_restamp(stamps: list[int]) -> None:
    """Times more than nine minutes ahead become now, are counted, and no others."""
    right = [MOMENT if stamp > MOMENT + AHEAD else stamp for stamp in stamps]
    far = sum(stamp > MOMENT + AHEAD for stamp in stamps)
    assert restamp(text(*stamps), MOMENT) == (text(*right), far)


def test_metadata_stays() -> None:
    """Metadata has no time, whatever numbers its text ends in."""
    meaning = b'#a gauge dt.meta.description="at 99999999999999",dt.meta.unit=Count'
    assert restamp(meaning, MOMENT) == (meaning, 0)
