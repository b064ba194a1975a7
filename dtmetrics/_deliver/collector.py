"""The collector: what was recorded, from the registry to the outbox.

It adds data points of our own: what was dropped, rejected or invalid.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

from dtmetrics._core.safe_call import call_safely
from dtmetrics._core.try_lock import TryLock
from dtmetrics._deliver.account import Account
from dtmetrics._deliver.batching import batches, metadata_batches
from dtmetrics._deliver.cost_count import CostCount
from dtmetrics._deliver.outbox import Outbox
from dtmetrics._protocol.point import CountDelta, DataPoints, Identity
from dtmetrics._record.definition import Definition
from dtmetrics._record.family import Family
from dtmetrics._record.handover import Handover
from dtmetrics._record.registry import Registry
from dtmetrics.exporters import Batch

__all__ = ["Collector", "SelfMetrics"]

# Without a pause the collecting thread holds the GIL for 5 ms at a time. A pause after
# each chunk of 100 series takes the 99.9th percentile of a request that records, with
# 100,000 series flushed without end, from 5.6 ms to 0.5 ms (CPython 3.11).
_PAUSE_SECONDS = 0.0003


class Collector:
    """Puts the points of *registry* in outboxes, in one thread at a time."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        #: Called before each collection, to put batches of other processes in the only
        #: outbox, or the first one.
        self.on_collect: Callable[[Outbox], object] = bool
        self.renew()

    def direct(
        self,
        outboxes: Sequence[Outbox],
        self_metrics: SelfMetrics | None,
        *,
        costs: CostCount,
        metadata: bool,
        on_error: Callable[[Exception], object],
    ) -> None:
        """Put what is collected from now on in each of *outboxes*."""
        #: Each with a note of the batch that it has taken last.
        self._outboxes = [(outbox, Handover()) for outbox in outboxes]
        self._self_metrics = self_metrics
        self._costs = costs
        self._metadata = metadata
        self._on_error = on_error

    def renew(self) -> None:
        """Make what a forked child must not share with its parent."""
        #: How many collections were completed.
        self.flushes = 0
        # A collection of the parent puts nothing more in an outbox.
        self._process = object()
        self.abandon()

    def abandon(self) -> None:
        """Leave a collection behind whose callback hangs; another one may begin."""
        self._lock = TryLock()
        self._handover = Handover()

    @property
    def busy_here(self) -> bool:
        """Whether the calling thread is in the middle of collecting."""
        return self._lock.held

    @property
    def has_observers(self) -> bool:
        """Whether a collection calls functions of the application, which may hang."""
        return bool(self._registry.observers)

    @property
    def series_count(self) -> int:
        """How many series there are to collect from."""
        return self._registry.series_count

    def collect(
        self, timeout: float, timestamp: Callable[[], int | None], *, paced: bool
    ) -> bool:
        """Collect as of *timestamp*, unless it is None; False: not within *timeout*.

        *paced* lets other threads run after each chunk.
        """
        with self._lock.acquire(timeout) as acquired:
            # Called with the lock: another thread may have collected meanwhile.
            if not acquired or (timestamp_ms := timestamp()) is None:
                return acquired
            return self._collect_safely(timestamp_ms, paced=paced)

    def _collect_safely(self, timestamp_ms: int, *, paced: bool) -> bool:
        return call_safely(
            partial(self._collect, timestamp_ms, paced=paced),
            default=False,
            on_error=self._on_error,
        )

    def switch(
        self, timeout: float, timestamp: Callable[[], int], change: Callable[[], object]
    ) -> bool:
        """Collect once more, and call *change* before anything else is collected.

        Within *timeout* seconds, or else without that collection; return whether it
        was made.
        """
        with self._lock.acquire(timeout) as acquired:
            collected = acquired and self._collect_safely(timestamp(), paced=False)
            if not acquired:
                self.abandon()
            change()
        return collected

    def _collect(self, timestamp_ms: int, *, paced: bool) -> bool:
        handover = self._handover
        try:
            self.on_collect(self._outboxes[0][0])
            self._enter(handover)
            if not self._put(self._batches(timestamp_ms, paced=paced), handover):
                return False
        except BaseException:
            # A callback or a signal handler raised. The points so far have left their
            # series.
            self._registry.catalog.describe_again()
            self._enter(handover)
            self._put(batches(handover.waiting(), timestamp_ms), handover)
            raise
        self.flushes += 1
        self._costs.end(self._registry.catalog.all())
        return True

    def _put(self, made: Iterator[Batch], handover: Handover) -> bool:
        process = self._process
        for batch in made:
            if process is not self._process:
                return False  # a callback has forked: the points are the parent's
            handover.begin(batch)
            self._enter(handover)
        return True

    def _enter(self, handover: Handover) -> None:
        """Put the batch that has begun in each outbox that does not have it yet."""
        batch = handover.batch
        if batch is None:
            return
        for outbox, slot in self._outboxes:
            if slot.entered is not batch:
                outbox.put(batch, slot)
        handover.entered = batch
        handover.settle()

    def _batches(self, timestamp_ms: int, *, paced: bool) -> Iterator[Batch]:
        yield from batches(self._chunks(timestamp_ms, paced=paced), timestamp_ms)
        if self._metadata:
            catalog = self._registry.catalog
            for outbox, _ in self._outboxes:
                if outbox.take_metadata_dropped():
                    catalog.describe_again()
            # In batches of their own, so that each answer counts points or none.
            yield from metadata_batches(catalog.collect_metadata(), timestamp_ms)

    def _chunks(self, timestamp_ms: int, *, paced: bool) -> Iterable[DataPoints]:
        lock, handover, costs = self._lock, self._handover, self._costs
        yield from handover.waiting()
        costs.begin()
        for chunk in self._registry.collect(timestamp_ms, handover=handover):
            costs.add(chunk)
            yield chunk
            if lock is not self._lock:
                break  # a callback hung, and another collection may be under way
            if paced:
                time.sleep(_PAUSE_SECONDS)
        if self._self_metrics is not None:
            # Last: callbacks may return invalid values.
            points = self._self_metrics.collect(timestamp_ms)
            handover.add([points], self._self_metrics)
            costs.add(points)
            yield points


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
        self._epoch = registry.generation.epoch
        self.totals: dict[tuple[str, str], int] = {}
        self.next_totals = self.totals

    def continue_from(self, earlier: SelfMetrics) -> None:
        """Report what has been counted since *earlier* reported."""
        self._epoch, self.totals = earlier._epoch, earlier.totals
        self.next_totals = self.totals

    def collect(self, timestamp_ms: int) -> DataPoints:
        """Return what has been counted since the last time."""
        if self._epoch is not self._registry.generation.epoch:
            # All counters start from zero after a fork and after a start.
            self._epoch = self._registry.generation.epoch
            self.totals = {}
        self.next_totals = self.totals.copy()
        counts = {
            **self._grown(self._dropped, self._account().undelivered),
            **self._grown(self._invalid, self._registry.invalid_values.total()),
        }
        return DataPoints(CountDelta, [*counts], [*counts.values()], timestamp_ms)

    def _grown(self, family: Family, totals: Mapping[str, int]) -> dict[Identity, int]:
        grown: dict[Identity, int] = {}
        for reason, total in totals.items():
            name = family.definition.name
            delta = total - self.next_totals.get((name, reason), 0)
            if delta > 0 and not family.void:
                series = self._registry.own_series(family, (("reason", reason),))
                if series is not None:
                    self.next_totals[name, reason] = total
                    grown[series] = grown.get(series, 0) + delta
        return grown
