"""The duration of each operation of Django's caches, in all threads and tasks.

OpenTelemetry has no convention for caches, so the names are our own.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from functools import lru_cache, wraps
from time import perf_counter
from typing import TYPE_CHECKING, Any

from django.core.cache import caches

from dtmetrics._core.safe_call import call_safely
from dtmetrics._core.suppress_instrumentation import SUPPRESSED
from dtmetrics._decorate.hooks import error_type
from dtmetrics._instrument.semconv import MOST_BINDINGS
from dtmetrics._record.instruments import Summary
from dtmetrics._record.meter import Meter

if TYPE_CHECKING:
    from django.core.cache import CacheHandler
    from django.core.cache.backends.base import BaseCache

__all__ = ["CacheInstrumentation"]

# Not those that call the application back, or are made of these only.
_OPERATIONS = (
    "add clear decr delete delete_many get get_many has_key incr set set_many "  # noqa: SIM905
    "touch".split()
)
_ALIAS = "_dtmetrics_alias"  # an attribute of a cache


# One operation may call others, also in another thread: `aget_many` calls `get`.
_inside: ContextVar[bool] = ContextVar("dtmetrics_cache", default=False)


class CacheInstrumentation:
    """Replaces the methods of an application's cache classes by recording ones."""

    def __init__(self, meter: Meter) -> None:
        self._summary = meter.summary(
            "django.cache.operation.duration",
            unit="s",
            description="Duration of operations on caches",
        )
        self._registry = meter.registry
        self._bound = lru_cache(MOST_BINDINGS)(self._bind)
        self._classes: set[type] = set()

    def instrument(self, handler: CacheHandler = caches) -> None:
        """Record the operations of all caches of *handler*, in any thread."""
        create = handler.create_connection

        def create_instrumented(alias: str) -> BaseCache:
            cache = create(alias)
            call_safely(self._instrument, cache, alias, default=None)
            return cache

        handler.create_connection = create_instrumented
        for alias in handler:
            # Not handler[alias]: it would create the caches that do not exist yet.
            cache = getattr(handler._connections, alias, None)  # noqa: SLF001 -- as above
            if cache is not None:
                call_safely(self._instrument, cache, alias, default=None)

    def _instrument(self, cache: BaseCache, alias: str) -> None:
        setattr(cache, _ALIAS, alias)
        kind = type(cache)
        if kind in self._classes:
            return
        self._classes.add(kind)
        for operation in _OPERATIONS:
            forms = (operation, self._timed), (f"a{operation}", self._timed_async)
            for name, timed in forms:
                method = getattr(kind, name, None)
                if method is not None:  # an application's own class may lack some
                    setattr(kind, name, timed(method, operation))

    def _enabled(self) -> bool:
        return self._registry.recording and not _inside.get() and not SUPPRESSED.get()

    def _timed(self, method: Callable[..., Any], operation: str) -> Callable[..., Any]:
        @wraps(method)
        def timed(cache: BaseCache, *args: object, **kwargs: object) -> object:
            if not self._enabled():
                return method(cache, *args, **kwargs)
            with _Operation(self._bound, cache, operation):
                return method(cache, *args, **kwargs)

        return timed

    def _timed_async(
        self, method: Callable[..., Any], operation: str
    ) -> Callable[..., Any]:
        @wraps(method)
        async def timed(cache: BaseCache, *args: object, **kwargs: object) -> object:
            if not self._enabled():
                return await method(cache, *args, **kwargs)
            with _Operation(self._bound, cache, operation):
                return await method(cache, *args, **kwargs)

        return timed

    def _bind(self, alias: str | None, operation: str, error: str | None) -> Summary:
        dimensions = {
            "django.cache.name": alias,
            "django.cache.operation": operation,
            "error.type": error,
        }
        return self._summary.bind(**dimensions)


@dataclass(eq=False, slots=True)
class _Operation:
    """The time of an operation, from its beginning to its end."""

    bound: Callable[[str | None, str, str | None], Summary]
    cache: BaseCache
    name: str
    token: Token[bool] = field(init=False)
    start: float = field(init=False)

    def __enter__(self) -> None:
        self.token = _inside.set(True)
        self.start = perf_counter()

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        took = perf_counter() - self.start
        kind = None if error is None else error_type(error)
        self.bound(getattr(self.cache, _ALIAS, None), self.name, kind).record(took)
        _inside.reset(self.token)
