"""Signals that end a process, put off until what was recorded has been sent.

A handler runs in the middle of whatever the main thread does, perhaps of a flush: it
can neither flush by itself nor wait for somebody who does, whose turn may never come
while the main thread stands still. So it only starts a thread, and the main thread
goes on. The thread flushes, and raises the signal once more.
"""

from __future__ import annotations

import _thread
import os
import signal
from collections.abc import Callable
from threading import Thread, main_thread
from types import FrameType
from typing import Any

__all__ = ["let_go", "put_off"]

# What the work may overrun its own deadline by: a thread's turn, a line of the log.
_GRACE = 0.25

_SIGNALS = signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)

# They hear of a signal by a file, whoever handles it, and would hear of it twice.
_EVENT_LOOPS = ("asyncio", "uvloop")


def put_off(
    flush: Callable[[float], object], end: Callable[[float], object], timeout: float
) -> None:
    """Let signals wait until *end* or *flush* is done, at most *timeout* seconds.

    Then they have the effect that they have now. SIGTERM and SIGHUP that end the
    process wait for *end*; SIGTERM that the program handles itself, for *flush*. Its
    own SIGHUP is left alone: it ends no program. Raises ValueError in any thread but
    the main one.
    """
    for signum in _SIGNALS:
        earlier = signal.getsignal(signum)
        if earlier is signal.SIG_DFL:
            signal.signal(signum, _PutOff(earlier, end, timeout))
        elif signum == signal.SIGTERM and _is_the_programs(earlier):
            signal.signal(signum, _PutOff(earlier, flush, timeout))


def let_go() -> None:
    """Give back the effect that signals had, in a child of multiprocessing.

    ``Pool.terminate()`` sends it one SIGTERM and waits for its end. If that comes just
    before the child waits for its next task, Python hears of it only after that, and
    both wait for ever: 1 of 16 pools of a program that did nothing else.
    """
    for signum in _SIGNALS:
        put_off_by = signal.getsignal(signum)
        if isinstance(put_off_by, _PutOff):
            signal.signal(signum, put_off_by.earlier)


def _is_the_programs(handler: Any) -> bool:
    # Not callable: the signal is ignored, or its handler is not one of Python's.
    if not callable(handler) or isinstance(handler, _PutOff):
        return False
    module = getattr(handler, "__module__", None) or ""
    return module.partition(".")[0] not in _EVENT_LOOPS


class _PutOff:
    """A handler, for one signal: the next one has its earlier effect at once."""

    def __init__(
        self, earlier: Any, work: Callable[[float], object], timeout: float
    ) -> None:
        self.earlier = earlier
        self._work = work
        self._timeout = timeout

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        signal.signal(signum, self.earlier)
        try:
            # Not threading's: its own lock may be held by what is interrupted.
            _thread.start_new_thread(self._work_and_raise, (signum,))
        except RuntimeError:  # the system has no thread left
            self._work(self._timeout)
            _raise(signum)

    def _work_and_raise(self, signum: int) -> None:
        # In yet another thread: a callback of the program's may hang in it.
        worker = Thread(target=self._work, args=(self._timeout,), daemon=True)
        try:
            worker.start()
            worker.join(self._timeout + _GRACE)
        except RuntimeError:
            self._work(self._timeout)
        _raise(signum)


def _raise(signum: int) -> None:
    # Or else the program is ending by itself by now, with a status of its own.
    if main_thread().is_alive():
        os.kill(os.getpid(), signum)  # heard by the main thread, if it can be
