"""The series of a gauge: a value that is set, and moved up and down."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from enum import Enum
from threading import Lock
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from dtmetrics._protocol.point import Dimensions, GaugeValue, Payload
from dtmetrics._record.number import LARGEST, NOT_FINITE, Number, checked_number
from dtmetrics._record.series import Series, Value

if TYPE_CHECKING:
    from typing_extensions import Self

    from dtmetrics._record.origin import Origin

__all__ = ["LEAVE", "NOWHERE", "Folded", "GaugeSeries", "Move", "SetTo"]


class SetTo(NamedTuple):
    """A move of a gauge to an absolute value."""

    value: Number


class Folded(SetTo):
    """What all moves so far have led to."""

    __slots__ = ()


class _Leave(Enum):
    LEAVE = "leave"


#: The move of a block that ends. It subtracts one, but not below zero: the gauge may
#: not have counted the block's start, if recording began or the process forked since.
LEAVE = _Leave.LEAVE

#: A number is relative: ``inc`` and ``dec`` append it.
Move = Number | SetTo | _Leave


class GaugeSeries(Series[Move]):
    """The current value. It stays until it is removed.

    A gauge that is only ever set needs just ``value``. After the first relative move,
    settings are appended to the list as well, because storing ``value`` could undo the
    move of another thread; the order of the list is then the order of events.
    """

    __slots__ = ("moved", "origin", "owed", "source", "successor", "value")

    payload: ClassVar[type[Payload]] = GaugeValue

    values: list[Move]

    def __init__(
        self,
        key: str,
        line_prefix: str,
        lock: Lock,
        reject: Callable[[str], object],
        limit: int,
    ) -> None:
        super().__init__(key, line_prefix, lock, reject, limit)
        self.value: Number | None = None
        self.moved: bool = False
        #: That of the first instrument that has recorded into it.
        self.origin: Origin | None = None
        #: The key and the dimensions that rules have made it of; None without rules.
        self.source: tuple[str, Dimensions] | None = None
        #: How many blocks ended that it had not counted.
        self.owed: int = 0
        #: The series that has replaced it, since the options have changed; or NOWHERE.
        self.successor: GaugeSeries | None = None

    def reset_after_fork(self, lock: Lock) -> None:
        """In a forked child: drop the value, which the parent sends."""
        super().reset_after_fork(lock)
        self.value = None
        self.owed = 0

    def check(self) -> None:
        """Count the invalid ones among the values that wait for the next drain."""
        super().check()
        if not self.values:
            self._value_before([])

    def follow(self, origin: Origin | None) -> None:
        """Let *origin* decide whether, and for how long, the series is sent."""
        self.origin = origin
        if self.ttl is not None:
            # Each set() is then a move as well, which a collection notices.
            self.moved = True

    @property
    def ttl(self) -> float | None:
        """After how many seconds without a move it is forgotten; None: never."""
        return None if self.origin is None else self.origin.definition.ttl

    def move(self, move: Move) -> None:
        """Append *move*."""
        self.moved = True
        values = self.values
        values.append(move)
        if len(values) > self.limit:
            self.fold_if_free()

    def retire(self) -> Number | None:
        """Return the current value; what is recorded later stays in ``values``.

        The caller holds the lock.
        """
        # In this order: set() stores the value before it looks whether to append it.
        self.moved = True
        # A fold would make a value of moves that belong to the successor's.
        self.limit: int = sys.maxsize
        length = len(self.values)
        level = self._replay(self.values[:length])
        del self.values[:length]
        return level

    def drain_each(self, chunk: Sequence[Self], drained: list[Value]) -> None:
        """Append to *drained* the current value of each series, which stays."""
        for series in chunk:
            value = series.value
            if series.values or value is None or not -LARGEST <= value <= LARGEST:
                series.drain_checked(drained)
            else:
                drained.append(value)

    def drain_checked(self, drained: list[Value]) -> None:
        """Append the current value to *drained*, checking the moves one by one."""
        values = self.values
        length = len(values)
        level: Number | None
        if length == 1 and type(values[0]) is Folded:
            level = values[0].value  # the same object shows that nothing has moved it
        elif length:
            level = self._replay(values[:length])
            values[:length] = [] if level is None else [Folded(level)]
        else:
            level = self._value_before([])
        drained.append(level)

    def _fold(self, chunk: list[Move]) -> list[Move]:
        if self.limit == sys.maxsize:  # retired while this thread was about to fold
            return chunk
        if len(chunk) == 1 and type(chunk[0]) is Folded:
            return chunk
        level = self._replay(chunk)
        return [] if level is None else [Folded(level)]

    def _replay(self, moves: list[Move]) -> Number | None:
        """Return the value after *moves*; None if it was never set."""
        level = self._value_before(moves)
        for move in moves:
            if isinstance(move, SetTo):
                level = self._in_range(move.value, level)
            elif move is LEAVE:
                if level is not None and level >= 1:
                    level -= 1
                else:
                    self.owed += 1
            else:
                # Nine of ten moves are 1 or -1. Without a call they take 0.1 us.
                kind = type(move)
                plain = kind is float or (kind is int and -LARGEST <= move <= LARGEST)
                number = move if plain else checked_number(move, self.reject)
                if number is not None:
                    level = self._in_range((level or 0) + number, level)
        return level

    def _value_before(self, moves: list[Move]) -> Number | None:
        """Return the value that was set before *moves*."""
        value = self.value
        if value is None or -LARGEST <= value <= LARGEST:
            return value
        # set() leaves one check to the collection: the size of an integer. A value
        # that is among the moves as well is rejected there, so it is counted once.
        if not any(isinstance(move, SetTo) for move in moves):
            self.value = None
            self.reject(NOT_FINITE)
        return None

    def _in_range(self, number: Number, before: Number | None) -> Number | None:
        if -LARGEST <= number <= LARGEST:
            return number
        self.reject(NOT_FINITE)
        return before


class _Nowhere(GaugeSeries):
    """Takes the ends of blocks whose gauge was forgotten meanwhile."""

    __slots__ = ()

    def move(self, move: Move) -> None:
        """Change nothing: the block does not count any more."""


#: The successor of a series that was forgotten.
NOWHERE = _Nowhere("", "", Lock(), bool, 0)
