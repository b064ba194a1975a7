"""Series: the values of one metric key and one set of dimensions.

Recording appends a value to a list and compares the list's length with a limit. Past
the limit, and at each collection, the values are folded into one that stands for all of
them. Appending to a list, slicing it and replacing a slice are each one atomic step,
with the GIL and in free-threaded builds, and only one thread folds at a time. So no
value is lost or counted twice, and no thread waits: a signal handler or a finaliser may
record at any point. An append with its share of the fold takes 86 ns, a number behind
a lock 270 ns (CPython 3.11).

Values are checked when they are folded: what is not a finite number, or is negative in
a counter, is rejected and counted then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from math import fsum
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from dtmetrics._core.safe_call import call_safely
from dtmetrics._protocol.point import CountDelta, GaugeSummary, Identity, Payload
from dtmetrics._record.number import LARGEST, NOT_FINITE, Number, checked_number

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["CounterSeries", "Series", "Value", "drain"]

#: What a series drains to; None if there is nothing to send.
Value = Number | GaugeSummary | None

NEGATIVE = "negative increment"

V = TypeVar("V")


class Series(Identity, Generic[V]):
    """The values of one series.

    ``values`` has the types that callers promise, and holds whatever they passed.
    While ``enabled``, instruments record without asking the registry. ``buffer`` is the
    object to record into while they need not read their context either, else None.
    Collections skip a ``discarded`` series.
    """

    __slots__ = (
        "buffer",
        "discarded",
        "enabled",
        "limit",
        "lock",
        "reject",
        "values",
    )

    #: The kind of data point that the series is drained to.
    payload: ClassVar[type[Payload]]

    buffer: object
    discarded: bool
    limit: int
    lock: Lock
    reject: Callable[[str], object]
    values: list[V] | None

    def __init__(
        self,
        key: str,
        line_prefix: str,
        lock: Lock,
        reject: Callable[[str], object],
        limit: int,
    ) -> None:
        # Those of Identity, without a second call for each series.
        self.key = key
        self.line_prefix = line_prefix
        self.lock = lock
        self.reject = reject
        self.limit = limit
        self.discarded: bool = False
        self.enabled: bool = False
        self.buffer = None
        self._clear()

    def _clear(self) -> None:
        # A new list, because a record or a fold that a signal handler interrupted in
        # order to fork goes on in the old one.
        self.values = []

    def enable_fast_path(self) -> None:
        """Let instruments record without reading their context."""
        self.buffer = self.values

    def disable(self) -> None:
        """Make instruments ask the registry before each record."""
        self.enabled = False
        self.buffer = None

    def discard(self) -> None:
        """Take the series out of collections: instruments look up another one."""
        self.discarded = True
        self.disable()

    def reset_after_fork(self, lock: Lock) -> None:
        """In a forked child: drop the values, which the parent sends."""
        self.lock = lock
        self.disable()
        self._clear()

    def fold_if_free(self) -> None:
        """Fold, unless another thread does; a later fold takes these values then."""
        lock, values = self.lock, self.values
        acquired: list[bool] = []
        try:
            # Acquiring and storing the result is one step in C. A signal handler that
            # raises between two steps would leave the lock locked for good.
            acquired.extend(map(lock.acquire, (False,)))
            if acquired[0] and values:
                length = len(values)
                # Also one step, or the values taken out could be lost.
                values[:length] = self._fold(values[:length])
        finally:
            if True in acquired:
                lock.release()

    def check(self) -> None:
        """Count the invalid ones among the values that wait for the next drain."""
        if self.values:
            self.fold_if_free()

    def drain_each(self, chunk: Sequence[Self], drained: list[Value]) -> None:
        """Move to *drained* what each series of *chunk* drains to.

        Raises what a value raises; the series that holds it is then as it was. Between
        a change of a series and the end of the append to *drained* nothing is called,
        so that a signal handler that raises finds the value in one of the two.
        """
        raise NotImplementedError

    def drain_checked(self, drained: list[Value]) -> None:
        """Move the value to *drained* likewise, checking values one by one."""
        raise NotImplementedError

    def _fold(self, chunk: list[V]) -> list[V]:
        """Return at most one value, which stands for those of *chunk*."""
        raise NotImplementedError

    def _checked(self, values: Iterable[object], least: Number) -> Iterator[Number]:
        """Yield the numbers among *values* that are at least *least*, reject others."""
        for value in values:
            number = checked_number(value, self.reject)
            if number is not None and number < least:
                self.reject(NEGATIVE)
            elif number is not None:
                yield number


class CounterSeries(Series[Number]):
    """The sum of what was added. Integers stay exact, whatever their size.

    Most increments are 1. They are counted by ``next(ones)``, one atomic step
    (compare-and-swap in free-threaded builds) without a list or a fold: 17 ns less on
    CPython 3.11, and half the cost of an append in a free-threaded build. The list is
    made by `Registry.make_list` for the first other increment: most counters never need
    its 56 bytes.
    """

    __slots__ = ("_ones_taken", "ones")

    payload: ClassVar[type[Payload]] = CountDelta

    buffer: count[int] | None
    ones: count[int]
    values: list[Number] | None

    def _clear(self) -> None:
        self.values = None
        self.ones = count()
        self._ones_taken = 0  # how often next(ones) had been called at the last drain

    def enable_fast_path(self) -> None:
        """Let instruments record without reading their context."""
        self.buffer = self.ones

    def drain_each(self, chunk: Sequence[Self], drained: list[Value]) -> None:
        """Move to *drained* what was added to each series since the last drain."""
        for series in chunk:
            values = series.values
            if not values:
                # Reading the count is one more next(): 0.03 us, where repr() takes 0.2
                # us. It is noted first, because a signal handler may raise after it.
                series._ones_taken = before = series._ones_taken + 1
                series._ones_taken = after = next(series.ones) + 1
                drained.append(after - before or None)
                continue
            length = len(values)
            # A single value, the most frequent case, is its own sum: 0.2 us less.
            added = values[0]
            if length > 1 or type(added) is not int or not 0 <= added <= LARGEST:
                added = _sum_of(values[:length])
            series._ones_taken = before = series._ones_taken + 1
            after = next(series.ones) + 1
            del values[:length]
            series._ones_taken = after
            drained.append(added + (after - before) or None)

    def drain_checked(self, drained: list[Value]) -> None:
        """Move to *drained* what was added, checking values one by one."""
        values = self.values or []
        length = len(values)
        added = self._fold(values[:length])[0] if length else 0
        self._ones_taken = before = self._ones_taken + 1
        after = next(self.ones) + 1
        del values[:length]
        self._ones_taken = after
        drained.append(added + (after - before) or None)

    def _fold(self, chunk: list[Number]) -> list[Number]:
        if len(chunk) == 1 and type(chunk[0]) is int and 0 <= chunk[0] <= LARGEST:
            return chunk
        total = call_safely(_plain_total, chunk, default=None)
        if total is None:
            numbers = [*self._checked(chunk, least=0)]
            total = call_safely(_plain_total, numbers, default=None)
            if total is None:
                total = self._add_one_by_one(numbers)
        return [total]

    def _add_one_by_one(self, numbers: list[Number]) -> Number:
        """Add up *numbers*, rejecting each that would exceed the range of a double."""
        total: Number = 0
        for number in numbers:
            if total + number <= LARGEST:
                total += number
            else:
                self.reject(NOT_FINITE)
        return total


def drain(chunk: Sequence[Series[Any]], drained: list[Value]) -> None:
    """Move the value of each series to *drained*, which is empty.

    The series are of one kind and have one locked lock. Nearly all values are plain
    numbers, so one ``call_safely`` covers all series; one for each costs 0.2 us.
    """
    while len(drained) < len(chunk):
        call_safely(chunk[0].drain_each, chunk[len(drained) :], drained, default=None)
        if len(drained) < len(chunk):
            chunk[len(drained)].drain_checked(drained)


def _sum_of(values: list[Number]) -> Number:
    """Add up plain numbers; raise a ValueError if one of them needs to be checked."""
    total = _plain_total(values)
    if total is None:
        raise ValueError
    return total


def _plain_total(chunk: list[Number]) -> Number | None:
    """Add up a chunk of plain numbers; None if one of them needs to be checked."""
    total = sum(chunk)
    if type(total) is float:
        total = fsum(chunk)
    elif type(total) is not int:
        return None
    # A foreign object may answer any comparison, so the sum is compared as well.
    return total if min(chunk) >= 0 and 0 <= total <= LARGEST else None
