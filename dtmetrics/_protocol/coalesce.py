"""Lines of one minute folded, so that each series has one.

Dynatrace keeps one slot a minute for a series and merges what arrives for it, so
nothing is lost, and what waited out an outage at an interval of 10 s is a sixth.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from dtmetrics._protocol.line import encode
from dtmetrics._protocol.point import (
    CountDelta,
    DataPoints,
    GaugeSummary,
    Identity,
    Payload,
)

__all__ = ["Coalesced", "coalesce"]

# What line.py writes, and no more. int() refuses texts of some thousand digits.
_NUMBER = r"(-?[0-9]{1,400}(?:\.[0-9]{1,400})?(?:e[+-][0-9]{1,3})?)"
_OURS = re.compile(
    rf" (?:count,delta={_NUMBER}"
    rf"|gauge,(?:min={_NUMBER},max={_NUMBER},sum={_NUMBER},count=([1-9][0-9]{{0,17}})"
    rf"|{_NUMBER})) ([0-9]{{1,15}})"
)


class Coalesced(NamedTuple):
    """A line, and how many data points it stands for."""

    line: str
    points: int


def coalesce(lines: Iterable[str]) -> list[Coalesced]:
    """Fold *lines*, which we encoded ourselves, of one UTC minute, series by series.

    Counters add up; gauges become the summary of their values, and summaries that of
    all their observations. The latest timestamp is kept. What cannot be folded, a sum
    that no double holds or a line that is not ours, stays as it is.

    >>> coalesce(["orders count,delta=2 1000", "orders count,delta=3 2000"])
    [Coalesced(line='orders count,delta=5 2000', points=2)]
    """
    series: dict[str, list[str]] = {}
    for line in lines:
        # From the right: a quoted value of the head may hold blanks. The head, the
        # blank behind it and the first letter of the kind.
        key = line[: line.rfind(" ", 0, line.rfind(" ")) + 2]
        if (same := series.get(key)) is None:
            series[key] = [line]
        else:
            same.append(line)
    coalesced = []
    for key, same in series.items():
        folded = _fold(key[:-2], same) if len(same) > 1 else None
        if folded is None:
            coalesced += [Coalesced(line, 1) for line in same]
        else:
            coalesced.append(Coalesced(folded, len(same)))
    return coalesced


def _fold(head: str, lines: Sequence[str]) -> str | None:
    """Return *lines* of one series as one, or nothing if that cannot be."""
    at = len(head)
    fields = []
    for line in lines:
        found = _OURS.fullmatch(line, at)
        if found is None:
            return None
        fields.append(found.groups())
    try:
        payload = _payload(fields)
    except OverflowError:
        return None
    latest = max([int(field[6]) for field in fields])
    value = payload if isinstance(payload, GaugeSummary) else payload[0]
    owner = [Identity("", head)]
    return encode(DataPoints(type(payload), owner, [value], latest))[0]


def _payload(fields: Sequence[tuple[str | Any, ...]]) -> Payload:
    """Fold payloads; raises ``OverflowError`` where a number is none of a double."""
    if fields[0][0] is not None:
        return CountDelta(_sum([_number(field[0]) for field in fields]))
    lows, highs, sums, count = [], [], [], 0
    for _, low, high, total, times, value, _ in fields:
        if value is not None:
            number = _number(value)
            lows.append(number)
            highs.append(number)
            sums.append(number)
            count += 1
        else:
            lows.append(_number(low))
            highs.append(_number(high))
            sums.append(_number(total))
            count += int(times)
    return GaugeSummary(min(lows), max(highs), _sum(sums), count)


def _number(text: str) -> int | float:
    number = float(text) if "." in text or "e" in text else int(text)
    if not math.isfinite(number):  # raises by itself for an integer
        raise OverflowError
    return number


def _sum(numbers: Sequence[int | float]) -> int | float:
    """Add up, integers exactly; a float among them rounds once, at the end."""
    if float not in map(type, numbers):
        total = sum(numbers)
        float(total)
        return total
    # In halves that are exact: fsum() would round an integer beyond 2**53 first.
    whole = sum([number for number in numbers if type(number) is int])
    rest = [number for number in numbers if type(number) is float]
    high = float(whole)
    return math.fsum([high, float(whole - int(high)), *rest])
