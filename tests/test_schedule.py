"""Schedules: when a collection is due, its timestamp, and when it is sent."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._deliver.schedule import Schedule, SendSchedule
from tests.support.clocks import Clocks
from tests.support.recorder import MOMENT


def test_ends_of_minutes() -> None:
    """A collection at a minute's end has its last millisecond; the next is a minute on."""
    clocks = Clocks()
    schedule = Schedule(clocks.clock, 60.0)
    assert schedule.take_due() is None
    assert schedule.wait() == pytest.approx(40.0)
    clocks.advance(40.0)
    assert schedule.take_due() == MOMENT + 39_999
    assert schedule.wait() == pytest.approx(60.0)
    assert schedule.take_due() is None


@pytest.mark.parametrize(
    ("late", "timestamp"), [(25.0, 39_999), (59.0, 39_999), (200.0, 219_999)]
)
def test_late_collections(late: float, timestamp: int) -> None:
    """A late collection has a time in the interval that ended last."""
    clocks = Clocks()
    schedule = Schedule(clocks.clock, 60.0)
    clocks.advance(40.0 + late)
    assert schedule.take_due() == MOMENT + timestamp
    assert 0 < schedule.wait() <= 60


def test_long_intervals_are_not_backdated_far() -> None:
    """An hour's collection that is half an hour late has the time of day."""
    clocks = Clocks()
    schedule = Schedule(clocks.clock, 3_600.0)
    clocks.advance(schedule.wait() + 1_800)
    assert schedule.take_due() == clocks.wall_ms


def test_suspended() -> None:
    """After a sleep that the monotonic clock did not count, the next full minute is due."""
    clocks = Clocks()
    schedule = Schedule(clocks.clock, 60.0)
    clocks.wall += 3 * 3_600 + 35
    assert schedule.wait() == pytest.approx(5.0)
    clocks.advance(5.0)
    assert schedule.take_due() == clocks.wall_ms - 1


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
    interval: float, events: list[tuple[float, float]]
) -> None:
    """A collection is due within an interval, and its timestamp is near the clock's."""
    clocks = Clocks()
    schedule = Schedule(clocks.clock, interval)
    last = 0
    for intervals, step in events:
        clocks.advance(interval * intervals)
        clocks.wall += step
        due = schedule.wait() <= 0
        timestamp = schedule.take_due()
        assert (timestamp is not None) == due
        assert 0 < schedule.wait() <= interval + 0.001
        if timestamp is None:
            continue
        # Not yet noticed: up to 2 s, and a timestamp ahead of it by as much again.
        assert -62_100 <= timestamp - clocks.wall_ms <= 4_100
        assert timestamp > last or last > clocks.clock.now_ms() + 1_999
        last = timestamp


@pytest.mark.parametrize(
    ("interval", "wait"), [(60.0, 5.0), (30.0, 5.0), (22.0, 2.0), (3_600.0, 5.0)]
)
def test_first_collection_is_early(interval: float, wait: float) -> None:
    """The first collection comes within the first seconds; the others keep to the clock."""
    clocks = Clocks()
    schedule = Schedule(clocks.clock, interval, first_seconds=5.0)
    assert schedule.wait() <= 5.0
    clocks.advance(schedule.wait())
    assert schedule.take_due() is not None
    following = Schedule(clocks.clock, interval)
    assert schedule.wait() == pytest.approx(following.wait())


def test_first_collection_has_the_time_of_day() -> None:
    """A collection in the middle of an interval is stamped with its own time."""
    clocks = Clocks()
    schedule = Schedule(clocks.clock, 60.0, first_seconds=5.0)
    clocks.advance(5.0)
    assert schedule.take_due() == MOMENT + 5_000


# -- sending ------------------------------------------------------------------------


def send_schedule(
    part: float = 0.5, spread_seconds: float = 30.0, look_seconds: float = math.inf
) -> SendSchedule:
    """Return when to send at an interval of a minute, from a clock that shows 100."""
    return SendSchedule(
        lambda: 100.0,
        interval=60.0,
        part=part,
        spread_seconds=spread_seconds,
        look_seconds=look_seconds,
    )


def test_sends_a_while_after_a_collection() -> None:
    """What was collected is sent a part of half an interval later, once."""
    sends = send_schedule()
    assert sends.due(waiting=True, retry_at=0.0) == math.inf
    sends.collected(160.0)
    assert sends.due(waiting=True, retry_at=0.0) == 175.0
    sends.sending()
    assert sends.due(waiting=True, retry_at=0.0) == math.inf


def test_the_delay_has_a_limit() -> None:
    """The random delay is at most *spread_seconds*; with 0 there is none."""
    for spread_seconds, due in [(0.0, 160.0), (10.0, 165.0), (100.0, 175.0)]:
        sends = send_schedule(spread_seconds=spread_seconds)
        sends.collected(160.0)
        assert sends.due(waiting=True, retry_at=0.0) == due


def test_a_planned_time_is_not_put_off() -> None:
    """Collections that come often do not put sending off again and again."""
    sends = send_schedule()
    sends.collected(160.0)
    sends.collected(170.0)
    assert sends.due(waiting=True, retry_at=0.0) == 175.0
    sends.collected(180.0)
    assert sends.due(waiting=True, retry_at=0.0) == 195.0


def test_backoff_goes_before_the_schedule() -> None:
    """After a failure batches are sent when the backoff is over, not earlier."""
    sends = send_schedule()
    sends.collected(160.0)
    assert sends.due(waiting=True, retry_at=300.0) == 300.0


def test_looks_for_what_dead_processes_left() -> None:
    """With nothing that waits sending is due now and then, if there is a spool."""
    sends = send_schedule(look_seconds=300.0)
    sends.collected(160.0)
    assert sends.due(waiting=False, retry_at=0.0) == 400.0
    assert send_schedule().due(waiting=False, retry_at=0.0) == math.inf
