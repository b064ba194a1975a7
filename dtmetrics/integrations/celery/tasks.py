"""Tasks, in the process that runs them; the task is the sender of its signals.

What belongs to one execution is stored on its request, because executions may be
nested, and run in threads and green threads.
"""

from __future__ import annotations

import sys
from time import perf_counter, time
from typing import Any

from celery import states
from celery.exceptions import Retry
from celery.utils.time import maybe_iso8601, maybe_make_aware

from dtmetrics._instrument.task_queue import NOWHERE, Destination, TaskInstruments
from dtmetrics.integrations.celery.applications import (
    destination,
    record,
)
from dtmetrics.integrations.celery.messages import SENT_AT

__all__ = ["START", "began", "destination_of", "ended", "retried"]

#: The attribute of a request with its destination, and the moment when its task began.
START = "_dtmetrics_start"

# This task of Celery's waits for the tasks of a chord by retrying itself each second,
# where the backend of results does not count them.
_WAITS_BY_RETRIES = "celery.chord_unlock"

# Celery has no types.
Task = Any
Request = Any


def began(sender: Task, **_: object) -> None:
    """Follow ``task_prerun``."""
    record(sender.app, _begin, sender)


def _begin(instruments: TaskInstruments, task: Task) -> None:
    request = task.request
    where = destination_of(task, request)
    sent_at = (request.headers or {}).get(SENT_AT)
    if sent_at is not None and where is not NOWHERE:
        ready_at = float(sent_at)
        if request.eta:
            eta = maybe_make_aware(maybe_iso8601(request.eta), task.app.timezone)
            ready_at = max(ready_at, eta.timestamp())
        instruments.waited(where, task.name, time() - ready_at)
    request.__dict__[START] = where, perf_counter()


def ended(
    sender: Task, retval: object = None, state: str | None = None, **_: object
) -> None:
    """Follow ``task_postrun``."""
    # Without a state an exception leaves the task: an eager one propagates it, or it is
    # a SystemExit or the like.
    result = sys.exc_info()[1] if state is None else retval
    record(sender.app, _end, sender, state, result)


def _end(
    instruments: TaskInstruments,
    task: Task,
    state: str | None,
    result: Any,  # noqa: ANN401 -- an exception, or what the task returned
) -> None:
    request = task.request
    if START not in request.__dict__:  # it began before instrument_celery()
        return
    where, start = request.__dict__.pop(START)
    took = perf_counter() - start
    # Of a task without a state the worker signals the failure later, with its cause.
    is_counted = state is not None or where is NOWHERE
    if state is None:
        state = states.RETRY if isinstance(result, Retry) else states.FAILURE
    error = None
    if state == states.FAILURE:
        error = result
    elif state == states.RETRY:
        error = result.exc
    instruments.processed(where, task.name, took, state, error)
    if state == states.FAILURE and is_counted:
        instruments.failed(where, task.name, error)


def retried(sender: Task, request: Request, reason: object = None, **_: object) -> None:
    """Follow ``task_retry``."""
    if sender.name != _WAITS_BY_RETRIES:
        record(sender.app, _retry, sender, request, reason)


def _retry(
    instruments: TaskInstruments, task: Task, request: Request, reason: object
) -> None:
    error = getattr(reason, "exc", None)
    instruments.retried(destination_of(task, request), task.name, error)


def destination_of(task: Task, request: Request) -> Destination:
    """Return where the message of a task came from."""
    if request.is_eager:
        return NOWHERE
    return destination(task.app, request.delivery_info)
