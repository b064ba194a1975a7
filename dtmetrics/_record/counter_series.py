"""The cell of a counter: what was added.

Most increments are by one. Those are counted by an ``itertools.count``, in one step
(compare-and-swap in free-threaded builds), and need neither list nor fold: 17 ns less
on CPython 3.11, and in a free-threaded build half of what an append costs.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from math import fsum
from typing import Any

from dtmetrics._core.safe_call import call_safely
from dtmetrics._protocol.point import CountDelta
from dtmetrics._record.number import LARGEST, NOT_FINITE, Number
from dtmetrics._record.series import Series, Value

__all__ = ["CounterSeries"]


class CounterSeries(Series):
    """What was added. Integers stay integers, whatever their size.

    Ones are counted by ``ones``. The list is made by `Registry.make_list` when first
    something else is added: most counters never need its 56 bytes.
    """

    __slots__ = ("_taken", "ones")

    payload = CountDelta

    def _begin(self) -> None:
        """Hold nothing."""
        self.values = None
        #: ``next()`` of it adds one.
        self.ones = count()
        self._taken = 0  # how often it was asked until the last drain

    def wire(self) -> None:
        """Let handles count without asking."""
        self.buffer = self.ones

    @staticmethod
    def drain_each(cells: Iterable[Any], drained: list[Value]) -> None:
        """Take from each of *cells* what was added since the last time."""
        for cell in cells:
            added = cell._take_plain() if cell.values else 0
            drained.append(added + cell._take_ones() or None)

    def drain_judged(self) -> Number | None:
        """Return what was added since the last time, each value judged."""
        added: Number = sum(self._take())
        return added + self._take_ones() or None

    def _take_ones(self) -> int:
        # To read it is to ask once more: 0.03 us, where its repr() takes 0.2 us. That
        # is noted first, so that a handler which raises after it changes nothing.
        self._taken = taken = self._taken + 1
        self._taken = asked = next(self.ones) + 1
        return asked - taken

    def _take_plain(self) -> Number:
        values = self.values
        length = len(values)
        # Alone, as it often is, a value is its own sum: 0.2 us less.
        total: Number | None = values[0]
        if length > 1 or type(total) is not int or not 0 <= total <= LARGEST:
            total = _plain_total(values[:length])
        if total is None:
            judged: Number = sum(self._take())
            return judged
        del values[:length]
        return total

    def _fold(self, chunk: list[Any]) -> list[Any]:
        if len(chunk) == 1 and type(chunk[0]) is int and 0 <= chunk[0] <= LARGEST:
            return chunk
        total = call_safely(_plain_total, chunk, default=None)
        if total is None:
            numbers = [*self._judged(chunk, least=0)]
            total = call_safely(_plain_total, numbers, default=None)
            if total is None:
                total = self._one_by_one(numbers)
        return [total]

    def _one_by_one(self, numbers: list[Number]) -> Number:
        """Add up *numbers*, refusing those that would leave the range of a double."""
        total: Number = 0
        for number in numbers:
            if total + number <= LARGEST:
                total += number
            else:
                self.refuse(NOT_FINITE)
        return total


def _plain_total(chunk: list[Number]) -> Number | None:
    """Add up a chunk in which nothing needs a second look; None if something does."""
    total = sum(chunk)
    if type(total) is float:
        total = fsum(chunk)
    elif type(total) is not int:
        return None
    # What is no plain number may say anything of itself, so the sum is asked as well.
    return total if min(chunk) >= 0 and 0 <= total <= LARGEST else None
