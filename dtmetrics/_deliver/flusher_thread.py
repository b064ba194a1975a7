"""FlusherThread: a daemon thread that can be started late, and ended."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import Context

__all__ = ["FlusherThread", "join_until"]

# How long no record tries to start a thread after the system had none: a try takes
# 10 us.
_NO_THREAD_SECONDS = 30.0

# How soon Ctrl-C ends waiting for a thread.
_JOIN_SECONDS = 0.5


class FlusherThread:
    """A daemon thread *name* that runs *run* until ``stop`` is set."""

    def __init__(
        self,
        run: Callable[[], object],
        *,
        monotonic: Callable[[], float],
        event: Callable[[], threading.Event],
        name: str = "dtmetrics-flusher",
    ) -> None:
        self._run = run
        self._name = name
        self._monotonic = monotonic
        self._event = event
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Have no thread in a forked child."""
        self.stop = self._event()
        self.thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._retry_at = 0.0

    def start(self) -> bool:
        """Start the thread unless it runs; return whether it does."""
        if self.thread is not None:
            return True
        if self._monotonic() < self._retry_at:
            return False
        # The second caller, perhaps a signal handler of the first, need not wait.
        if not self._starting.acquire(blocking=False):
            return False
        try:
            if self.thread is None:
                thread = threading.Thread(
                    target=self._run, name=self._name, daemon=True
                )
                # In an empty context: Sentry, OpenTelemetry and CPython 3.14t hand that
                # of the request that records first to the thread.
                Context().run(thread.start)
                self.thread = thread
        except RuntimeError:
            # At interpreter exit, in some subinterpreters, and when the system has no
            # thread left.
            self._retry_at = self._monotonic() + _NO_THREAD_SECONDS
            return False
        finally:
            self._starting.release()
        return True

    def end(self, deadline: float) -> bool:
        """Stop the thread and wait for it; False: no other thread was running."""
        self.stop.set()
        thread = self.thread
        # uWSGI ends a process in the thread that gets its signal, perhaps in this one.
        here = thread is not None and thread.ident == threading.get_ident()
        if thread is None or here or not thread.is_alive():
            return False
        join_until(thread, deadline, self._monotonic)
        return True


def join_until(
    thread: threading.Thread, deadline: float, monotonic: Callable[[], float]
) -> None:
    """Wait for the end of *thread*, until *deadline* by the clock *monotonic*."""
    # Piece by piece: a signal that comes just before a wait does not end it.
    while thread.is_alive() and (left := deadline - monotonic()) > 0:
        thread.join(min(left, _JOIN_SECONDS))
