"""Timer: how long blocks and calls take, as a summary of seconds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from time import perf_counter
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar, overload

from dtmetrics._record.around import Ready, decorate, error_type
from dtmetrics._record.guard import attempt
from dtmetrics._record.instruments import Summary

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Block", "Timer", "TimerOptions"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

Fetch = Callable[[tuple[Any, ...], dict[str, Any]], Any]

NO_DIMENSIONS = "args= or result= failed"


class TimerOptions(NamedTuple):
    """What a timer notes beside the duration: see ``timed()``."""

    args: Mapping[str, Callable[[Any], Any] | None] = {}
    result: Callable[[Any], Mapping[str, Any]] | None = None
    errors: bool = True
    ignore: tuple[type[BaseException], ...] = ()
    generator: str = "total"
    named: bool = False  # code.function.name says what was called


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
        self._options = options
        self.clock = clock
        self._open: dict[FrameType | None, list[Block]] = {}

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

        def measure_for(target: Callable[..., Any]) -> _Timed:
            summary = self._summary
            if named:
                summary = summary.bind(**{"code.function.name": _name_of(target)})
            return _Timed(summary, self._options, self.clock, target)

        return decorate(
            func,
            measure_for,
            self._summary._origin.registry,
            clock=self.clock if active else None,
        )

    # A kept timer may be entered by many at once: by threads, tasks, or itself
    # again. The first block that is open has a place of its own; those beside it
    # are found by the frame they were entered in, which is the frame they are left
    # in. Only `ExitStack` enters elsewhere; give it `timer()`, a block of its own.

    def __enter__(self) -> Block:
        return self._enter(sys._getframe(1))

    def __exit__(
        self, kind: object, error: BaseException | None, trace: object
    ) -> None:
        self._leave(sys._getframe(1)).__exit__(kind, error, trace)

    def __aenter__(self) -> Ready[Block]:
        return Ready(self._enter(sys._getframe(1)))

    def __aexit__(self, kind: object, error: Any, trace: object) -> Ready[None]:
        self._leave(sys._getframe(1)).__exit__(kind, error, trace)
        return Ready(None)

    def _enter(self, frame: FrameType) -> Block:
        block = Block(self)
        mine = [block]
        if frame in self._open or self._open.setdefault(None, mine) is not mine:
            self._open.setdefault(frame, []).append(block)
        return block.__enter__()

    def _leave(self, frame: FrameType) -> Block:
        if len(self._open) > 1 and frame in self._open:
            blocks = self._open[frame]
            block = blocks.pop()
            if not blocks:
                del self._open[frame]
            return block
        return self._open.pop(None)[0]


class Block:
    """One timed block: what ``with timed(...) as t`` gives."""

    __slots__ = ("_cancelled", "_dimensions", "_start", "_timer", "_took")

    def __init__(self, timer: Timer) -> None:
        self._timer = timer
        self._dimensions: dict[str, Any] | None = None
        self._cancelled = False
        self._start = 0.0
        self._took: float | None = None

    @property
    def elapsed(self) -> float:
        """Seconds so far, or in all once the block has ended."""
        if self._took is not None:
            return self._took
        return self._timer.clock() - self._start

    def set(self, **dimensions: Any) -> None:
        """Add *dimensions* that were decided inside."""
        self._dimensions = {**(self._dimensions or {}), **dimensions}

    def cancel(self) -> None:
        """Record nothing for this block."""
        self._cancelled = True

    def __enter__(self) -> Self:
        self._start = self._timer.clock()
        return self

    def __exit__(
        self, kind: object, error: BaseException | None, trace: object
    ) -> None:
        self._took = took = self._timer.clock() - self._start
        if self._cancelled:
            return
        dimensions = self._dimensions
        if error is not None:
            failure = _failure(self._timer._options, error)
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


class _Timed:
    """Time one decorated callable."""

    def __init__(
        self,
        summary: Summary,
        options: TimerOptions,
        clock: Callable[[], float],
        target: Callable[..., Any],
    ) -> None:
        self._summary = summary
        self._options = options
        self._record = summary.record
        self._clock = self.begin = clock
        self._fetches = _fetches(options.args, target) if options.args else {}
        self.end = (
            self._end_noting
            if self._fetches or options.result is not None
            else self._end_plainly
        )

    def _end_plainly(self, start: float, result: Any, args: Any, kwargs: Any) -> None:
        self._record(self._clock() - start)

    def _end_noting(self, start: float, result: Any, args: Any, kwargs: Any) -> None:
        took = self._clock() - start
        dimensions = self._of_arguments(args, kwargs)
        if self._options.result is not None:
            given = self._attempt(_pairs, self._options.result, result)
            dimensions.update(given or {})
        self._record(took, **dimensions)

    def fail(self, start: float, error: BaseException, args: Any, kwargs: Any) -> None:
        took = self._clock() - start
        failure = _failure(self._options, error)
        self._record(took, **{**self._of_arguments(args, kwargs), **failure})

    def _of_arguments(self, args: Any, kwargs: Any) -> dict[str, Any]:
        return {
            dimension: self._attempt(fetch, args, kwargs)
            for dimension, fetch in self._fetches.items()
        }

    def _attempt(self, call: Callable[..., Any], *args: Any) -> Any:
        refuse = self._summary._origin.family.refuse
        return attempt(
            call, *args, default=None, on_error=lambda _: refuse(NO_DIMENSIONS)
        )


def _failure(options: TimerOptions, error: BaseException) -> dict[str, str]:
    if not options.errors or isinstance(error, options.ignore):
        return {}
    return {"error.type": error_type(error)}


def _pairs(
    result_of: Callable[[Any], Mapping[str, Any]], result: Any
) -> dict[str, Any]:
    return {str(key): value for key, value in dict(result_of(result)).items()}


def _name_of(target: Any) -> str:
    while hasattr(target, "func"):  # functools.partial
        target = target.func
    named = target if hasattr(target, "__qualname__") else type(target)
    return f"{named.__module__}.{named.__qualname__}"


def _fetches(
    wanted: Mapping[str, Callable[[Any], Any] | None], target: Callable[..., Any]
) -> dict[str, Fetch]:
    """Return, for each wanted argument that *target* has, how to get at it."""
    import inspect  # noqa: PLC0415 -- 19 ms, and wrapt is about to load it anyway

    parameters = inspect.signature(target).parameters
    places = {name: place for place, name in enumerate(parameters)}
    return {
        name: _fetch(parameters[name], places[name], convert)
        for name, convert in wanted.items()
        if name in parameters
    }


def _fetch(parameter: Any, place: int, convert: Callable[[Any], Any] | None) -> Fetch:
    name = parameter.name
    default = None if parameter.default is parameter.empty else parameter.default
    positional = parameter.kind in (
        parameter.POSITIONAL_ONLY,
        parameter.POSITIONAL_OR_KEYWORD,
    )

    def fetch(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if positional and place < len(args):
            value = args[place]
        else:
            value = kwargs.get(name, default)
        return value if convert is None else convert(value)

    return fetch
