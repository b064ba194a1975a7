"""Backoff: how long to wait after a failure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._deliver.backoff import Backoff, RetryPolicy
from dtmetrics._deliver.batch_state import NextAttempt
from tests.support.clocks import Clocks
from tests.support.delivery_rig import ANSWERED, MISCONFIGURED, RETRY, Sending


def backoff(
    longest_pause: float = 60.0, now: float = 0.0, chance: float = 0.5
) -> Backoff:
    """Return a backoff whose clock and chance stand still."""
    return Backoff(
        RetryPolicy(longest_pause=longest_pause),
        monotonic=lambda: now,
        now=lambda: now,
        random=lambda: chance,
    )


def pauses(count: int, longest: float, next_attempt: NextAttempt) -> list[float]:
    """Return the pauses after so many failures in a row."""
    made = backoff(longest, 100.0)
    found = []
    for _ in range(count):
        made.failed(next_attempt)
        found.append(round(made.retry_at - 100.0, 3))
    return found


@pytest.mark.parametrize(
    ("longest", "expected"),
    [
        (60.0, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]),
        (10.0, [0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0, 5.0, 5.0]),
    ],
)
def test_doubles(longest: float, expected: list[float]) -> None:
    """Pauses double with each failure in a row, up to the longest."""
    assert pauses(9, longest, NextAttempt.AFTER_BACKOFF) == expected


def test_slow_backoff() -> None:
    """While a setting is wrong the pauses are about one minute, two, four, five."""
    expected = [66.0, 132.0, 264.0, 330.0, 330.0]
    assert pauses(5, 10.0, NextAttempt.SLOW_BACKOFF) == expected


@given(
    st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.none() | st.floats(1.0, 300.0)),
        min_size=1,
        max_size=40,
    )
)
def test_pauses_are_bounded(failures: list[tuple[float, float | None]]) -> None:
    """A pause is never zero, never shorter than the endpoint asked, and has a bound."""
    chance = [0.0]
    made = Backoff(
        RetryPolicy(),
        monotonic=lambda: 0.0,
        now=lambda: 0.0,
        random=lambda: chance[0],
    )
    for number, (chance[0], retry_after) in enumerate(failures):
        made.failed(NextAttempt.AFTER_BACKOFF, retry_after)
        least, most = retry_after or 0.1, 1.2 * (retry_after or 0.1)
        assert least <= made.retry_at <= max(most, min(60.0, 2.0**number))


@pytest.mark.parametrize(
    ("wall", "monotonic", "left"),
    [
        (10, 10, 50),
        (10, 0, 50),
        (3_600, 0, -3_540),
        (-3_600, 10, 50),
        (-3_600, 70, -10),
    ],
    ids=["both", "frozen briefly", "frozen for an hour", "set back", "set back, over"],
)
def test_held_for(wall: float, monotonic: float, left: float) -> None:
    """A Retry-After is over by either clock, because one may stand still or be set."""
    clocks = Clocks()
    made = Backoff(
        RetryPolicy(),
        monotonic=lambda: clocks.monotonic,
        now=clocks.clock.now,
        random=lambda: 0.5,
    )
    assert made.held_for < 0
    made.failed(NextAttempt.WHEN_ASKED, 60.0)
    assert made.held_for == pytest.approx(60)
    clocks.wall += wall
    clocks.monotonic += monotonic
    assert made.held_for == pytest.approx(left)
    made.succeeded()
    assert made.held_for < 0


def test_success_ends_backing_off() -> None:
    """After a success no attempt is due, and pauses begin small again."""
    sending = Sending(RETRY, RETRY, RETRY, ANSWERED, RETRY)
    sending.put()
    for _ in range(3):
        assert not sending.send()
    assert sending.pause == 2.0
    assert sending.send()
    assert sending.sender.backoff.retry_at == 0.0
    sending.put()
    assert not sending.send()
    assert sending.pause == 0.5


def test_waits_the_retry_after() -> None:
    """A pause from Retry-After is never shortened, and exceeded by a fifth at most."""
    made = backoff(chance=0.9)
    for _ in range(6):
        made.failed(NextAttempt.AFTER_BACKOFF)
    made.failed(NextAttempt.WHEN_ASKED, 7.0)
    assert made.retry_at == pytest.approx(7.0 * 1.18)
    assert made.throttled


def test_kinds_of_failures_are_counted_apart() -> None:
    """A wrong setting after an outage is asked about after a minute, not five."""
    sending = Sending(*[RETRY] * 6, MISCONFIGURED)
    sending.put()
    for _ in range(7):
        assert not sending.send()
    assert sending.pause == 66.0


def test_a_probe_stays_due() -> None:
    """A failed probe, for whatever reason, leaves a probe to be answered first."""
    made = backoff()
    made.failed(NextAttempt.AFTER_PROBE)
    made.failed(NextAttempt.AFTER_BACKOFF)
    assert made.probe_first
    made.reset()
    assert not made.probe_first
    assert made.retry_at == 0.0
