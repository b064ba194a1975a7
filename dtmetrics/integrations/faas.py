"""Metrics of a function on a platform that freezes its process after each invocation.

>>> import dtmetrics
>>> from dtmetrics.integrations.faas import invocation
>>> dtmetrics.configure(interval=None, exporter=dtmetrics.MemoryExporter())
>>> @invocation("orders", trigger="http")
... def place_order(request):
...     return "placed"
>>> place_order("a request")
'placed'
>>> dtmetrics.shutdown()
True
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from dtmetrics._decorate.decorate import AsyncBlock, decorate
from dtmetrics._decorate.hooks import Args, Kwargs, OneHook
from dtmetrics._instrument.invocations import (
    Begun,
    InvocationCalls,
    Invocations,
    Limits,
)
from dtmetrics._record.meter import Meter
from dtmetrics._runtime.runtime import default

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Invocation", "invocation"]

P = ParamSpec("P")
R = TypeVar("R")


def invocation(
    name: str | None = None,
    /,
    *,
    trigger: str | None = None,
    dimensions: Mapping[str, object] | None = None,
    timeout: float = 2.0,
    remaining: Callable[[], float] | None = None,
    meter: Meter | None = None,
) -> Invocation:
    """Record an invocation (as a decorator, or by ``with``), and deliver at its end.

    ``faas.invoke_duration`` is the duration in seconds and ``faas.errors`` the number
    of failures, by OpenTelemetry's names
    (https://opentelemetry.io/docs/specs/semconv/faas/faas-metrics/). Both have the
    dimension ``faas.coldstart``: ``true`` for the first invocation of a process. An
    exception adds ``error.type`` and is passed on. Before it returns, all that the
    process has recorded is delivered, as by ``flush()``. What is not delivered in time
    is sent by the next invocation. Before ``configure(interval=None)`` it does nothing.

    Args:
        name (str | None): The name of the function, for the dimension ``faas.name``.
            Default: none.
        trigger (str | None): The dimension ``faas.trigger``: ``"datasource"``,
            ``"http"``, ``"pubsub"``, ``"timer"`` or ``"other"``. Default: none.
        dimensions (Mapping[str, object] | None): Keys and values that are added to
            both. Default: none.
        timeout (float): Seconds that the delivery may take. A function of asyncio waits
            for it as well. Default: 2.0.
        remaining (Callable[[], float] | None): Returns the seconds until the platform
            ends the invocation, of which the delivery takes at most half. Default:
            unlimited.
        meter (Meter | None): The meter that records. Default:
            ``get_meter("dtmetrics.integrations.faas")``.

    >>> from dtmetrics.integrations.faas import invocation
    >>> with invocation("orders", trigger="timer", remaining=lambda: 3.0):
    ...     pass
    """
    given = {"faas.trigger": trigger, "faas.name": name, **(dimensions or {})}
    meter = meter or default.get_meter(__name__)
    return Invocation(Invocations(meter, given, timeout=timeout), remaining)


class Invocation(AsyncBlock):
    """Records and delivers: as a decorator any calls, as a block one at a time.

    ``invocation()`` makes it.

    >>> from dtmetrics.integrations.faas import invocation
    >>> with invocation("orders"):
    ...     pass
    """

    def __init__(
        self, invocations: Invocations, remaining: Callable[[], float] | None
    ) -> None:
        self._invocations = invocations
        self._remaining = remaining
        self._begun: Begun | None = None

    def __call__(self, func: Callable[P, R]) -> Callable[P, R]:
        """Decorate *func*."""
        hook = InvocationCalls(self._invocations, self._limits_of)
        return decorate(func, OneHook(hook), self._invocations.registry)

    def _limits_of(self, args: Args, kwargs: Kwargs) -> Limits:
        return Limits(remaining=self._remaining)

    def __enter__(self) -> Self:
        self._begun = self._invocations.begin()
        return self

    def __exit__(
        self, kind: object, error: BaseException | None, trace: object
    ) -> None:
        begun, self._begun = self._begun, None
        if begun is not None and self._invocations.registry.recording:
            self._invocations.end(begun, error, Limits(remaining=self._remaining))
