"""How a process's life is followed: its end, and the children it forks.

No single hook sees every end and every fork. Which one does, measured on CPython
3.9 to 3.13 and uWSGI 2.0.30:

- ``atexit``: programs, spawned children, children of ``os.fork()``, uWSGI's workers;
- ``Finalize`` of multiprocessing: its children that were forked, by itself or by its
  server (their ``atexit`` never runs before 3.13, and then without what they inherit);
- ``os.register_at_fork``: every fork but uWSGI's, of which ``uwsgi.post_fork_hook``
  tells.

So they overlap, and what they call may be called twice.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from typing import Any

from dtmetrics._runtime.signals import let_go

__all__ = ["Lifetime"]

# Before multiprocessing joins its queues' threads and its children (0 and less).
_EARLY = 100


class Lifetime:
    """Calls *end* when a process ends, and *begin* in each child, once it is forked."""

    def __init__(self, begin: Callable[[], object], end: Callable[[], object]) -> None:
        self._begin = begin
        self._end = end
        #: The process that is followed; 0: none yet.
        self._pid = 0
        self._known: set[str] = set()

    def follow(self) -> None:
        """Follow this process and its children from now on. Again it does nothing.

        Again it looks for what has been imported in the meantime.
        """
        if not self._pid:
            self._pid = os.getpid()
            atexit.register(self._end)
            if hasattr(os, "register_at_fork"):
                os.register_at_fork(after_in_child=self._forked)
        self._follow_multiprocessing()
        self._follow_uwsgi()

    def settled(self) -> bool:
        """Whether a thread may be started: not before uWSGI has forked its workers.

        It forks without the interpreter's lock. A thread of the master's that has it
        just then takes it from the worker for ever: 1 of 20 starts hung, at 10 flushes
        a second, and none of 120 without a thread.
        """
        uwsgi: Any = sys.modules.get("uwsgi")
        if uwsgi is None or uwsgi.worker_id():
            return True
        return uwsgi.masterpid() not in (0, os.getpid())  # a mule, or the spooler

    def _forked(self) -> None:
        """In a child. uWSGI may tell of it by two hooks."""
        if self._pid == os.getpid():
            return
        self._pid = os.getpid()
        self._begin()
        self._follow_multiprocessing()

    def _follow_multiprocessing(self) -> None:
        # Not imported here: 30 ms. Who forks by it, has it by the time of the fork.
        util = sys.modules.get("multiprocessing.util")
        if util is None or "multiprocessing" in self._known:
            return
        self._known.add("multiprocessing")
        # A child forgets its parent's finalizers, and then calls what is registered
        # here. A child that configures later than that is in it already.
        util.register_after_fork(self, Lifetime._begin_as_child)
        if sys.modules["multiprocessing.process"].parent_process() is not None:
            self._finalize()

    def _begin_as_child(self) -> None:
        let_go()
        self._finalize()

    def _finalize(self) -> None:
        util = sys.modules["multiprocessing.util"]
        util.Finalize(None, self._end, exitpriority=_EARLY)

    def _follow_uwsgi(self) -> None:
        # The server puts it there: it can be imported nowhere else.
        uwsgi: Any = sys.modules.get("uwsgi")
        if uwsgi is None or "uwsgi" in self._known:
            return
        self._known.add("uwsgi")
        _chain(uwsgi, "post_fork_hook", self._forked)
        _chain(uwsgi, "atexit", self._end)


def _chain(module: Any, name: str, call: Callable[[], object]) -> None:
    """Make *module* call *call*, and after it what it would have called."""
    earlier = getattr(module, name, None)

    def both() -> None:
        call()
        if earlier is not None:
            earlier()

    setattr(module, name, both)
