"""The counts that ``stats()`` returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from dtmetrics._deliver.cost import Cost

if TYPE_CHECKING:
    from dtmetrics._deliver.delivery import Delivery
    from dtmetrics._record.registry import Registry

__all__ = ["ExporterStats", "Stats", "collect_stats"]


class ExporterStats(NamedTuple):
    """What one exporter has sent: an entry of ``stats().exporters``.

    ``collected = accepted + rejected + sum(dropped.values()) + waiting``, at every
    moment. The fields are those of `Stats`.
    """

    collected: int = 0
    accepted: int = 0
    rejected: int = 0
    dropped: Mapping[str, int] = {}
    waiting: int = 0
    last_error: str = ""
    spool: Mapping[str, int] = {}
    restamped: int = 0
    warnings: Mapping[str, str] = {}


class Stats(NamedTuple):
    """What this process has recorded and sent since ``configure()``.

    ``collected = accepted + rejected + sum(dropped.values()) + waiting``, at every
    moment. Each is a number of data points: one series, at one collection. ``stats()``
    returns it. With several exporters these are sums over all of them, so that a data
    point counts once for each, and ``exporters`` has the counts of each.

    >>> from dtmetrics import stats
    >>> now = stats()
    >>> done = now.accepted + now.rejected + sum(now.dropped.values())
    >>> now.collected == done + now.waiting
    True
    """

    #: Data points made from recorded values, at every collection so far.
    collected: int = 0
    #: Data points that the endpoint accepted.
    accepted: int = 0
    #: Data points that the endpoint rejected.
    rejected: int = 0
    #: Valid data points that were discarded unsent or unanswered, by reason.
    dropped: Mapping[str, int] = {}
    #: Data points that wait for their first or their next attempt.
    waiting: int = 0
    #: Values that could not be recorded, by reason. They never became data points.
    invalid: Mapping[str, int] = {}
    #: Series that exist now.
    series: int = 0
    #: Collections so far.
    flushes: int = 0
    #: The last problem of delivery, also after it was solved. Empty: none so far.
    last_error: str = ""
    #: Batches on disk and events of the spool, by name. Empty without a spool.
    spool: Mapping[str, int] = {}
    #: Data points that were sent with the current time, because a clock that was set
    #: back since had given them a time in the future.
    restamped: int = 0
    #: Jumps of the system clock: it was set, or the machine was suspended.
    clock_steps: int = 0
    #: The endpoint's last warning about data points that it accepted, by metric key.
    warnings: Mapping[str, str] = {}
    #: Metric keys that no longer record because the endpoint rejects them, with the
    #: reason.
    quarantined: Mapping[str, str] = {}
    #: Metric keys that reached a limit of series, with the dimension that grew and some
    #: of its values. A hundred keys at most.
    capped: Mapping[str, str] = {}
    #: The counts of each exporter, by its endpoint's host and port or else its class.
    #: Exporters that ``configure(force=True)`` has replaced are in the sums alone.
    exporters: Mapping[str, ExporterStats] = {}
    #: Data points a minute and a month, as of the last collection: ``cost.by_key`` has
    #: the series and the points of each metric key.
    cost: Cost = Cost()


def collect_stats(registry: Registry, delivery: Delivery | None) -> Stats:
    """Return the counts of *registry*, and of *delivery* if there is one."""
    registry.check_values()
    invalid = registry.invalid_values.total()
    series = registry.series_count
    capped = registry.capped()
    if delivery is None:
        return Stats(dropped={}, invalid=invalid, series=series, capped=capped)
    return Stats(
        *delivery.account(),
        exporters={
            name: ExporterStats(
                *destination.outbox.account(), **destination.stats()._asdict()
            )
            for name, destination in delivery.by_name().items()
        },
        invalid=invalid,
        series=series,
        quarantined=registry.catalog.all_quarantined(),
        capped=capped,
        cost=delivery.costs.cost(registry.catalog.all()),
        **delivery.stats()._asdict(),
    )
