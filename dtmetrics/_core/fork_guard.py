"""Blocks that no fork interrupts: forks wait until they have ended.

A forked child has a copy of each lock as it was, and no thread that would release it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock, get_ident

__all__ = ["ForkGuard", "forks_wait"]

# How long a fork waits. What hangs must not block the program.
_FORK_WAIT_SECONDS = 1.0


class ForkGuard:
    """A lock for blocks during which the forks of other threads wait."""

    def __init__(self) -> None:
        self._renew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._acquire_before_fork,
                after_in_parent=self._release_in_parent,
                after_in_child=self._renew,
            )

    @contextmanager
    def forks_wait(self) -> Iterator[None]:
        """Let the forks of other threads wait for the end of the block, at most 1 s."""
        with self._lock:
            yield

    def _renew(self) -> None:
        # A new lock: in a forked child, another thread of the parent may hold the old
        # one. Re-entrant: a signal handler that interrupts the block may fork.
        self._lock = RLock()
        # By thread, whether it acquired the lock before the fork that it is in.
        self._acquired: dict[int, bool] = {}

    def _acquire_before_fork(self) -> None:
        acquired = self._lock.acquire(timeout=_FORK_WAIT_SECONDS)
        self._acquired[get_ident()] = acquired

    def _release_in_parent(self) -> None:
        if self._acquired.pop(get_ident(), False):
            self._lock.release()


#: For loading certificates. OpenSSL holds locks of its own meanwhile, and a child that
#: is forked then hangs in its first use of TLS: 39 of 138 forks while another thread
#: loaded certificates again and again, and none of 1,200 with this guard.
forks_wait = ForkGuard().forks_wait
