"""The look-up of a series: what rules and levels make of an instrument's dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from dtmetrics._protocol.normalize import line_prefix
from dtmetrics._protocol.point import Dimensions
from dtmetrics._record.caps import most_values
from dtmetrics._record.catalog import AnySeries, Family
from dtmetrics._record.dimensions import Pairs
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
    enabled: bool
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

    def place(
        self, origin: Origin, layers: Sequence[Pairs], reject: Reject
    ) -> Place | Refusal:
        family, generation = origin.family, self._generation
        is_gauge = family.definition.is_gauge
        merged = generation.merged(layers, reject, gauge=is_gauge)
        if not generation.rules:
            dimensions = generation.platform.added_to(merged)
            prefix = line_prefix(family.key, dimensions)
            enabled = generation.enabled(origin.source) is not False
            return Place(family, prefix, enabled)
        lowest = generation.lowest_level(origin.scope)
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
        prefix = line_prefix(
            target.key, generation.platform.added_to(changed.dimensions)
        )
        source = (family.name, merged) if is_gauge else None
        return Place(target, prefix, changed.enabled, changed.folds, source)

    def series_at(
        self, place: Place, origin: Origin, *, keep: bool
    ) -> AnySeries | None:
        """Return the series at *place*; None if it must be looked up again.

        With *keep* also if a level disables it.
        """
        family = place.family
        if origin.source not in family.sources:
            with self._registry.lock:
                family.sources.add(origin.source, self._generation)
        series: AnySeries | None = family.series.get(place.prefix)
        if not place.enabled and not keep:
            # A gauge that exists is kept up to date.
            return series if isinstance(series, GaugeSeries) else DISABLED
        if series is None and place.folds and self._fold(family):
            return None
        series = series or self._registry.make(family, place.prefix)
        if series is None:
            return NO_ROOM
        if isinstance(series, GaugeSeries):
            if series.origin is None:
                series.origin, series.source = origin, place.source
            is_overflow = series.line_prefix != place.prefix
            if place.source != series.source and not is_overflow:
                return MERGED_GAUGES
            self._hand_to(series, origin)
        return series

    def _fold(self, family: Family) -> bool:
        """End the values of one dimension if *family* is near its limit of series.

        Return whether it is so.
        """
        if family.definition.is_gauge:
            return False
        caps = self._generation.rules.caps
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
        return [
            series
            for series in all_series
            if not isinstance(series, GaugeSeries) or self._is_enabled(series)
        ]

    def _is_enabled(self, series: GaugeSeries) -> bool:
        origin, source, generation = series.origin, series.source, self._generation
        enabled = origin is None or generation.enabled(origin.source)
        if enabled is None and origin is not None and source is not None:
            lowest = generation.lowest_level(origin.scope)
            changed = generation.rules.apply(origin.source, lowest, source[1], ignore)
            enabled = changed is not None and changed.enabled
        return enabled is not False

    def _hand_to(self, series: GaugeSeries, origin: Origin) -> None:
        """Let *origin* decide whether *series* is sent, if a level disabled it."""
        if origin is not series.origin and not self._is_enabled(series):
            series.origin = origin
