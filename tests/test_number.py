from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._record.number import LARGEST, NOT_A_NUMBER, NOT_FINITE, checked_number
from tests.support.caller_values import INVALID, NUMBERS


def check(value: Any) -> tuple[Any, list[str]]:
    """Return the number that *value* is, and the reasons for which it was rejected."""
    reasons: list[str] = []
    return checked_number(value, reasons.append), reasons


@given(
    st.integers(-LARGEST, LARGEST) | st.floats(allow_nan=False, allow_infinity=False)
)
def test_numbers_stay(number: int | float) -> None:
    """An int or float that a double can hold keeps its value and its type."""
    found, reasons = check(number)
    assert (found, type(found), reasons) == (number, type(number), [])


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, LARGEST + 1, -LARGEST - 1, 10**5_000],
    ids=["nan", "inf", "-inf", "too large", "too small", "5000 digits"],
)
def test_not_finite(value: Any) -> None:
    """A number that no double can hold is rejected."""
    assert check(value) == (None, [NOT_FINITE])


@pytest.mark.parametrize(
    "value", ["1", b"1", None, [], 1j, object, bytearray(b"2")], ids=repr
)
def test_not_a_number(value: Any) -> None:
    """A value of a class without numbers is rejected, even if float() could read one from it."""
    assert check(value) == (None, [NOT_A_NUMBER])


@pytest.mark.parametrize(
    ("value", "number"),
    [(True, 1), (Decimal("1.5"), 1.5), (Fraction(1, 4), 0.25)],
    ids=repr,
)
def test_other_numbers(value: Any, number: Any) -> None:
    """A value that converts to int or float becomes a plain one."""
    found, reasons = check(value)
    assert (found, type(found), reasons) == (number, type(number), [])


@pytest.mark.parametrize("place", range(len(NUMBERS)))
def test_foreign_numbers(place: int) -> None:
    """Numbers of other libraries are converted by their own methods."""
    value, number = NUMBERS[place]
    found, reasons = check(value)
    assert (found, reasons) == (number, [])
    assert type(found) in (int, float)


@pytest.mark.parametrize("place", range(len(INVALID)))
def test_foreign_values_that_are_not_numbers(place: int) -> None:
    """A hostile value is rejected once, whatever its methods do."""
    value, reason = INVALID[place]
    assert check(value) == (None, [reason])
