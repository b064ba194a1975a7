"""Whose requests are our own: of whoever exports a body."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextvars import Context, ContextVar
from typing import Any, TypeVar

from dtmetrics._core.safe_call import call_safely

__all__ = ["SUPPRESSED", "suppress_instrumentation"]

#: Whether what runs now does so in order to export: it is not measured, or each
#: delivery would make metrics for the next one.
SUPPRESSED: ContextVar[bool] = ContextVar("dtmetrics.exporting", default=False)

# What OpenTelemetry's instrumentations ask for. Some of them know the first one only
# (https://github.com/open-telemetry/opentelemetry-python-contrib/issues/2061); the
# others have a random part, and so are looked up, where a version has them.
_PLAIN_KEY = "suppress_instrumentation"
_KEYS = "_SUPPRESS_INSTRUMENTATION_KEY", "_SUPPRESS_HTTP_INSTRUMENTATION_KEY"

R = TypeVar("R")


def suppress_instrumentation(call: Callable[..., R], *args: Any) -> R:
    """Return ``call(*args)``, of which neither we nor OpenTelemetry measure anything.

    It is called in a context of its own: whoever traces a request that happens to
    flush would take ours for a part of it.
    """
    return Context().run(_unmeasured, call, args)


def _unmeasured(call: Callable[..., R], args: tuple[Any, ...]) -> R:
    SUPPRESSED.set(True)
    # Never imported here: who has not imported it has nothing that measures.
    opentelemetry: Any = sys.modules.get("opentelemetry.context")
    if opentelemetry is None:
        return call(*args)
    token = call_safely(_suppress, opentelemetry, default=None)
    try:
        return call(*args)
    finally:
        if token is not None:
            # Not every implementation of its context goes with this one of ours.
            call_safely(opentelemetry.detach, token, default=None)


def _suppress(opentelemetry: Any) -> Any:
    found = [getattr(opentelemetry, name, None) for name in _KEYS]
    context = opentelemetry.get_current()
    for key in (_PLAIN_KEY, *filter(None, found)):
        context = opentelemetry.set_value(key, True, context)
    return opentelemetry.attach(context)
