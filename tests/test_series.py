from __future__ import annotations

import math
from collections import Counter as Tally
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dtmetrics._protocol.point import CountDelta, GaugeSummary, GaugeValue
from dtmetrics._record.gauge_series import LEAVE, GaugeSeries, SetTo
from dtmetrics._record.series import CounterSeries, Series
from dtmetrics._record.summary_series import SummarySeries
from tests.support.caller_values import INVALID, NOT_FINITE, NUMBERS, Index, Sneaks, ids
from tests.support.single_series import KINDS, drain, record, series_of

FOLD, DRAIN = object(), object()

finite = st.floats(-1e300, 1e300) | st.integers(-(10**40), 10**40)


# By index, because hypothesis would call __hash__ of hostile values.
values = (
    finite.map(lambda number: (number, number, ""))
    | st.sampled_from(range(len(NUMBERS))).map(lambda place: (*NUMBERS[place], ""))
    | st.sampled_from(range(len(INVALID))).map(
        lambda place: (INVALID[place][0], None, INVALID[place][1])
    )
)


steps = st.lists(values | st.sampled_from([FOLD, DRAIN]), max_size=40)


# -- counters --------------------------------------------------------------------------


@given(steps)
def test_counter_adds_up(steps: list[Any]) -> None:
    """The deltas add up to the valid amounts, whenever the series folds and drains."""
    series, rejected = series_of(CounterSeries)
    good: list[int | float] = []
    bad: Tally[str] = Tally()
    deltas = []
    for step in [*steps, DRAIN]:
        if step is FOLD:
            series.fold_if_free()
        elif step is DRAIN:
            payload = drain(series)
            deltas += [payload.delta] if payload else []
        else:
            value, number, reason = step
            record(series, value)
            if number is not None and number < 0:
                reason = "negative increment"
            if reason:
                bad[reason] += 1
            else:
                good.append(number)
    assert all(type(delta) in (int, float) and delta > 0 for delta in deltas)
    assert rejected == bad
    if all(type(number) is int for number in good):
        assert sum(deltas) == sum(good)
    else:
        assert math.fsum(deltas) == pytest.approx(math.fsum(good), rel=1e-13, abs=0)


@given(st.lists(st.integers(0, 10**305), max_size=30))
def test_counter_keeps_integers(amounts: list[int]) -> None:
    """A sum of integers is exact, whatever their size."""
    series, rejected = series_of(CounterSeries)
    record(series, *amounts)
    total = sum(amounts)
    assert drain(series) == (CountDelta(total) if total else None)
    assert not rejected


@given(st.lists(st.floats(0, 1e290), max_size=500))
def test_counter_sums_floats_exactly(amounts: list[float]) -> None:
    """Within one fold a sum of floats is rounded once."""
    series, _ = series_of(CounterSeries, limit=500)
    record(series, *amounts)
    total = math.fsum(amounts)
    assert drain(series) == (CountDelta(total) if total else None)


def test_counter_beyond_a_double() -> None:
    """Only the increment that would exceed the range of a double is rejected."""
    series, rejected = series_of(CounterSeries)
    record(series, 1.5e308, 1.5e308, 1)
    assert drain(series) == CountDelta(1.5e308)
    assert rejected == {NOT_FINITE: 1}
    record(series, 1.5e308)
    series.fold_if_free()
    record(series, 10**308, 2)
    assert drain(series).delta == 1.5e308
    assert rejected == {NOT_FINITE: 2}


def test_counter_with_a_deceiving_object() -> None:
    """A delta is not negative, even if an object deceives sums and comparisons."""
    series, rejected = series_of(CounterSeries)
    record(series, 5, Sneaks(), 6)
    assert drain(series) == CountDelta(11)
    assert rejected == {"not a number": 1}


# -- summaries -------------------------------------------------------------------------


@given(steps)
@example([(1.7e308, 1.7e308, ""), (1.7e308, None, NOT_FINITE), (5, 5, "")])
def test_summary_sums_up(steps: list[Any]) -> None:
    """Each interval has its summary, whenever the series folds and drains."""
    series, rejected = series_of(SummarySeries)
    good: list[int | float] = []
    bad: Tally[str] = Tally()
    for step in [*steps, DRAIN]:
        if step is FOLD:
            series.fold_if_free()
        elif step is DRAIN:
            summary = drain(series)
            assert rejected == bad
            if not good:
                assert summary is None
                continue
            assert (summary.min, summary.max) == (min(good), max(good))
            assert summary.count == len(good)
            error = abs(math.fsum([summary.sum, *(-number for number in good)]))
            assert error <= 1e-14 * math.fsum(map(abs, good))
            assert {*map(type, summary)} <= {int, float}
            good = []
        else:
            value, number, reason = step
            record(series, value)
            if reason:
                bad[reason] += 1
            else:
                good.append(number)


@given(st.lists(finite, min_size=1, max_size=500))
def test_summary_is_exact(numbers: list[int | float]) -> None:
    """Within one fold a sum of floats is rounded once, and one of integers is exact."""
    series, _ = series_of(SummarySeries, limit=500)
    record(series, *numbers)
    whole = all(type(number) is int for number in numbers)
    total = sum(numbers) if whole else math.fsum(numbers)
    assert drain(series) == GaugeSummary(
        min(numbers), max(numbers), total, len(numbers)
    )
    assert drain(series) is None


def test_summary_of_foreign_floats() -> None:
    """Numbers of other libraries are added as exactly as plain ones."""
    series, _ = series_of(SummarySeries, limit=2_000)
    record(series, *(Index(1) if i == 500 else 1234567890.123 for i in range(1_001)))
    total = math.fsum([1, *[1234567890.123] * 1_000])
    assert drain(series) == GaugeSummary(1, 1234567890.123, total, 1_001)


def test_summary_beyond_a_double() -> None:
    """A value that would take the sum beyond a double changes no part of the summary."""
    series, rejected = series_of(SummarySeries)
    record(series, 1e308, 1.7e308, 2e307)
    assert drain(series) == GaugeSummary(2e307, 1e308, 1.2e308, 2)
    record(series, 1e308)
    series.fold_if_free()
    record(series, 1.5e308)
    assert drain(series) == GaugeSummary(1e308, 1e308, 1e308, 1)
    assert rejected == {NOT_FINITE: 2}


@pytest.mark.parametrize("kind", KINDS)
def test_folding_twice(kind: type[Series[Any]]) -> None:
    """Folding what was folded changes nothing."""
    series, _ = series_of(kind)
    record(series, 2, 3)
    for _ in range(2):
        series.fold_if_free()
    assert len(series.values) == 1
    assert drain(series) in (CountDelta(5), GaugeSummary(2, 3, 5, 2), GaugeValue(5))


# -- gauges ----------------------------------------------------------------------------


@given(
    st.lists(
        values
        | finite.map(SetTo)
        | st.sampled_from([LEAVE, FOLD, DRAIN])
        | st.tuples(st.just("set"), finite),
        max_size=40,
    )
)
def test_gauge_replays(steps: list[Any]) -> None:
    """A gauge changes as a plain number does, with the same moves in the same order."""
    series, rejected = series_of(GaugeSeries)
    level: int | float | None = None
    bad: Tally[str] = Tally()
    for step in [*steps, DRAIN]:
        if step is FOLD:
            series.fold_if_free()
        elif step is DRAIN:
            assert drain(series) == (None if level is None else GaugeValue(level))
            assert rejected == bad
        elif type(step) is SetTo:
            level = step.value
            record(series, step)
        elif step is LEAVE:
            level = level - 1 if level is not None and level >= 1 else level
            record(series, LEAVE)
        elif len(step) == 2:  # set, and its value
            series.value = level = step[1]
            record(series, SetTo(level))
        else:
            value, number, reason = step
            record(series, value)
            if reason:
                bad[reason] += 1
            else:
                # From 0.0 an integer stays an integer, which is exact.
                level = (level or 0) + number


def test_gauge_beyond_a_double() -> None:
    """A level beyond a double is rejected, and the one before stays."""
    series, rejected = series_of(GaugeSeries)
    record(series, SetTo(1.5e308), 1.5e308, SetTo(10**400), 10**400)
    assert drain(series) == GaugeValue(1.5e308)
    assert rejected == {NOT_FINITE: 3}


def test_gauge_set_beyond_a_double() -> None:
    """A set integer beyond a double is rejected once, and nothing is sent."""
    series, rejected = series_of(GaugeSeries)
    series.value = 10**400
    assert drain(series) is None
    assert drain(series) is None
    assert rejected == {NOT_FINITE: 1}


# -- all kinds -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("value", "reason"), INVALID, ids=ids(INVALID))
def test_rejects(kind: type[Series[Any]], value: Any, reason: str) -> None:
    """An invalid value is rejected and counted once; the others count."""
    series, rejected = series_of(kind)
    record(series, 2, value, 3)
    assert drain(series) in (CountDelta(5), GaugeSummary(2, 3, 5, 2), GaugeValue(5))
    assert rejected == {reason: 1}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("value", "number"), NUMBERS, ids=ids(NUMBERS))
def test_accepts(kind: type[Series[Any]], value: Any, number: Any) -> None:
    """A number of any class counts as a plain int or float."""
    series, rejected = series_of(kind)
    record(series, value)
    payload = drain(series)
    alone = (number, number, number, 1) if kind is SummarySeries else (number,)
    assert payload is None if kind is CounterSeries and not number else payload == alone
    assert {*map(type, payload or ())} <= {int, float}
    assert not rejected
