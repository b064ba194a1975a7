"""Delivers before a process ends in a way that calls no exit handler.

``os._exit()`` ends the workers of many engines: of Celery's prefork pool, the work
horses of RQ, the tasks of Airflow, the workers of PySpark. ``os.exec*()`` replaces the
process: huey and older reloaders restart by it. Both are functions of Python, which are
wrapped; what ends a process without them, such as SIGKILL, cannot be followed.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial, wraps
from time import monotonic

from dtmetrics._deliver.at_once import at_once
from dtmetrics._runtime.given_up import GivenUp
from dtmetrics._runtime.process_hooks import END_SECONDS
from dtmetrics._runtime.work_horses import WorkHorses

__all__ = ["ProcessEnds"]

_calls: dict[str, list[Callable[[], object]]] = {}


class ProcessEnds:
    """Calls *shutdown* before ``os._exit()``, and *flush* where the process may go on.

    Both get the seconds that they may take. They are called if *is_due*, with the name
    of the end, returns True.
    """

    def __init__(
        self,
        is_due: Callable[[str], bool],
        given_up: GivenUp,
        horses: WorkHorses,
        *,
        flush: Callable[[float], bool],
        shutdown: Callable[[float], bool],
    ) -> None:
        self._is_due = is_due
        self._flush = flush
        self._shutdown = shutdown
        self.horses = horses
        #: Whether the endpoint has answered no process in time.
        self.given_up = given_up

    def install(self) -> None:
        """Follow the functions of ``os``. The others of the family call these."""
        _call_before("_exit", partial(self._deliver, "_exit", self._end))
        for name in ("execv", "execve"):
            _call_before(name, partial(self._deliver, name, self._before_exec))

    def follow_engines(self) -> None:
        """Follow the engines that are loaded by now; a second call does nothing."""
        # billiard (4.2) sleeps for a second before it calls os._exit(). Meanwhile the
        # parent may end the worker by another SIGTERM, for which billiard has removed
        # its handler. Celery's signal comes before.
        signals = sys.modules.get("celery.signals")
        if signals is not None:
            signals.worker_process_shutdown.connect(
                self._end_of_celery_worker, weak=False, dispatch_uid="dtmetrics"
            )
        self.horses.follow()

    def _end_of_celery_worker(self, **_: object) -> None:
        # The second SIGTERM must wait. Without it the process ends as well.
        earlier = signal.signal(signal.SIGTERM, signal.SIG_IGN)
        try:
            self._deliver("worker_process_shutdown", self._flush)
        finally:
            signal.signal(signal.SIGTERM, earlier)

    def _end(self, seconds: float) -> bool:
        return self.horses.hand_over(END_SECONDS) or self._shutdown(seconds)

    def _before_exec(self, seconds: float) -> bool:
        self.horses.relay.close()
        return self._flush(seconds)

    def _deliver(self, end: str, call: Callable[[float], bool]) -> None:
        if not self._is_due(end):
            return
        # Here, because a thread copies 40 more pages of the parent's memory.
        if end == "_exit" and self.horses.hand_over_at_once():
            return
        if not self.given_up.may_wait():
            at_once([lambda _: call(0.0)], END_SECONDS)
            return
        begin = monotonic()
        if at_once([call], END_SECONDS):
            self.given_up.forget()
        elif monotonic() - begin >= END_SECONDS:
            self.given_up.note()


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
