"""What the main process of a worker records: messages, waiting and killed tasks."""

from __future__ import annotations

import os
from collections import deque
from typing import Any

from celery.exceptions import TimeLimitExceeded

from dtmetrics._instrument.task_queue import TaskInstruments
from dtmetrics._record.observable import Observed
from dtmetrics.integrations.celery.applications import (
    destination,
    instrumented,
    record,
)
from dtmetrics.integrations.celery.tasks import START, destination_of

__all__ = ["began", "ended", "failed", "received"]

# Celery has no types.
Worker = Any
Task = Any
Request = Any

# Tasks that have exceeded their time limit: newer versions of Celery signal that again
# when the process has ended (found in 5.7).
_exceeded: deque[str] = deque(maxlen=256)


def received(request: Request, **_: object) -> None:
    """Follow ``task_received``."""
    record(request.app, _receive, request)


def _receive(instruments: TaskInstruments, request: Request) -> None:
    if request.id in _exceeded:  # sent once more
        _exceeded.remove(request.id)
    where = destination(request.app, request.delivery_info)
    instruments.consumed(where, request.task.name)


def failed(
    sender: Task, exception: object = None, task_id: str = "", **_: object
) -> None:
    """Follow ``task_failure``, for what ends a task from outside.

    Such are a time limit, and a process that was killed.
    """
    record(sender.app, _fail, sender, exception, task_id)


def _fail(
    instruments: TaskInstruments, task: Task, error: object, task_id: str
) -> None:
    request = task.request
    if START in request.__dict__:  # inside: the end of the task counts it
        return
    if isinstance(error, TimeLimitExceeded):
        if task_id in _exceeded:
            _exceeded.remove(task_id)
            return
        _exceeded.append(task_id)
    instruments.failed(destination_of(task, request), task.name, error)


def began(sender: Worker, **_: object) -> None:
    """Follow ``worker_init``."""
    record(sender.app, _observe, sender.hostname)


def ended(**_: object) -> None:
    """Follow ``worker_shutdown``."""
    for instruments in instrumented:
        instruments.unobserve_worker()


def _observe(instruments: TaskInstruments, name: str) -> None:
    from celery.worker import state  # noqa: PLC0415 -- clients need not load it

    process = os.getpid()  # not the children that it forks, which have a copy

    def active() -> Observed:
        return len(state.active_requests) if os.getpid() == process else ()

    def prefetched() -> Observed:
        waiting = len(state.reserved_requests) - len(state.active_requests)
        return max(0, waiting) if os.getpid() == process else ()

    instruments.observe_worker(name, active, prefetched)
