"""Timer: the duration of calls and blocks, as a summary of seconds."""

from __future__ import annotations

from collections.abc import Callable
from sys import _getframe
from time import perf_counter
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar, overload

from dtmetrics._decorate.arguments import name_of
from dtmetrics._decorate.decorate import Ready, decorate
from dtmetrics._decorate.hooks import Call
from dtmetrics._record.call_timer import (
    CallTimer,
    TimerOptions,
    checked,
    dimensions_of_failure,
)
from dtmetrics._record.instruments import Summary
from dtmetrics._record.open_blocks import UNMATCHED, OpenBlocks

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
    generators and inside itself. Each ``with`` statement ends its own block, and each
    ``ExitStack`` the newest that it entered. Other callers of ``__enter__`` and
    ``__exit__`` (code that calls them by hand, a stack that ``pop_all()`` made) end the
    newest block of their thread that was entered like this; in a coroutine only if
    there is one. A block whose end cannot be matched is not recorded, and is counted in
    ``stats().invalid``. ``timer()`` returns a block that needs no matching.
    """

    __slots__ = ("_blocks", "_open", "_options", "_summary", "clock")

    def __init__(
        self,
        summary: Summary,
        options: TimerOptions,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._summary = summary
        self._options = checked(options)
        self.clock = clock
        self._blocks: OpenBlocks[Block] = OpenBlocks()
        self._open = self._blocks.by_frame  # an attribute less for each block

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
            block = Block()
            block._timer = self
            block._took, block._added = 0.0, None
            return block
        named = self._options.named or isinstance(func, type)
        active = self._options.generator == "active"

        def hook_for(target: Call) -> CallTimer:
            summary = self._summary
            if named:
                summary = summary.bind(**{"code.function.name": name_of(target)})
            return CallTimer(summary, self._options, self.clock, target)

        clock = self.clock if active else None
        return decorate(func, hook_for, self._summary.registry, clock=clock)

    # See open_blocks. These steps are here because a call of each costs 50 ns.

    def __enter__(self) -> Block:
        block = Block()
        block._timer = self
        block._took = block._added = None
        frame = _getframe(1)
        opened = self._open
        if opened:
            self._blocks.enter(block, frame)
        else:
            opened[frame] = block
        clock = self.clock
        block._start = clock()
        return block

    def __exit__(
        self, kind: object, error: BaseException | None, trace: object
    ) -> None:
        frame = _getframe(1)
        opened = self._open
        block = opened.pop(frame, None)
        if block is None:
            block = self._blocks.entered_elsewhere(frame)
            if block is None:
                self._summary.reject(UNMATCHED)
                return
        elif opened:
            self._blocks.restore_outer(block, frame)
        # As in Block.__exit__, whose call costs 50 ns.
        clock = self.clock
        block._took = took = clock() - block._start
        series = self._summary._series
        buffer = series.buffer
        if buffer is None or error is not None or block._added is not None:
            block._record(took, error)
            return
        buffer.append(took)
        if len(buffer) > series.limit:
            series.fold_if_free()

    def __aenter__(self) -> Ready[Block]:
        block = self()
        self._blocks.enter(block, _getframe(1))
        return Ready(block.__enter__())

    def __aexit__(
        self, kind: object, error: BaseException | None, trace: object
    ) -> Ready[None]:
        block = self._blocks.leave(_getframe(1))
        if block is None:
            self._summary.reject(UNMATCHED)
        else:
            block.__exit__(kind, error, trace)
        return Ready(None)


class Block:
    """One timed block: what ``with timed(...) as t`` gives. A timer makes it."""

    # Without __init__, whose call costs 40 ns on CPython 3.11. The clock is a local
    # variable before it is called: as a method of an attribute it costs 10 ns more.
    __slots__ = ("_added", "_start", "_timer", "_took", "thread")

    _timer: Timer
    _start: float
    _took: float | None
    _added: dict[str, object] | None  # the dimensions that were set inside
    thread: int

    @property
    def elapsed(self) -> float:
        """Seconds since the block began; the duration of a block that has ended."""
        if self._took is None:
            return self._timer.clock() - self._start
        return self._took

    def set(self, /, **dimensions: object) -> None:
        """Add *dimensions*."""
        if self._added is not _CANCELLED:
            self._added = {**(self._added or {}), **dimensions}

    def cancel(self) -> None:
        """Record nothing for this block."""
        self._added = _CANCELLED

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
        if buffer is None or error is not None or self._added is not None:
            self._record(took, error)
            return
        # As in Summary.record(), whose call costs 55 ns.
        buffer.append(took)
        if len(buffer) > series.limit:
            series.fold_if_free()

    def __aenter__(self) -> Ready[Self]:
        return Ready(self.__enter__())

    def __aexit__(
        self, kind: object, error: BaseException | None, trace: object
    ) -> Ready[None]:
        self.__exit__(kind, error, trace)
        return Ready(None)

    def _record(self, took: float, error: BaseException | None) -> None:
        timer = self._timer
        if self._added is _CANCELLED or not timer._summary.registry.recording:
            return
        dimensions = self._added or {}
        # A generator that is closed early leaves its blocks by a GeneratorExit.
        if error is not None and not isinstance(error, GeneratorExit):
            failure = dimensions_of_failure(timer._options, error)
            dimensions = {**failure, **dimensions}
        timer.record(took, **dimensions)


_CANCELLED: Final[dict[str, object]] = {}  # the dimensions of a cancelled block
