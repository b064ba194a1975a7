"""The delay of an asyncio event loop, and what blocks it.

>>> import asyncio
>>> from dtmetrics.integrations.asyncio import watch_event_loop
>>> async def main():
...     with watch_event_loop():
...         await asyncio.sleep(0)
>>> asyncio.run(main())
"""

from __future__ import annotations

import asyncio
import selectors
import sys
import threading
import time
import traceback
from asyncio import AbstractEventLoop, base_events, runners
from contextvars import Context
from types import FrameType
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, ref

from dtmetrics._core import log
from dtmetrics._core.safe_call import call_safely
from dtmetrics._record.meter import Meter
from dtmetrics._runtime.runtime import default

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["EventLoopWatch", "watch_event_loop"]

# How often the delay is measured. Four times a second takes 0.09 % of a core with the
# thread, and ten times 0.19 %: most of it is waking up.
_PERIOD_SECONDS = 0.25
# How long no other stack is logged.
_PAUSE_SECONDS = 60.0
_MOST_FRAMES = 30
# The innermost Python code of a loop that waits for events.
_WAITING = {module.__file__ for module in (selectors, base_events, runners)}


def watch_event_loop(
    threshold: float | None = 0.1, *, meter: Meter | None = None
) -> EventLoopWatch:
    """Record the delay of the running event loop, and log what blocks it.

    The summary ``cpython.eventloop.delay`` has the seconds by which the loop calls a
    function later than planned, four times a second. While the loop is late by more
    than *threshold*, the stack of its thread is logged at WARNING, at most once a
    minute. The record has the attributes ``event_loop_delay``, in seconds, and
    ``event_loop_stack``, a list of lines. Works with asyncio's loops and with uvloop's.

    It ends with the loop, or by ``stop()`` of what it returns, which is a context
    manager too. A second call in the same loop replaces the first.

    Args:
        threshold (float | None): Seconds, at least 0.01. None: log nothing, and start
            no thread. Default: 0.1.
        meter (Meter | None): The meter that records. Default:
            ``get_meter("dtmetrics.integrations.asyncio")``.

    Raises:
        RuntimeError: No event loop runs in this thread.
        ValueError: *threshold* is less than 0.01.

    >>> from dtmetrics.integrations.asyncio import watch_event_loop
    >>> async def lifespan(app):  # of Starlette or FastAPI, in each worker
    ...     with watch_event_loop(threshold=0.25):
    ...         yield
    """
    if threshold is not None and threshold < 0.01:
        raise ValueError(
            f"threshold must be at least 0.01 seconds or None, got {threshold!r}"
        )
    loop = asyncio.get_running_loop()
    earlier = _watches.get(loop)
    if earlier is not None:
        earlier.stop()
    watch = EventLoopWatch(loop, threshold, meter or default.get_meter(__name__))
    _watches[loop] = watch
    return watch


class EventLoopWatch:
    """What ``watch_event_loop()`` returns.

    >>> import asyncio
    >>> from dtmetrics.integrations.asyncio import watch_event_loop
    >>> async def main():
    ...     watch = watch_event_loop()
    ...     watch.stop()
    >>> asyncio.run(main())
    """

    def __init__(
        self, loop: AbstractEventLoop, threshold: float | None, meter: Meter
    ) -> None:
        self._loop = ref(loop)
        self._thread_id = threading.get_ident()
        self._threshold = threshold
        self._registry = meter.registry
        self._delay = meter.summary(
            "cpython.eventloop.delay",
            unit="s",
            description="How much later than planned the event loop calls a function",
        )
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._paused = False
        self._logged = -_PAUSE_SECONDS
        self._due = 0.0
        self._plan(loop)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the watch; a second call does nothing."""
        self._stopped.set()

    # -- in the loop ---------------------------------------------------------------

    def _plan(self, loop: AbstractEventLoop) -> None:
        self._due = time.monotonic() + _PERIOD_SECONDS
        # In a context of its own: that of the caller may have dimensions.
        loop.call_later(_PERIOD_SECONDS, self._measure, context=Context())

    def _measure(self) -> None:
        loop = self._loop()
        if loop is None or self._stopped.is_set():
            return
        if not self._paused:
            self._delay.record(max(0.0, time.monotonic() - self._due))
        self._paused = False
        if self._threshold and self._thread is None and self._registry.recording:
            self._thread = threading.Thread(
                target=self._watch,
                args=(self._threshold,),
                name="dtmetrics-event-loop",
                daemon=True,
            )
            call_safely(self._thread.start, default=None)  # the host may have none left
        self._plan(loop)

    # -- in the thread -------------------------------------------------------------

    def _watch(self, threshold: float) -> None:
        rest = threshold
        while not self._stopped.wait(rest):
            loop = self._loop()
            if loop is None or loop.is_closed():
                return
            late = time.monotonic() - self._due
            if late < threshold:
                rest = threshold - late
                continue
            rest = _PERIOD_SECONDS
            if not loop.is_running():  # between two calls of run_until_complete()
                self._paused = True
            elif time.monotonic() >= self._logged + _PAUSE_SECONDS:
                call_safely(self._log, late, default=None)

    def _log(self, late: float) -> None:
        frame = sys._current_frames().get(self._thread_id)  # noqa: SLF001 -- documented
        if frame is None or _is_waiting(frame) or not self._registry.recording:
            return
        self._logged = time.monotonic()
        stack = [
            line.rstrip("\n")
            for line in traceback.format_stack(frame, limit=_MOST_FRAMES)
        ]
        log.warning(
            "the event loop has been blocked for %.2f seconds, by:\n%s",
            late,
            "\n".join(stack),
            fields={"event_loop_delay": late, "event_loop_stack": stack},
        )


def _is_waiting(frame: FrameType) -> bool:
    """Return whether *frame* waits for events: it is late because the host is busy."""
    uvloop = sys.modules.get("uvloop")
    files = {*_WAITING, getattr(uvloop, "__file__", None)}
    return frame.f_code.co_filename in files


_watches: WeakKeyDictionary[AbstractEventLoop, EventLoopWatch] = WeakKeyDictionary()
