"""Comparison with the official Python package: each difference has a reason."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dtmetrics._protocol.line import identify
from dtmetrics._protocol.normalize import (
    clean_dimension_key,
    clean_dimension_value,
    clean_key,
)
from dtmetrics._protocol.point import CountDelta, DataPoint, GaugeValue
from tests.support.protocol_grammar import NotALineError, read
from tests.support.recorder import one_line_of
from tests.support.strategies import dimension_values, floats, metric_names

official = pytest.importorskip(
    "dynatrace.metric.utils", reason="needs dynatrace-metric-utils"
)

FACTORY = official.DynatraceMetricsFactory()
SERIALIZER = official.DynatraceMetricsSerializer(enrich_with_dynatrace_metadata=False)
MOMENT = 1_700_000_000_000


class Difference(NamedTuple):
    """A reason for different results, the inputs it applies to, and an example."""

    reason: str
    applies: Callable[[Any], object]
    example: Any
    theirs: str | None
    ours: str | None


def official_line(key: str, dimensions: dict[str, str] | None = None) -> str | None:
    """Return the line of the official package, up to the payload."""
    try:
        metric = FACTORY.create_int_counter_delta(key, 1, dimensions, MOMENT)
        line: str = SERIALIZER.serialize(metric)
    except official.MetricError:
        return None
    return line.removesuffix(f" count,delta=1 {MOMENT}")


def official_key(raw: str) -> str | None:
    """Return the metric key of the official package."""
    return official_line(raw)


def official_dimension_key(raw: str) -> str | None:
    """Return the dimension key of the official package."""
    line = official_line("k", {raw: "v"})
    return (
        line.removeprefix("k").removeprefix(",").removesuffix("=v") or None
        if line
        else None
    )


def official_value(raw: str) -> str:
    """Return the dimension value of the official package, without escapes."""
    line = official_line("k", {"d": raw})
    assert line is not None
    return re.sub(r"\\(.)", r"\1", line.removeprefix("k,d="))


def category_of(raw: str) -> set[str]:
    """Return the Unicode categories of the characters of *raw*."""
    return {unicodedata.category(character) for character in raw}


def escaped_length(raw: str) -> int:
    """Return the length of the escaped form of the official package."""
    return len(re.sub(r'([= ,\\"])', r"\\\1", raw[:250]))


KEYS = [
    Difference(
        "of an invalid start dtmetrics replaces the first character, the package the "
        "run; and tenants rejected later sections that start with a digit",
        lambda raw: re.search(r"(?:^|\.)[^A-Za-z_.]", raw),
        "load.1m",
        "load.1m",
        "load._1m",
    ),
    Difference(
        "the cut may leave a dot at the end, which dtmetrics removes",
        lambda raw: raw[:250].endswith("."),
        "a" * 249 + ".b",
        "a" * 249,
        "a" * 249,
    ),
]
DIMENSION_KEYS = [
    Difference(
        "of an invalid start dtmetrics replaces the first character, the package the run",
        lambda raw: re.search(r"(?:^|\.)[^a-z_.]", raw.lower()),
        "123ab",
        "_ab",
        "_23ab",
    ),
    Difference(
        "some letters are two in lower case; the limit applies to the result",
        lambda raw: len(raw[:100].lower()) > 100,
        "a" + "\u0130" * 100,
        "ai" + "_i" * 98 + "_",
        "ai" + "_i" * 49,
    ),
]
VALUES = [
    Difference(
        "many readers take line and paragraph separators for line ends",
        lambda raw: category_of(raw) & {"Zl", "Zp"},
        "a\u2028b",
        "a\u2028b",
        "a_b",
    ),
    Difference(
        "joiners, direction marks, private and unassigned characters are text",
        lambda raw: category_of(raw) & {"Cf", "Co", "Cn"},
        "\U0001f469\u200d\U0001f467",
        "\U0001f469_\U0001f467",
        "\U0001f469\u200d\U0001f467",
    ),
    Difference(
        "the limit of 250 characters applies to the value before it is escaped",
        lambda raw: escaped_length(raw) > 250,
        "=" * 200,
        "=" * 125,
        "=" * 200,
    ),
]


def explained(differences: list[Difference], raw: Any) -> bool:
    """Whether the table explains a difference for *raw*."""
    return any(each.applies(raw) for each in differences)


def same(theirs: str | None, ours: str | None, differences: Any, raw: Any) -> None:
    """Assert that both results are equal, or that the table explains why not."""
    assert theirs == ours or explained(differences, raw), (theirs, ours)


@given(metric_names)
def test_keys(raw: str) -> None:
    """A metric key is that of the official package, apart from the listed reasons."""
    same(official_key(raw), clean_key(raw), KEYS, raw)


@given(metric_names)
def test_dimension_keys(raw: str) -> None:
    """A dimension key is that of the official package, apart from the listed reasons."""
    same(official_dimension_key(raw), clean_dimension_key(raw), DIMENSION_KEYS, raw)


@given(metric_names)
def test_values(raw: str) -> None:
    """A value is that of the official package, apart from the listed reasons."""
    same(official_value(raw), clean_dimension_value(raw), VALUES, raw)


@pytest.mark.parametrize("each", KEYS, ids=lambda each: each.reason[:40])
def test_examples_of_keys(each: Difference) -> None:
    """Each reason for a different metric key has an example with both results."""
    assert (official_key(each.example), clean_key(each.example)) == each[3:]


@pytest.mark.parametrize("each", DIMENSION_KEYS, ids=lambda each: each.reason[:40])
def test_examples_of_dimension_keys(each: Difference) -> None:
    """Each reason for a different dimension key has an example with both results."""
    found = official_dimension_key(each.example), clean_dimension_key(each.example)
    assert found == each[3:]


@pytest.mark.parametrize("each", VALUES, ids=lambda each: each.reason[:40])
def test_examples_of_values(each: Difference) -> None:
    """Each reason for a different value has an example with both results."""
    assert (official_value(each.example), clean_dimension_value(each.example)) == each[
        3:
    ]


@given(st.integers(-(10**15), 10**15))
def test_integers(number: int) -> None:
    """An integer is written as the official package does, which rounds beyond 1e15."""
    ours = one_line_of(DataPoint(identify("k", ()), GaugeValue(number), MOMENT))
    metric = FACTORY.create_int_gauge("k", number, None, MOMENT)
    assert ours == SERIALIZER.serialize(metric)


@given(floats)
def test_floats(number: float) -> None:
    """A float is the same number as the official package's, which rounds extremes."""
    ours = read(one_line_of(DataPoint(identify("k", ()), GaugeValue(number), MOMENT)))
    line = SERIALIZER.serialize(FACTORY.create_float_gauge("k", number, None, MOMENT))
    theirs = float(re.fullmatch(rf"k gauge,(\S+) {MOMENT}", line)[1])  # type: ignore[index]
    assert ours.numbers["value"] == number
    assert theirs == pytest.approx(number, rel=1e-7)
    assert theirs == number or not 1e-15 < abs(number) < 1e15


@given(st.dictionaries(st.sampled_from("abcd"), dimension_values))
@settings(max_examples=30)
def test_lines_are_read_where_official_ones_may_not_be(values: dict[str, str]) -> None:
    """Lines follow the protocol page; the official ones have undocumented escapes."""
    ours = one_line_of(
        DataPoint(identify("k", tuple(sorted(values.items()))), CountDelta(1), MOMENT)
    )
    assert read(ours).dimensions == values
    theirs = f"{official_line('k', values)} count,delta=1 {MOMENT}"
    try:
        read(theirs)
    except NotALineError:
        assert "\\" in theirs or explained(VALUES, "".join(values.values()))
