from __future__ import annotations

from collections.abc import Callable
from threading import Lock, Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._protocol.point import CountDelta, GaugeSummary, GaugeValue
from dtmetrics._record.series import CounterSeries, Series
from tests.support.caller_values import INVALID, Index
from tests.support.single_series import (
    KINDS,
    drain,
    drain_together,
    record,
    series_of,
)

recorded = st.lists(
    st.integers(0, 9) | st.floats(0, 9) | st.sampled_from(range(len(INVALID))).map(str),
    max_size=4,
)


@given(st.sampled_from(KINDS), st.lists(recorded, max_size=8))
def test_many_are_drained_as_each_would_be(
    kind: type[Series[Any]], series_values: list[list[Any]]
) -> None:
    """Series that are drained together drain as each would alone, hostile values included."""
    several, alone, rejections = [], [], []
    for values in series_values:
        # By index, because hypothesis would call __hash__ of hostile values.
        hostile = [INVALID[int(v)][0] if isinstance(v, str) else v for v in values]
        (beside, rejected), (single, wanted) = series_of(kind), series_of(kind)
        record(beside, *hostile)
        record(single, *hostile)
        several.append(beside)
        alone.append(drain(single))
        rejections.append((rejected, wanted))
    assert drain_together(several) == alone
    assert all(rejected == wanted for rejected, wanted in rejections)
    assert all(len(each.values) <= 1 for each in several)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limit", [1, 64])
def test_holds_little(kind: type[Series[Any]], limit: int) -> None:
    """A series holds at most one value more than its limit."""
    series, _ = series_of(kind, limit)
    most = 0
    for _ in range(10_000):
        record(series, 1)
        most = max(most, len(series.values))
    assert most <= limit + 1


@pytest.mark.parametrize("kind", KINDS)
def test_reset_after_fork(kind: type[Series[Any]]) -> None:
    """A reset drops all values, also that of a record which was interrupted by the fork."""
    series, _ = series_of(kind)
    record(series, 5)
    before = series.values
    series.lock.acquire()
    series.reset_after_fork(Lock())
    before.append(7)  # a record that a forking signal handler interrupted
    assert series.buffer is None
    assert drain(series) is None
    series.enable_fast_path()
    record(series, 2)
    assert drain(series) in (CountDelta(2), GaugeSummary(2, 2, 2, 1), GaugeValue(2))


class Then(Index):
    """A number that calls a function while it is folded."""

    def __init__(self, value: int, action: Callable[[], object]) -> None:
        super().__init__(value)
        self.action = action

    def __index__(self) -> int:
        self.action()
        return self.value


def check_fold_gives_way(kind: type[CounterSeries]) -> None:
    """Fold while another thread folds."""
    series, _ = series_of(kind, limit=3)
    with series.lock:
        other = Thread(target=record, args=(series, *[1] * 10))
        other.start()
        other.join(30)
        assert not other.is_alive(), "it must not wait"
        assert len(series.values) == 10, "it must not fold"
    record(series, 1)
    assert len(series.values) == 1
    assert drain(series) == CountDelta(11)


def check_fold_inside_drain(kind: type[CounterSeries]) -> None:
    """Fold during a drain, as another thread might."""
    series, _ = series_of(kind)
    record(series, 1, Then(10, lambda: series.fold_if_free()), 100)
    assert drain(series) == CountDelta(111)
    assert drain(series) is None


def check_record_inside(kind: type[CounterSeries]) -> None:
    """Record during a drain and during a fold, as another thread might."""
    series, _ = series_of(kind)
    record(series, 2)
    buffer = series.values
    record(series, Then(10, lambda: buffer.append(1)))
    assert drain(series) == CountDelta(12)
    record(series, Then(20, lambda: buffer.append(2)))
    series.fold_if_free()
    buffer.append(100)
    assert drain(series) == CountDelta(123)


CHECKS = [check_fold_gives_way, check_fold_inside_drain, check_record_inside]


@pytest.mark.parametrize("check", CHECKS)
def test_one_folds_at_a_time(check: Callable[[type[Series[Any]]], None]) -> None:
    """Values are counted exactly once when recording, folding and draining overlap."""
    check(CounterSeries)


class Unlocked(CounterSeries):
    """Folds even if another thread does."""

    __slots__ = ()

    def fold_if_free(self) -> None:
        count = len(self.values)
        self.values[:count] = self._fold(self.values[:count])


class Swapping(CounterSeries):
    """Replaces the list by a new one."""

    __slots__ = ()

    def drain_checked(self, drained: list[Any]) -> None:
        chunk, self.values = self.values, []
        drained += self._fold(chunk)


class Clearing(CounterSeries):
    """Clears values that were recorded during the fold as well."""

    __slots__ = ()

    def drain_checked(self, drained: list[Any]) -> None:
        drained += self._fold(self.values[:])
        self.values.clear()


@pytest.mark.parametrize("kind", [Unlocked, Swapping, Clearing])
def test_the_checks_notice(kind: type[CounterSeries]) -> None:
    """Each wrong way to fold fails one of the checks."""
    noticed = 0
    for check in CHECKS:
        try:
            check(kind)
        except AssertionError:
            noticed += 1
    assert noticed
