from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._deliver.backoff import Backoff
from dtmetrics.exporters import ExportResult, Outcome
from tests.support.delivery_rig import ANSWERED, MISCONFIGURED, RETRY, Sending


def pauses(count: int, longest: float, result: ExportResult) -> list[float]:
    """Return how long is waited after so many failures in a row."""
    breaker = Backoff(lambda: 100.0, lambda: 0.5, longest)
    found = []
    for _ in range(count):
        breaker.failed(result)
        found.append(round(breaker.retry_at - 100.0, 3))
    return found


@pytest.mark.parametrize(
    ("longest", "expected"),
    [
        (60.0, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]),
        (10.0, [0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0, 5.0, 5.0]),
    ],
)
def test_backs_off(longest: float, expected: list[float]) -> None:
    """Failures are followed by longer and longer pauses, up to the longest."""
    assert pauses(9, longest, RETRY) == expected


def test_asks_seldom_for_a_setting() -> None:
    """What somebody has to change is asked for after one minute, two, four, five."""
    assert pauses(5, 10.0, MISCONFIGURED) == [66.0, 132.0, 264.0, 330.0, 330.0]


@given(
    st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.none() | st.floats(1.0, 300.0)),
        min_size=1,
        max_size=40,
    )
)
def test_pauses_are_bounded(failures: list[tuple[float, float | None]]) -> None:
    """A pause is never nothing, never shorter than asked, and never out of bounds."""
    chance = [0.0]
    breaker = Backoff(lambda: 0.0, lambda: chance[0], 60.0)
    for number, (chance[0], asked) in enumerate(failures):
        breaker.failed(ExportResult(Outcome.RETRY, retry_after=asked))
        least, most = asked or 0.1, 1.2 * (asked or 0.1)
        assert least <= breaker.retry_at <= max(most, min(60.0, 2.0**number))


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


def test_waits_as_long_as_asked() -> None:
    """Who asks for a pause gets it, whatever came before, and up to a fifth more."""
    breaker = Backoff(lambda: 0.0, lambda: 0.9, 60.0)
    for _ in range(6):
        breaker.failed(RETRY)
    breaker.failed(ExportResult(Outcome.RETRY, retry_after=7.0))
    assert breaker.retry_at == pytest.approx(7.0 * 1.18)
