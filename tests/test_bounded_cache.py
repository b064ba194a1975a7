from __future__ import annotations

import pytest

from dtmetrics._instrument.bounded_cache import BoundedCache


def test_made_once() -> None:
    """A value is made of its key when it is first asked for, and kept."""
    made: list[tuple[int, int]] = []
    kept: BoundedCache[int] = BoundedCache(lambda x, y: made.append((x, y)) or x + y)
    assert [kept[1, 2], kept[3, 4], kept[1, 2]] == [3, 7, 3]
    assert made == [(1, 2), (3, 4)]


def test_bounded() -> None:
    """Whatever it is asked for, it keeps no more than a thousand or so."""
    kept: BoundedCache[int] = BoundedCache(lambda number: number)
    for number in range(5_000):
        assert kept[(number,)] == number
        assert len(kept) <= 1024


def test_error() -> None:
    """What cannot be made raises, and is tried again the next time."""
    kept: BoundedCache[float] = BoundedCache(lambda number: 1 / number)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            kept[(0,)]
    assert not kept
