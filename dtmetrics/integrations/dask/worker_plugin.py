"""What a worker of Dask records: each execution of a task, and its own state.

Dask calls the plugin at each transition of a task's state, in the worker's event loop
(https://distributed.dask.org/en/stable/worker-state.html). A task that is executed
cannot be stopped: if the scheduler takes it back meanwhile, the state is "cancelled" or
"resumed" until it has ended, as it is for a transfer. So the plugin stores which
tasks are executed.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from distributed.diagnostics.plugin import WorkerPlugin
from distributed.protocol.pickle import loads

from dtmetrics._core.safe_call import call_safely
from dtmetrics._decorate.hooks import error_type
from dtmetrics._instrument.semconv import MOST_BINDINGS
from dtmetrics.integrations.dask.last_delivery import deliver

if TYPE_CHECKING:
    from distributed import Worker
    from distributed.worker_state_machine import TaskState

    from dtmetrics._record.instruments import Counter, Summary
    from dtmetrics._record.meter import Meter

__all__ = ["WorkerMetrics"]

INVALID_TASK = "task that cannot be read"


# The states of a task that is executed, and those that end it. From "cancelled" and
# "resumed" only a result is of use, if the task is needed again.
_EXECUTED = frozenset({"executing", "long-running"})
_ENDS = frozenset({"memory", "error", "rescheduled"})


class WorkerMetrics(WorkerPlugin):
    """Records what one worker does. The scheduler sends a pickled one to each."""

    name = "dtmetrics"
    idempotent = True

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def setup(self, worker: Worker) -> None:
        """Begin; Dask calls it in the worker."""
        self._instruments = _Instruments(self._meter)
        self._tasks = worker.state.tasks
        # By key: how many entries its startstops had before it was executed. An entry
        # is a time that Dask has measured.
        self._executed = {
            task.key: len(task.startstops)
            for task in (*worker.state.executing, *worker.state.long_running)
        }
        _observe(self._meter)
        _workers[worker] = None

    async def teardown(self, worker: Worker) -> None:
        """Deliver; Dask calls it when it closes the worker or removes the plugin.

        Its nanny kills a worker whose tasks do not end.
        """
        await deliver()
        _workers.pop(worker, None)

    def transition(self, key: Any, start: str, finish: str, **_: object) -> None:  # noqa: ANN401 -- of any hashable type
        """Follow the task *key* from state *start* to *finish*."""
        if finish == "executing":
            self._executed[key] = len(self._tasks[key].startstops)
        elif finish in _ENDS:
            before = self._executed.pop(key, None)
            if before is not None:
                used = start in _EXECUTED or (start, finish) == ("resumed", "memory")
                outcome = finish if used else "cancelled"
                self._instruments.record(self._tasks.get(key), outcome, before)


class _Instruments:
    """What is recorded of each execution."""

    def __init__(self, meter: Meter) -> None:
        self._executions = meter.counter(
            "dask.worker.task.executions",
            unit="{execution}",
            description="Executions of tasks, by what became of the result",
        )
        self._duration = meter.summary(
            "dask.worker.task.duration",
            unit="s",
            description="Duration of executions of tasks",
        )
        self._bound = lru_cache(MOST_BINDINGS)(self._bind)

    def record(self, task: TaskState | None, outcome: str, before: int) -> None:
        """Record an execution of *task*: its startstops from the number *before* on."""
        call_safely(
            self._record,
            task,
            outcome,
            before,
            default=None,
            on_error=lambda _: self._executions.reject(INVALID_TASK),
        )

    def _record(self, task: TaskState, outcome: str, before: int) -> None:
        error = None
        if outcome == "error":
            # Dask pickles it, or an Exception with its text where it cannot be pickled.
            serialized: Any = task.exception
            error = error_type(loads(serialized.data))
        executions, duration = self._bound(task.prefix, outcome, error)
        executions.inc()
        # None if the task could not be called: its executor is unknown, for example.
        times = [
            each["stop"] - each["start"]
            for each in task.startstops[before:]
            if each["action"] == "compute"
        ]
        for took in times:
            duration.record(max(0.0, took))  # the clock may be set meanwhile

    def _bind(
        self, prefix: str, outcome: str, error: str | None
    ) -> tuple[Counter, Summary]:
        dimensions = {
            "dask.task.prefix": prefix,
            "dask.task.outcome": outcome,
            "error.type": error,
        }
        return self._executions.bind(**dimensions), self._duration.bind(**dimensions)


# -- gauges ----------------------------------------------------------------------------

#: Those of this process: threads of a LocalCluster are workers of one process.
_workers: WeakKeyDictionary[Worker, None] = WeakKeyDictionary()


def _observe(meter: Meter) -> None:
    """Observe the workers of this process; a second call changes nothing."""
    meter.observe(
        "dask.worker.tasks", unit="{task}", description="Tasks of a worker, by state"
    )(_tasks)
    meter.observe(
        "dask.worker.threads", unit="{thread}", description="Threads for tasks"
    )(_threads)
    meter.observe(
        "dask.worker.transfers",
        unit="{transfer}",
        description="Open transfers from and to other workers",
    )(_transfers)
    meter.observe(
        "dask.worker.memory.managed",
        unit="By",
        description="Size of the results that a worker has, in memory and on disk",
    )(_managed_memory)


def _present() -> list[Any]:
    """Return the workers that are not closed, without a lock: see keyrefs()."""
    found = [reference() for reference in _workers.keyrefs()]
    return [worker for worker in found if worker is not None]


def _tasks() -> Iterator[tuple[int, dict[str, str]]]:
    counts: Tally[str] = Tally()
    for worker in _present():
        state = worker.state
        counts["ready"] += len(state.ready)
        counts["constrained"] += len(state.constrained)
        counts["executing"] += len(state.executing)
        counts["long-running"] += len(state.long_running)
        counts["flight"] += len(state.in_flight_tasks)
    for name, count in counts.items():
        yield count, {"dask.task.state": name}


def _threads() -> Iterator[tuple[int, dict[str, str]]]:
    if workers := _present():
        yield sum(worker.state.nthreads for worker in workers), {}


def _transfers() -> Iterator[tuple[int, dict[str, str]]]:
    if workers := _present():
        incoming = sum(worker.state.transfer_incoming_count for worker in workers)
        outgoing = sum(worker.transfer_outgoing_count for worker in workers)
        yield incoming, {"dask.transfer.direction": "incoming"}
        yield outgoing, {"dask.transfer.direction": "outgoing"}


def _managed_memory() -> Iterator[tuple[int, dict[str, str]]]:
    if workers := _present():
        yield sum(worker.state.nbytes for worker in workers), {}
