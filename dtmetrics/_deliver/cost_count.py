"""Counts data points at collections: what ``stats().cost`` is made from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from dtmetrics._deliver.budget import Budget
from dtmetrics._deliver.cost import MINUTES_PER_MONTH, Cost, MetricCost
from dtmetrics._protocol.point import DataPoints
from dtmetrics._record.family import Family

__all__ = ["CostCount"]


class CostCount:
    """Counts the points of each collection, by key, and compares with the *budget*.

    *interval* is that of the collections in seconds; None: each counts as a minute.
    """

    def __init__(
        self, interval: float | None = None, budget: Budget | None = None
    ) -> None:
        self._times = 60.0 / (interval or 60.0)
        self._budget = budget
        self.clear()

    def clear(self) -> None:
        """Begin anew, as if there had been no collection."""
        self._counts: dict[str, int] = {}
        self._collected = self._counts

    def continue_from(self, earlier: CostCount) -> None:
        """Go on from what *earlier* has counted and logged."""
        self._collected = earlier._collected
        if self._budget is not None and earlier._budget is not None:
            self._budget.continue_from(earlier._budget)

    def begin(self) -> None:
        """Begin to count a collection."""
        self._counts = {}

    def add(self, points: DataPoints) -> None:
        """Count *points*; those of one key follow one another."""
        identities = points.identities
        if not identities:
            return
        key, counts = identities[0].key, self._counts
        if key == identities[-1].key:
            # 47 ns; with a Counter 110 ns.
            counts[key] = counts.get(key, 0) + len(identities)
        else:
            for identity in identities:
                counts[identity.key] = counts.get(identity.key, 0) + 1

    def end(self, families: Iterable[Family]) -> None:
        """End a collection; log if its points come near the budget."""
        self._collected = self._counts
        if self._budget is not None:
            cost = self.cost(families)
            self._budget.check(cost)

    def cost(self, families: Iterable[Family]) -> Cost:
        """Return the cost by the last collection. *families* are all that exist."""
        series: Counter[str] = Counter()
        for family in families:
            if family.series:
                series[family.key] += len(family.series)
        points = self._collected
        by_key = {
            key: MetricCost(series[key], self._times * points.get(key, 0))
            for key in sorted(series.keys() | points.keys())
        }
        per_minute = self._times * sum(points.values())
        return Cost(
            by_key=by_key,
            series=series.total(),
            points_per_minute=per_minute,
            points_per_month=round(per_minute * MINUTES_PER_MONTH),
        )
