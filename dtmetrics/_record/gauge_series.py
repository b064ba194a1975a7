"""The series of a gauge: a value that is set, and moved up and down.

The list of its moves is replayed when it is folded and at each collection. So the
lowest and the highest level since the last collection are known, in one step with the
level itself. They are sent of a gauge that blocks or calls move: what runs for less
than an interval is not seen in the level at its end.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from enum import Enum
from math import inf
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, cast

from dtmetrics._protocol.point import (
    Dimensions,
    GaugeSummary,
    GaugeValue,
    Payload,
    new,
)
from dtmetrics._record.number import LARGEST, NOT_FINITE, Number, checked_number
from dtmetrics._record.series import Series, Value

if TYPE_CHECKING:
    from typing_extensions import Self

    from dtmetrics._record.origin import Origin

__all__ = ["ENTER", "LEAVE", "NOWHERE", "Folded", "GaugeSeries", "Move", "SetTo"]


class SetTo(NamedTuple):
    """A move of a gauge to an absolute value."""

    value: Number


class Folded(NamedTuple):
    """What all moves so far have led to, and the extremes since the last collection.

    If there is one, it is the first in the list of moves.
    ``runs`` says whether the beginning of a block or a call is among the moves.
    """

    value: Number
    low: Number
    high: Number
    runs: bool


class _Run(Enum):
    ENTER = "enter"
    LEAVE = "leave"


#: The move of a block or a call that begins. It adds one. These two are passed to
#: ``inc()``, where a cast at each call would cost 40 ns.
ENTER: Final = cast("int", _Run.ENTER)

#: The move of a block that ends. It subtracts one, but not below zero: the gauge may
#: not have counted the block's start, if recording began or the process forked since.
LEAVE: Final = cast("int", _Run.LEAVE)

#: A number is relative: ``inc`` and ``dec`` append it.
Move = Number | SetTo | Folded


class _Unknown(Enum):
    UNKNOWN = "unknown"


_UNKNOWN: Final = _Unknown.UNKNOWN

# Sums of two integers between these need no check.
_LEAST, _MOST = -(2**53), 2**53


class GaugeSeries(Series[Move]):
    """The current value. It stays until it is removed.

    A gauge that is only ever set needs just ``value``. After the first relative move,
    settings are appended to the list as well, because storing ``value`` could undo the
    move of another thread; the order of the list is then the order of events. ``base``
    is the value before the first of them: what was set before that is not known.
    """

    __slots__ = ("base", "moved", "origin", "owed", "source", "successor", "value")

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
        self.base: Number | _Unknown | None = _UNKNOWN
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
        self.base = None if self.moved else _UNKNOWN
        self.owed = 0

    def check(self) -> None:
        """Count the invalid ones among the values that wait for the next drain."""
        super().check()
        if not self.values:
            self._value_before()

    def follow(self, origin: Origin | None) -> None:
        """Let *origin* decide whether, and for how long, the series is sent."""
        self.origin = origin
        if self.ttl is not None and not self.moved:
            # Each set() is then a move as well, which a collection notices.
            self.begin_moves()

    @property
    def ttl(self) -> float | None:
        """After how many seconds without a move it is forgotten; None: never."""
        return None if self.origin is None else self.origin.definition.ttl

    def move(self, move: Move) -> None:
        """Append *move*."""
        if not self.moved:
            self.begin_moves()
        values = self.values
        values.append(move)
        if len(values) > self.limit:
            self.fold_if_free()

    def begin_moves(self) -> None:
        """Note the value before the first move."""
        # In this order: set() stores the value before it looks whether to append it.
        self.moved = True
        self.base = self.value

    def retire(self) -> Folded | None:
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
        if not length:
            drained.append(self._value_before())
            return
        folded: Folded | None
        if length == 1 and isinstance(values[0], Folded):
            folded = values[0]  # nothing has moved since
        else:
            folded = self._replay(values[:length])
        sent: Value = None
        left: list[Move] = []
        if folded is not None:
            sent, low, high, runs = folded
            # The same object shows that nothing has moved it.
            left = [folded if low == high else new(Folded, (sent, sent, sent, runs))]
            if runs:
                # A mean of one value: Dynatrace shows the current one as the average.
                sent = new(GaugeSummary, (low, high, sent, 1))
        values[:length] = left
        drained.append(sent)

    def _fold(self, chunk: list[Move]) -> list[Move]:
        if self.limit == sys.maxsize:  # retired while this thread was about to fold
            return chunk
        if len(chunk) == 1 and isinstance(chunk[0], Folded):
            return chunk
        folded = self._replay(chunk)
        return [] if folded is None else [folded]

    def _replay(self, moves: list[Move]) -> Folded | None:
        """Return the value after *moves*; None if it was never set."""
        if moves and isinstance(moves[0], Folded):
            return self._replay_from(moves[0], moves[1:])
        value = self._value_before()
        before = None if value is None else Folded(value, value, value, runs=False)
        for start, move in enumerate(moves):
            if before is not None:
                return self._replay_from(before, moves[start:])
            before = self._begin(move)
        return before

    def _begin(self, move: Move) -> Folded | None:
        """Return what *move* leads to without a value before, which begins at 0."""
        level = self._after(move, None)
        if level is None:
            return None
        start = level if isinstance(move, SetTo) else 0
        return Folded(level, min(start, level), max(start, level), move is ENTER)

    def _replay_from(self, before: Folded, moves: Sequence[Any]) -> Folded:
        """Return the value after *moves*, and the extremes of *before* and theirs."""
        level, low, high, runs = before
        for move in moves:
            kind = type(move)
            # Nearly all moves. Without calls and large integers they take 0.1 us less.
            if kind is int and _LEAST < move < _MOST and _LEAST < level < _MOST:
                level = (level or 0) + move  # from 0.0 an integer stays exact
            elif move is ENTER and level < _MOST:
                level = (level or 0) + 1
                runs = True
            elif move is LEAVE and level >= 1:
                level -= 1
            elif kind is SetTo and _LEAST < (value := move[0]) < _MOST:
                level = value
            elif kind is float and -inf < (total := level + move) < inf:
                level = total
            else:
                runs = runs or move is ENTER
                reached = self._after(move, level)
                level = level if reached is None else reached
            if level < low:
                low = level
            elif level > high:
                high = level
        return new(Folded, (level, low, high, runs))

    def _after(self, move: Move, level: Number | None) -> Number | None:
        """Return the level that *move* leads to from *level*."""
        if isinstance(move, SetTo):
            return self._in_range(move.value, level)
        if move is LEAVE:  # of a block that was not counted
            self.owed += 1
            return level
        number = 1 if move is ENTER else checked_number(move, self.reject)
        return level if number is None else self._in_range((level or 0) + number, level)

    def _value_before(self) -> Number | None:
        """Return the value that was set before all moves."""
        value = self.value if isinstance(self.base, _Unknown) else self.base
        if value is None or -LARGEST <= value <= LARGEST:
            return value
        # set() leaves one check to the collection: the size of an integer.
        if self.moved:
            self.base = None
        else:
            self.value = None
        self.reject(NOT_FINITE)
        return None

    def _in_range(self, number: Number, before: Number | None) -> Number | None:
        # Not compared with LARGEST first: large integers take 0.1 us.
        if _LEAST < number < _MOST or -LARGEST <= number <= LARGEST:
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
