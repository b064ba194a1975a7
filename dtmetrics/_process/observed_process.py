"""Has the runtime metrics of chosen groups collected."""

from __future__ import annotations

from collections.abc import Callable, Collection

from dtmetrics._core import log
from dtmetrics._process.garbage_collector import follow_pauses, unfollow_pauses
from dtmetrics._process.measures import CPU_TIME, MEASURES, Measure, Reader
from dtmetrics._process.since_begin import TotalsSinceBegin, Utilization, rows
from dtmetrics._record.meter import Meter
from dtmetrics._record.observable import Observed, observe, unobserve

__all__ = ["ObservedProcess"]

Function = Callable[[], Observed]


class ObservedProcess:
    """The runtime metrics of this process, as observers of *meter*."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        #: The observed functions by group.
        self._functions: dict[str, list[Function]] = {}

    def observe(self, groups: Collection[str]) -> None:
        """Observe these *groups* and no others; what is observed by now goes on."""
        for group in self._functions.keys() - set(groups):
            self._end(group)
        missing = [
            group
            for group in groups
            if group not in self._functions and not self._begin(group)
        ]
        if missing:
            log.warning(
                "the runtime metrics of %s are left out: on this system they need "
                "psutil, of the extra dtmetrics[runtime]",
                ", ".join(missing),
            )

    def _begin(self, group: str) -> bool:
        """Observe *group*; return whether all of its values can be read here."""
        measures = [measure for measure in MEASURES if measure.group == group]
        readers = [reader for each in measures if (reader := each.working_reader())]
        if len(readers) < len(measures):
            return False
        self._functions[group] = functions = []
        for measure, reader in zip(measures, readers, strict=True):
            functions.append(self._observe(measure, reader))
            if measure is CPU_TIME:
                functions.append(self._observe_utilization(reader))
        if group == "gc":
            self._follow_pauses()
        return True

    def _end(self, group: str) -> None:
        for function in self._functions.pop(group):
            unobserve(self._meter.registry, function)
        if group == "gc":
            unfollow_pauses(self._meter.registry)

    def _observe(self, measure: Measure, reader: Reader) -> Function:
        make = self._meter.counter if measure.is_total else self._meter.gauge
        made = make(measure.name, unit=measure.unit, description=measure.description)
        if measure.is_total:
            totals = TotalsSinceBegin(reader, measure.key)
            observe(made.origin, totals.observe, totals.begin)
            return totals.observe

        def level() -> Observed:
            return rows(reader(), measure.key)

        # Functions of one name replace one another, unless their metrics differ.
        observe(made.origin, level)
        return level

    def _observe_utilization(self, cpu_time: Reader) -> Function:
        made = self._meter.gauge(
            "process.cpu.utilization",
            unit="1",
            description="Share of the available CPU time that the process has used",
        )
        share = Utilization(cpu_time)
        observe(made.origin, share.observe, share.begin)
        return share.observe

    def _follow_pauses(self) -> None:
        made = self._meter.summary(
            "cpython.gc.pause.duration",
            unit="s",
            description="Time for which the garbage collector stopped the program",
        )
        follow_pauses(made.origin)
