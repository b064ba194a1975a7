"""A lock that a thread cannot wait for while it holds it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["TryLock"]


class TryLock:
    """A lock with a timeout, which refuses at once a thread that already holds it.

    The thread that holds it may run a signal handler, or call a user's code, that
    acquires it again. With an ordinary lock that thread would wait for itself; with a
    re-entrant one it would enter a section that it is in the middle of.

    >>> lock = TryLock()
    >>> with lock.acquire(1.0) as acquired, lock.acquire(1.0) as again:
    ...     acquired, again
    (True, False)
    """

    __slots__ = ("_holders", "_locks")

    def __init__(self) -> None:
        # Made when it is first acquired: gevent and eventlet replace threads by tasks
        # of one thread, and a lock made before that would block all of them.
        self._locks: dict[str, threading.Lock] = {}
        self._holders: set[int] = set()

    @property
    def held(self) -> bool:
        """Whether the calling thread holds the lock, or waits for it."""
        return threading.get_ident() in self._holders

    @contextmanager
    def acquire(self, timeout: float) -> Iterator[bool]:
        """Acquire the lock for a block; yield whether that worked.

        It fails after *timeout* seconds, and at once in a thread that holds the lock.
        """
        # A local variable: a fork inside the block replaces this object in the child.
        lock = self._locks.setdefault("lock", threading.Lock())
        holders, thread = self._holders, threading.get_ident()
        if thread in holders:
            yield False
            return
        # A negative timeout would wait forever, and a longer one would raise.
        seconds = min(max(0.0, timeout), threading.TIMEOUT_MAX)
        taken: list[bool] = []
        try:
            # Before the lock: a signal handler may run as soon as it is acquired.
            holders.add(thread)
            # The result is stored in the same C call that acquires. A handler that
            # raised between the two would leave the lock held forever.
            taken.extend(map(lock.acquire, (True,), (seconds,)))
            yield taken[0]
        finally:
            try:
                if True in taken:
                    lock.release()
            finally:
                holders.discard(thread)
