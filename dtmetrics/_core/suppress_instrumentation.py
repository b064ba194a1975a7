"""Marks the exporter's own requests, so that no instrumentation records them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextvars import Context, ContextVar
from typing import Protocol, TypeVar, cast

from dtmetrics._core.safe_call import call_safely

__all__ = ["SUPPRESSED", "suppress_instrumentation"]

#: Whether the current code exports. It is not instrumented then, because each delivery
#: would create data points for the next one.
SUPPRESSED: ContextVar[bool] = ContextVar("dtmetrics.suppressed", default=False)

# The context keys by which OpenTelemetry suppresses its own instrumentations. Some of
# them read only the first, plain key:
# https://github.com/open-telemetry/opentelemetry-python-contrib/issues/2061
# The others end in a random part, and are read from the module if it has them.
_PLAIN_KEY = "suppress_instrumentation"
_KEY_CONSTANTS = "_SUPPRESS_INSTRUMENTATION_KEY", "_SUPPRESS_HTTP_INSTRUMENTATION_KEY"

R = TypeVar("R")


class _ContextApi(Protocol):
    """The part of ``opentelemetry.context`` that is used here."""

    def get_current(self) -> object: ...
    def set_value(self, key: str, value: object, context: object) -> object: ...
    def attach(self, context: object) -> object: ...
    def detach(self, token: object) -> None: ...


def suppress_instrumentation(call: Callable[..., R], *args: object) -> R:
    """Return ``call(*args)``, recorded neither by dtmetrics nor by OpenTelemetry.

    The call runs in an empty context. Otherwise a tracer would count the export as a
    part of the request that happens to flush.
    """
    return Context().run(_call_suppressed, call, args)


def _call_suppressed(call: Callable[..., R], args: tuple[object, ...]) -> R:
    SUPPRESSED.set(True)
    # Not imported here: a program that has not imported it has no such instrumentation.
    module = sys.modules.get("opentelemetry.context")
    if module is None:
        return call(*args)
    opentelemetry = cast("_ContextApi", module)
    token = call_safely(_attach_suppression, opentelemetry, default=None)
    try:
        return call(*args)
    finally:
        if token is not None:
            # Some implementations of its context do not end with this one.
            call_safely(opentelemetry.detach, token, default=None)


def _attach_suppression(opentelemetry: _ContextApi) -> object:
    keys = [getattr(opentelemetry, name, None) for name in _KEY_CONSTANTS]
    context = opentelemetry.get_current()
    suppressed: object = True
    for key in (_PLAIN_KEY, *filter(None, keys)):
        context = opentelemetry.set_value(key, suppressed, context)
    return opentelemetry.attach(context)
