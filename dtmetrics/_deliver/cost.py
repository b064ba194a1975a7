"""What data points cost: how many a minute, by metric key, and in a month."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["MINUTES_PER_MONTH", "Cost", "MetricCost"]

#: Those of the twelfth part of 365 days.
MINUTES_PER_MONTH = 43_800


class MetricCost(NamedTuple):
    """The cost of one metric key: an entry of ``stats().cost.by_key``."""

    #: Series that exist now.
    series: int = 0
    #: Data points a minute.
    points_per_minute: float = 0.0


class Cost(NamedTuple):
    """What this process sends: ``stats().cost``.

    A data point is one line: one series at one collection. Dynatrace charges for each
    (https://docs.dynatrace.com/docs/license/metrics,
    https://docs.dynatrace.com/docs/license/classic-licensing/davis-data-units/metric-cost-calculation),
    however many values are behind it. Points per minute are those of the last
    collection, times the number of collections in a minute; with ``interval=None`` each
    flush counts as a minute. Observed values and the metrics of dtmetrics itself are
    among them. Each exporter gets all points.

    >>> from dtmetrics import MemoryExporter, configure, counter
    >>> from dtmetrics import flush, shutdown, stats
    >>> configure(exporter=MemoryExporter(), interval=None, force=True)
    >>> counter("orders.placed").inc()
    >>> flush()
    True
    >>> stats().cost.by_key["orders.placed"]
    MetricCost(series=1, points_per_minute=1.0)
    >>> stats().cost.points_per_month
    43800
    >>> shutdown()
    True
    """

    #: The cost of each metric key that has series or has sent points.
    by_key: Mapping[str, MetricCost] = {}
    #: Series that exist now.
    series: int = 0
    #: Data points a minute.
    points_per_minute: float = 0.0
    #: Data points in a month of 43,800 minutes, if all go on like this.
    points_per_month: int = 0
