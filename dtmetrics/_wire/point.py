"""A data point: one value of one series at one moment."""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "CountDelta",
    "DataPoint",
    "Dimensions",
    "GaugeSummary",
    "GaugeValue",
    "Identity",
    "Payload",
    "new",
]

#: Cleaned pairs, each key once, sorted by key.
Dimensions = tuple[tuple[str, str], ...]


class Identity:
    """What makes a series this series: its metric key and its dimensions.

    ``head`` is the text that every line of the series starts with, and tells series
    apart. It is written once, because escaping a line anew at each flush costs 1.8 us
    where a kept head costs 0.2 us (CPython 3.11, five dimensions); the dimensions
    themselves, which nobody asks for any more, would be another 232 bytes.
    """

    __slots__ = ("head", "key")

    def __init__(self, key: str, head: str) -> None:
        self.key = key
        self.head = head

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.head}>"


# Named tuples, not frozen data classes: a flush makes one point and one payload
# for each series, and a frozen data class takes 0.5 us to make, a tuple 0.25 us.

#: What a named tuple's class calls in the end: 0.14 us for a payload, where the class
#: itself takes 0.27 us. For the flush, which makes thousands.
new = tuple.__new__


class CountDelta(NamedTuple):
    """By how much a counter grew."""

    delta: int | float


class GaugeValue(NamedTuple):
    """What a gauge showed."""

    value: int | float


class GaugeSummary(NamedTuple):
    """What was observed: the least, the most, their sum and how many they were."""

    min: int | float
    max: int | float
    sum: int | float
    count: int  # type: ignore[assignment] # hides a tuple's method on purpose


Payload = CountDelta | GaugeValue | GaugeSummary


class DataPoint(NamedTuple):
    """One payload of one series, at one moment (UTC milliseconds since 1970)."""

    identity: Identity
    payload: Payload
    timestamp_ms: int
