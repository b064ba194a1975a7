"""Invocations of a function whose platform freezes or ends the process after each.

An integration makes an ``Invocations`` for each function. What it records is delivered
before the invocation returns: no thread runs while a process is frozen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import NamedTuple, TypeAlias

from dtmetrics._core import log
from dtmetrics._core.safe_call import call_safely
from dtmetrics._decorate.hooks import Args, Kwargs, error_type
from dtmetrics._record.meter import Meter
from dtmetrics._record.registry import Registry
from dtmetrics._runtime.runtime import default

__all__ = ["Begun", "InvocationCalls", "Invocations", "Limits"]

#: The start of an invocation, and whether it is the first one of the process.
Begun: TypeAlias = tuple[float, bool]


# Of what is left of an invocation a flush takes at most half. It may exceed its timeout
# by 0.5 s, to abort a request.
_SHARE, _ABORT_SECONDS = 0.5, 0.6


class Limits(NamedTuple):
    """What a platform reports of one invocation."""

    #: The name of the function.
    name: object = None
    #: Returns the seconds until the platform ends the invocation.
    remaining: Callable[[], float] | None = None


class Invocations:
    """Records invocations, and delivers at the end of each within *timeout* seconds.

    A flush takes at most half of what is left until the platform ends the invocation.
    """

    #: Whether no invocation has begun in this process.
    _cold = True

    def __init__(
        self,
        meter: Meter,
        dimensions: Mapping[str, object],
        *,
        timeout: float,
    ) -> None:
        self.registry: Registry = meter.registry
        # None would remove a more general value of the key.
        given = {key: value for key, value in dimensions.items() if value is not None}
        self._duration = meter.summary(
            "faas.invoke_duration", unit="s", description="Duration of an invocation"
        ).bind(**given)
        self._errors = meter.counter(
            "faas.errors", unit="{error}", description="Invocations that failed"
        ).bind(**given)
        self._timeout = timeout

    def begin(self) -> Begun:
        """Begin an invocation."""
        cold, Invocations._cold = Invocations._cold, False
        if cold and default.interval is not None:
            log.warning(
                "a thread that sends each %g s is frozen between two invocations: "
                "configure(interval=None) starts none",
                default.interval,
            )
        return perf_counter(), cold

    def end(self, begun: Begun, error: BaseException | None, limits: Limits) -> None:
        """Record an invocation, and deliver."""
        start, cold = begun
        dimensions: dict[str, object] = {"faas.coldstart": str(cold).lower()}
        if limits.name is not None:
            dimensions["faas.name"] = limits.name
        if error is not None:
            dimensions["error.type"] = error_type(error)
            self._errors.inc(1, **dimensions)
        self._duration.record_with(perf_counter() - start, dimensions)
        default.flush(self._budget(limits.remaining))

    def _budget(self, remaining: Callable[[], float] | None) -> float:
        if remaining is None:
            return self._timeout
        # A test may pass any object as the context.
        left = call_safely(lambda: float(remaining()), default=float("inf"))
        return max(0.0, min(self._timeout, left * _SHARE, left - _ABORT_SECONDS))


class InvocationCalls:
    """Record each call as an invocation; *limits_of* gets the arguments of the call."""

    def __init__(
        self, invocations: Invocations, limits_of: Callable[[Args, Kwargs], Limits]
    ) -> None:
        self._invocations = self.into = invocations
        self._limits_of = limits_of

    def begin(self) -> Begun:
        """Begin an invocation."""
        return self._invocations.begin()

    def end(self, begun: Begun, result: object, args: Args, kwargs: Kwargs) -> None:
        """Record a call that returned, and deliver."""
        self._invocations.end(begun, None, self._limits_of(args, kwargs))

    def fail(
        self, begun: Begun, error: BaseException, args: Args, kwargs: Kwargs
    ) -> None:
        """Record a call that raised *error*, and deliver."""
        self._invocations.end(begun, error, self._limits_of(args, kwargs))
