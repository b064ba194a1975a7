"""Follows the end of the process, and the children that it forks.

No single hook is called at every exit and every fork. Measured on CPython 3.9 to 3.13
and uWSGI 2.0.30:

- ``atexit``: programs, spawned children, children of ``os.fork()``, workers of uWSGI;
- ``multiprocessing.util.Finalize``: children that multiprocessing or its fork server
  forks (they run ``atexit`` from 3.13 on only, and then without what they inherited);
- ``os.register_at_fork``: every fork except those of uWSGI, which calls
  ``uwsgi.post_fork_hook``.

The hooks overlap, so that what they call may be called twice. `process_ends` has those
that end a process without any of them.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from dtmetrics._runtime.signals import restore_handlers

__all__ = ["END_SECONDS", "ProcessHooks", "outside_uwsgi_master"]

#: How long the end of a worker may wait for the endpoint.
END_SECONDS = 2.0

# multiprocessing joins its queues' threads and its children at 0 and below.
_BEFORE_JOINS = 100


class ProcessHooks:
    """Calls *on_exit* when a process ends, and *on_fork* in each forked child."""

    def __init__(
        self, *, on_fork: Callable[[], object], on_exit: Callable[[], object]
    ) -> None:
        self._on_fork = on_fork
        self._on_exit = on_exit
        #: The process whose hooks are installed, or 0.
        self._pid = 0
        self._installed: set[str] = set()
        self._registered_in = 0

    def install(self) -> None:
        """Install the hooks once; later calls add those of modules imported since."""
        if not self._pid:
            self._pid = os.getpid()
            self.register_at_exit()
            if hasattr(os, "register_at_fork"):
                os.register_at_fork(after_in_child=self._after_fork)
        self._install_multiprocessing()
        self._install_uwsgi()

    def register_at_exit(self) -> None:
        """Have *on_exit* called after the exit handlers that are registered later."""
        if not self._registered_in:
            self._registered_in = os.getpid()
            atexit.register(self._on_exit)

    def begin_recording(self) -> None:
        """Register *on_exit* again, if a forked child has discarded exit handlers.

        Airflow's supervisor discards them in the children that run tasks, and so does
        multiprocessing from CPython 3.13 on.
        """
        if self._registered_in not in (0, os.getpid()):
            self._registered_in = os.getpid()
            if not _is_registered(self._on_exit):
                atexit.register(self._on_exit)

    def _after_fork(self) -> None:
        # A fork may call more than one hook.
        if self._pid == os.getpid():
            return
        self._pid = os.getpid()
        self._on_fork()
        self._install_multiprocessing()

    def _install_multiprocessing(self) -> None:
        # Not imported here, which takes 30 ms: a program that forks with it has
        # imported it by then.
        util = sys.modules.get("multiprocessing.util")
        if util is None or "multiprocessing" in self._installed:
            return
        self._installed.add("multiprocessing")
        # A child discards the finalizers of its parent, and then calls this. A child
        # that calls configure() itself is past that moment.
        util.register_after_fork(self, ProcessHooks._begin_child)
        if sys.modules["multiprocessing.process"].parent_process() is not None:
            self._add_finalizer()

    def _begin_child(self) -> None:
        restore_handlers()
        self._add_finalizer()

    def _add_finalizer(self) -> None:
        util = sys.modules["multiprocessing.util"]
        util.Finalize(None, self._on_exit, exitpriority=_BEFORE_JOINS)

    def _install_uwsgi(self) -> None:
        # The server adds this module to sys.modules; it is not a file.
        uwsgi = sys.modules.get("uwsgi")
        if uwsgi is None or "uwsgi" in self._installed:
            return
        self._installed.add("uwsgi")
        _call_before(uwsgi, "post_fork_hook", self._after_fork)
        _call_before(uwsgi, "atexit", self._on_exit)


def _is_registered(call: Callable[[], object]) -> bool:
    """Return whether *call* is an exit handler.

    atexit compares each handler with what it shall unregister.
    """
    seen: list[object] = []

    class Watch:
        """Is equal to no handler."""

        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            seen.append(other)
            return False

    atexit.unregister(Watch())  # type: ignore[arg-type]
    return call in seen


def outside_uwsgi_master(start: Callable[[], bool]) -> Callable[[], bool]:
    """Return *start*, which returns False instead of a start in uWSGI's master.

    uWSGI forks without holding the interpreter's lock. If a thread of the master holds
    it at that moment, the worker never gets it: 1 of 20 starts hung with a thread that
    flushed 10 times a second, and none of 120 without a thread.

    uWSGI's handlers of signals end a worker in whichever thread gets the signal. In a
    thread that sends, the exit hook could not send what it sends. So the threads that
    are started get none: a thread inherits the signals that its creator blocks.
    """
    uwsgi: Any = sys.modules.get("uwsgi")
    if uwsgi is None:
        return start
    ends = signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM

    def start_in_worker() -> bool:
        # Other than a worker, only a mule and the spooler have a master that is
        # another process.
        if uwsgi.worker_id() or uwsgi.masterpid() not in (0, os.getpid()):
            earlier = signal.pthread_sigmask(signal.SIG_BLOCK, ends)
            try:
                return start()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, earlier)
        return False

    return start_in_worker


def _call_before(module: ModuleType, name: str, call: Callable[[], object]) -> None:
    """Make *module* call *call*, and then the hook *name* that it had."""
    earlier = getattr(module, name, None)

    def both() -> None:
        call()
        if earlier is not None:
            earlier()

    setattr(module, name, both)
