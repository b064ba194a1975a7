"""Delivers before a process ends in a way that calls no exit handler.

``os._exit()`` ends the workers of many engines: of Celery's prefork pool, the work
horses of RQ, the tasks of Airflow, the workers of PySpark. ``os.exec*()`` replaces the
process: huey and older reloaders restart by it. Both are functions of Python, which are
wrapped; what ends a process without them, such as SIGKILL, cannot be followed.
"""

from __future__ import annotations

import mmap
import os
import signal
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial, wraps
from time import monotonic

from dtmetrics._deliver.at_once import at_once
from dtmetrics._runtime.process_hooks import END_SECONDS
from dtmetrics._runtime.task_ends import TaskEnds

__all__ = ["ProcessEnds"]

# How long no process waits after one has waited in vain.
_GIVEN_UP_SECONDS = 60.0

_calls: dict[str, list[Callable[[], object]]] = {}


class ProcessEnds:
    """Calls *shutdown* before ``os._exit()``, and *flush* where the process may go on.

    Both get the seconds that they may take. They are called if *is_due*, with the name
    of the end, returns True.
    """

    def __init__(
        self,
        is_due: Callable[[str], bool],
        *,
        flush: Callable[[float], bool],
        shutdown: Callable[[float], bool],
    ) -> None:
        self._is_due = is_due
        self._flush = flush
        self._shutdown = shutdown
        self._last = _LastDelivery()
        self._tasks = TaskEnds(partial(self._deliver, "task", flush))

    def install(self) -> None:
        """Follow the functions of ``os``. The others of the family call these."""
        _call_before("_exit", partial(self._deliver, "_exit", self._shutdown))
        for name in ("execv", "execve"):
            _call_before(name, partial(self._deliver, name, self._flush))

    def follow_engines(self) -> None:
        """Follow the engines that are loaded by now; a second call does nothing."""
        self._tasks.follow()
        # billiard (4.2) sleeps for a second before it calls os._exit(). Meanwhile the
        # parent may end the worker by another SIGTERM, for which billiard has removed
        # its handler. Celery's signal comes before.
        signals = sys.modules.get("celery.signals")
        if signals is not None:
            signals.worker_process_shutdown.connect(
                self._end_of_celery_worker, weak=False, dispatch_uid="dtmetrics"
            )

    def _end_of_celery_worker(self, **_: object) -> None:
        # The second SIGTERM must wait. Without it the process ends as well.
        earlier = signal.signal(signal.SIGTERM, signal.SIG_IGN)
        try:
            self._deliver("worker_process_shutdown", self._flush)
        finally:
            signal.signal(signal.SIGTERM, earlier)

    def _deliver(self, end: str, call: Callable[[float], bool]) -> None:
        if self._is_due(end):
            self._last.deliver(call)


def _call_before(name: str, call: Callable[[], object]) -> None:
    """Have *call* called before each call of the function *name* of ``os``."""
    if name not in _calls:
        _calls[name] = []
        setattr(os, name, _wrapped(getattr(os, name), _calls[name]))
    _calls[name].append(call)


def _wrapped(
    original: Callable[..., object], calls: list[Callable[[], object]]
) -> Callable[..., object]:
    @wraps(original)
    def call_first(*args: object, **kwargs: object) -> object:
        for call in list(calls):
            # The process ends in any case, also when Ctrl-C interrupts the wait.
            with suppress(BaseException):
                call()
        return original(*args, **kwargs)

    return call_first


class _LastDelivery:
    """Delivers before the end of a process, in at most `END_SECONDS`.

    The time of an endpoint that does not answer is shared by all processes that are
    forked from this one. While it is given up no process waits: with one process for
    each job, every job would.
    """

    def __init__(self) -> None:
        # Shared with forked children; a float is written in one piece.
        self._memory = mmap.mmap(-1, struct.calcsize("d"))

    @property
    def given_up_until(self) -> float:
        """The end of the time in which no process waits, by the monotonic clock."""
        (moment,) = struct.unpack_from("d", self._memory)
        return float(moment)

    @given_up_until.setter
    def given_up_until(self, moment: float) -> None:
        struct.pack_into("d", self._memory, 0, moment)

    def deliver(self, call: Callable[[float], bool]) -> None:
        """Make *call* with the seconds that it may take: 0 while that is given up."""
        begin = monotonic()
        if begin < self.given_up_until:
            at_once([lambda _: call(0.0)], END_SECONDS)
            return
        if self.given_up_until:  # this process tries again, and no other one
            self.given_up_until = begin + _GIVEN_UP_SECONDS
        if at_once([call], END_SECONDS):
            self.given_up_until = 0.0
        elif monotonic() - begin >= END_SECONDS:
            self.given_up_until = monotonic() + _GIVEN_UP_SECONDS
