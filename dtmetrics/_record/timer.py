"""Timer: how long blocks and calls take, as a summary of seconds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import perf_counter
from types import FrameType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from dtmetrics._record.around import Ready, decorate
from dtmetrics._record.called import name_of
from dtmetrics._record.guard import attempt
from dtmetrics._record.instruments import Summary
from dtmetrics._record.timed import Timed, TimerOptions, checked, failure_of

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

    __slots__ = ("_open", "_options", "_summary", "clock")

    def __init__(
        self,
        summary: Summary,
        options: TimerOptions,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._summary = summary
        self._options = checked(options)
        self.clock = clock
        self._open: dict[FrameType, Block] = {}

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
            return Block(self)
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

    # A kept timer may be entered by many at once: by threads, tasks, or itself
    # again. A block is left in the frame in which it was entered, and a frame runs in
    # one thread at a time. Only what enters for others, as `ExitStack` does, leaves
    # in another frame; it gets the youngest block. Better give it `timer()`.

    def __enter__(self) -> Block:
        return self._enter(sys._getframe(1))

    def __exit__(
        self, kind: object, error: BaseException | None, trace: object
    ) -> None:
        self._leave(sys._getframe(1), error)

    def __aenter__(self) -> Ready[Block]:
        return Ready(self._enter(sys._getframe(1)))

    def __aexit__(self, kind: object, error: Any, trace: object) -> Ready[None]:
        self._leave(sys._getframe(1), error)
        return Ready(None)

    def _enter(self, frame: FrameType) -> Block:
        block = Block(self)
        block._outer = self._open.get(frame)
        self._open[frame] = block
        return block.__enter__()

    def _leave(self, frame: FrameType, error: BaseException | None) -> None:
        block = self._open.pop(frame, None)
        if block is None:
            entered = attempt(self._open.popitem, default=None)
            if entered is None:  # left more often than entered
                return
            frame, block = entered
        if block._outer is not None:
            self._open[frame] = block._outer
        block.__exit__(None, error, None)


class Block:
    """One timed block: what ``with timed(...) as t`` gives."""

    __slots__ = ("_cancelled", "_dimensions", "_outer", "_start", "_timer", "_took")

    def __init__(self, timer: Timer) -> None:
        self._timer = timer
        self._dimensions: dict[str, Any] | None = None
        self._cancelled = False
        self._outer: Block | None = None  # of a kept timer, in the same frame
        self._start = 0.0
        self._took: float | None = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds so far, or in all once the block has ended."""
        if self._took is None:
            return self._timer.clock() - self._start
        return self._took

    def set(self, **dimensions: Any) -> None:
        """Add *dimensions* that were decided inside."""
        self._dimensions = {**(self._dimensions or {}), **dimensions}

    def cancel(self) -> None:
        """Record nothing for this block."""
        self._cancelled = True

    def __enter__(self) -> Self:
        self._took = None
        self._start = self._timer.clock()
        return self

    def __exit__(
        self, kind: object, error: BaseException | None, trace: object
    ) -> None:
        self._took = took = self._timer.clock() - self._start
        if self._cancelled:
            return
        dimensions = self._dimensions
        # A generator whose consumer has had enough is left by a GeneratorExit.
        if error is not None and not isinstance(error, GeneratorExit):
            failure = failure_of(self._timer._options, error)
            dimensions = {**failure, **(dimensions or {})}
        if dimensions:
            self._timer._summary.record(took, **dimensions)
        else:
            self._timer._summary.record(took)

    def __aenter__(self) -> Ready[Self]:
        return Ready(self.__enter__())

    def __aexit__(self, kind: object, error: Any, trace: object) -> Ready[None]:
        self.__exit__(kind, error, trace)
        return Ready(None)
