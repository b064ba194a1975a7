"""Cells that accumulate: one for each metric key and set of dimensions.

Recording appends a value to a list and looks at the list's length. Past a limit,
and at each collection, the values so far are folded into one that stands for all
of them. Appending, slicing and replacing a slice are single steps of a list, under
the GIL and in free-threaded builds alike, and only one thread folds at a time, so
nothing is lost or counted twice; nothing waits, so a signal handler or a finaliser
may record at any point of it. On CPython 3.11 an append with its share of the fold
costs 86 ns, a lock around a number 270 ns.

Values are judged when they are folded: what is no finite number, or shrinks a
counter, is refused and counted there.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterable, Iterator
from math import fsum
from threading import Lock
from typing import Any, NamedTuple

from dtmetrics._record.guard import attempt
from dtmetrics._wire.point import (
    CountDelta,
    GaugeSummary,
    GaugeValue,
    Identity,
    Payload,
)

__all__ = [
    "NOT_A_NUMBER",
    "NOT_FINITE",
    "CounterSeries",
    "GaugeSeries",
    "Level",
    "Series",
    "SummarySeries",
    "finite_number",
]

Number = int | float

NEGATIVE = "negative increment"
NOT_A_NUMBER = "not a number"
NOT_FINITE = "not finite"

# Beyond it an integer has no double, which is what the endpoint reads.
_LARGEST = int(sys.float_info.max)


class Series:
    """One cell. ``buffer`` is where to append, or None: ask the registry first."""

    __slots__ = ("alive", "buffer", "identity", "limit", "lock", "refuse", "values")

    def __init__(
        self,
        identity: Identity,
        lock: Lock,
        refuse: Callable[[str], None],
        limit: int,
    ) -> None:
        self.identity = identity
        self.lock = lock
        self.refuse = refuse
        self.limit = limit
        self.values: list[Any] = []
        self.buffer: list[Any] | None = None
        self.alive = True

    def wire(self) -> None:
        """Let handles append without asking."""
        self.buffer = self.values

    def unwire(self) -> None:
        """Let handles ask again before they append."""
        self.buffer = None

    def reset(self, lock: Lock) -> None:
        """Forget all values, in place: in a forked child they are the parent's."""
        self.lock = lock
        self.buffer = None
        self.values.clear()

    def fold_if_free(self) -> None:
        """Fold, unless somebody is at it: then that fold or the next takes these."""
        if self.lock.acquire(blocking=False):
            try:
                count = len(self.values)
                # One step: an interrupt (KeyboardInterrupt, say) between taking
                # values out and adding them up could lose them.
                self.values[:count] = self._fold(self.values[:count])
            finally:
                self.lock.release()

    def drain(self) -> Payload | None:
        """Empty the cell; the caller holds the lock. None: there is nothing to say."""
        raise AssertionError(self)

    def _fold(self, chunk: list[Any]) -> list[Any]:
        """Return at most one value that stands for those of *chunk*."""
        raise AssertionError((self, chunk))

    def _take(self) -> list[Any]:
        count = len(self.values)
        if not count:
            return []
        chunk = self._fold(self.values[:count])
        del self.values[:count]
        return chunk

    def _judged(self, values: Iterable[Any], least: Number) -> Iterator[Number]:
        """Yield the numbers in *values* as int or float, refuse the rest."""
        for value in values:
            number = attempt(_number, value, default=None)
            if number is None:
                self.refuse(NOT_A_NUMBER)
            elif not -_LARGEST <= number <= _LARGEST:
                self.refuse(NOT_FINITE)
            elif number < least:
                self.refuse(NEGATIVE)
            else:
                yield number

    def _sum(self, numbers: Iterable[Number], total: Number = 0) -> Number:
        """Add up judged *numbers*, refusing what would leave the range of a double."""
        for number in numbers:
            if -_LARGEST <= total + number <= _LARGEST:
                total += number
            else:
                self.refuse(NOT_FINITE)
        return total


class CounterSeries(Series):
    """What was added. Integers stay integers, whatever their size."""

    __slots__ = ()

    def drain(self) -> Payload | None:
        """Return what was added since the last time, if anything was."""
        total = self._take()
        return CountDelta(total[0]) if total and total[0] else None

    def _fold(self, chunk: list[Any]) -> list[Any]:
        if len(chunk) == 1 and type(chunk[0]) is int and 0 <= chunk[0] <= _LARGEST:
            return chunk
        total = attempt(_plain_total, chunk, default=None)
        if total is None:
            total = self._sum(self._judged(chunk, least=0))
        return [total]


class SummarySeries(Series):
    """What was observed: least, most, sum and count."""

    __slots__ = ()

    def drain(self) -> Payload | None:
        """Return the summary of what was observed since the last time."""
        summary = self._take()
        return summary[0] if summary else None

    def _fold(self, chunk: list[Any]) -> list[Any]:
        if not chunk:
            return chunk
        before = chunk[0] if type(chunk[0]) is GaugeSummary else None
        values = chunk[1:] if before else chunk
        if not values:
            return chunk
        summary = attempt(_plain_summary, values, default=None)
        if summary is None:
            numbers = [*self._judged(values, least=-_LARGEST)]
            if not numbers:
                return [before] if before else []
            summary = GaugeSummary(
                min(numbers), max(numbers), self._sum(numbers), len(numbers)
            )
        if before is None:
            return [summary]
        total = self._sum((summary.sum,), before.sum)
        return [
            GaugeSummary(
                min(before.min, summary.min),
                max(before.max, summary.max),
                total,
                before.count + summary.count,
            )
        ]


class Level(NamedTuple):
    """Among the moves of a gauge: it was set to this value."""

    value: Number


class GaugeSeries(Series):
    """What is shown. It stays until it is removed.

    A gauge that is only ever set needs no list, only its ``value``. From the first
    ``inc`` or ``dec`` on (``moved``) settings are appended to the moves as well,
    because a plain store could undo a move of another thread; the order of the
    list is then the order of events.
    """

    __slots__ = ("moved", "value")

    def __init__(
        self,
        identity: Identity,
        lock: Lock,
        refuse: Callable[[str], None],
        limit: int,
    ) -> None:
        super().__init__(identity, lock, refuse, limit)
        self.value: Any = None
        self.moved = False

    def reset(self, lock: Lock) -> None:
        """Forget the value: in a forked child it is the parent's."""
        super().reset(lock)
        self.value = None

    def drain(self) -> Payload | None:
        """Return what is shown; a gauge keeps its value."""
        if self.values:
            count = len(self.values)
            folded = self._fold(self.values[:count])
            self.values[:count] = folded
            return GaugeValue(folded[0].value)
        if self.value is None:
            return None
        for number in self._judged((self.value,), least=-_LARGEST):
            return GaugeValue(number)
        self.value = None  # refused once, not at every collection
        return None

    def _fold(self, chunk: list[Any]) -> list[Any]:
        level = self.value if self.value is not None else 0
        for move in chunk:
            if type(move) is Level:
                level = move.value
            else:
                level = self._sum(self._judged((move,), least=-_LARGEST), level)
        return [Level(level)]


def _plain_total(chunk: list[Number]) -> Number | None:
    """Add up a chunk in which nothing needs a second look; None if something does."""
    total = sum(chunk)
    if type(total) is float:
        total = fsum(chunk)
    elif type(total) is not int:
        return None
    return total if min(chunk) >= 0 and total <= _LARGEST else None


def _plain_summary(chunk: list[Number]) -> GaugeSummary | None:
    """Sum up a chunk in which nothing needs a second look; None if something does."""
    total = sum(chunk)
    if type(total) is float:
        # Naive addition drifts: a thousand times 1234567890.123 comes out 2e-5 off
        # in the mean, twenty times what the endpoint tolerates.
        total = fsum(chunk)
    low = min(chunk)
    high = max(chunk)
    plain = (int, float)
    if type(low) not in plain or type(high) not in plain or type(total) not in plain:
        return None
    # Not-a-number makes the sum one, and compares false with everything.
    if not -_LARGEST <= low <= high <= _LARGEST or not abs(total) <= _LARGEST:
        return None
    return GaugeSummary(low, high, total, len(chunk))


def finite_number(value: Any) -> Number | None:
    """Return *value* as an int or a float that has a double, else None or raise."""
    number = _number(value)
    fit = number is not None and -_LARGEST <= number <= _LARGEST
    return number if fit else None


def _number(value: Any) -> Number | None:
    """Return *value* as an exact int or float; raises or returns None where not."""
    if isinstance(value, str | bytes | bytearray):
        return None
    if isinstance(value, int):
        return int.__index__(value)
    if hasattr(type(value), "__index__"):
        return operator.index(value)
    return float(value)
