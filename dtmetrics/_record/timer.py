"""Timer: the duration of calls and blocks, as a summary of seconds."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from types import FunctionType
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar, overload

from dtmetrics._core.error_place import kind_and_place
from dtmetrics._core.safe_call import call_safely
from dtmetrics._core.shared import Shared
from dtmetrics._decorate.arguments import argument_getters, name_of
from dtmetrics._decorate.decorate import Ready, decorate
from dtmetrics._decorate.hooks import Args, Body, Call, Kwargs
from dtmetrics._record.decorator_order import check_order
from dtmetrics._record.instruments import Summary
from dtmetrics._record.pickling import Reduced
from dtmetrics._record.timed_block import (
    AsyncExitOfBlock,
    Block,
    ExitOfBlock,
    ReadClock,
    TimerOptions,
    dimensions_of_failure,
    enter_otherwise,
    looked_up,
    new_block,
)
from dtmetrics._record.timed_call import CallOptions, timed_call
from dtmetrics.errors import UnknownArgumentError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Block", "CallTimer", "Timer", "TimerOptions"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Timer(Shared):
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
        self.options: TimerOptions = options
        self.clock: ReadClock = clock

    def __repr__(self) -> str:
        return repr(self.summary).replace("Summary", "Timer", 1)

    def __reduce__(self) -> Reduced:
        options = self.options._replace(args=dict(self.options.args))
        return type(self), (self.summary, options, self.clock)

    @property
    def name(self) -> str:
        """The name that the timer was defined with."""
        return self.summary.name

    def record(self, seconds: float, /, **dimensions: object) -> None:
        """Record a duration of *seconds* that was measured elsewhere.

        >>> from dtmetrics import timed
        >>> timed("job.duration").record(1.25, queue="mail")
        """
        self.summary.record_with(seconds, dimensions)

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
        definition = self.summary.origin.definition
        check_order(func, definition, self.summary.registry.catalog)
        named = self.options.named or isinstance(func, type)
        hooks = CallTimers(self, named=named)
        decorated = decorate(func, hooks, self.summary.registry)
        if hooks.unknown:
            self._report(hooks.unknown, func)
        return decorated

    def _report(self, unknown: set[str], func: Call) -> None:
        """Raise or log that *func* lacks arguments that ``args=`` names."""
        names = ", ".join(sorted(map(repr, unknown)))
        origin = self.summary.origin
        error = UnknownArgumentError(
            f"{name_of(func)} has no argument {names}, which args= names for "
            f"{origin.definition}"
        )
        origin.registry.catalog.report(error, "that dimension is left out")

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


class CallTimers:
    """Make the hook of each target of one decoration."""

    def __init__(self, timer: Timer, *, named: bool) -> None:
        self._timer = timer
        self._named = named
        #: The wanted arguments that no target has had so far.
        self.unknown = set(timer.options.args)

    def __call__(self, target: Call) -> CallTimer:
        """Return the hook of *target*."""
        timer = self._timer
        summary = timer.summary
        if self._named:
            summary = summary.bind(**{"code.function.name": name_of(target)})
        hook = CallTimer(summary, timer.options, timer.clock, target)
        self.unknown.difference_update(hook.getters)
        return hook


NO_DIMENSIONS = "args= or result= failed"

# Of how many classes of exceptions a timer remembers the dimensions.
_MOST_FAILURES = 32


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
        self._clock = self.begin = clock
        self.getters = argument_getters(options.args, target) if options.args else {}
        # By the class of the exception. To make them takes 0.2 us.
        self._failures: dict[type[BaseException], dict[str, object]] = {}
        if options.generator == "active":
            self.pause, self.unpause = self._elapsed, self._begun

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_failures": {}}

    @property
    def into(self) -> object:
        """What is equal for hooks that record into the same series."""
        return self._summary.identity

    def body(self, names: tuple[str, ...]) -> Body | None:
        """Return a faster way to record a call that has parameters of these *names*."""
        if any(self._options.args.values()):
            return None  # they convert arguments
        of_result = None if self._options.result is None else self._with_result
        options = CallOptions(tuple(self.getters), of_result)
        return timed_call(names, self, self._summary, options)

    def _elapsed(self, start: float) -> float:
        return self._clock() - start

    def _begun(self, elapsed: float) -> float:
        return self._clock() - elapsed

    def end(self, start: float, result: object, args: Args, kwargs: Kwargs) -> None:
        """Record a call that returned."""
        took = self._clock() - start
        dimensions = self._of_arguments(args, kwargs)
        if self._options.result is not None:
            dimensions = self._with_result(result, dimensions)
        self._summary.record_with(took, dimensions)

    def fail(
        self, start: float, error: BaseException, args: Args, kwargs: Kwargs
    ) -> None:
        """Record a call that raised, unless its arguments were wrong."""
        took = self._clock() - start
        if type(error) is TypeError and self._is_function and _never_began(error):
            return
        try:
            failure = self._failures[type(error)]
        except Exception:  # noqa: BLE001 -- the first one, or the class has a hash
            failure = self._dimensions_of_failure(error)
        if self.getters:
            failure = {**self._of_arguments(args, kwargs), **failure}
        self._summary.record_with(took, failure)

    def _dimensions_of_failure(self, error: BaseException) -> dict[str, object]:
        dimensions = dimensions_of_failure(self._options, error)
        # A class in *ignore* may decide by the instance.
        if not self._options.ignore and len(self._failures) < _MOST_FAILURES:
            call_safely(
                self._failures.setdefault, type(error), dimensions, default=None
            )
        return dimensions

    def _with_result(
        self, result: object, dimensions: dict[str, object]
    ) -> dict[str, object]:
        """Return *dimensions* with those of *result*."""
        try:
            return {**dimensions, **self._options.result(result)}  # type: ignore[misc]
        except Exception as error:  # noqa: BLE001 -- a user's function
            self._reject(error)
            return dimensions

    def _of_arguments(self, args: Args, kwargs: Kwargs) -> dict[str, object]:
        # None, as optional arguments often are, makes no dimension.
        values = (
            (dimension, self._call_safely(getter, args, kwargs))
            for dimension, getter in self.getters.items()
        )
        return {key: value for key, value in values if value is not None}

    def _call_safely(self, call: Callable[..., T], *args: object) -> T | None:
        return call_safely(call, *args, default=None, on_error=self._reject)

    def _reject(self, error: Exception) -> None:
        self._summary.reject(NO_DIMENSIONS, kind_and_place(error))


def _never_began(error: TypeError) -> bool:
    """Return whether a function rejected its arguments: it left no frame behind."""
    trace = error.__traceback__
    return trace is not None and trace.tb_next is None
