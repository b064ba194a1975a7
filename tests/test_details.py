from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from dtmetrics._record.details import NO_DETAILS, Details


def test_nothing() -> None:
    """Without options there are no details."""
    assert not Details()
    assert Details.checked() == NO_DETAILS
    assert Details.checked(slo=[1])


def test_numbers_of_any_type() -> None:
    """Percentiles and thresholds may be any numbers in any iterable, kept as plain ones."""
    details = Details.checked(
        percentiles=iter([Decimal("0.5"), Fraction(3, 4), 0.999]),  # type: ignore[arg-type]
        slo={-1: "a", 0.5: "b", 10**20: "c"},
    )
    assert details == Details((0.5, 0.75, 0.999), (-1, 0.5, 1e20))
    assert {*map(type, details.percentiles or ())} == {float}
    assert {*map(type, details.slo or ())} == {float}


@pytest.mark.parametrize("slow", [True, "1", [1], b"0", None.__class__])
def test_slow_of_another_type(slow: Any) -> None:
    """What is not a number raises a TypeError."""
    with pytest.raises(TypeError, match="slow must be a finite number"):
        Details.checked(slow=slow)


def test_slow() -> None:
    """A finite number of any type is taken, zero too; others raise a ValueError."""
    assert Details.checked(slow=Decimal("0.5")).slow == 0.5  # type: ignore[arg-type]
    assert Details.checked(slow=0)
    for slow in (float("nan"), float("inf"), 10**400):
        with pytest.raises(ValueError, match="slow must be a finite number"):
            Details.checked(slow=slow)


WRONG_TYPES = ["0.5", b"0", 0.5, ["0.5"], [None], [True], [[0.5]], [0.1, "0.5"]]


@pytest.mark.parametrize("option", ["percentiles", "slo"])
@pytest.mark.parametrize("given", WRONG_TYPES, ids=repr)
def test_not_numbers(option: str, given: Any) -> None:
    """What is not an iterable of numbers raises a TypeError, also a text."""
    with pytest.raises(TypeError, match=f"{option} must be ascending .*numbers"):
        Details.checked(**{option: given})


@pytest.mark.parametrize(
    "given", [[], [0], [1], [-0.5], [50], [0.9, 0.5], [0.5, 0.5], [float("nan")]]
)
def test_not_percentiles(given: list[float]) -> None:
    """Percentiles that are not ascending between 0 and 1 raise a ValueError."""
    with pytest.raises(ValueError, match=r"between 0 and 1, got \["):
        Details.checked(percentiles=given)


@pytest.mark.parametrize(
    "given", [[], [2, 1], [1, 1.0], [float("nan")], [1, float("inf")], [10**400]]
)
def test_not_thresholds(given: list[float]) -> None:
    """Thresholds that are not finite or not ascending raise a ValueError."""
    with pytest.raises(ValueError, match=r"ascending finite numbers, got \["):
        Details.checked(slo=given)
