"""Metrics of the jobs that an application enqueues and runs with RQ.

>>> from dtmetrics.integrations.rq import instrument_rq, uninstrument_rq
>>> instrument_rq()
>>> uninstrument_rq()
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from time import perf_counter
from typing import Any

from rq import Queue, SimpleWorker, Worker
from rq.exceptions import AbandonedJobError

from dtmetrics._instrument.patches import Method, Patches, Target
from dtmetrics._instrument.task_queue import Destination, TaskInstruments
from dtmetrics._record.gauge import RunningCalls
from dtmetrics._record.meter import Meter
from dtmetrics._runtime.runtime import default

__all__ = ["instrument_rq", "uninstrument_rq"]

# Types differ from version to version.
AnyWorker = Any
Job = Any


def instrument_rq(*, meter: Meter | None = None) -> None:
    """Record each job that this process enqueues or runs, of all queues and workers.

    The end of a job is recorded as ``messaging.process.duration``, in seconds, with its
    state and its error. Messages are counted as ``messaging.client.sent.messages`` and
    ``messaging.client.consumed.messages``. These are OpenTelemetry's names
    (https://opentelemetry.io/docs/specs/semconv/messaging/messaging-metrics/), which
    has none for the others: ``rq.task.wait.duration``, from the moment when a job was
    put in its queue to its start; ``rq.task.retries``; ``rq.task.failures``; and the
    gauge ``rq.worker.active_tasks``, of workers that are configured themselves.

    Call it in the module of the jobs, or in that of the worker's settings
    (``rq worker -c``). A second call does nothing.

    Args:
        meter (Meter | None): The meter that records. Default:
            ``get_meter("dtmetrics.integrations.rq")``.

    >>> from dtmetrics.integrations.rq import instrument_rq, uninstrument_rq
    >>> instrument_rq()
    >>> uninstrument_rq()
    """
    _patches.apply(meter or default.get_meter(__name__))


def uninstrument_rq() -> None:
    """Stop recording jobs, and restore RQ's own methods.

    Without ``instrument_rq()`` it does nothing.

    >>> from dtmetrics.integrations.rq import uninstrument_rq
    >>> uninstrument_rq()
    """
    _patches.remove()


class _Recorder:
    """Records jobs at their ends, when RQ has noted all that came before.

    The process of a job may import the module of the jobs, and so this one, only when
    the job has begun.
    """

    def __init__(self, meter: Meter) -> None:
        #: False once uninstrumented: another library may still call a wrapper.
        self.active = True
        self._instruments = TaskInstruments(meter, "rq")
        gauge = meter.gauge(
            "rq.worker.active_tasks",
            unit="{task}",
            description="Jobs that the worker runs",
        )
        self.running = RunningCalls(gauge.bind(**{"messaging.system": "rq"}))

    def enabled(self) -> bool:
        """Return whether to record."""
        return self.active and self._instruments.enabled()

    def sent(self, job: Job, queue: str, error: Exception | None = None) -> None:
        """Count *job*, which was put in *queue*, or could not be because of *error*."""
        self._instruments.safely(self._sent, job, queue, error)

    def _sent(self, job: Job, queue: str, error: Exception | None) -> None:
        self._instruments.sent(Destination("rq", queue), job.func_name, error)

    def ended(
        self, job: Job, enqueued_at: datetime | None, state: str, error: object = None
    ) -> None:
        """Record the end of *job*, which a worker got after *enqueued_at*."""
        self._instruments.safely(self._ended, job, enqueued_at, state, error)

    def _ended(
        self, job: Job, enqueued_at: datetime | None, state: str, error: object
    ) -> None:
        where, task = Destination("rq", job.origin), job.func_name
        self._instruments.consumed(where, task)
        if enqueued_at is not None:
            waited = _seconds_between(enqueued_at, job.started_at)
            self._instruments.waited(where, task, waited)
        took = _seconds_between(job.started_at, job.ended_at)
        self._end(job, max(0.0, took), state, error)

    def ended_here(
        self, job: Job, seconds: float, state: str, error: object = None
    ) -> None:
        """Record the end of *job*, which a synchronous queue has run for *seconds*."""
        self._instruments.safely(self._end, job, seconds, state, error)

    def _end(self, job: Job, seconds: float, state: str, error: object) -> None:
        where, task = Destination("rq", job.origin), job.func_name
        self._instruments.processed(where, task, seconds, state, error)
        if state == "retried":
            self._instruments.retried(where, task, error)
        elif state == "failed":
            self._instruments.failed(where, task, error)


def _seconds_between(start: datetime, end: datetime) -> float:
    # All are in UTC; in RQ 2.0 only some have a time zone.
    return (end.replace(tzinfo=None) - start.replace(tzinfo=None)).total_seconds()


# -- RQ's methods: each gets the job, by position or by name ---------------------------


def _sending(recorder: _Recorder, enqueue: Method) -> Method:
    def enqueue_job(self: Queue, job: Job, *args: object, **kwargs: object) -> object:
        if not self.is_async:
            return enqueue(self, job, *args, **kwargs)
        try:
            result = enqueue(self, job, *args, **kwargs)
        except Exception as error:
            recorder.sent(job, self.name, error)
            raise
        recorder.sent(job, self.name)
        return result

    return enqueue_job


def _running_here(recorder: _Recorder, run: Method) -> Method:
    def run_job(self: Queue, job: Job) -> object:
        start = perf_counter()
        try:
            result = run(self, job)
        except BaseException as error:
            recorder.ended_here(job, perf_counter() - start, "failed", error)
            raise
        recorder.ended_here(job, perf_counter() - start, "finished")
        return result

    return run_job


def _executing(recorder: _Recorder, execute: Method) -> Method:
    def execute_job(
        self: AnyWorker, job: Job, *args: object, **kwargs: object
    ) -> object:
        token = recorder.running.begin()
        try:
            return execute(self, job, *args, **kwargs)
        finally:
            recorder.running.end(token)

    return execute_job


def _succeeding(recorder: _Recorder, handle: Method) -> Method:
    def handle_job_success(
        self: AnyWorker, job: Job, *args: object, **kwargs: object
    ) -> None:
        enqueued_at = job.enqueued_at  # a job that repeats is enqueued again
        handle(self, job, *args, **kwargs)
        recorder.ended(job, enqueued_at, "finished")

    return handle_job_success


def _failing(recorder: _Recorder, handle: Method) -> Method:
    def handle_job_failure(
        self: AnyWorker, job: Job, *args: object, **kwargs: object
    ) -> None:
        # Without an exception the worker handles it: the process of the job was killed.
        error = sys.exc_info()[1] or AbandonedJobError()
        enqueued_at, retries = job.enqueued_at, job.retries_left
        state = "stopped" if self._stopped_job_id == job.id else "failed"
        try:
            handle(self, job, *args, **kwargs)
        finally:
            if job.retries_left != retries:
                state = "retried"
            recorder.ended(
                job, enqueued_at, state, None if state == "stopped" else error
            )

    return handle_job_failure


def _retrying(recorder: _Recorder, handle: Method) -> Method:
    def handle_job_retry(
        self: AnyWorker, job: Job, *args: object, **kwargs: object
    ) -> None:
        enqueued_at, retries = job.enqueued_at, job.number_of_retries
        handle(self, job, *args, **kwargs)
        again = job.number_of_retries != retries
        recorder.ended(job, enqueued_at, "retried" if again else "failed")

    return handle_job_retry


_METHODS = {
    "_enqueue_job": _sending,
    "_enqueue_rate_limited_job": _sending,
    "run_job": _running_here,
    "execute_job": _executing,
    "handle_job_success": _succeeding,
    "handle_job_failure": _failing,
    "handle_job_retry": _retrying,
}


def _targets() -> Iterator[Target[_Recorder]]:
    """Yield each class of RQ that defines one of the methods, in this version of RQ."""
    classes = dict.fromkeys((Queue, *SimpleWorker.__mro__, *Worker.__mro__))
    for name, make in _METHODS.items():
        for owner in classes:
            if name in vars(owner):
                yield owner, name, partial(_where_enabled, make)


def _where_enabled(
    make: Callable[[_Recorder, Method], Method], recorder: _Recorder, original: Method
) -> Method:
    recording = make(recorder, original)

    def method(*args: object, **kwargs: object) -> object:
        chosen = recording if recorder.enabled() else original
        return chosen(*args, **kwargs)

    return method


_patches = Patches(_Recorder, *_targets())
