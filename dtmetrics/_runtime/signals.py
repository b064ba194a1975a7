"""Delays the signals that end a process until what was recorded has been sent.

A signal handler runs in the middle of what the main thread does, possibly of a flush.
It can neither flush nor wait for a thread that does, because that thread may need a
lock that the main thread holds. The handler therefore starts a thread and returns. The
thread flushes, restores the earlier handler, and raises the signal again.
"""

from __future__ import annotations

import _thread
import os
import signal
from collections.abc import Callable
from threading import Thread, main_thread
from types import FrameType

__all__ = ["install_handlers", "restore_handlers"]

# Seconds by which flush and shutdown may exceed their timeout: to acquire a lock, to
# write a log record.
_GRACE_SECONDS = 0.25

_SIGNALS = signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)

# Event loops are notified through the signal wakeup file descriptor, whichever handler
# is installed. Raising the signal again would notify them twice.
_EVENT_LOOPS = ("asyncio", "uvloop")

# uvicorn raises the signal again once it has stopped, and then returns: the process
# would exit with a status of 0 before the thread has raised it.
_RAISE_AT_THE_END = ("uvicorn.server",)

# What signal.signal() takes and signal.getsignal() returns.
_Handler = Callable[[int, "FrameType | None"], object] | int | None


def install_handlers(
    *,
    flush: Callable[[float], object],
    shutdown: Callable[[float], object],
    timeout: float,
) -> None:
    """Delay signals until *shutdown* or *flush* returns, at most *timeout* seconds.

    Then they take the effect that they have now. A SIGTERM or SIGHUP that ends the
    process waits for *shutdown*, and a SIGTERM that the program handles for *flush*. A
    SIGHUP that the program handles is left alone, because it does not end the program.

    Raises ValueError in any thread but the main one.
    """
    for signum in _SIGNALS:
        earlier = signal.getsignal(signum)
        if earlier is signal.SIG_DFL:
            signal.signal(signum, _DelayingHandler(earlier, shutdown, timeout))
        elif signum == signal.SIGTERM and _is_of_the_program(earlier):
            signal.signal(signum, _DelayingHandler(earlier, flush, timeout))


def restore_handlers() -> None:
    """Restore the earlier handlers, in a child of multiprocessing.

    ``Pool.terminate()`` sends each child one SIGTERM and waits for its end. If the
    signal arrives just before the child waits for its next task, Python calls the
    handler only after that task, and both wait forever: 1 of 16 pools in a program
    that did nothing else.
    """
    for signum in _SIGNALS:
        handler = signal.getsignal(signum)
        if isinstance(handler, _DelayingHandler):
            signal.signal(signum, handler.earlier)


def _is_of_the_program(handler: _Handler) -> bool:
    # Not callable: the signal is ignored, or its handler was not installed by Python.
    if not callable(handler) or isinstance(handler, _DelayingHandler):
        return False
    module = getattr(handler, "__module__", None) or ""
    return module.partition(".")[0] not in _EVENT_LOOPS


class _DelayingHandler:
    """A handler for one signal. The next one takes its earlier effect at once."""

    def __init__(
        self, earlier: _Handler, work: Callable[[float], object], timeout: float
    ) -> None:
        self.earlier = earlier
        self._work = work
        self._timeout = timeout

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        signal.signal(signum, self.earlier)
        if _is_raised_at_the_end(frame):
            self._work_and_raise(signum)
            return
        try:
            # Not threading.Thread: the interrupted code may hold its internal lock.
            _thread.start_new_thread(self._work_and_raise, (signum,))
        except RuntimeError:  # the system allows no more threads
            self._work(self._timeout)
            _raise_again(signum)

    def _work_and_raise(self, signum: int) -> None:
        # In one more thread, because a callback of the program may hang in it.
        worker = Thread(target=self._work, args=(self._timeout,), daemon=True)
        try:
            worker.start()
            worker.join(self._timeout + _GRACE_SECONDS)
        except RuntimeError:
            self._work(self._timeout)
        _raise_again(signum)


def _is_raised_at_the_end(frame: FrameType | None) -> bool:
    # The main thread holds no lock there, and may wait.
    return frame is not None and frame.f_globals.get("__name__") in _RAISE_AT_THE_END


def _raise_again(signum: int) -> None:
    # Once the main thread has ended, the process is exiting with a status of its own.
    if main_thread().is_alive():
        os.kill(os.getpid(), signum)
