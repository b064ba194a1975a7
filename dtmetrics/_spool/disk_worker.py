"""DiskWorker: done one at a time, and waited for, but not for ever.

A disk may stand still: frozen for a snapshot, or a network's that is gone. What is
asked of it then neither fails nor returns, and no timeout reaches it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from dtmetrics._core.safe_call import call_safely
from dtmetrics._core.try_lock import TryLock

__all__ = ["DiskWorker"]

T = TypeVar("T")

# More than a disk takes that is busy, and as long as an attempt at a OneAgent.
_SECONDS = 5.0


class DiskWorker:
    """Each is done in a thread of its own, if there is one to be had.

    Who takes too long is left behind, and until he is back nothing else is done.
    """

    def __init__(self) -> None:
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """In a forked child: the threads are the parent's."""
        self._lock = TryLock()
        self._left: threading.Thread | None = None
        #: How many took too long.
        self.late = 0

    def do(self, call: Callable[[], T], default: T) -> T:
        """Return what *call* returns; *default* if it fails or takes too long."""
        with self._lock.acquire(_SECONDS) as acquired:
            # Asked when it is our turn: it may have ended with somebody left behind.
            if not acquired or (self._left is not None and self._left.is_alive()):
                return default
            return self._do(call, default)

    def _do(self, call: Callable[[], T], default: T) -> T:
        results: list[T] = []

        def errand() -> None:
            results.append(call_safely(call, default=default))

        thread = threading.Thread(target=errand, name="dtmetrics-spool", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # At interpreter exit, in some subinterpreters, or the system has none left.
            errand()
            return results[0]
        try:
            thread.join(_SECONDS)
        finally:
            # Also where an interrupt has ended the waiting.
            self._left = thread if thread.is_alive() else None
        if self._left is not None:
            self.late += 1
        return results[0] if results else default
