"""Collecting: what was recorded, in which order, and what is forgotten after it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from dtmetrics._protocol.point import DataPoints
from dtmetrics._record.caps import Caps
from dtmetrics._record.family import AnySeries, Family
from dtmetrics._record.gauge_series import NOWHERE, GaugeSeries
from dtmetrics._record.handover import Handover
from dtmetrics._record.idle_series import IdleSeries
from dtmetrics._record.retired import Retired
from dtmetrics._record.worst_sample import WorstSamples

if TYPE_CHECKING:
    from dtmetrics._record.registry import Registry

__all__ = ["Collection"]


class Collection:
    """Collects from *registry*; series that are idle for *idle_seconds* are forgotten.

    One thread may collect at a time. Between two chunks no lock is held.
    """

    def __init__(self, registry: Registry, idle_seconds: float) -> None:
        self._registry = registry
        self._idle = IdleSeries(registry, idle_seconds)
        #: The series that were replaced or forgotten.
        self.retired: Retired = Retired(registry)
        self.worst_samples: WorstSamples = WorstSamples()
        self._caps = Caps()

    def follow_options(self) -> None:
        """Describe limits anew, and count anew how long series are idle."""
        self._caps = Caps()
        self._idle.clear()

    def clear(self) -> None:
        """Forget what was recorded."""
        self.retired.clear()
        self._idle.clear()
        self.worst_samples.drop()

    def reset_after_fork(self) -> None:
        """In a forked child: forget what was recorded, which the parent sends."""
        self.retired.clear()
        self._idle.clear()
        self.worst_samples.reset_after_fork()

    def chunks(
        self, timestamp_ms: int, size: int, handover: Handover
    ) -> Iterator[DataPoints]:
        """Yield what was recorded since the last time, *size* points at a time."""
        registry, idle = self._registry, self._idle
        if self.retired.groups:
            self.retired.forward()
            yield from self.retired.collect(timestamp_ms, size, handover)
        idle.begin()
        for family in registry.catalog.all():
            all_series = registry.lookup.sent(family)
            for start in range(0, len(all_series), size):
                chunk = all_series[start : start + size]
                parts = family.drain(chunk, timestamp_ms, handover)
                idle.look_at(family, start, chunk, parts[0])
                yield from parts
        for observer in list(registry.observers.values()):
            points = observer(timestamp_ms)
            idle.observed(points.identities)
            parts = [*points.parts(size)]
            handover.add(parts, observer)
            yield from parts
        idle.end()
        registry.invalid_values.report()  # last, because draining checks values
        self._caps.report(registry.catalog.all(), registry.generation.options)
        registry.generation.report()
        self.worst_samples.report()

    def capped(self) -> dict[str, str]:
        """Return the metric keys that reached a limit, and what grew."""
        registry = self._registry
        return self._caps.describe(registry.catalog.all(), registry.generation.options)

    def forget(self, family: Family, all_series: Sequence[AnySeries]) -> None:
        """Discard those of *all_series* of *family* that are idle.

        A thread that has just looked one up may record into it: it is still collected
        for a while.
        """
        registry = self._registry
        # First, because a signal handler may raise after any call.
        self.retired.keep(family, all_series)
        for series in all_series:
            prefix = series.line_prefix
            # The lock of the family first, as where a fold of foreign numbers records.
            with family.lock, registry.lock:
                here = family.series.get(prefix) is series
                gauge = series if isinstance(series, GaugeSeries) else None
                if not here or not self._idle.is_idle(series):
                    continue
                # As discard(), without a call in which a signal handler could raise.
                series.discarded, series.enabled, series.buffer = True, False, None
                del family.series[prefix]
                registry.series_count -= 1
                if gauge is not None:
                    gauge.limit, gauge.successor = sys.maxsize, NOWHERE
                    del gauge.values[:1]  # what comes later moves to the next series
