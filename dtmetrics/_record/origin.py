"""What instruments that are bound to one another share, and the series for it."""

from __future__ import annotations

from typing import NamedTuple

from dtmetrics._record.definition import Definition
from dtmetrics._record.details import Details
from dtmetrics._record.dimensions import Pairs, as_plain
from dtmetrics._record.family import AnySeries, Family
from dtmetrics._record.pickling import Reduced, restored_meter, restored_origin
from dtmetrics._record.refusal import DISABLED, NO_ROOM, Refusal
from dtmetrics._record.registry import Registry
from dtmetrics._record.source import Source

__all__ = ["Origin"]


class Origin(NamedTuple):
    """What an instrument shares with those that are bound to more dimensions."""

    registry: Registry
    family: Family
    definition: Definition
    source: Source
    #: Those of the meter.
    dimensions: Pairs
    #: The ``dimensions=`` of the definition.
    defined: Pairs = ()
    details: Details = Details()

    def __reduce__(self) -> Reduced:
        return restored_origin, (*self.reduced(), *self.reduced_details())

    def reduced_details(self) -> Reduced:
        """Return the last argument of `restored_origin`, if it has details."""
        return (tuple(self.details),) if self.details else ()

    def reduced(self) -> Reduced:
        """Return the other arguments of `restored_origin`."""
        meter = self.registry.get_meter(self.source.scope)
        definition = self.definition
        name: object = definition.name
        if not isinstance(name, str):  # an invalid one, of any type
            definition = definition._replace(name="")
        plain: tuple[object, ...] = tuple(definition)
        if definition.ttl is None:  # earlier versions have none
            plain = plain[:-1]
        return (
            restored_meter(meter, as_plain(self.dimensions)),
            plain,
            self.source.level,
            as_plain(self.defined),
        )

    def may_record(self) -> bool:
        """Return whether nothing but a level or a rule may disable the instrument."""
        family = self.family
        return self.registry.recording and not family.void and not family.quarantined

    def disabled(self) -> bool:
        """Return whether no record of the instrument has any effect, nor is counted.

        A gauge that a level has disabled keeps the series that exist up to date, or it
        would be wrong when it is enabled again.
        """
        family, registry = self.family, self.registry
        if family.void:
            return not family.capped  # without room each record is rejected
        may_record = registry.recording and not family.quarantined
        if may_record and registry.generation.enabled(self.source) is not False:
            return False
        return not (family.definition.is_gauge and family.series)

    def count_refused(self, refusal: Refusal) -> None:
        """Count a value that was not recorded because of *refusal*, if it counts."""
        if refusal is NO_ROOM:
            self.registry.invalid_values.add_to_new_key()
        elif refusal.reason:
            self.family.reject(refusal.reason)

    def series(self, *layers: Pairs) -> AnySeries:
        """Return the series for the meter's dimensions and *layers*."""
        registry, family = self.registry, self.family
        if family.void:
            return NO_ROOM if family.capped else DISABLED
        if family.quarantined or not registry.recording:
            return DISABLED
        return registry.series(self, (self.dimensions, *layers))
