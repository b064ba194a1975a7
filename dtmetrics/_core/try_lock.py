"""Taking turns: one thread at a time, and no thread twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["TryLock"]


class TryLock:
    """Lets one thread in at a time, and turns away a thread that is in already.

    Whoever is in may be interrupted by a signal handler, or call foreign code, that
    wants in as well. It would wait for itself, so it is turned away at once.
    """

    __slots__ = ("_inside", "_locks")

    def __init__(self) -> None:
        # Made by whoever comes first, as late as can be: gevent and eventlet replace
        # threads by tasks of one thread, which a lock from before would stop all.
        self._locks: dict[str, threading.Lock] = {}
        self._inside: set[int] = set()

    @property
    def held(self) -> bool:
        """Whether the thread that asks is in, or waits to be."""
        return threading.get_ident() in self._inside

    @contextmanager
    def acquire(self, timeout: float) -> Iterator[bool]:
        """Go in, after at most *timeout* seconds; yields whether that worked."""
        # BoundedCache by name: a fork inside replaces the whole turn in the child.
        lock = self._locks.setdefault("lock", threading.Lock())
        inside, me = self._inside, threading.get_ident()
        if me in inside:
            yield False
            return
        # A negative timeout would wait for ever, one too large raise.
        seconds = min(max(0.0, timeout), threading.TIMEOUT_MAX)
        taken: list[bool] = []
        try:
            # Before the lock: a signal handler may run as soon as it is acquired.
            inside.add(me)
            # Asked and noted in one step of C: a handler that raises between two
            # would leave the lock locked for ever.
            taken.extend(map(lock.acquire, (True,), (seconds,)))
            yield taken[0]
        finally:
            try:
                if True in taken:
                    lock.release()
            finally:
                inside.discard(me)
