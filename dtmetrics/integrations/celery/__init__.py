"""Metrics of the tasks that an application sends and runs with Celery.

>>> from celery import Celery
>>> from dtmetrics.integrations.celery import instrument_celery, uninstrument_celery
>>> app = Celery("shop", broker="redis://localhost")
>>> instrument_celery(app)
>>> uninstrument_celery()
"""

from __future__ import annotations

from threading import Lock

from celery import Celery

from dtmetrics._instrument.task_queue import TaskInstruments
from dtmetrics._record.meter import Meter
from dtmetrics._runtime.runtime import default
from dtmetrics.integrations.celery import messages, tasks, workers
from dtmetrics.integrations.celery.applications import instrumented
from dtmetrics.integrations.celery.hooks import Hooks

__all__ = ["instrument_celery", "uninstrument_celery"]

_lock = Lock()
_hooks = Hooks(
    messages.recording_sends,
    before_task_publish=messages.begun,
    task_received=workers.received,
    task_prerun=tasks.began,
    task_postrun=tasks.ended,
    task_failure=workers.failed,
    task_retry=tasks.retried,
    worker_init=workers.began,
    worker_shutdown=workers.ended,
)


def instrument_celery(app: Celery | None = None, *, meter: Meter | None = None) -> None:
    """Record the tasks that *app* sends and runs, or those of all applications.

    The end of a task is recorded as ``messaging.process.duration``, in seconds, with
    its state and its error. Messages are counted as ``messaging.client.sent.messages``
    and ``messaging.client.consumed.messages``. These are OpenTelemetry's names
    (https://opentelemetry.io/docs/specs/semconv/messaging/messaging-metrics/), which
    has none for the others: ``celery.task.wait.duration``, from the sending of a task,
    or from its ETA, to its start; ``celery.task.retries``; ``celery.task.failures``;
    and of each worker the gauges ``celery.worker.active_tasks`` and
    ``celery.worker.prefetched_tasks``.

    Call it where the application is made, so that clients, workers and the processes of
    workers have it. A message gets the header ``dtmetrics-sent-at``. A second call does
    nothing.

    Args:
        app (Celery | None): The application. Default: all that exist or will exist.
        meter (Meter | None): The meter that records. Default:
            ``get_meter("dtmetrics.integrations.celery")``.

    Raises:
        TypeError: *app* is not a Celery application.

    >>> from celery import Celery
    >>> from dtmetrics.integrations.celery import instrument_celery, uninstrument_celery
    >>> app = Celery("shop", broker="redis://localhost")
    >>> instrument_celery(app)
    >>> uninstrument_celery()
    """
    if app is not None and not isinstance(app, Celery):
        raise TypeError(
            f"app must be a Celery application, got an object of {type(app).__name__}"
        )
    with _lock:
        if app not in instrumented:
            meter = meter or default.get_meter(__name__)
            instrumented.add(app, TaskInstruments(meter, "celery"))
        _hooks.install()


def uninstrument_celery() -> None:
    """Stop recording tasks, of all applications, and restore Celery's own method.

    Without ``instrument_celery()`` it does nothing.

    >>> from dtmetrics.integrations.celery import uninstrument_celery
    >>> uninstrument_celery()
    """
    with _lock:
        instrumented.clear()
        _hooks.remove()
