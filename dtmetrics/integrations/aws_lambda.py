"""Metrics of a function of AWS Lambda, delivered within each invocation.

>>> import dtmetrics
>>> from dtmetrics.integrations.aws_lambda import handler
>>> dtmetrics.configure(interval=None, exporter=dtmetrics.MemoryExporter())
>>> @handler
... def place_order(event, context):
...     return {"statusCode": 200}
>>> place_order({}, None)
{'statusCode': 200}
>>> dtmetrics.shutdown()
True
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, overload

from dtmetrics._decorate.decorate import decorate
from dtmetrics._decorate.hooks import Args, Kwargs, OneHook
from dtmetrics._instrument.invocations import InvocationCalls, Invocations, Limits
from dtmetrics._record.meter import Meter
from dtmetrics._runtime.runtime import default

__all__ = ["handler"]

F = TypeVar("F", bound=Callable[..., Any])


@overload
def handler(func: F, /) -> F: ...
@overload
def handler(
    *,
    trigger: str | None = None,
    dimensions: Mapping[str, object] | None = None,
    timeout: float = 2.0,
    meter: Meter | None = None,
) -> Callable[[F], F]: ...
def handler(
    func: F | None = None,
    /,
    *,
    trigger: str | None = None,
    dimensions: Mapping[str, object] | None = None,
    timeout: float = 2.0,
    meter: Meter | None = None,
) -> F | Callable[[F], F]:
    """Record each invocation of the decorated handler, and deliver at its end.

    ``@handler`` and ``@handler(...)`` record ``faas.invoke_duration`` and
    ``faas.errors``, as ``dtmetrics.integrations.faas.invocation()`` does, with the name
    of the function as ``faas.name``. The delivery takes at most half of what
    ``context.get_remaining_time_in_millis()`` returns
    (https://docs.aws.amazon.com/lambda/latest/dg/python-context.html). It must be
    the outermost decorator. Before ``configure(interval=None)`` it does nothing.

    Args:
        trigger (str | None): The dimension ``faas.trigger``: ``"datasource"``,
            ``"http"``, ``"pubsub"``, ``"timer"`` or ``"other"``. Default: none.
        dimensions (Mapping[str, object] | None): Keys and values that are added to
            both. Default: none.
        timeout (float): Seconds that the delivery may take. Default: 2.0.
        meter (Meter | None): The meter that records. Default:
            ``get_meter("dtmetrics.integrations.aws_lambda")``.

    >>> from dtmetrics.integrations.aws_lambda import handler
    >>> @handler(trigger="http", timeout=1.0)
    ... def place_order(event, context):
    ...     return {"statusCode": 200}
    """
    given = {"faas.trigger": trigger, **(dimensions or {})}
    meter = meter or default.get_meter(__name__)
    calls = InvocationCalls(Invocations(meter, given, timeout=timeout), _limits_of)

    def decorator(func: F) -> F:
        return decorate(func, OneHook(calls), meter.registry)

    return decorator if func is None else decorator(func)


def _limits_of(args: Args, kwargs: Kwargs) -> Limits:
    # Lambda passes both arguments by position; a test may pass them by any name.
    context: Any = [*args, *kwargs.values(), None, None][1]
    return Limits(
        getattr(context, "function_name", None),
        lambda: context.get_remaining_time_in_millis() / 1000,
    )
