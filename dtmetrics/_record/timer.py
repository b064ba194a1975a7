"""Timer: the duration of calls and blocks, as a summary of seconds."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, ParamSpec, TypeVar, overload

from dtmetrics._decorate.arguments import name_of
from dtmetrics._decorate.decorate import Ready, decorate
from dtmetrics._decorate.hooks import Call
from dtmetrics._record.call_timer import CallTimer, TimerOptions, checked
from dtmetrics._record.instruments import Summary
from dtmetrics._record.timed_block import (
    AsyncExitOfBlock,
    Block,
    ExitOfBlock,
    enter_otherwise,
    looked_up,
    new_block,
)

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Block", "Timer", "TimerOptions"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Timer:
    """Times calls as a decorator, and blocks by ``with`` or ``async with``.

    Durations are seconds of a monotonic clock.

    >>> from dtmetrics import timed
    >>> with timed("render.duration") as t:
    ...     t.set(kind="page")
    >>> t.elapsed < 1
    True

    One timer may be entered many times at once: by threads, by tasks, by suspended
    generators and inside itself. Each ``with`` statement and each ``ExitStack`` ends
    the block that it entered. Code that calls ``timer.__enter__()`` by hand ends the
    newest block that was entered so in the running context; ``timer()`` returns a block
    that such code can keep. An exit without a block is counted in ``stats().invalid``.
    """

    __slots__ = ("_options", "_summary", "clock")

    def __init__(
        self,
        summary: Summary,
        options: TimerOptions,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._summary = summary
        self._options = checked(options)
        self.clock = clock

    def __repr__(self) -> str:
        return repr(self._summary).replace("Summary", "Timer", 1)

    @property
    def name(self) -> str:
        """The name that the timer was defined with."""
        return self._summary.name

    def record(self, seconds: float, /, **dimensions: object) -> None:
        """Record a duration of *seconds* that was measured elsewhere."""
        self._summary.record(seconds, **dimensions)

    def bind(self, /, **dimensions: object) -> Self:
        """Return a timer that adds *dimensions* to all it records; keep it."""
        return type(self)(self._summary.bind(**dimensions), self._options, self.clock)

    @overload
    def __call__(self, func: None = None, /) -> Block: ...
    @overload
    def __call__(self, func: type[T], /) -> type[T]: ...
    @overload
    def __call__(self, func: Callable[P, R], /) -> Callable[P, R]: ...
    def __call__(self, func: Call | None = None, /) -> Block | Call:
        """Decorate *func*, or without it return a new block."""
        if func is None:
            return new_block(self)
        named = self._options.named or isinstance(func, type)
        active = self._options.generator == "active"

        def hook_for(target: Call) -> CallTimer:
            summary = self._summary
            if named:
                summary = summary.bind(**{"code.function.name": name_of(target)})
            return CallTimer(summary, self._options, self.clock, target)

        clock = self.clock if active else None
        return decorate(func, hook_for, self._summary.registry, clock=clock)

    def __enter__(self) -> Block:
        block = looked_up.block
        if block._timer is not self or block._start is not None:
            block = enter_otherwise(self, block)
        clock = self.clock
        block._start = clock()
        return block

    __exit__ = ExitOfBlock()

    def __aenter__(self) -> Ready[Block]:
        return Ready(self.__enter__())

    __aexit__ = AsyncExitOfBlock()
