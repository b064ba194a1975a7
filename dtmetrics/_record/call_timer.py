"""What a timer records of one decorated call: its duration, and which dimensions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any, NamedTuple, TypeVar

from dtmetrics._core.safe_call import call_safely
from dtmetrics._decorate.arguments import Convert, argument_getters
from dtmetrics._decorate.hooks import Args, Call, Kwargs, error_type
from dtmetrics._record.codegen import timed_call
from dtmetrics._record.instruments import Summary

__all__ = ["CallTimer", "TimerOptions", "checked", "dimensions_of_failure"]

T = TypeVar("T")

NO_DIMENSIONS = "args= or result= failed"


class TimerOptions(NamedTuple):
    """What a timer records beside the duration: see ``timed()``."""

    args: Mapping[str, Convert | None] = {}
    result: Callable[[Any], Mapping[str, Any]] | None = None
    errors: bool = True
    ignore: tuple[type[BaseException], ...] = ()
    generator: str = "total"
    #: Whether code.function.name is added.
    named: bool = False


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
        plain = not self._getters and options.result is None
        self.wrap = self._wrap if plain else None

    def _wrap(self, target: Call, *, awaited: bool) -> Call:
        return timed_call(target, self, self._summary, awaited=awaited)

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


def checked(options: TimerOptions) -> TimerOptions:
    """Return *options*; raise a TypeError or a ValueError if they are invalid."""
    ignore: object = options.ignore  # a class, or any iterable of classes
    classes = options.ignore if isinstance(ignore, type) else tuple(options.ignore)
    isinstance(None, classes)  # raises a TypeError now, not when a call has failed
    if options.generator not in ("total", "active"):
        raise ValueError(
            f'generator must be "total" or "active", got {options.generator!r}'
        )
    return options._replace(ignore=classes)


def dimensions_of_failure(
    options: TimerOptions, error: BaseException
) -> dict[str, str]:
    """Return the dimensions of a call or a block that raised *error*."""
    if not options.errors or isinstance(error, options.ignore):
        return {}
    return {"error.type": error_type(error)}


def _never_began(error: BaseException) -> bool:
    """Return whether a function rejected its arguments: it left no frame behind."""
    trace = error.__traceback__
    return type(error) is TypeError and trace is not None and trace.tb_next is None


def _pairs(
    result_of: Callable[[Any], Mapping[str, Any]], result: object
) -> dict[str, object]:
    return {str(key): value for key, value in dict(result_of(result)).items()}
