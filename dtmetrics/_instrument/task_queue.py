"""Tasks that a task queue carries to workers, and its messages.

The convention has names for messages and for their processing
(https://opentelemetry.io/docs/specs/semconv/messaging/messaging-metrics/). It has none
for tasks: for the wait, for retries, for failures and for what a worker holds. These
begin with the name of the engine, as in ``celery.task.retries``.

An integration makes one ``TaskInstruments`` for each meter. What an engine passes may
be anything: the integration calls the methods by ``safely``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from dtmetrics._core.safe_call import call_safely
from dtmetrics._core.suppress_instrumentation import SUPPRESSED
from dtmetrics._decorate.hooks import error_type
from dtmetrics._instrument.semconv import MOST_BINDINGS
from dtmetrics._record.instruments import Counter, Summary
from dtmetrics._record.meter import Meter
from dtmetrics._record.observable import Observed

__all__ = ["NOWHERE", "Destination", "TaskInstruments"]

INVALID_TASK = "task that cannot be described"


class Destination(NamedTuple):
    """The broker's system and the queue of a message."""

    system: str | None
    queue: str | None


#: Of a task that no message carries.
NOWHERE = Destination(None, None)


class TaskInstruments:
    """The instruments of one meter for one engine."""

    def __init__(self, meter: Meter, engine: str) -> None:
        self._meter = meter
        self._engine = engine
        self._registry = meter.registry
        self._duration = meter.summary(
            "messaging.process.duration",
            unit="s",
            description="Duration of tasks in a worker",
        )
        self._sent = meter.counter(
            "messaging.client.sent.messages",
            unit="{message}",
            description="Messages of tasks that were sent to a broker",
        )
        self._consumed = meter.counter(
            "messaging.client.consumed.messages",
            unit="{message}",
            description="Messages of tasks that workers received",
        )
        self._wait = meter.summary(
            f"{engine}.task.wait.duration",
            unit="s",
            description="Time between the sending of a task and its start",
        )
        self._retries = meter.counter(
            f"{engine}.task.retries",
            unit="{retry}",
            description="Tasks that will run again",
        )
        self._failures = meter.counter(
            f"{engine}.task.failures",
            unit="{failure}",
            description="Tasks that failed for good",
        )
        self._bound = lru_cache(MOST_BINDINGS)(self._bind)
        self._observed: list[Callable[[], Observed]] = []

    def enabled(self) -> bool:
        """Return whether to record: not what an exporter does."""
        return self._registry.recording and not SUPPRESSED.get()

    def sent(self, destination: Destination, task: str, error: object) -> None:
        """Count a message that was sent, or whose sending ended in *error*."""
        self._bound(self._sent, "send", destination, task, None, _kind(error)).inc()

    def consumed(self, destination: Destination, task: str) -> None:
        """Count a message that a worker received."""
        self._bound(self._consumed, "process", destination, task).inc()

    def waited(self, destination: Destination, task: str, seconds: float) -> None:
        """Record how long a task that starts has waited.

        The clocks of two hosts differ: a wait is at least 0.
        """
        self._bound(self._wait, None, destination, task).record(max(0.0, seconds))

    def processed(
        self,
        destination: Destination,
        task: str,
        seconds: float,
        state: str,
        error: object,
    ) -> None:
        """Record a task that has ended in *state* after *seconds*."""
        ended = destination, task, state, _kind(error)
        self._bound(self._duration, "process", *ended).record(seconds)

    def failed(self, destination: Destination, task: str, error: object) -> None:
        """Count a task that has failed for good."""
        self._bound(self._failures, None, destination, task, None, _kind(error)).inc()

    def retried(self, destination: Destination, task: str, error: object) -> None:
        """Count a task that will run again, because of *error* if that is one."""
        self._bound(self._retries, None, destination, task, None, _kind(error)).inc()

    def observe_worker(
        self,
        name: str,
        active: Callable[[], Observed],
        prefetched: Callable[[], Observed],
    ) -> None:
        """Observe how many tasks the worker *name* runs, and has waiting."""
        for function, what, description in (
            (active, "active_tasks", "Tasks that the worker runs"),
            (prefetched, "prefetched_tasks", "Tasks that wait inside of the worker"),
        ):
            self._meter.observe(
                f"{self._engine}.worker.{what}",
                unit="{task}",
                description=description,
                dimensions={f"{self._engine}.worker.name": name},
            )(function)
            self._observed.append(function)

    def unobserve_worker(self) -> None:
        """End all that ``observe_worker()`` began."""
        for function in self._observed:
            self._meter.unobserve(function)
        self._observed.clear()

    def safely(self, call: Callable[..., object], *args: object) -> None:
        """Call *call* with *args*; count a task that could not be described."""
        call_safely(
            call,
            *args,
            default=None,
            on_error=lambda _: self._duration.reject(INVALID_TASK),
        )

    def _bind(
        self,
        instrument: Counter | Summary,
        operation: str | None,
        destination: Destination,
        task: str,
        state: str | None = None,
        error: str | None = None,
    ) -> Any:  # noqa: ANN401 -- of the instrument's own kind
        dimensions = {
            "messaging.system": destination.system,
            "messaging.operation.name": operation,
            "messaging.destination.name": destination.queue,
            f"{self._engine}.task.name": task,
            f"{self._engine}.task.state": state,
            "error.type": error,
        }
        return instrument.bind(**dimensions)


def _kind(error: object) -> str | None:
    # An engine may pass a text, or nothing.
    return error_type(error) if isinstance(error, BaseException) else None
