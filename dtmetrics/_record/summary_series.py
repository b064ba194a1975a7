"""The cell of a summary: least, most, sum and count of what was observed."""

from __future__ import annotations

from math import fsum, isfinite
from typing import Any

from dtmetrics._core.safe_call import call_safely
from dtmetrics._protocol.point import GaugeSummary, new
from dtmetrics._record.number import LARGEST, NOT_FINITE, Number
from dtmetrics._record.series import Series

__all__ = ["SummarySeries"]


class SummarySeries(Series):
    """What was observed: least, most, sum and count."""

    __slots__ = ()

    payload = GaugeSummary

    def drain_plain(self) -> GaugeSummary | None:
        """Return the summary of what was observed since the last time."""
        values = self.values
        count = len(values)
        if not count:
            return None
        first = values[0]
        if count == 1 and type(first) is float and isfinite(first):
            # Alone, as it often is, a value says it all: 0.5 us less.
            del values[:1]
            return new(GaugeSummary, (first, first, first, 1))
        chunk = values[:count]
        before = chunk.pop(0) if type(first) is GaugeSummary else None
        summary = _plain_summary(before, chunk) if chunk else before
        if summary is None:
            return self.drain_judged()
        del values[:count]
        return summary

    def drain_judged(self) -> GaugeSummary | None:
        """Do so, and judge the values one by one."""
        summary = self._take()
        return summary[0] if summary else None

    def _fold(self, chunk: list[Any]) -> list[Any]:
        before = chunk[0] if chunk and type(chunk[0]) is GaugeSummary else None
        values = chunk if before is None else chunk[1:]
        if not values:
            return chunk
        summary = call_safely(_plain_summary, before, values, default=None)
        if summary is None:
            numbers = [*self._judged(values, least=-LARGEST)]
            summary = call_safely(_plain_summary, before, numbers, default=None)
            if summary is None:
                summary = self._one_by_one(before, numbers)
        return [] if summary is None else [summary]

    def _one_by_one(
        self, summary: GaugeSummary | None, numbers: list[Number]
    ) -> GaugeSummary | None:
        """Sum up *numbers*, refusing those that would leave the range of a double."""
        for number in numbers:
            longer = _plain_summary(summary, [number])
            if longer is None:
                self.refuse(NOT_FINITE)
            else:
                summary = longer
        return summary


def _plain_summary(
    before: GaugeSummary | None, chunk: list[Number]
) -> GaugeSummary | None:
    """Sum up a chunk in which nothing needs a second look; None if something does."""
    total = _total(chunk)
    low = min(chunk)
    high = max(chunk)
    count = len(chunk)
    plain = (int, float)
    if type(low) not in plain or type(high) not in plain or type(total) not in plain:
        return None
    if before is not None:
        low = min(low, before.min)
        high = max(high, before.max)
        total += before.sum
        count += before.count
    # Not-a-number makes the sum one, and compares false with everything.
    if not -LARGEST <= low <= high <= LARGEST or not abs(total) <= LARGEST:
        return None
    return new(GaugeSummary, (low, high, total, count))


def _total(chunk: list[Number]) -> Number:
    """Add up *chunk*; integers stay integers."""
    if type(chunk[0]) is not float:
        total = sum(chunk)
        if type(total) is not float:
            return total
    # Naive addition drifts: a thousand times 1234567890.123 comes out 2e-5 off in the
    # mean, twenty times what the endpoint tolerates.
    return fsum(chunk)
