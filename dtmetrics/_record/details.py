"""Details: the options of one kind of instrument, beside those that all kinds have."""

from __future__ import annotations

from collections.abc import Iterable
from operator import ge
from typing import NamedTuple

from dtmetrics._core.safe_call import call_safely
from dtmetrics._record.number import LARGEST, Number, number_of

__all__ = ["NO_DETAILS", "Details"]


class Details(NamedTuple):
    """What a summary or a timer sends beside the summary; None for nothing."""

    percentiles: tuple[float, ...] | None = None
    slo: tuple[float, ...] | None = None
    slow: float | None = None

    def __bool__(self) -> bool:
        return self != NO_DETAILS

    @classmethod
    def checked(
        cls,
        percentiles: Iterable[float] | None = None,
        slo: Iterable[Number] | None = None,
        slow: Number | None = None,
    ) -> Details:
        """Return the details; raise a TypeError or a ValueError if one is invalid.

        >>> Details.checked(percentiles=[0.5, 0.95])
        Details(percentiles=(0.5, 0.95), slo=None, slow=None)
        """
        fractions = thresholds = None
        if percentiles is not None:
            rule = "percentiles must be ascending numbers between 0 and 1"
            fractions = tuple(map(float, _ascending(percentiles, rule)))
            if not 0 < fractions[0] <= fractions[-1] < 1:
                raise ValueError(f"{rule}, got {percentiles!r}")
        if slo is not None:
            rule = "slo must be ascending finite numbers"
            thresholds = tuple(map(float, _ascending(slo, rule)))
        if slow is not None:
            (slow,) = _ascending((slow,), "slow must be a finite number")
        return cls(fractions, thresholds, slow)


NO_DETAILS = Details()


def _ascending(given: object, rule: str) -> tuple[Number, ...]:
    """Return the numbers *given*; raise an error with *rule* unless they ascend."""
    numbers: list[Number | None] = [None]
    if isinstance(given, Iterable) and not isinstance(given, str | bytes):
        numbers = [*map(_number, given)]
    if None in numbers:
        raise TypeError(f"{rule}, got {given!r}")
    found = tuple(number for number in numbers if number is not None)
    finite = all(-LARGEST <= number <= LARGEST for number in found)
    if not finite or not found or any(map(ge, found, found[1:])):
        raise ValueError(f"{rule}, got {given!r}")
    return found


def _number(value: object) -> Number | None:
    return (
        None if isinstance(value, bool) else call_safely(number_of, value, default=None)
    )
