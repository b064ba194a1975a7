"""Idle series: what has recorded nothing for a while is forgotten, and takes no room.

A counter or summary that records nothing sends nothing, so forgetting it changes no
number: the next record makes its series again. A process that sees ever new dimensions
would otherwise reach its limits, and would keep the oldest series instead of those in
use. A gauge sends its last value, so only one with a ``ttl=`` is forgotten.

Collections find out which series are idle. A record does nothing for it: a gauge with a
ttl is recorded into as one that is moved, and a collection leaves one object in its
list, which stays there until the next move.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf
from typing import TYPE_CHECKING

from dtmetrics._protocol.point import DataPoints, Identity
from dtmetrics._record.dimensions import dimensions_in
from dtmetrics._record.family import AnySeries, Family
from dtmetrics._record.gauge_series import Folded, GaugeSeries
from dtmetrics._record.room import has_room, overflow_prefix
from dtmetrics._record.value_caps import OTHER

if TYPE_CHECKING:
    from dtmetrics._record.registry import Registry

__all__ = ["IDLE_SECONDS", "IdleSeries"]

#: After how many seconds without a record a counter or summary series is forgotten.
IDLE_SECONDS = 3_600.0

_WINDOWS = 12


class IdleSeries:
    """The series of *registry* that have recorded nothing since an earlier collection.

    Times are those of collections, by the registry's clock. Counters and summaries are
    looked at in windows of a twelfth of *seconds*, because a set that shrinks costs a
    collection nothing for each series that stays idle; a time for each would cost 70
    ns. So a series is forgotten when *seconds* and up to two windows have passed.
    """

    def __init__(self, registry: Registry, seconds: float = IDLE_SECONDS) -> None:
        self._registry = registry
        self._seconds = seconds
        self._now = 0.0
        self.clear()

    def clear(self) -> None:
        """Count the time of each series anew."""
        self._since: dict[Identity, float] = {}
        # By series with a ttl: what the last collection left, and since when.
        self._levels: dict[GaugeSeries, tuple[Folded | None, float]] = {}
        self._levels_before = self._levels
        self._begin_window(None)

    def _begin_window(self, begun: float | None) -> None:
        #: The time of the collection that began it; None before the first.
        self._begun = begun
        # By family and place: those of a chunk that have not recorded in it.
        self._silent: dict[tuple[Family, int], set[Identity]] = {}
        self._observed: set[Identity] = set()

    def begin(self) -> None:
        """Begin a collection; forget gauges that have been idle for too long."""
        self._now = now = self._registry.clock()
        expired = [
            series
            for series, (_, since) in self._levels.items()
            if now - since >= (series.ttl or inf)
        ]
        self._forget(expired)
        self._levels_before, self._levels = self._levels, {}

    def look_at(
        self, family: Family, start: int, chunk: Sequence[AnySeries], points: DataPoints
    ) -> None:
        """Note which of a *chunk* of series have made these *points*.

        *start* is the place of the chunk in the *family*.
        """
        silent = self._silent.get((family, start))
        if silent:
            silent.difference_update(points.identities)
        elif silent is None:
            self._look_first(family, start, chunk, points)

    def observed(self, identities: Iterable[Identity]) -> None:
        """Note that an observer has just returned numbers for these series."""
        self._observed.update(identities)

    def end(self) -> None:
        """End a collection; forget counters and summaries that were idle too long."""
        self._levels_before = {}
        now, begun = self._now, self._begun
        if begun is None:
            self._begin_window(now)
        elif now - begun >= self._seconds / _WINDOWS:
            silent = set().union(*self._silent.values()) - self._observed
            since = {each: self._since.get(each, begun) for each in silent}
            expired = [each for each in since if now - since[each] >= self._seconds]
            for each in expired:
                del since[each]
            self._since = since
            self._begin_window(now)
            self._forget(expired)

    def is_idle(self, series: AnySeries) -> bool:
        """Return whether *series*, if of a gauge, is as the last collection left it."""
        if not isinstance(series, GaugeSeries):
            return True
        left, _ = self._levels.get(series, (None, 0.0))
        return [*map(id, series.values)] == ([] if left is None else [id(left)])

    def _look_first(
        self, family: Family, start: int, chunk: Sequence[AnySeries], points: DataPoints
    ) -> None:
        """Look at a *chunk* that is new in this window, or of gauges."""
        if not family.definition.is_gauge:
            silent: set[Identity] = set()
            if len(points.identities) < len(chunk):
                silent.update(chunk)
                silent.difference_update(points.identities)
            self._silent[family, start] = silent
        elif family.has_ttl:
            for series in chunk:
                self._note_level(series)

    def _note_level(self, series: AnySeries) -> None:
        if isinstance(series, GaugeSeries) and series.ttl is not None:
            first = next(iter(series.values[:1]), None)
            left = first if isinstance(first, Folded) else None
            known = self._levels_before.get(series)
            if known is None or known[0] is not left:
                known = left, self._now
            self._levels[series] = known

    def _forget(self, idle: Iterable[Identity]) -> None:
        """Forget *idle* series, and make room for what had none."""
        registry = self._registry
        expired: dict[Family, list[AnySeries]] = {}
        for identity in idle:
            for family in registry.catalog.sent_under(identity.key):
                series = family.series.get(identity.line_prefix)
                if series is identity:
                    expired.setdefault(family, []).append(series)
        for family, all_series in expired.items():
            registry.collection.forget(family, all_series)
            self._free_values(family)
        for family in registry.catalog.all():
            if family.capped and expired:
                self._uncap(family)

    def _free_values(self, family: Family) -> None:
        """Let other values have the place of those that no series has any more."""
        rules = self._registry.generation.rules
        if rules is None:
            return
        dimensions = {
            series: dimensions_in(series.line_prefix) for series in family.all_series()
        }
        if rules.caps.keep_only(family.name, dimensions.values()):
            family.folded = {}
            # What is recorded into these looks for its own series again.
            others = [each for each in dimensions if OTHER in dimensions[each].values()]
            self._registry.collection.forget(family, others)

    def _uncap(self, family: Family) -> None:
        """Let what is recorded into the overflow series look for room again."""
        registry = self._registry
        generation = registry.generation
        if not has_room(family, generation, registry.series_count):
            return
        overflow = family.series.get(overflow_prefix(family, generation))
        if overflow is not None:
            if family.definition.is_gauge:
                return  # its value may be the sum of several gauges
            registry.collection.forget(family, [overflow])
        elif not family.series:
            registry.look_up_again()
        family.capped = False
