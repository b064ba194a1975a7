"""Timer: the duration of calls and blocks, as a summary of seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from time import perf_counter
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, overload

from dtmetrics._core.safe_call import call_safely
from dtmetrics._decorate.arguments import argument_getters, name_of
from dtmetrics._decorate.decorate import Ready, decorate
from dtmetrics._decorate.hooks import Args, Call, Kwargs
from dtmetrics._record.codegen import timed_call
from dtmetrics._record.instruments import Summary
from dtmetrics._record.timed_block import (
    AsyncExitOfBlock,
    Block,
    ExitOfBlock,
    ReadClock,
    TimerOptions,
    checked,
    dimensions_of_failure,
    enter_otherwise,
    looked_up,
    new_block,
)

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Block", "CallTimer", "Timer", "TimerOptions"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Timer:
    """Times calls as a decorator, and blocks by ``with`` or ``async with``.

    Durations are seconds of a monotonic clock. Each interval sends their minimum,
    maximum, sum and count, with ``error.type`` for those that ended by an exception.
    ``timed()`` makes a timer.

    One timer may be entered many times at once: by threads, by tasks, by suspended
    generators and inside itself. Each ``with`` statement and each ``ExitStack`` ends
    the block that it entered. Code that calls ``timer.__enter__()`` by hand ends the
    newest block that was entered so in the running context; ``timer()`` returns a block
    that such code can keep. An exit without a block is counted in ``stats().invalid``.

    >>> from dtmetrics import timed
    >>> render = timed("render.duration")
    >>> with render as t:
    ...     t.set(kind="page")
    >>> t.elapsed < 1
    True
    >>> @render
    ... def page():
    ...     pass
    """

    __slots__ = ("clock", "options", "summary")

    def __init__(
        self,
        summary: Summary,
        options: TimerOptions,
        clock: ReadClock = perf_counter,
    ) -> None:
        self.summary: Summary = summary
        self.options: TimerOptions = checked(options)
        self.clock: ReadClock = clock

    def __repr__(self) -> str:
        return repr(self.summary).replace("Summary", "Timer", 1)

    @property
    def name(self) -> str:
        """The name that the timer was defined with."""
        return self.summary.name

    def record(self, seconds: float, /, **dimensions: object) -> None:
        """Record a duration of *seconds* that was measured elsewhere.

        >>> from dtmetrics import timed
        >>> timed("job.duration").record(1.25, queue="mail")
        """
        self.summary.record(seconds, **dimensions)

    def bind(self, /, **dimensions: object) -> Self:
        """Return a timer that adds *dimensions* to all it records.

        Keep it: recording through it looks up nothing.

        >>> from dtmetrics import timed
        >>> with timed("job.duration").bind(queue="mail"):
        ...     pass
        """
        return type(self)(self.summary.bind(**dimensions), self.options, self.clock)

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
        named = self.options.named or isinstance(func, type)
        active = self.options.generator == "active"

        def hook_for(target: Call) -> CallTimer:
            summary = self.summary
            if named:
                summary = summary.bind(**{"code.function.name": name_of(target)})
            return CallTimer(summary, self.options, self.clock, target)

        clock = self.clock if active else None
        return decorate(func, hook_for, self.summary.registry, clock=clock)

    def __enter__(self) -> Block:
        block = looked_up.block
        if block._timer is not self or block._start is not None:
            block = enter_otherwise(self, block)
        clock = self.clock
        block._start = clock()
        return block

    __exit__: Final = ExitOfBlock()

    def __aenter__(self) -> Ready[Block]:
        return Ready(self.__enter__())

    __aexit__: Final = AsyncExitOfBlock()


NO_DIMENSIONS = "args= or result= failed"


class CallTimer:
    """Time the calls of one target."""

    def __init__(
        self,
        summary: Summary,
        options: TimerOptions,
        clock: Callable[[], float],
        target: Call,
    ) -> None:
        self._summary = summary
        self._options = options
        self._is_function = type(target) is FunctionType
        self.into = summary.identity
        self._clock = self.begin = clock
        self._getters = argument_getters(options.args, target) if options.args else {}

    @property
    def wrap(self) -> Callable[..., Call] | None:
        """The faster way to make a call that records nothing but its duration."""
        if self._getters or self._options.result is not None:
            return None
        return partial(timed_call, hook=self, summary=self._summary)

    def end(self, start: float, result: object, args: Args, kwargs: Kwargs) -> None:
        """Record a call that returned."""
        took = self._clock() - start
        dimensions = self._of_arguments(args, kwargs)
        if self._options.result is not None:
            pairs = self._call_safely(_pairs, self._options.result, result)
            dimensions.update(pairs or {})
        self._summary.record(took, **dimensions)

    def fail(
        self, start: float, error: BaseException, args: Args, kwargs: Kwargs
    ) -> None:
        """Record a call that raised, unless its arguments were wrong."""
        took = self._clock() - start
        if self._is_function and _never_began(error):
            return
        failure = dimensions_of_failure(self._options, error)
        self._summary.record(took, **{**self._of_arguments(args, kwargs), **failure})

    def _of_arguments(self, args: Args, kwargs: Kwargs) -> dict[str, object]:
        # None, as optional arguments often are, makes no dimension.
        values = (
            (dimension, self._call_safely(getter, args, kwargs))
            for dimension, getter in self._getters.items()
        )
        return {key: value for key, value in values if value is not None}

    def _call_safely(self, call: Callable[..., T], *args: object) -> T | None:
        return call_safely(call, *args, default=None, on_error=self._reject)

    def _reject(self, _: Exception) -> None:
        self._summary.reject(NO_DIMENSIONS)


def _never_began(error: BaseException) -> bool:
    """Return whether a function rejected its arguments: it left no frame behind."""
    trace = error.__traceback__
    return type(error) is TypeError and trace is not None and trace.tb_next is None


def _pairs(
    result_of: Callable[[Any], Mapping[str, Any]], result: object
) -> dict[str, object]:
    return {str(key): value for key, value in dict(result_of(result)).items()}
