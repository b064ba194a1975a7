"""Lines of one minute folded, so that each series has one."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._protocol.coalesce import coalesce
from dtmetrics._protocol.line import identify
from dtmetrics._protocol.parse import ParsedPoint, parse
from dtmetrics._protocol.point import (
    CountDelta,
    DataPoint,
    GaugeSummary,
    GaugeValue,
    Payload,
)
from tests.support import protocol_grammar
from tests.support.recorder import MOMENT, one_line_of

MINUTE = MOMENT - MOMENT % 60_000

numbers = (
    st.integers(-(10**6), 10**6)
    | st.integers(-(2**80), 2**80)
    | st.floats(-1e12, 1e12)
    | st.sampled_from([0.1, 1e9 + 0.1, 1e-9, 2.5])
)


@st.composite
def summaries(draw: st.DrawFn) -> GaugeSummary:
    """Draw the summary of some observations."""
    values = draw(st.lists(numbers, min_size=1, max_size=4))
    total = sum(map(Fraction, values))
    whole = all(isinstance(value, int) for value in values)
    return GaugeSummary(
        min(values), max(values), int(total) if whole else float(total), len(values)
    )


# A key is of one kind; heads hold what makes them hard to split.
heads = st.sampled_from(
    [
        (),
        (("region", "eu west"),),
        (("say", 'a "b" c'),),
        (("trap", "x count,delta=1 5"),),
    ]
)
points = st.builds(
    lambda series, stamp: DataPoint(
        identify(series[0], series[1]), series[2], MINUTE + stamp
    ),
    st.tuples(st.just("orders"), heads, numbers.map(CountDelta))
    | st.tuples(st.just("load"), heads, numbers.map(GaugeValue) | summaries()),
    st.integers(0, 59_999),
)


def read(line: str) -> ParsedPoint:
    """Return what *line* says, read twice."""
    protocol_grammar.read(line)
    parsed = parse(line)
    assert isinstance(parsed, ParsedPoint)
    return parsed


def facts(payload: Payload) -> list[Fraction]:
    """Return the least, the most, the sum and the count of *payload*, exactly."""
    if isinstance(payload, GaugeSummary):
        return [Fraction(number) for number in payload]
    number = Fraction(payload[0])
    return [number, number, number, Fraction(1)]


def close(number: Fraction, exact: Fraction, scale: Fraction) -> bool:
    """Say whether *number* is *exact* but for the rounding of numbers like *scale*."""
    return abs(number - exact) <= scale * Fraction(2, 2**52)


@given(st.lists(points, max_size=12))
def test_folds(given_points: list[DataPoint]) -> None:
    """Each series has one line, in order of appearance, that says what all did."""
    lines = [one_line_of(each) for each in given_points]
    series: dict[Any, list[ParsedPoint]] = {}
    for parsed in map(read, lines):
        name = parsed.key, tuple(parsed.dimensions.items())
        series.setdefault(name, []).append(parsed)
    coalesced = coalesce(lines)
    assert sum(folded.points for folded in coalesced) == len(lines)
    assert len(coalesced) == len(series)
    for (line, count), (name, same) in zip(coalesced, series.items(), strict=True):
        result = read(line)
        assert (result.key, tuple(result.dimensions.items())) == name
        assert count == len(same)
        assert result.timestamp_ms == max(one.timestamp_ms or 0 for one in same)
        lows, highs, sums, counts = zip(
            *(facts(one.payload) for one in same), strict=True
        )
        low, high, total, times = facts(result.payload)
        scale = sum(map(abs, sums), Fraction(0))
        if isinstance(result.payload, CountDelta):
            assert close(total, sum(sums, Fraction(0)), scale)
            continue
        widest = max(map(abs, (*lows, *highs)))
        assert times == sum(counts)
        assert close(low, min(lows), widest)
        assert close(high, max(highs), widest)
        assert close(total, sum(sums, Fraction(0)), scale)


@given(st.lists(st.integers(-(10**300), 10**300), min_size=2))
def test_integers_are_exact(deltas: list[int]) -> None:
    """Integers of any size add up to their very sum."""
    lines = [f"orders count,delta={delta} {MOMENT}" for delta in deltas]
    total = f"orders count,delta={sum(deltas)} {MOMENT}"
    assert coalesce(lines) == [(total, len(deltas))]


def test_floats_round_once() -> None:
    """Ten tenths are one."""
    lines = [f"a count,delta=0.1 {MOMENT}"] * 10
    assert coalesce(lines) == [(f"a count,delta=1 {MOMENT}", 10)]


def test_integer_beside_floats() -> None:
    """A large integer beside a float is rounded in the sum, and not before."""
    lines = [
        f"a count,delta={2**53 + 1} 1",
        "a count,delta=0.5 2",
        "a count,delta=0.5 3",
    ]
    assert coalesce(lines) == [(f"a count,delta={2**53 + 2} 3", 3)]


def test_gauges() -> None:
    """Values become their summary; one that stands alone stays what it is."""
    lines = ["a gauge,3 1", "b gauge,1 1", "a gauge,0.5 3", "a gauge,3 2"]
    assert coalesce(lines) == [
        ("a gauge,min=0.5,max=3,sum=6.5,count=3 3", 3),
        ("b gauge,1 1", 1),
    ]


LARGE = "1.7e+308"


@pytest.mark.parametrize(
    "lines",
    [
        [f"a count,delta={LARGE} 1", f"a count,delta={LARGE} 2"],
        [f"a gauge,{LARGE} 1", f"a gauge,{LARGE} 2"],
        [f"a count,delta={10**308} {stamp}" for stamp in range(2)] * 9,
        ["a count,delta=1e+999 1", "a count,delta=1 2"],
        ["a count,delta=nan 1", "a count,delta=1 2"],
        ["a count,delta=1_0 1", "a count,delta=1 2"],
        ["a count,delta=1", "a count,delta=1"],
        ["a 5 1", "a 5 2"],
        ["a count,5 1", "a count,5 2"],
        ["a gauge,min=0,max=0,sum=0,count=0 1", "a gauge,1 1"],
        ["#a gauge dt.meta.unit=Count", "#a gauge dt.meta.unit=Count"],
        ["", "", "a", "a"],
    ],
)
def test_stays(lines: list[str]) -> None:
    """What cannot be folded stays as it is, line by line."""
    assert coalesce(lines) == [(line, 1) for line in lines]


def test_both_kinds() -> None:
    """A series that is somehow both a counter and a gauge keeps a line of each."""
    lines = ["a count,delta=1 1", "a gauge,1 1", "a count,delta=1 2"]
    assert coalesce(lines) == [("a count,delta=2 2", 2), ("a gauge,1 1", 1)]


def test_large_means_hold() -> None:
    """The rule for summaries holds where rounding would break it."""
    value = 1e9 + 0.1
    line = one_line_of(DataPoint(identify("a", ()), GaugeValue(value), MOMENT))
    lines = [line] * 7
    [(line, _)] = coalesce(lines)
    payload = read(line).payload
    assert isinstance(payload, GaugeSummary)
    assert payload.min <= payload.sum / payload.count <= payload.max
    assert math.isclose(payload.min, value)
