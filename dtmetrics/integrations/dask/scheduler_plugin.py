"""What the scheduler of Dask records: its workers, tasks and clients."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from distributed.core import Status
from distributed.diagnostics.plugin import SchedulerPlugin
from distributed.scheduler import ALL_TASK_STATES

from dtmetrics.integrations.dask.last_delivery import deliver

if TYPE_CHECKING:
    from distributed.scheduler import Scheduler

    from dtmetrics._record.meter import Meter

__all__ = ["SchedulerMetrics"]

# Without "forgotten": the scheduler has removed these.
_NO_TASKS = dict.fromkeys(sorted(ALL_TASK_STATES - {"forgotten"}), 0)


class SchedulerMetrics(SchedulerPlugin):
    """Records what one scheduler does; the client sends a pickled one."""

    name = "dtmetrics"
    idempotent = True

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    async def start(self, scheduler: Scheduler) -> None:
        """Begin; Dask calls it in the scheduler."""
        self._scheduler = scheduler
        self._added = self._meter.counter(
            "dask.scheduler.worker.added",
            unit="{worker}",
            description="Workers that the scheduler has had, or that have joined",
        )
        self._removed = self._meter.counter(
            "dask.scheduler.worker.removed",
            unit="{worker}",
            description="Workers that have left the scheduler",
        )
        _observe(self._meter)
        _schedulers[scheduler] = None
        # Also none: a process sends what it observes from its first record on.
        self._added.inc(len(scheduler.workers))

    def add_worker(self, scheduler: Scheduler, worker: str) -> None:
        """Count a worker that joins."""
        self._added.inc()

    def remove_worker(self, scheduler: Scheduler, worker: str, **_: object) -> None:
        """Count a worker that leaves."""
        self._removed.inc()

    async def close(self) -> None:
        """Deliver; Dask calls it when the scheduler closes."""
        await deliver()
        _schedulers.pop(self._scheduler, None)


# -- gauges ----------------------------------------------------------------------------

#: Those of this process.
_schedulers: WeakKeyDictionary[Scheduler, None] = WeakKeyDictionary()


def _observe(meter: Meter) -> None:
    """Observe the schedulers of this process; a second call changes nothing."""
    meter.observe(
        "dask.scheduler.workers", unit="{worker}", description="Workers, by state"
    )(_workers)
    meter.observe("dask.scheduler.tasks", unit="{task}", description="Tasks, by state")(
        _tasks
    )
    meter.observe(
        "dask.scheduler.clients", unit="{client}", description="Connected clients"
    )(_clients)


def _present() -> list[Any]:
    """Return the schedulers that have the plugin. Dask removes it without a call."""
    found = [reference() for reference in _schedulers.keyrefs()]
    return [each for each in found if each and SchedulerMetrics.name in each.plugins]


def _workers() -> Iterator[tuple[int, dict[str, str]]]:
    counts: Tally[str] = Tally()
    for scheduler in _present():
        running, idle = len(scheduler.running), len(scheduler.idle)
        saturated = len(scheduler.saturated)
        # A list is made at once, while the scheduler goes on in its own thread.
        states = [worker.status for worker in list(scheduler.workers.values())]
        counts["idle"] += idle
        counts["partially_saturated"] += max(0, running - idle - saturated)
        counts["saturated"] += saturated
        counts["paused"] += states.count(Status.paused)
        counts["retiring"] += states.count(Status.closing_gracefully)
    for name, count in counts.items():
        yield count, {"dask.worker.state": name}


def _tasks() -> Iterator[tuple[int, dict[str, str]]]:
    counts: Tally[str] = Tally()
    for scheduler in _present():
        counts.update(_NO_TASKS)
        # Counted by Dask: a loop over the tasks of a scheduler may take a second.
        for prefix in list(scheduler.task_prefixes.values()):
            states = prefix.states
            counts.update({name: states.get(name, 0) for name in _NO_TASKS})
    for name, count in counts.items():
        yield count, {"dask.task.state": name}


def _clients() -> Iterator[tuple[int, dict[str, str]]]:
    if schedulers := _present():
        # One of them is the scheduler's own, which holds what no client waits for.
        yield sum(len(scheduler.clients) - 1 for scheduler in schedulers), {}
