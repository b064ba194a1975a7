from __future__ import annotations

import enum
import functools
import os
from collections import Counter as Tally
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._record.dimensions import (
    NO_KEY,
    NO_TEXT,
    TOO_MANY,
    Pairs,
    merge,
)
from tests.support.caller_values import Lies, Raises


def merged(*layers: Pairs) -> tuple[dict[str, str], Tally[str]]:
    """Merge; return the dimensions, and counts of rejected pairs by reason."""
    rejected: Tally[str] = Tally()

    def reject(reason: str) -> None:
        rejected[reason] += 1

    pairs = merge(layers, reject)
    assert list(pairs) == sorted(pairs)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs), rejected


keys = st.sampled_from("abcde")
layers = st.lists(
    st.lists(st.tuples(keys, st.sampled_from(["1", "2", "", None])), max_size=5).map(
        tuple
    ),
    max_size=5,
)


@given(layers)
def test_precedence(layers: list[Pairs]) -> None:
    """The more specific value wins, within a layer the last; one without text removes its key."""
    expected: dict[str, Any] = {}
    for layer in layers:
        expected |= dict(layer)
    expected = {key: value for key, value in expected.items() if value}
    assert merged(*layers) == (expected, {})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1.0"),
        (enum.Enum("Colour", {"RED": "red"})["RED"], "red"),
        ("two\nlines\r\n", "two_lines_"),
        ("x" * 1_000_000, "x" * 250),
        (type("Text", (str,), {})("text"), "text"),
    ],
    ids=["float", "enum", "lines", "megabyte", "subclass"],
)
def test_text(value: Any, text: str) -> None:
    """A value of any class becomes a text on one line, cut to the endpoint's limit."""
    assert merged((("key", value),)) == ({"key": text}, {})
    assert type(merged((("key", value),))[0]["key"]) is str


@pytest.mark.parametrize("value", ["", None, bytearray()])
def test_no_text(value: Any) -> None:
    """A value without text is left out, and so is the more general one."""
    assert merged((("a", "default"),), (("a", value), ("b", "1"))) == ({"b": "1"}, {})


@pytest.mark.parametrize(
    "value", [Raises(), Lies(), 10**5000], ids=["raises", "lies", "endless"]
)
def test_hostile_text(value: Any) -> None:
    """A value whose conversion raises is rejected, and the more general one is used."""
    dimensions, rejected = merged((("a", "default"),), (("a", value), ("b", "1")))
    assert dimensions == {"a": "default", "b": "1"}
    assert rejected == {NO_TEXT: 1}


class Proxy:
    """A callable that stands for a text, as werkzeug's LocalProxy does."""

    def __call__(self) -> None:
        """Do nothing."""

    def __str__(self) -> str:
        return "text"


@pytest.mark.parametrize(
    "value",
    [
        os.getpid,
        len,
        str.upper,
        "x".upper,
        lambda: "x",
        functools.partial(int, "7"),
        ValueError,
        enum.Enum,
    ],
    ids=range(8),
)
def test_callable(value: Any) -> None:
    """A function or a class has no text, and is rejected."""
    assert merged((("a", "default"),), (("a", value),)) == (
        {"a": "default"},
        {NO_TEXT: 1},
    )


def test_callable_with_a_text() -> None:
    """A callable whose class defines its text is taken by that."""
    assert merged((("a", Proxy()),)) == ({"a": "text"}, {})


def test_collision_after_cleaning() -> None:
    """Keys that are equal after cleaning are one dimension, and the last value wins."""
    assert merged((("Tenant Name", 1), ("tenant_name", 2)))[0] == {"tenant_name": "2"}
    assert merged((("tenant_name", 2), ("Tenant Name", 1)))[0] == {"tenant_name": "1"}


@pytest.mark.parametrize(
    "key",
    ["", "...", None, Raises(), Lies()],
    ids=["", "dots", "none", "raises", "lies"],
)
def test_no_key(key: Any) -> None:
    """A pair with an invalid key is rejected alone."""
    assert merged(((key, "x"), ("a", "1"))) == ({"a": "1"}, {NO_KEY: 1})


@pytest.mark.parametrize("key", [7, type("Text", (str,), {})("_7"), b"_7"], ids=type)
def test_foreign_key(key: Any) -> None:
    """A key of another class is taken by its text."""
    dimensions, rejected = merged(((key, "x"),))
    assert list(dimensions.values()) == ["x"]
    assert {*map(type, dimensions)} == {str}
    assert not rejected


def test_too_many() -> None:
    """Of more than 50 dimensions the most specific are kept, and the others counted."""
    general = tuple((f"general{i}", i) for i in range(30))
    special = tuple((f"special{i}", i) for i in range(40))
    dimensions, rejected = merged(general, special)
    expected = [*special, *general[20:]]
    assert dimensions == {key: str(value) for key, value in expected}
    assert rejected == {TOO_MANY: 20}


def test_no_text_takes_no_room() -> None:
    """Dimensions without text do not count towards the limit of 50."""
    general = tuple((f"general{i}", i) for i in range(50))
    nothing = tuple((f"nothing{i}", None) for i in range(60))
    dimensions, rejected = merged(general, nothing)
    assert len(dimensions) == 50
    assert not rejected
