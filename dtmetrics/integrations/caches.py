"""Hits, misses and sizes of ``functools.lru_cache`` and of cachetools.

>>> from functools import lru_cache
>>> from dtmetrics.integrations.caches import instrument_cache
>>> @lru_cache(maxsize=100)
... def price(item):
...     return 3
>>> instrument_cache(price, name="prices")
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator
from functools import lru_cache
from math import isfinite
from threading import Lock
from typing import Any
from weakref import ref

from dtmetrics._core.safe_call import call_safely
from dtmetrics._record.meter import Meter
from dtmetrics._record.observable import observe
from dtmetrics._runtime.runtime import default

__all__ = ["instrument_cache", "uninstrument_cache"]

NAME = "cache.name"

_COUNTED = "hits", "misses"
_LRU_CACHE = type(lru_cache(abs))

Rows = Iterator[tuple[float, dict[str, object]]]


def instrument_cache(
    cache: Any,  # noqa: ANN401 -- functions and caches of several libraries
    *,
    name: str,
    meter: Meter | None = None,
) -> None:
    """Observe *cache* at each collection; using it costs nothing more.

    ``cache.hits`` and ``cache.misses`` are counters, from the call on.
    ``cache.size`` and ``cache.max_size`` are gauges; a cache without a limit has only
    the first. Caches of one name are added up. OpenTelemetry has no convention for
    caches.

    The observation ends when the cache is garbage-collected. A second call with the
    same cache and meter does nothing.

    Args:
        cache (Any): A function with ``functools.lru_cache`` or ``functools.cache``, or
            with ``cachetools.cached(..., info=True)``: what has ``cache_info()``. Or
            a cache of cachetools, which counts neither hits nor misses.
        name (str): The dimension ``cache.name``.
        meter (Meter | None): The meter that records. Default:
            ``get_meter("dtmetrics.integrations.caches")``.

    Raises:
        TypeError: *cache* is none of these.

    >>> from cachetools import TTLCache
    >>> from dtmetrics.integrations.caches import instrument_cache
    >>> sessions = TTLCache(maxsize=1_000, ttl=60)
    >>> instrument_cache(sessions, name="sessions")
    """
    # Of a method, its function in the class: a bound method is made at each access.
    cache = getattr(cache, "__func__", cache)
    if not callable(getattr(cache, "cache_info", None)) and not (
        hasattr(cache, "currsize") and hasattr(cache, "maxsize")
    ):
        raise TypeError(
            "cache must be a function with cache_info() or a cache of cachetools, "
            f"got an object of {type(cache).__name__}"
        )
    meter = meter or default.get_meter(__name__)
    with _lock:
        caches = _caches.get(meter)
        if caches is None:
            caches = _caches[meter] = _Caches()
            caches.observe_with(meter)
        caches.add(_Cache(cache, name))


def uninstrument_cache(cache: Any) -> None:  # noqa: ANN401 -- as above
    """Observe *cache* no more. One that is not observed is ignored.

    >>> from functools import lru_cache
    >>> from dtmetrics.integrations.caches import uninstrument_cache
    >>> uninstrument_cache(lru_cache(abs))
    """
    cache = getattr(cache, "__func__", cache)
    with _lock:
        for caches in _caches.values():
            caches.remove(cache)


class _Cache:
    """One cache, and what it had counted at the last observation."""

    def __init__(self, cache: Any, name: str) -> None:  # noqa: ANN401 -- as above
        self.reference = ref(cache)
        self.name = name
        self._has_info = callable(getattr(cache, "cache_info", None))
        self._last: dict[str, int] = {}
        self._begin()

    def get(self, field: str) -> float | None:
        """Return a field of the cache; None if there is none, or the cache is gone."""
        return call_safely(self._get, field, default=None)

    def _get(self, field: str) -> float | None:
        cache: Any = self.reference()
        number = getattr(cache.cache_info() if self._has_info else cache, field, None)
        return number if number is not None and isfinite(number) else None

    def _begin(self) -> None:
        for field in _COUNTED:
            self._last[field] = int(self.get(field) or 0)

    def begin(self) -> None:
        """Count from now on, or where that may block from the next observation on."""
        # In a forked child the lock of a cachetools function may be locked for good.
        self._last.clear()
        if isinstance(self.reference(), _LRU_CACHE):
            self._begin()

    def grown(self, field: str) -> int:
        """Return by how much *field* has grown since the last call."""
        count = self.get(field)
        if count is None:
            return 0
        last, self._last[field] = self._last.get(field, int(count)), int(count)
        # What was cleared counts from zero on.
        return int(count) - last if count >= last else int(count)


class _Caches:
    """The caches that one meter observes. Also the totals of those that are gone."""

    def __init__(self) -> None:
        self._caches: list[_Cache] = []
        self._totals: dict[str, Tally[str]] = {field: Tally() for field in _COUNTED}

    def add(self, cache: _Cache) -> None:
        alive = self._alive()
        if all(each.reference() is not cache.reference() for each in alive):
            alive.append(cache)
        self._caches = alive

    def remove(self, cache: object) -> None:
        self._caches = [each for each in self._alive() if each.reference() is not cache]

    def _alive(self) -> list[_Cache]:
        return [each for each in self._caches if each.reference() is not None]

    def observe_with(self, meter: Meter) -> None:
        hits = meter.counter("cache.hits", unit="{hit}", description="Hits of a cache")
        misses = meter.counter(
            "cache.misses", unit="{miss}", description="Misses of a cache"
        )
        size = meter.gauge(
            "cache.size", unit="{entry}", description="Size of the entries of a cache"
        )
        max_size = meter.gauge(
            "cache.max_size", unit="{entry}", description="Greatest size of a cache"
        )
        observe(hits.origin, self.hits, self.begin)
        observe(misses.origin, self.misses, self.begin)
        observe(size.origin, self.sizes)
        observe(max_size.origin, self.max_sizes)

    def begin(self) -> None:
        """Count from now on."""
        for totals in self._totals.values():
            totals.clear()
        for cache in self._caches:
            cache.begin()

    def hits(self) -> Rows:
        return self._total("hits")

    def misses(self) -> Rows:
        return self._total("misses")

    def sizes(self) -> Rows:
        return self._sum("currsize")

    def max_sizes(self) -> Rows:
        return self._sum("maxsize")

    def _total(self, field: str) -> Rows:
        totals = self._totals[field]
        for cache in self._caches:
            totals[cache.name] += cache.grown(field)
        for name, total in totals.items():
            yield total, {NAME: name}

    def _sum(self, field: str) -> Rows:
        sums: dict[str, float] = {}
        for cache in self._caches:
            number = cache.get(field)
            if number is not None:
                sums[cache.name] = sums.get(cache.name, 0) + number
        for name, number in sums.items():
            yield number, {NAME: name}


_lock = Lock()
_caches: dict[Meter, _Caches] = {}
