"""Timer: how long blocks and calls take, as a summary of seconds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import perf_counter
from types import FrameType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from dtmetrics._core.safe_call import call_safely
from dtmetrics._decorate.arguments import name_of
from dtmetrics._decorate.decorate import Ready, decorate
from dtmetrics._record.call_timer import Timed, TimerOptions, checked, failure_of
from dtmetrics._record.instruments import Summary

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Block", "Timer", "TimerOptions"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Timer:
    """Times calls as a decorator, and blocks by ``with`` or ``async with``.

    Durations are seconds by a monotonic clock.

    >>> from dtmetrics import timed
    >>> with timed("render.duration") as t:
    ...     t.set(kind="page")
    >>> t.elapsed < 1
    True
    """

    __slots__ = ("_alone", "_by_frame", "_options", "_summary", "clock")

    def __init__(
        self,
        summary: Summary,
        options: TimerOptions,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._summary = summary
        self._options = checked(options)
        self.clock = clock
        self._alone: list[Block] = []
        self._by_frame: dict[FrameType, Block] = {}

    def __repr__(self) -> str:
        return repr(self._summary).replace("Summary", "Timer", 1)

    @property
    def name(self) -> str:
        """The name it was defined with."""
        return self._summary.name

    def record(self, seconds: float, /, **dimensions: Any) -> None:
        """Take note of something that took so many *seconds*."""
        self._summary.record(seconds, **dimensions)

    def bind(self, **dimensions: Any) -> Self:
        """Return a timer that adds *dimensions* to all it records; keep it."""
        return type(self)(self._summary.bind(**dimensions), self._options, self.clock)

    @overload
    def __call__(self, func: None = None, /) -> Block: ...
    @overload
    def __call__(self, func: type[T], /) -> type[T]: ...
    @overload
    def __call__(self, func: Callable[P, R], /) -> Callable[P, R]: ...
    def __call__(self, func: Any = None, /) -> Any:
        """Decorate *func*, or without one return a block of its own."""
        if func is None:
            block = Block()
            block._timer = self
            block._took, block._noted = 0.0, None
            return block
        named = self._options.named or isinstance(func, type)
        active = self._options.generator == "active"

        def measure_for(target: Callable[..., Any]) -> Timed:
            summary = self._summary
            if named:
                summary = summary.bind(**{"code.function.name": name_of(target)})
            return Timed(summary, self._options, self.clock, target)

        return decorate(
            func,
            measure_for,
            self._summary._origin.registry,
            clock=self.clock if active else None,
        )

    # A kept timer may be entered by many at once: by threads, tasks, or itself again.
    # A block is left in the frame in which it was entered, and a frame runs in one
    # thread at a time, so blocks are found by frame. One that is alone is not: that
    # costs 375 ns on CPython 3.11 and not 540. Whoever leaves while nobody is kept by
    # frame must be the one that is alone. Only what enters for others, as `ExitStack`
    # does, leaves in another frame; of several blocks of the timer that are open then,
    # it may end another one. Better give it `timer()`.

    def __enter__(self) -> Block:
        block = Block()
        block._timer = self
        block._took = block._noted = None
        alone = self._alone
        if alone or self._by_frame:
            self._keep(block, sys._getframe(1))
        else:
            alone.append(block)
            if len(alone) > 1:  # two threads at once: at most one of them is alone
                self._keep(block, sys._getframe(1))
        clock = self.clock
        block._start = clock()
        return block

    def __exit__(
        self, kind: object, error: BaseException | None, trace: object
    ) -> None:
        if self._alone and not self._by_frame:
            self._alone.pop(0).__exit__(kind, error, trace)
        else:
            self._leave(sys._getframe(1), error)

    def __aenter__(self) -> Ready[Block]:
        block = self()
        self._keep(block, sys._getframe(1))
        return Ready(block.__enter__())

    def __aexit__(self, kind: object, error: Any, trace: object) -> Ready[None]:
        self._leave(sys._getframe(1), error)
        return Ready(None)

    def _keep(self, block: Block, frame: FrameType) -> None:
        if block in self._alone:
            self._alone.remove(block)
        block._outer = self._by_frame.get(frame)
        self._by_frame[frame] = block

    def _leave(self, frame: FrameType, error: BaseException | None) -> None:
        block = self._by_frame.pop(frame, None)
        if block is None:
            block = call_safely(self._alone.pop, 0, default=None)
        if block is None:
            frame, block = call_safely(self._by_frame.popitem, default=(frame, None))
        if block is None:  # left more often than entered
            return
        outer = getattr(block, "_outer", None)
        if outer is not None:
            self._by_frame[frame] = outer
        block.__exit__(None, error, None)


class Block:
    """One timed block: what ``with timed(...) as t`` gives. A timer makes it."""

    # Without an __init__, whose call costs 40 ns on CPython 3.11. And a clock is a
    # local variable before it is read: as a method of an attribute it costs 10 ns more.
    __slots__ = ("_noted", "_outer", "_start", "_timer", "_took")

    _timer: Timer
    _start: float
    _took: float | None
    _noted: dict[str, Any] | None  # dimensions that were set inside
    _outer: Block | None  # of a kept timer, in the same frame

    @property
    def elapsed(self) -> float:
        """Seconds so far, or in all once the block has ended."""
        if self._took is None:
            return self._timer.clock() - self._start
        return self._took

    def set(self, **dimensions: Any) -> None:
        """Add *dimensions* that were decided inside."""
        if self._noted is not _CANCELLED:
            self._noted = {**(self._noted or {}), **dimensions}

    def cancel(self) -> None:
        """Record nothing for this block."""
        self._noted = _CANCELLED

    def __enter__(self) -> Self:
        self._took = None
        clock = self._timer.clock
        self._start = clock()
        return self

    def __exit__(
        self, kind: object, error: BaseException | None, trace: object
    ) -> None:
        timer = self._timer
        clock = timer.clock
        self._took = took = clock() - self._start
        series = timer._summary._series
        buffer = series.buffer
        if buffer is None or error is not None or self._noted is not None:
            self._record(took, error)
            return
        # As `Summary.record` does, whose call costs 55 ns.
        buffer.append(took)
        if len(buffer) > series.limit:
            series.fold_if_free()

    def __aenter__(self) -> Ready[Self]:
        return Ready(self.__enter__())

    def __aexit__(self, kind: object, error: Any, trace: object) -> Ready[None]:
        self.__exit__(kind, error, trace)
        return Ready(None)

    def _record(self, took: float, error: BaseException | None) -> None:
        summary = self._timer._summary
        if self._noted is _CANCELLED or not summary._origin.registry.recording:
            return
        dimensions = self._noted or {}
        # A generator whose consumer has had enough is left by a GeneratorExit.
        if error is not None and not isinstance(error, GeneratorExit):
            dimensions = {**failure_of(self._timer._options, error), **dimensions}
        summary.record(took, **dimensions)


_CANCELLED: dict[str, Any] = {}  # what is noted of a block that is
