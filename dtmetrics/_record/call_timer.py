"""What a timer notes of one call: how long it took, and with which dimensions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any, NamedTuple

from dtmetrics._core.safe_call import call_safely
from dtmetrics._decorate.arguments import Convert, argument_getters
from dtmetrics._decorate.hooks import Call, error_type
from dtmetrics._record.codegen import timed_call
from dtmetrics._record.instruments import Summary

__all__ = ["Timed", "TimerOptions", "checked", "failure_of"]

NO_DIMENSIONS = "args= or result= failed"


class TimerOptions(NamedTuple):
    """What a timer notes beside the duration: see ``timed()``."""

    args: Mapping[str, Convert | None] = {}
    result: Callable[[Any], Mapping[str, Any]] | None = None
    errors: bool = True
    ignore: tuple[type[BaseException], ...] = ()
    generator: str = "total"
    named: bool = False  # code.function.name says what was called


class Timed:
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
        self._is_function = type(target) is FunctionType
        self.into = (summary._origin.family, summary._origin.dimensions, summary._own)
        self._clock = self.begin = clock
        self._fetches = argument_getters(options.args, target) if options.args else {}
        notes = bool(self._fetches) or options.result is not None
        self.wrap = None if notes else self._wrap

    def _wrap(self, target: Call, *, awaited: bool) -> Call:
        registry = self._summary._origin.registry
        return timed_call(target, self, self._summary, registry, awaited=awaited)

    def end(self, start: float, result: Any, args: Any, kwargs: Any) -> None:
        """Record a call that returned."""
        took = self._clock() - start
        dimensions = self._of_arguments(args, kwargs)
        if self._options.result is not None:
            given = self._attempt(_pairs, self._options.result, result)
            dimensions.update(given or {})
        self._summary.record(took, **dimensions)

    def fail(self, start: float, error: BaseException, args: Any, kwargs: Any) -> None:
        """Record a call that raised, unless it never began."""
        took = self._clock() - start
        if self._is_function and _is_refused(error):
            return
        failure = failure_of(self._options, error)
        self._summary.record(took, **{**self._of_arguments(args, kwargs), **failure})

    def _of_arguments(self, args: Any, kwargs: Any) -> dict[str, Any]:
        # None, as optional arguments often are, is no dimension.
        return {
            dimension: value
            for dimension, fetch in self._fetches.items()
            if (value := self._attempt(fetch, args, kwargs)) is not None
        }

    def _attempt(self, call: Callable[..., Any], *args: Any) -> Any:
        refuse = self._summary._origin.family.refuse
        return call_safely(
            call, *args, default=None, on_error=lambda _: refuse(NO_DIMENSIONS)
        )


def checked(options: TimerOptions) -> TimerOptions:
    """Return *options* that hold; raise for those that cannot."""
    ignore: Any = options.ignore
    if not isinstance(ignore, type):
        ignore = tuple(ignore)
    isinstance(None, ignore)  # raises TypeError now, and not when a call has failed
    if options.generator not in ("total", "active"):
        raise ValueError(f'generator is "total" or "active", not {options.generator!r}')
    return options._replace(ignore=ignore)


def failure_of(options: TimerOptions, error: BaseException) -> dict[str, str]:
    """Return the dimensions that say how something failed."""
    if not options.errors or isinstance(error, options.ignore):
        return {}
    return {"error.type": error_type(error)}


def _is_refused(error: BaseException) -> bool:
    """Say whether a function did not take its arguments: no frame of it was left."""
    trace = error.__traceback__
    return type(error) is TypeError and trace is not None and trace.tb_next is None


def _pairs(
    result_of: Callable[[Any], Mapping[str, Any]], result: Any
) -> dict[str, Any]:
    return {str(key): value for key, value in dict(result_of(result)).items()}
