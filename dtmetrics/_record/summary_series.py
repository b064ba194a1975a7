"""The series of a summary: minimum, maximum, sum and count of the observed values."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum, isfinite
from typing import TYPE_CHECKING, ClassVar

from dtmetrics._core.safe_call import call_safely
from dtmetrics._protocol.point import GaugeSummary, Payload, new
from dtmetrics._record.number import LARGEST, NOT_FINITE, Number
from dtmetrics._record.series import Series, Value

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["SummarySeries", "plain_summary"]

#: The first of the list may be the summary that the values before it were folded into.
Observed = Number | GaugeSummary


class SummarySeries(Series[Observed]):
    """The values observed since the last drain."""

    __slots__ = ()

    payload: ClassVar[type[Payload]] = GaugeSummary

    buffer: list[Observed] | None
    values: list[Observed]

    def drain_each(self, chunk: Sequence[Self], drained: list[Value]) -> None:
        """Move to *drained* the summary of what each series has observed."""
        for series in chunk:
            values = series.values
            length = len(values)
            if not length:
                drained.append(None)
                continue
            first = values[0]
            if length == 1 and type(first) is float and isfinite(first):
                # A single value, the most frequent case, is its own summary: 0.5 us
                # less.
                summary = new(GaugeSummary, (first, first, first, 1))
            else:
                summary = _quick_summary(values[:length])
            del values[:length]
            drained.append(summary)

    def drain_checked(self, drained: list[Value]) -> None:
        """Move the summary to *drained*, checking the values one by one."""
        values = self.values
        length = len(values)
        summary = self._summarise(values[:length])
        del values[:length]
        drained.append(summary)

    def _fold(self, chunk: list[Observed]) -> list[Observed]:
        summary = self._summarise(chunk)
        return [] if summary is None else [summary]

    def _summarise(self, chunk: list[Observed]) -> GaugeSummary | None:
        before, numbers = _split(chunk)
        if not numbers:
            return before
        summary = call_safely(plain_summary, before, numbers, default=None)
        if summary is None:
            checked = [*self._checked(numbers, least=-LARGEST)]
            summary = call_safely(plain_summary, before, checked, default=None)
            if summary is None:
                summary = self._add_one_by_one(before, checked)
        return summary

    def _add_one_by_one(
        self, summary: GaugeSummary | None, numbers: list[Number]
    ) -> GaugeSummary | None:
        """Summarise *numbers*, rejecting each that would exceed a double's range."""
        for number in numbers:
            longer = plain_summary(summary, [number])
            if longer is None:
                self.reject(NOT_FINITE)
            else:
                summary = longer
        return summary


def _quick_summary(chunk: list[Observed]) -> GaugeSummary:
    """Summarise *chunk*; raise a ValueError if a value of it needs to be checked."""
    before, numbers = _split(chunk)
    summary = plain_summary(before, numbers) if numbers else before
    if summary is None:
        raise ValueError
    return summary


def _split(chunk: list[Observed]) -> tuple[GaugeSummary | None, list[Number]]:
    """Return the summary that *chunk* begins with, if any, and the values after it."""
    numbers: list[Number] = chunk  # type: ignore[assignment] # but for the first
    if chunk and type(chunk[0]) is GaugeSummary:
        return chunk[0], numbers[1:]
    return None, numbers


def plain_summary(
    before: GaugeSummary | None, chunk: list[Number]
) -> GaugeSummary | None:
    """Summarise a chunk of plain numbers; None if one of them needs to be checked."""
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
    # NaN makes the sum NaN, and compares false with everything.
    if not -LARGEST <= low <= high <= LARGEST or not abs(total) <= LARGEST:
        return None
    return new(GaugeSummary, (low, high, total, count))


def _total(chunk: list[Number]) -> Number:
    """Add up *chunk*; integers stay exact."""
    if type(chunk[0]) is not float:
        total = sum(chunk)
        if type(total) is not float:
            return total
    # Naive addition drifts: the mean of a thousand times 1234567890.123 is off by
    # 2e-5, twenty times the endpoint's tolerance.
    return fsum(chunk)
