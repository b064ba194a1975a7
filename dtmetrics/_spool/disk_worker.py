"""DiskWorker: runs disk operations one at a time, each with a timeout.

A disk may stop answering: a file system frozen for a snapshot, or a lost network
volume. A system call on it then neither fails nor returns, and Python cannot interrupt
it. Only the thread that made the call has to wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from dtmetrics._core.safe_call import call_safely
from dtmetrics._core.try_lock import TryLock

__all__ = ["DiskWorker"]

T = TypeVar("T")

# A busy disk answers sooner. An export to a OneAgent may take as long.
_TIMEOUT_SECONDS = 5.0


class DiskWorker:
    """Runs each operation in a thread of its own, if a thread can be started.

    An operation that exceeds the timeout is left running. Until it returns, every
    other operation is skipped, so that at most one thread is stuck.
    """

    def __init__(self) -> None:
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """In a forked child: forget the parent's thread."""
        self._lock = TryLock()
        self._thread: threading.Thread | None = None
        #: How many operations exceeded the timeout.
        self.timeouts = 0

    def run(self, operation: Callable[[], T], *, default: T) -> T:
        """Return the result of *operation*, or *default* if it fails or is skipped."""
        with self._lock.acquire(_TIMEOUT_SECONDS) as acquired:
            # Checked under the lock: the operation waited for may have got stuck.
            if not acquired or (self._thread and self._thread.is_alive()):
                return default
            return self._run_in_thread(operation, default)

    def _run_in_thread(self, operation: Callable[[], T], default: T) -> T:
        results: list[T] = []

        def target() -> None:
            results.append(call_safely(operation, default=default))

        thread = threading.Thread(target=target, name="dtmetrics-spool", daemon=True)
        self._thread = thread
        try:
            thread.start()
        except RuntimeError:
            # No thread at interpreter exit, in some subinterpreters, or at the limit.
            target()
            return results[0]
        thread.join(_TIMEOUT_SECONDS)
        self.timeouts += thread.is_alive()
        return results[0] if results else default
