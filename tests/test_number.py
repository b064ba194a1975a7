from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._record.number import LARGEST, NOT_A_NUMBER, NOT_FINITE, judged
from tests.support.caller_values import NUMBERS, REFUSED


def verdict(value: Any) -> tuple[Any, list[str]]:
    """Return what *value* is judged to be, and why it was refused."""
    said: list[str] = []
    return judged(value, said.append), said


@given(
    st.integers(-LARGEST, LARGEST) | st.floats(allow_nan=False, allow_infinity=False)
)
def test_numbers_stay(number: int | float) -> None:
    """An integer or float that a double can hold is kept, exactly and by its type."""
    found, said = verdict(number)
    assert (found, type(found), said) == (number, type(number), [])


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, LARGEST + 1, -LARGEST - 1, 10**5_000],
    ids=["nan", "inf", "-inf", "too large", "too small", "5000 digits"],
)
def test_not_finite(value: Any) -> None:
    """What no double can hold is refused."""
    assert verdict(value) == (None, [NOT_FINITE])


@pytest.mark.parametrize(
    "value", ["1", b"1", None, [], 1j, object, bytearray(b"2")], ids=repr
)
def test_not_a_number(value: Any) -> None:
    """What is no number is refused, also where float() would read one out of it."""
    assert verdict(value) == (None, [NOT_A_NUMBER])


@pytest.mark.parametrize(
    ("value", "number"),
    [(True, 1), (Decimal("1.5"), 1.5), (Fraction(1, 4), 0.25)],
    ids=repr,
)
def test_other_numbers(value: Any, number: Any) -> None:
    """What has a value as int or float is taken by it, and becomes a plain one."""
    found, said = verdict(value)
    assert (found, type(found), said) == (number, type(number), [])


@pytest.mark.parametrize("place", range(len(NUMBERS)))
def test_foreign_numbers(place: int) -> None:
    """Numbers of foreign classes are taken by what they say they are."""
    value, number = NUMBERS[place]
    found, said = verdict(value)
    assert (found, said) == (number, [])
    assert type(found) in (int, float)


@pytest.mark.parametrize("place", range(len(REFUSED)))
def test_foreign_values_that_are_none(place: int) -> None:
    """Whatever a foreign value does when it is asked, it is refused, and no more."""
    value, reason = REFUSED[place]
    assert verdict(value) == (None, [reason])
