"""Side by side with the official Python package: where we differ, and why."""

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
    """Where the two answers may differ, why, and an input with both answers."""

    why: str
    applies: Callable[[Any], object]
    example: Any
    theirs: str | None
    ours: str | None


def theirs_of(key: str, dimensions: dict[str, str] | None = None) -> str | None:
    """Return the official package's line, up to its payload."""
    try:
        metric = FACTORY.create_int_counter_delta(key, 1, dimensions, MOMENT)
        line: str = SERIALIZER.serialize(metric)
    except official.MetricError:
        return None
    return line.removesuffix(f" count,delta=1 {MOMENT}")


def their_key(raw: str) -> str | None:
    """Return what the official package makes of a metric key."""
    return theirs_of(raw)


def their_dimension_key(raw: str) -> str | None:
    """Return what the official package makes of a dimension's key."""
    head = theirs_of("k", {raw: "v"})
    return (
        head.removeprefix("k").removeprefix(",").removesuffix("=v") or None
        if head
        else None
    )


def their_value(raw: str) -> str:
    """Return what the official package makes of a dimension's value, unescaped."""
    head = theirs_of("k", {"d": raw})
    assert head is not None
    return re.sub(r"\\(.)", r"\1", head.removeprefix("k,d="))


def category_of(raw: str) -> set[str]:
    """Return the categories of Unicode that *raw* has characters of."""
    return {unicodedata.category(character) for character in raw}


def escaped_length(raw: str) -> int:
    """Return how long the official package's escaped form is."""
    return len(re.sub(r'([= ,\\"])', r"\\\1", raw[:250]))


KEYS = [
    Difference(
        "of a bad beginning we replace the first character, they replace the run; and "
        "tenants refused later sections that begin with a digit",
        lambda raw: re.search(r"(?:^|\.)[^A-Za-z_.]", raw),
        "load.1m",
        "load.1m",
        "load._1m",
    ),
    Difference(
        "what is cut is cut for good: no dot is left at the end",
        lambda raw: raw[:250].endswith("."),
        "a" * 249 + ".b",
        "a" * 249,
        "a" * 249,
    ),
]
DIMENSION_KEYS = [
    Difference(
        "of a bad beginning we replace the first character, they replace the run",
        lambda raw: re.search(r"(?:^|\.)[^a-z_.]", raw.lower()),
        "123ab",
        "_ab",
        "_23ab",
    ),
    Difference(
        "lower-casing lengthens some letters; the limit holds for the result",
        lambda raw: len(raw[:100].lower()) > 100,
        "a" + "\u0130" * 100,
        "ai" + "_i" * 98 + "_",
        "ai" + "_i" * 49,
    ),
]
VALUES = [
    Difference(
        "line and paragraph separators are line ends to many readers",
        lambda raw: category_of(raw) & {"Zl", "Zp"},
        "a\u2028b",
        "a\u2028b",
        "a_b",
    ),
    Difference(
        "marks for joining and direction, private characters and those without a "
        "meaning yet are text",
        lambda raw: category_of(raw) & {"Cf", "Co", "Cn"},
        "\U0001f469\u200d\U0001f467",
        "\U0001f469_\U0001f467",
        "\U0001f469\u200d\U0001f467",
    ),
    Difference(
        "the 250 characters are those of the value, not of its escaped form",
        lambda raw: escaped_length(raw) > 250,
        "=" * 200,
        "=" * 125,
        "=" * 200,
    ),
]


def explained(differences: list[Difference], raw: Any) -> bool:
    """Say whether a difference is expected for *raw*."""
    return any(each.applies(raw) for each in differences)


def same(theirs: str | None, ours: str | None, differences: Any, raw: Any) -> None:
    """Assert that both answers are one, or that the table says why not."""
    assert theirs == ours or explained(differences, raw), (theirs, ours)


@given(metric_names)
def test_keys(raw: str) -> None:
    """A metric key becomes what it becomes there, but for the table's reasons."""
    same(their_key(raw), clean_key(raw), KEYS, raw)


@given(metric_names)
def test_dimension_keys(raw: str) -> None:
    """So does the key of a dimension."""
    same(their_dimension_key(raw), clean_dimension_key(raw), DIMENSION_KEYS, raw)


@given(metric_names)
def test_values(raw: str) -> None:
    """So does the value of a dimension."""
    same(their_value(raw), clean_dimension_value(raw), VALUES, raw)


@pytest.mark.parametrize("each", KEYS, ids=lambda each: each.why[:40])
def test_examples_of_keys(each: Difference) -> None:
    """Each reason for another key has an example, with both answers."""
    assert (their_key(each.example), clean_key(each.example)) == each[3:]


@pytest.mark.parametrize("each", DIMENSION_KEYS, ids=lambda each: each.why[:40])
def test_examples_of_dimension_keys(each: Difference) -> None:
    """Each reason for another key of a dimension has one."""
    found = their_dimension_key(each.example), clean_dimension_key(each.example)
    assert found == each[3:]


@pytest.mark.parametrize("each", VALUES, ids=lambda each: each.why[:40])
def test_examples_of_values(each: Difference) -> None:
    """Each reason for another value has one."""
    assert (their_value(each.example), clean_dimension_value(each.example)) == each[3:]


@given(st.integers(-(10**15), 10**15))
def test_integers(number: int) -> None:
    """An integer is written as it is there; they round larger ones to nine digits."""
    ours = one_line_of(DataPoint(identify("k", ()), GaugeValue(number), MOMENT))
    metric = FACTORY.create_int_gauge("k", number, None, MOMENT)
    assert ours == SERIALIZER.serialize(metric)


@given(floats)
def test_floats(number: float) -> None:
    """A float says the same number; they round to nine digits what is huge or tiny."""
    ours = read(one_line_of(DataPoint(identify("k", ()), GaugeValue(number), MOMENT)))
    line = SERIALIZER.serialize(FACTORY.create_float_gauge("k", number, None, MOMENT))
    theirs = float(re.fullmatch(rf"k gauge,(\S+) {MOMENT}", line)[1])  # type: ignore[index]
    assert ours.numbers["value"] == number
    assert theirs == pytest.approx(number, rel=1e-7)
    assert theirs == number or not 1e-15 < abs(number) < 1e15


@given(st.dictionaries(st.sampled_from("abcd"), dimension_values))
@settings(max_examples=30)
def test_ours_is_read_where_theirs_may_not_be(values: dict[str, str]) -> None:
    """Our lines follow the protocol's page; theirs have escapes that it does not name."""
    ours = one_line_of(
        DataPoint(identify("k", tuple(sorted(values.items()))), CountDelta(1), MOMENT)
    )
    assert read(ours).dimensions == values
    theirs = f"{theirs_of('k', values)} count,delta=1 {MOMENT}"
    try:
        read(theirs)
    except NotALineError:
        assert "\\" in theirs or explained(VALUES, "".join(values.values()))
