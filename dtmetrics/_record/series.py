"""Cells that accumulate: one for each metric key and set of dimensions.

RecordingOptions appends a value to a list and looks at the list's length. Past a limit,
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

from collections.abc import Callable, Iterable, Iterator, Sequence
from threading import Lock
from typing import Any, ClassVar

from dtmetrics._core.safe_call import call_safely
from dtmetrics._protocol.point import GaugeSummary, Identity, Payload
from dtmetrics._record.number import Number, judged

__all__ = ["Series", "Value", "drain"]

#: What a cell has to say; None: nothing.
Value = Number | GaugeSummary | None

NEGATIVE = "negative increment"


class Series(Identity):
    """One cell. ``buffer`` is where to record, or None: ask the registry first."""

    __slots__ = ("alive", "buffer", "limit", "lock", "refuse", "values")

    #: The kind of data point that it is drained as.
    payload: ClassVar[type[Payload]]

    def __init__(
        self,
        key: str,
        head: str,
        lock: Lock,
        refuse: Callable[[str], None],
        limit: int,
    ) -> None:
        super().__init__(key, head)
        self.lock = lock
        self.refuse = refuse
        self.limit = limit
        self.buffer: Any = None
        self.alive = True
        self._begin()

    def _begin(self) -> None:
        """Hold nothing."""
        # A new list: a record or a fold that a forking signal handler interrupted
        # ends in the old one.
        self.values: Any = []

    def wire(self) -> None:
        """Let handles record without asking."""
        self.buffer = self.values

    def unwire(self) -> None:
        """Let handles ask again before they record."""
        self.buffer = None

    def let_go(self) -> None:
        """Be no longer collected: let handles ask for the series that is."""
        self.alive = False
        self.buffer = None

    def reset(self, lock: Lock) -> None:
        """Forget all values: in a forked child they are the parent's."""
        self.lock = lock
        self.buffer = None
        self._begin()

    def fold_if_free(self) -> None:
        """Fold, unless somebody is at it: then that fold or the next takes these."""
        lock, values = self.lock, self.values
        free: list[bool] = []
        try:
            # Asked and noted in one step of C. Signal handlers run between two steps,
            # and one that raises there would leave the lock locked for ever.
            free.extend(map(lock.acquire, (False,)))
            if free[0] and values:
                length = len(values)
                # One step as well, or what was taken out could be lost.
                values[:length] = self._fold(values[:length])
        finally:
            if True in free:
                lock.release()

    @staticmethod
    def drain_each(cells: Iterable[Any], drained: list[Value]) -> None:
        """Do `drain_plain` for each of *cells*, until one raises."""
        for cell in cells:
            drained.append(cell.drain_plain())  # noqa: PERF401 -- stays if one raises

    def drain_plain(self) -> Value:
        """Empty the cell; the caller holds the lock.

        May raise what a value raises, and has done nothing then: see `drain`.
        """
        raise AssertionError(self)

    def drain_judged(self) -> Value:
        """Empty the cell, and judge its values one by one."""
        raise AssertionError(self)

    def _fold(self, chunk: list[Any]) -> list[Any]:
        """Return at most one value that stands for those of *chunk*."""
        raise AssertionError((self, chunk))

    def _take(self) -> list[Any]:
        values = self.values
        if not values:
            return []
        length = len(values)
        chunk = self._fold(values[:length])
        del values[:length]
        return chunk

    def _judged(self, values: Iterable[Any], least: Number) -> Iterator[Number]:
        """Yield the numbers in *values* as int or float, refuse the rest."""
        for value in values:
            number = judged(value, self.refuse)
            if number is not None and number < least:
                self.refuse(NEGATIVE)
            elif number is not None:
                yield number


def drain(chunk: Sequence[Series]) -> list[Value]:
    """Empty these cells of one kind, whose lock the caller holds.

    Nearly all values are plain numbers, so all cells share one guard against those
    that are not: a guard for each costs 0.2 us.
    """
    drained: list[Value] = []
    while len(drained) < len(chunk):
        call_safely(chunk[0].drain_each, chunk[len(drained) :], drained, default=None)
        if len(drained) < len(chunk):
            drained.append(chunk[len(drained)].drain_judged())
    return drained
