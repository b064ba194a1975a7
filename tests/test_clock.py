"""The clock: timestamps that never repeat, however the wall clock is set."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.clocks import Clocks
from tests.support.recorder import MOMENT


def test_timestamps_never_repeat() -> None:
    """Collections within one millisecond have timestamps one after the other."""
    clock = Clocks().clock
    assert [clock.timestamp() for _ in range(3)] == [MOMENT, MOMENT + 1, MOMENT + 2]
    assert clock.timestamp(MOMENT / 1000 - 1) == MOMENT + 3


@pytest.mark.parametrize("seconds", [1.9, -1.9])
def test_small_corrections_are_no_step(seconds: float) -> None:
    """A correction of less than two seconds moves no timestamp."""
    clocks = Clocks()
    clocks.wall += seconds
    assert clocks.clock.timestamp() == MOMENT
    assert clocks.clock.steps == 0


def test_used_milliseconds_are_not_repeated() -> None:
    """A restamped batch has a time that no collection has."""
    clock = Clocks().clock
    assert clock.timestamp() == MOMENT
    assert [clock.unused(MOMENT) for _ in range(3)] == [MOMENT + n for n in (1, 2, 3)]
    assert clock.timestamp() == MOMENT + 4


@given(st.lists(st.integers(-5, 5), max_size=60))
def test_timestamps_never_repeat_whatever_the_clock_does(moves: list[int]) -> None:
    """No two collections share a timestamp, although a clock is set back."""
    clocks = Clocks()
    timestamps = []
    for minutes in moves:
        clocks.wall += minutes * 60
        timestamps.append(clocks.clock.timestamp())
        timestamps.append(clocks.clock.timestamp(clocks.wall // 60 * 60 - 0.001))
    assert len(set(timestamps)) == len(timestamps)


@pytest.mark.parametrize("seconds", [7_200, -7_200, -30, 2.5, -2.5])
def test_steps_are_followed(seconds: float) -> None:
    """A clock that was set is followed at once, forwards and back, and counted once."""
    clocks = Clocks()
    clocks.clock.timestamp()
    clocks.wall += seconds
    assert clocks.clock.timestamp() == clocks.wall_ms
    assert clocks.clock.timestamp() == clocks.wall_ms + 1
    assert clocks.clock.steps == 1


def test_more_collections_than_milliseconds() -> None:
    """However many collections there are, no timestamp is over two seconds ahead."""
    clock = Clocks().clock
    assert max(clock.timestamp() for _ in range(5_000)) <= MOMENT + 2_001
