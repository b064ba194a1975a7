"""What was lost, as data points of our own: a healthy process says nothing."""

from __future__ import annotations

from collections.abc import Callable

from dtmetrics._deliver.outbox import Account
from dtmetrics._protocol.point import CountDelta, DataPoints, Identity
from dtmetrics._record.catalog import Family
from dtmetrics._record.definition import Definition
from dtmetrics._record.registry import Registry

__all__ = ["SelfMetrics"]

_LOST = Definition(
    "dtmetrics.client.points.dropped",
    "counter",
    "{point}",
    "Data points that never arrived, by reason",
    "dtmetrics",
)
_REFUSED = Definition(
    "dtmetrics.client.values.invalid",
    "counter",
    "{value}",
    "Values that could not be recorded, by reason",
    "dtmetrics",
)


class SelfMetrics:
    """Says at each collection what was lost since the last one, by reason."""

    def __init__(self, registry: Registry, account: Callable[[], Account]) -> None:
        self._registry = registry
        self._account = account
        self._lost = registry.catalog.define(_LOST)
        self._refused = registry.catalog.define(_REFUSED)
        self._generation = registry.generation
        self._told: dict[tuple[str, str], int] = {}

    def __call__(self, timestamp_ms: int) -> DataPoints:
        """Return what is to be said now."""
        if self._generation is not self._registry.generation:
            # All of it is counted from zero, in a forked child and after a start.
            self._generation = self._registry.generation
            self._told = {}
        account = self._account()
        lost = {**account.dropped, "rejected": account.rejected}
        grown = {
            **self._grown(self._lost, lost),
            **self._grown(self._refused, self._registry.invalid_values.total()),
        }
        return DataPoints(CountDelta, [*grown], [*grown.values()], timestamp_ms)

    def _grown(self, family: Family, totals: dict[str, int]) -> dict[Identity, int]:
        grown: dict[Identity, int] = {}
        for reason, total in totals.items():
            delta = total - self._told.get((family.key, reason), 0)
            if delta > 0 and not family.void:
                self._told[family.key, reason] = total
                series = self._registry.series(family, ((("reason", reason),),))
                grown[series] = grown.get(series, 0) + delta
        return grown
