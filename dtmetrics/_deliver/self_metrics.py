"""Self-metrics: what was dropped, rejected or invalid, as data points of our own."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dtmetrics._deliver.outbox import Account
from dtmetrics._protocol.point import CountDelta, DataPoints, Identity
from dtmetrics._record.catalog import Family
from dtmetrics._record.definition import Definition
from dtmetrics._record.registry import Registry

__all__ = ["SelfMetrics"]

_DROPPED = Definition(
    name="dtmetrics.client.points.dropped",
    kind="counter",
    unit="{point}",
    description="Data points that never arrived, by reason",
    site="dtmetrics",
)
_INVALID = Definition(
    name="dtmetrics.client.values.invalid",
    kind="counter",
    unit="{value}",
    description="Values that could not be recorded, by reason",
    site="dtmetrics",
)


class SelfMetrics:
    """Counts since the last collection, by reason. A healthy process has none.

    *account* returns the outbox's account.
    """

    def __init__(self, registry: Registry, account: Callable[[], Account]) -> None:
        self._registry = registry
        self._account = account
        self._dropped = registry.catalog.define(_DROPPED)
        self._invalid = registry.catalog.define(_INVALID)
        self._generation = registry.generation
        self._reported: dict[tuple[str, str], int] = {}

    def collect(self, timestamp_ms: int) -> DataPoints:
        """Return what has been counted since the last time."""
        if self._generation is not self._registry.generation:
            # All counters start from zero after a fork and after a start.
            self._generation = self._registry.generation
            self._reported = {}
        account = self._account()
        dropped = {**account.dropped, "rejected": account.rejected}
        counts = {
            **self._grown(self._dropped, dropped),
            **self._grown(self._invalid, self._registry.invalid_values.total()),
        }
        return DataPoints(CountDelta, [*counts], [*counts.values()], timestamp_ms)

    def _grown(self, family: Family, totals: Mapping[str, int]) -> dict[Identity, int]:
        grown: dict[Identity, int] = {}
        for reason, total in totals.items():
            delta = total - self._reported.get((family.key, reason), 0)
            if delta > 0 and not family.void:
                self._reported[family.key, reason] = total
                series = self._registry.series(family, ((("reason", reason),),))
                grown[series] = grown.get(series, 0) + delta
        return grown
