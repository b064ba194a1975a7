"""Family: all series of one metric key."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

from dtmetrics._protocol.point import DataPoints
from dtmetrics._record.definition import Definition
from dtmetrics._record.details import Details
from dtmetrics._record.distribution_series import (
    LEAST_LIMIT,
    DistributionSeries,
    Plan,
)
from dtmetrics._record.gauge_series import GaugeSeries
from dtmetrics._record.handover import Handover
from dtmetrics._record.invalid_values import Reject
from dtmetrics._record.series import CounterSeries, drain
from dtmetrics._record.sources import Sources
from dtmetrics._record.summary_series import SummarySeries

__all__ = ["AnySeries", "Family"]

AnySeries = CounterSeries | GaugeSeries | SummarySeries

_KINDS: dict[str, type[AnySeries]] = {
    "counter": CounterSeries,
    "gauge": GaugeSeries,
    "summary": SummarySeries,
}


class Family:
    """All series of one metric key, by their line prefix."""

    __slots__ = (
        "capped",
        "definition",
        "derived_from",
        "described",
        "details",
        "folded",
        "has_ttl",
        "key",
        "lock",
        "name",
        "plan",
        "quarantined",
        "reject",
        "series",
        "sources",
        "void",
    )

    def __init__(
        self, definition: Definition, key: str, reject: Reject, *, name: str = ""
    ) -> None:
        self.definition: Definition = definition
        #: The key without the prefix.
        self.name: str = name
        #: The key in each line, with the prefix of ``configure()``.
        self.key: str = key
        #: Counts one invalid value, for a reason.
        self.reject: Reject = reject
        self.lock: Lock = Lock()
        self.series: dict[str, AnySeries] = {}
        #: What records into them.
        self.sources: Sources = Sources()
        #: Those of the first definition that had some, and what its series make of it.
        self.details: Details = Details()
        self.plan: Plan | None = None
        #: The family whose points those of this one are made of.
        self.derived_from: Family | None = None
        #: Whether its metadata has been collected.
        self.described: bool = False
        #: Whether its definition is invalid, so that it records nothing.
        self.void: bool = False
        #: Whether a series had no room, because of a limit.
        self.capped: bool = False
        #: How many values each dimension has whose further ones are not recorded.
        self.folded: dict[str, int] = {}
        #: Whether a gauge with a ttl has recorded into one of its series.
        self.has_ttl: bool = False
        #: The reason for which it is quarantined; empty if it is not.
        self.quarantined: str = ""

    @property
    def has_metadata(self) -> bool:
        """Whether a definition gave a unit or a description."""
        return bool(self.definition.unit or self.definition.description)

    @property
    def is_sent(self) -> bool:
        """Whether there are series that its points are made of."""
        base = self.derived_from
        return bool(self.series or (base is not None and base.series))

    def add_definition(self, definition: Definition) -> None:
        """Take unit and description from *definition*, if none gave them before."""
        if not self.has_metadata:
            unit, description = definition.unit, definition.description
            self.definition = self.definition._replace(
                unit=unit, description=description
            )

    def new_series(self, prefix: str, limit: int) -> AnySeries:
        """Return a series that is not among those of the family yet."""
        if self.plan is None:
            kind = _KINDS[self.definition.kind]
            return kind(self.key, prefix, self.lock, self.reject, limit)
        limit = max(limit, LEAST_LIMIT)
        made = DistributionSeries(self.key, prefix, self.lock, self.reject, limit)
        made.plan = self.plan
        return made

    def all_series(self) -> list[AnySeries]:
        """Return every series of the family."""
        return list(self.series.values())

    def drain(
        self, chunk: Sequence[AnySeries], timestamp_ms: int, handover: Handover
    ) -> list[DataPoints]:
        """Move what a *chunk* of its series has recorded to *handover*; return it."""
        # Those of one chunk are of one kind: others are made after a family is cleared.
        kind = chunk[0].payload
        points = DataPoints(kind, chunk, [], timestamp_ms)
        with self.lock:
            drain(chunk, handover.open(points))
        return handover.complete()

    def clear(self) -> list[AnySeries]:
        """Discard every series, and return them.

        An instrument that holds one looks up another.
        """
        # In this order: a signal handler that records in between makes a new series.
        discarded, self.series = self.series, {}
        self.described = self.capped = False
        self.folded = {}
        for series in discarded.values():
            series.discard()
        return [*discarded.values()]

    def reset_after_fork(self) -> None:
        """In a forked child: drop what the parent recorded, and a lock it may hold."""
        self.lock = Lock()
        self.described = False
        for series in self.all_series():
            series.reset_after_fork(self.lock)
