"""The time of a cut, and when the next one is due."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._deliver.clock import Clock, Schedule
from tests.support.recorder import MOMENT


class Clocks:
    """A wall clock and a monotonic one that do as they are told."""

    def __init__(self) -> None:
        self.wall = MOMENT / 1000
        self.monotonic = 5_000.0
        self.clock = Clock(lambda: self.wall, lambda: self.monotonic)

    def go(self, seconds: float) -> None:
        """Let time pass."""
        self.wall += seconds
        self.monotonic += seconds

    @property
    def wall_ms(self) -> int:
        return round(self.wall * 1000)


# -- stamps ----------------------------------------------------------------------------


def test_stamps_are_never_the_same() -> None:
    """Cuts of one millisecond have stamps of their own, one after the other."""
    clock = Clocks().clock
    assert [clock.stamp() for _ in range(3)] == [MOMENT, MOMENT + 1, MOMENT + 2]
    assert clock.stamp(MOMENT / 1000 - 1) == MOMENT + 3


@pytest.mark.parametrize("seconds", [1.9, -1.9])
def test_small_corrections_are_no_step(seconds: float) -> None:
    """What a time server corrects gently moves no stamp."""
    clocks = Clocks()
    clocks.wall += seconds
    assert clocks.clock.stamp() == MOMENT
    assert clocks.clock.steps == 0


def test_stamps_of_others_are_not_given_again() -> None:
    """What was sent with the present time is as of a moment that no cut has."""
    clock = Clocks().clock
    assert clock.stamp() == MOMENT
    assert [clock.unused(MOMENT) for _ in range(3)] == [MOMENT + n for n in (1, 2, 3)]
    assert clock.stamp() == MOMENT + 4


@given(st.lists(st.integers(-5, 5), max_size=60))
def test_stamps_are_never_the_same_whatever_the_clock_does(moves: list[int]) -> None:
    """A clock that is set back shows moments again, and no cut gets one again."""
    clocks = Clocks()
    stamps = []
    for minutes in moves:
        clocks.wall += minutes * 60
        stamps.append(clocks.clock.stamp())
        stamps.append(clocks.clock.stamp(clocks.wall // 60 * 60 - 0.001))
    assert len(set(stamps)) == len(stamps)


@pytest.mark.parametrize("seconds", [7_200, -7_200, -30, 2.5, -2.5])
def test_steps_are_followed(seconds: float) -> None:
    """A clock that was set is believed at once, forwards and back, and counted once."""
    clocks = Clocks()
    clocks.clock.stamp()
    clocks.wall += seconds
    assert clocks.clock.stamp() == clocks.wall_ms
    assert clocks.clock.stamp() == clocks.wall_ms + 1
    assert clocks.clock.steps == 1


def test_more_cuts_than_milliseconds() -> None:
    """However often one cuts, no stamp is more than about two seconds ahead."""
    clock = Clocks().clock
    assert max(clock.stamp() for _ in range(5_000)) <= MOMENT + 2_001


# -- the rhythm ------------------------------------------------------------------------


def test_ends_of_minutes() -> None:
    """A cut at a minute's end is its last millisecond; the next one is a minute on."""
    clocks = Clocks()
    rhythm = Schedule(clocks.clock, 60.0)
    assert rhythm.cut() is None
    assert rhythm.wait() == pytest.approx(40.0)
    clocks.go(40.0)
    assert rhythm.cut() == MOMENT + 39_999
    assert rhythm.wait() == pytest.approx(60.0)
    assert rhythm.cut() is None


@pytest.mark.parametrize(
    ("late", "stamp"), [(25.0, 39_999), (59.0, 39_999), (200.0, 219_999)]
)
def test_late_cuts(late: float, stamp: int) -> None:
    """A late cut belongs to the interval that has ended; those before are left out."""
    clocks = Clocks()
    rhythm = Schedule(clocks.clock, 60.0)
    clocks.go(40.0 + late)
    assert rhythm.cut() == MOMENT + stamp
    assert 0 < rhythm.wait() <= 60


def test_long_intervals_are_not_backdated_far() -> None:
    """An hour's cut that is half an hour late has the time of day."""
    clocks = Clocks()
    rhythm = Schedule(clocks.clock, 3_600.0)
    clocks.go(rhythm.wait() + 1_800)
    assert rhythm.cut() == clocks.wall_ms


def test_suspended() -> None:
    """After a sleep that the monotonic clock slept too, the next full minute is due."""
    clocks = Clocks()
    rhythm = Schedule(clocks.clock, 60.0)
    clocks.wall += 3 * 3_600 + 35
    assert rhythm.wait() == pytest.approx(5.0)
    clocks.go(5.0)
    assert rhythm.cut() == clocks.wall_ms - 1


def test_frozen_wall_clock() -> None:
    """A wall clock that stands still puts no cut off, and no two cuts at one time."""
    clocks = Clocks()
    rhythm = Schedule(clocks.clock, 60.0)
    stamps = []
    for _ in range(600):
        clocks.monotonic += 1
        if (stamp := rhythm.cut()) is not None:
            stamps.append(stamp)
    assert len(stamps) >= 10
    assert len(set(stamps)) == len(stamps)
    assert all(abs(stamp - MOMENT) <= 60_000 for stamp in stamps)


@given(
    st.sampled_from([0.003, 1.0, 10.0, 60.0, 90.0, 3_600.0]),
    st.lists(
        st.tuples(
            st.floats(0.0, 2.0),  # intervals that pass by both clocks
            st.just(0.0) | st.floats(-10_000, 10_000) | st.floats(-3, 3),
        ),
        max_size=30,
    ),
)
def test_whatever_the_clocks_do(
    interval: float, happenings: list[tuple[float, float]]
) -> None:
    """A cut is never put off for longer than an interval, nor stamped far from now."""
    clocks = Clocks()
    rhythm = Schedule(clocks.clock, interval)
    last = 0
    for intervals, step in happenings:
        clocks.go(interval * intervals)
        clocks.wall += step
        due = rhythm.wait() <= 0
        stamp = rhythm.cut()
        assert (stamp is not None) == due
        assert 0 < rhythm.wait() <= interval + 0.001
        if stamp is None:
            continue
        # Not yet noticed: up to 2 s, and a stamp ahead of it by as much again.
        assert -62_100 <= stamp - clocks.wall_ms <= 4_100
        assert stamp > last or last > clocks.clock.now_ms() + 1_999
        last = stamp
