"""Hypothesis strategies for everything that a caller could pass."""

from __future__ import annotations

import sys
from fractions import Fraction

from hypothesis import strategies as st

from dtmetrics._protocol.normalize import (
    DIMENSIONS_LIMIT,
    RESERVED_PREFIX,
    clean_dimension_key,
    clean_dimension_value,
    clean_key,
    line_prefix,
)
from dtmetrics._protocol.point import (
    CountDelta,
    DataPoint,
    Dimensions,
    GaugeSummary,
    GaugeValue,
    Identity,
    Payload,
)

LARGEST = sys.float_info.max

#: Texts that have broken metrics before, or could.
NASTY = [
    # With a meaning in the line protocol.
    *('"', "\\", '\\"', ",", " ", "=", ".", "..", "#", "\n#", "dt.", "gauge", "count"),
    ' gauge,1\nevil gauge,1 "',
    # Line ends of the protocol and of str.splitlines(), and other controls.
    *("\n", "\r\n", "\r", "\v", "\f", "\x1c", "\x1e", "\x85", "\u2028", "\u2029"),
    *("\x00", "\t", "\x1b[2J", "\x7f", "\x80", "\x9b"),
    # Halves of surrogate pairs, in the right order and the wrong one.
    *("\ud83d", "\udc80", "\ud83d\ude00", "\ude00\ud83d"),
    # Invalid as the first character, and digits that are not ASCII.
    *("-", "--", "_", ":", "0", "1m", "\u0663", "\u00b2", "\U0001d7d8"),
    # Letters that change their length or their script with their case.
    *("K", "\u0130", "\u0130" * 60, "\u212a", "\u00df", "\u1e9e", "\ufb01", "\u03a3"),
    # Characters of several code points, and code points without a character.
    *("e\u0301", "\U0001f469\u200d\U0001f469\u200d\U0001f467", "\U0001f3f3\ufe0f"),
    *("\ufeff", "\u202e", "\u0378", "\ue000", "\uffff", "\U0010ffff"),
]

#: Every code point; st.text() leaves out surrogates.
characters = st.characters(exclude_categories=())

texts = st.one_of(
    st.text(characters),
    st.lists(st.sampled_from(NASTY) | st.text(max_size=3), max_size=8).map("".join),
    st.builds(str.__mul__, st.sampled_from([*NASTY, "a", "a."]), st.integers(1, 600)),
    st.builds(
        "{}{}".format, st.integers(80, 260).map("a".__mul__), st.text(characters)
    ),
)
#: Ordinary names.
words = st.from_regex(r"[A-Za-z][A-Za-z0-9_.-]{0,20}", fullmatch=True)

metric_names = words | texts
keys = (
    metric_names.map(clean_key)
    .filter(bool)
    .map(lambda key: f"x{key[1:]}" if key.startswith(RESERVED_PREFIX) else key)
)
dimension_keys = metric_names.map(clean_dimension_key).filter(bool)
dimension_values = metric_names.map(clean_dimension_value).filter(bool)


@st.composite
def dimension_sets(draw: st.DrawFn) -> Dimensions:
    """Draw cleaned dimensions, as a series has them; sometimes as many as allowed."""
    pairs = st.dictionaries(dimension_keys, dimension_values, max_size=6)
    dimensions = draw(pairs)
    if draw(st.integers(0, 9)) == 9:
        value = draw(dimension_values)
        for number in range(DIMENSIONS_LIMIT - len(dimensions)):
            dimensions[f"filler{number}"] = value
    return tuple(sorted(dimensions.items()))


floats = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-1e9, 1e9),
    st.sampled_from([0.0, -0.0, 1e-5, 5e-324, 2.2250738585072014e-308, LARGEST]),
    st.sampled_from([1e15, 1e16, 1e22, 0.1, 1 / 3, 1_234_567_890.123, -LARGEST]),
)
integers = st.one_of(
    st.integers(-1000, 1000),
    st.integers(-(2**64), 2**64),
    st.integers(-int(LARGEST), int(LARGEST)),
    st.sampled_from([2**53 + 1, 2**63, 2**1000, -(2**1000), int(LARGEST)]),
)
numbers = integers | floats


@st.composite
def summaries(draw: st.DrawFn) -> GaugeSummary:
    """Draw the summary of a few values, each observed several times."""
    values = draw(st.lists(numbers, min_size=1, max_size=6))
    times = draw(st.sampled_from([1, 1, 2, 3, 7, 1000, 10**6]))
    total = sum(map(Fraction, values)) * times
    if abs(total) > LARGEST:
        values, times, total = values[:1], 1, Fraction(values[0])
    whole = all(type(value) is int for value in values)
    return GaugeSummary(
        min(values),
        max(values),
        int(total) if whole else float(total),
        len(values) * times,
    )


payloads: st.SearchStrategy[Payload] = st.one_of(
    st.builds(CountDelta, numbers),
    st.builds(GaugeValue, numbers),
    summaries(),
)


class Known(Identity):
    """An identity that keeps its dimensions."""

    __slots__ = ("dimensions",)

    def __init__(self, key: str, dimensions: Dimensions) -> None:
        super().__init__(key, line_prefix(key, dimensions))
        self.dimensions = dimensions


identities: st.SearchStrategy[Known] = st.builds(Known, keys, dimension_sets())
timestamps = st.integers(1, 32_503_680_000_000)
points = st.builds(DataPoint, identities, payloads, timestamps)
