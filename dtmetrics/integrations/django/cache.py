"""How long each operation of Django's caches takes, in all threads and tasks.

OpenTelemetry has no convention for caches, so the names are Django's own.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from time import perf_counter
from typing import Any

from django.core.cache import caches

from dtmetrics._core.safe_call import call_safely
from dtmetrics._core.suppress_instrumentation import SUPPRESSED
from dtmetrics._decorate.hooks import error_type
from dtmetrics._instrument.bounded_cache import BoundedCache
from dtmetrics._record.instruments import Summary
from dtmetrics._record.meter import Meter

__all__ = ["Caches"]

# Not those that call the application back, or only others of these.
_OPERATIONS = (
    "add",
    "clear",
    "decr",
    "delete",
    "delete_many",
    "get",
    "get_many",
    "has_key",
    "incr",
    "set",
    "set_many",
    "touch",
)
_ALIAS = "_dtmetrics_alias"  # an attribute of a cache

# An operation may be made of others, in another thread: `aget_many` of `get`.
_inside: ContextVar[bool] = ContextVar("dtmetrics_cache", default=False)


class Caches:
    """The caches of an application; the methods of their classes are replaced."""

    def __init__(self, meter: Meter) -> None:
        self._summary = meter.summary(
            "django.cache.operation.duration",
            unit="s",
            description="Duration of operations on caches",
        )
        self._registry = meter.registry
        self._bound = BoundedCache(self._bind)
        self._kinds: set[type] = set()

    def instrument(self, handler: Any = caches) -> None:
        """CallHook all caches of *handler* that are made from now on, in any thread."""
        create = handler.create_connection

        def created(alias: str) -> Any:
            cache = create(alias)
            call_safely(self._measure, cache, alias, default=None)
            return cache

        handler.create_connection = created
        for alias in handler:
            cache = getattr(handler._connections, alias, None)
            if cache is not None:
                call_safely(self._measure, cache, alias, default=None)

    def _measure(self, cache: Any, alias: str) -> None:
        setattr(cache, _ALIAS, alias)
        kind = type(cache)
        if kind in self._kinds:
            return
        self._kinds.add(kind)
        for operation in _OPERATIONS:
            forms = (operation, self._timed), (f"a{operation}", self._timed_async)
            for name, timed in forms:
                method = getattr(kind, name, None)
                if method is not None:  # an application's own class may lack some
                    setattr(kind, name, timed(method, operation))

    def _timed(self, method: Callable[..., Any], operation: str) -> Callable[..., Any]:
        @wraps(method)
        def timed(cache: Any, *args: Any, **kwargs: Any) -> Any:
            if not self._registry.recording or _inside.get() or SUPPRESSED.get():
                return method(cache, *args, **kwargs)
            token = _inside.set(True)
            error = None
            start = perf_counter()
            try:
                return method(cache, *args, **kwargs)
            except BaseException as raised:
                error = error_type(raised)
                raise
            finally:
                self._record(perf_counter() - start, cache, operation, error)
                _inside.reset(token)

        return timed

    def _timed_async(
        self, method: Callable[..., Any], operation: str
    ) -> Callable[..., Any]:
        @wraps(method)
        async def timed(cache: Any, *args: Any, **kwargs: Any) -> Any:
            if not self._registry.recording or _inside.get() or SUPPRESSED.get():
                return await method(cache, *args, **kwargs)
            token = _inside.set(True)
            error = None
            start = perf_counter()
            try:
                return await method(cache, *args, **kwargs)
            except BaseException as raised:
                error = error_type(raised)
                raise
            finally:
                self._record(perf_counter() - start, cache, operation, error)
                _inside.reset(token)

        return timed

    def _record(
        self, took: float, cache: Any, operation: str, error: str | None
    ) -> None:
        self._bound[getattr(cache, _ALIAS, None), operation, error].record(took)

    def _bind(self, alias: str | None, operation: str, error: str | None) -> Summary:
        named = {
            "django.cache.name": alias,
            "django.cache.operation": operation,
            "error.type": error,
        }
        return self._summary.bind(**named)
