"""Retired series: what is recorded into them when they have left a family is not lost.

Other options give other lines: another prefix, other dimensions. So each series is
replaced by one with the new line, and a thread that has looked up the old series just
before still records into it. Its values are collected as before, with the old line. The
value of a gauge moves to the new series, and so do its later moves.

Idle series that are forgotten are kept likewise, without a series that replaces them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from dtmetrics._protocol.point import DataPoints
from dtmetrics._record.dimensions import Pairs, dimensions_in
from dtmetrics._record.family import AnySeries, Family
from dtmetrics._record.gauge_series import ENTER, NOWHERE, Folded, GaugeSeries
from dtmetrics._record.generation import Generation
from dtmetrics._record.handover import Handover
from dtmetrics._record.invalid_values import ignore
from dtmetrics._record.refusal import Refusal

if TYPE_CHECKING:
    from dtmetrics._record.registry import Registry

__all__ = ["CommonDimensions", "Retired"]

# A thread needs microseconds from looking a series up to recording into it, unless it
# is suspended meanwhile.
_KEPT_SECONDS = 60.0


class CommonDimensions:
    """The dimensions that the options of *generation* add to every gauge."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        self._all: dict[str, str] = {}

    def without(self, series: GaugeSeries) -> Pairs:
        """Return the dimensions of *series*, before any rule, that are not these.

        One of a call that is equal to one of these is taken for it. A default that is
        missing was removed by a value without text, and comes without text.
        """
        generation = self._generation
        if not self._all:  # not before, because a gauge takes the number of the worker
            self._all = dict(generation.dimensions((), ignore, gauge=True))
        own = dict.fromkeys(self._all.keys() - generation.platform.keys(), "")
        source = series.source
        pairs = dict(source[1]) if source else dimensions_in(series.line_prefix)
        for key, value in pairs.items():
            own.pop(key, None)
            if self._all.get(key) != value:
                own[key] = value
        return (*own.items(),)


class _Group(NamedTuple):
    """The retired series of one family."""

    family: Family
    series: Sequence[AnySeries]
    common: CommonDimensions
    until: float
    #: Whether they were to be forgotten. One that moved just before has stayed.
    forgotten: bool


class Retired:
    """The series that *registry* has replaced or forgotten."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.clear()

    def clear(self) -> None:
        """Forget them with their values."""
        self.groups: list[_Group] = []

    def add(
        self,
        family: Family,
        all_series: Sequence[AnySeries],
        common: CommonDimensions,
    ) -> None:
        """Keep *all_series* of *family*; move the values of gauges to new series."""
        for series in all_series:
            if isinstance(series, GaugeSeries):
                with family.lock:
                    level = series.retire()
                successor = None
                if level is not None:
                    successor = self._successor(series, common)
                if level is not None and successor is not None:
                    with successor.lock:
                        successor.begin_moves()
                        successor.values[: _folded(successor)] = [level]
        if all_series:
            until = self._registry.clock() + _KEPT_SECONDS
            self.groups.append(
                _Group(family, all_series, common, until, forgotten=False)
            )

    def keep(self, family: Family, all_series: Sequence[AnySeries]) -> None:
        """Keep *all_series* of *family*, which are about to be forgotten."""
        common = CommonDimensions(self._registry.generation)
        until = self._registry.clock() + _KEPT_SECONDS
        self.groups.append(_Group(family, all_series, common, until, forgotten=True))

    def forward(self) -> None:
        """Move what was recorded into gauges meanwhile to their successors."""
        for group in list(self.groups):
            for series in group.series:
                if not isinstance(series, GaugeSeries) or not series.values:
                    continue
                if series.successor is NOWHERE or not group.forgotten:
                    successor = self._successor(series, group.common)
                    self._forward(group.family, series, successor)

    def collect(
        self, timestamp_ms: int, size: int, handover: Handover
    ) -> Iterator[DataPoints]:
        """Yield what was recorded into counters and summaries, *size* at a time."""
        now = self._registry.clock()
        for group in list(self.groups):
            family, all_series = group.family, group.series
            if not family.definition.is_gauge:
                for start in range(0, len(all_series), size):
                    chunk = all_series[start : start + size]
                    yield from family.drain(chunk, timestamp_ms, handover)
            if now > group.until and group in self.groups:
                self.groups.remove(group)

    def _forward(
        self, family: Family, series: GaugeSeries, successor: GaugeSeries | None
    ) -> None:
        with family.lock:
            moves = series.values[:]
            length = len(moves)
            if successor is None:
                del series.values[:length]
                return
            # Their blocks have ended meanwhile, which moved no gauge below zero.
            begun = [n for n, move in enumerate(moves) if move is ENTER]
            ended = begun[: successor.owed]
            for place in reversed(ended):
                del moves[place]
            # Before the moves that came since, but for what earlier ones were folded
            # into.
            place = _folded(successor)
            owed = successor.owed - len(ended)
            if not successor.moved:
                successor.begin_moves()
            # No call follows, between which a signal handler could raise.
            successor.owed = owed
            del series.values[:length]
            successor.values[place:place] = moves

    def _successor(
        self, series: GaugeSeries, common: CommonDimensions
    ) -> GaugeSeries | None:
        """Return the series with the present line, if its instrument may record."""
        origin, successor = series.origin, series.successor
        if successor not in (None, NOWHERE):
            return successor
        found = None
        if origin is not None and origin.may_record():
            pairs = common.without(series)
            # What the definition removes is not among those of the old line.
            removed = tuple(pair for pair in origin.defined if pair[1] is None)
            layers = origin.dimensions, removed, pairs
            # Also if a level disables it, which may enable it later.
            found = self._registry.series(origin, layers, keep=True)
        if not isinstance(found, GaugeSeries) or isinstance(found, Refusal):
            return None
        if successor is None:  # else the blocks that moved it end nowhere
            series.successor = found
        return found


def _folded(series: GaugeSeries) -> int:
    """Return how many moves of *series* stand for all before them: none or one."""
    return sum(isinstance(move, Folded) for move in series.values[:1])
