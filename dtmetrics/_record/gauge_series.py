"""The cell of a gauge: a value that is set, and moved up and down."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any, NamedTuple

from dtmetrics._protocol.point import GaugeValue
from dtmetrics._record.number import LARGEST, NOT_FINITE, Number, judged
from dtmetrics._record.series import Series

__all__ = ["LEFT", "GaugeSeries", "Level"]


class Level(NamedTuple):
    """Among the moves of a gauge: it was set to this value."""

    value: Number


#: Among the moves of a gauge: a block was left that the gauge may not have seen
#: entered, because recording began, or the process was forked, in between. It takes
#: one off, but never goes below zero.
LEFT = object()


class GaugeSeries(Series):
    """What is shown. It stays until it is removed.

    A gauge that is only ever set needs no list, only its ``value``. From the first
    ``inc`` or ``dec`` on (``moved``) settings are appended to the moves as well,
    because a plain store could undo a move of another thread; the order of the
    list is then the order of events.
    """

    __slots__ = ("moved", "value")

    payload = GaugeValue

    def __init__(
        self,
        key: str,
        head: str,
        lock: Lock,
        refuse: Callable[[str], None],
        limit: int,
    ) -> None:
        super().__init__(key, head, lock, refuse, limit)
        self.value: Number | None = None
        self.moved = False

    def reset(self, lock: Lock) -> None:
        """Forget the value: in a forked child it is the parent's."""
        super().reset(lock)
        self.value = None

    def drain_plain(self) -> Number | None:
        """Return what is shown; a gauge keeps its value."""
        value = self.value
        if not self.values and value is not None and -LARGEST <= value <= LARGEST:
            return value
        return self.drain_judged()

    def drain_judged(self) -> Number | None:
        """Do so, and judge the moves one by one."""
        values = self.values
        count = len(values)
        if count:
            folded = self._fold(values[:count])
            values[:count] = folded
            level: Number | None = folded[0].value if folded else None
            return level
        return self._before([])

    def _fold(self, chunk: list[Any]) -> list[Any]:
        if not chunk:  # a gauge that is only ever set has no moves to fold
            return []
        level = self._before(chunk)
        for move in chunk:
            kind = type(move)
            if kind is Level:
                level = self._in_range(move.value, level)
            elif move is LEFT:
                if level is not None and level >= 1:
                    level -= 1
            else:
                # Nine in ten are 1 or -1: spared the long way, a move costs 0.1 us.
                plain = kind is float or (kind is int and abs(move) <= LARGEST)
                number = move if plain else judged(move, self.refuse)
                if number is not None:
                    before = 0 if level is None else level
                    level = self._in_range(before + number, level)
        return [] if level is None else [Level(level)]

    def _before(self, chunk: list[Any]) -> Number | None:
        """Return what was shown before the moves of *chunk*."""
        value = self.value
        if value is None or -LARGEST <= value <= LARGEST:
            return value
        # The one fault that set() leaves to us, an integer's size. It is refused once;
        # if it is among the moves as well, then there.
        if not any(type(move) is Level for move in chunk):
            self.value = None
            self.refuse(NOT_FINITE)
        return None

    def _in_range(self, number: Number, before: Number | None) -> Number | None:
        if -LARGEST <= number <= LARGEST:
            return number
        self.refuse(NOT_FINITE)
        return before
