"""The look-up of a series: what rules and levels make of an instrument's dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from dtmetrics._core.safe_call import call_safely
from dtmetrics._protocol.normalize import line_prefix
from dtmetrics._protocol.point import Dimensions
from dtmetrics._record.caps import most_values
from dtmetrics._record.derived import plan_of
from dtmetrics._record.dimensions import Pairs
from dtmetrics._record.family import AnySeries, Family
from dtmetrics._record.gauge_series import GaugeSeries
from dtmetrics._record.generation import Generation
from dtmetrics._record.invalid_values import Reject, ignore
from dtmetrics._record.refusal import (
    DISABLED,
    MERGED_GAUGES,
    NO_ROOM,
    OTHER_KIND,
    Refusal,
)
from dtmetrics._record.series import drain

if TYPE_CHECKING:
    from dtmetrics._record.origin import Origin
    from dtmetrics._record.registry import Registry

__all__ = ["Lookup", "Place"]

# A tenth of the series of a key are left to those with a folded dimension.
_LEFT_TO_FOLDED = 10


class Place(NamedTuple):
    """Where an instrument records with some dimensions."""

    family: Family
    prefix: str
    #: Whether no level disables it.
    enabled: bool = True
    #: Whether a dimension is folded before the key reaches its limit of series.
    folds: bool = False
    #: The key and the dimensions of a gauge before the rules.
    source: tuple[str, Dimensions] | None = None


class Lookup:
    """Looks up the series of *registry*."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @property
    def _generation(self) -> Generation:
        return self._registry.generation

    def find(
        self, origin: Origin, layers: Sequence[Pairs], *, keep: bool = False
    ) -> AnySeries | None:
        """Return the series of *origin* for these layers of dimensions; make a new one.

        A `Refusal` if it is not to record; with *keep* not because of a level. None if
        it must be looked up again.
        """
        generation, family = self._generation, origin.family
        if generation.rules is None:
            prefix = self._prefix(family, layers, family.reject)
            enabled, folds, source = generation.enabled(origin.source), False, None
        else:
            place = self.place(origin, layers, family.reject)
            if isinstance(place, Refusal):
                return place
            family, prefix, enabled, folds, source = place
        if origin.source not in family.sources.known:
            self._registry.add_source(family, origin.source)
        series: AnySeries | None = family.series.get(prefix)
        if not enabled and not keep:
            # A gauge that exists is kept up to date.
            return series if isinstance(series, GaugeSeries) else DISABLED
        if series is None and folds and self._fold(family):
            return None
        series = series or self._registry.make(family, prefix)
        if isinstance(series, GaugeSeries):
            if series.origin is None:
                series.source = source
            is_overflow = series.line_prefix != prefix
            if source != series.source and not is_overflow:
                return MERGED_GAUGES
            self._hand_to(family, series, origin)
        return NO_ROOM if series is None else series

    def _prefix(self, family: Family, layers: Sequence[Pairs], reject: Reject) -> str:
        """Return the line prefix of the series of *family* where no rules are."""
        is_gauge = family.definition.is_gauge
        dimensions = self._generation.dimensions(layers, reject, gauge=is_gauge)
        return line_prefix(family.key, dimensions)

    def place(
        self, origin: Origin, layers: Sequence[Pairs], reject: Reject
    ) -> Place | Refusal:
        """Return where *origin* records with these layers of dimensions."""
        family, generation = origin.family, self._generation
        if generation.rules is None:
            return Place(family, self._prefix(family, layers, reject))
        is_gauge = family.definition.is_gauge
        merged = generation.merged(layers, reject, gauge=is_gauge)
        lowest = generation.lowest_level(origin.source.scope)
        changed = generation.rules.apply(origin.source, lowest, merged, reject)
        if changed is None:
            return DISABLED
        target: Family | None = family
        if changed.key != family.name:
            target = self._registry.catalog.renamed(family, changed.key)
        if target is None:
            return NO_ROOM
        if target.definition.kind != family.definition.kind:
            return OTHER_KIND
        if target.quarantined:
            return DISABLED
        if family.details and not target.details:
            self._plan(target, family)
        prefix = line_prefix(
            target.key, generation.platform.added_to(changed.dimensions)
        )
        source = (family.name, merged) if is_gauge else None
        return Place(target, prefix, changed.enabled, changed.folds, source)

    def _plan(self, target: Family, family: Family) -> None:
        """Let *target* send percentiles and counts as *family* does."""
        make = partial(plan_of, self._registry.catalog, target, target.definition)
        plan = call_safely(make, family.details, default=None)
        if plan is not None:
            self._registry.follow(target, plan)

    def _fold(self, family: Family) -> bool:
        """End the values of one dimension if *family* is near its limit of series.

        Return whether it is so.
        """
        rules = self._generation.rules
        if rules is None or family.definition.is_gauge:
            return False
        caps = rules.caps
        ended = caps.ended(family.name)
        most = self._generation.options.max_series_per_metric
        # What is left is halved each time, because another dimension may grow as well.
        left = max(1, most // _LEFT_TO_FOLDED) >> len(ended)
        if not left or len(family.series) < most - left:
            return False
        grown = most_values(family, without=ended)
        if grown is None:
            return False
        caps.end(family.name, *grown)
        family.folded[grown[0]] = len(grown[1])
        return True

    def sent(self, family: Family) -> list[AnySeries]:
        """Return the series of *family*, without gauges that a level has disabled."""
        all_series = family.all_series()
        if not family.definition.is_gauge or family.sources.all_enabled:
            return all_series
        disabled = {
            series
            for series in all_series
            if isinstance(series, GaugeSeries) and not self._is_enabled(series)
        }
        # So that the extremes of their next interval are not those of this one.
        with family.lock:
            drain([*disabled], [])
        return [series for series in all_series if series not in disabled]

    def _is_enabled(self, series: GaugeSeries) -> bool:
        origin, source, generation = series.origin, series.source, self._generation
        enabled = origin is None or generation.enabled(origin.source)
        rules = generation.rules
        if enabled is None and rules and origin and source:
            lowest = generation.lowest_level(origin.source.scope)
            changed = rules.apply(origin.source, lowest, source[1], ignore)
            enabled = changed is not None and changed.enabled
        return enabled is not False

    def _hand_to(self, family: Family, series: GaugeSeries, origin: Origin) -> None:
        """Let *origin* decide whether *series* is sent, if no other does or is on."""
        if series.origin is None or (
            origin is not series.origin and not self._is_enabled(series)
        ):
            series.follow(origin)
            if series.ttl is not None:
                family.has_ttl = True
