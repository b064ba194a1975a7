"""Instruments: Counter and Summary, and how every instrument finds its series.

An instrument keeps the series that it records into. While nothing forbids it, the fast
path is enabled: ``series.buffer`` is set, and a record is an append. In all other cases
(recording is off, the first record, dimensions in the call, a context was opened)
``Instrument.find_series`` returns the series.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, ParamSpec, TypeVar, cast

from dtmetrics._decorate.decorate import Ready, decorate
from dtmetrics._decorate.hooks import error_type
from dtmetrics._record.catalog import AnySeries, Family
from dtmetrics._record.definition import Definition
from dtmetrics._record.dimensions import CONTEXT, Pairs, is_cacheable
from dtmetrics._record.gauge_series import GaugeSeries
from dtmetrics._record.registry import Generation, Registry
from dtmetrics._record.series import CounterSeries
from dtmetrics._record.summary_series import SummarySeries

if TYPE_CHECKING:
    from functools import _lru_cache_wrapper

    from typing_extensions import Self

__all__ = ["Counter", "Instrument", "Origin", "Summary"]

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=AnySeries)

# CPython has one object for 1. On other implementations a 1 may be appended instead.
_ONE: Final = 1

# What a new instrument points to: the first record looks up its series.
_UNKNOWN = GaugeSeries("", "", Lock(), bool, 0)
_UNKNOWN.discard()

# What the look-up returns while nothing is to be recorded, until the next start.
_DISABLED = GaugeSeries("", "", Lock(), bool, 0)

_CACHED_SETS = 1024


class Origin(NamedTuple):
    """What an instrument shares with those that are bound to more dimensions."""

    registry: Registry
    family: Family
    definition: Definition
    #: The name and the dimensions of the meter.
    scope: str
    level: int
    dimensions: Pairs

    def enabled(self) -> bool:
        """Return whether the instrument may record now."""
        return (
            self.registry.recording
            and not self.family.void
            and not self.family.quarantined
            and self.registry.generation.enabled(self.scope, self.level)
        )

    def series(self, *layers: Pairs) -> AnySeries:
        """Return the series for the meter's dimensions and *layers*."""
        if not self.enabled():
            return _DISABLED
        return self.registry.series(self.family, (self.dimensions, *layers))


class _NotCacheable(Exception):  # noqa: N818 -- leaves lru_cache, is not an error
    """Raised by what a cache calls, so that the cache keeps nothing."""


class Instrument(Generic[S]):
    """What all instruments are. ``counter()`` and so on make one."""

    __slots__ = (
        "__weakref__",
        "_bound",
        "_cache",
        "_generation",
        "_series",
        "origin",
        "registry",
    )

    def __init__(self, origin: Origin, bound: Pairs = ()) -> None:
        self.origin: Origin = origin
        # An attribute of a named tuple costs 20 ns.
        self.registry: Registry = origin.registry
        self._bound = bound
        self._series = cast("S", _UNKNOWN)
        self._cache: _lru_cache_wrapper[S] | None = None
        self._generation: Generation | None = None  # of the series and the cache

    def __repr__(self) -> str:
        bound = "".join(f", {key}={value!r}" for key, value in self._bound)
        return f"<{type(self).__name__} {self.name!r}{bound}>"

    @property
    def name(self) -> str:
        """The name that the instrument was defined with."""
        return self.origin.definition.name

    @property
    def identity(self) -> tuple[object, ...]:
        """What is equal for instruments that record into the same series."""
        return self.origin.family, self.origin.dimensions, self._bound

    def reject(self, reason: str) -> None:
        """Count one value of this instrument as invalid, for *reason*."""
        self.origin.family.reject(reason)

    def __deepcopy__(self, memo: object) -> Self:
        # An object that has an instrument can be copied, as one that has a logger.
        return self

    def bind(self, /, **dimensions: object) -> Self:
        """Return an instrument that adds *dimensions* to all it records.

        Keep it: recording through it looks up nothing. Dimensions of a call win over
        these.

        >>> from dtmetrics import counter
        >>> eu = counter("orders.placed").bind(region="eu")
        >>> eu.inc()
        """
        return type(self)(self.origin, (*self._bound, *dimensions.items()))

    def find_series(self, dimensions: Mapping[str, object]) -> S | None:
        """Return the series to record into; None if nothing is to be recorded.

        Without dimensions in the call or the context it is kept in ``_series``, else in
        a cache by these dimensions.
        """
        registry = self.registry
        if not registry.recording:
            return None
        if self._generation is not registry.generation:
            self._forget(registry.generation)
        cache = self._cache
        if dimensions and cache is not None and not registry.has_context:
            try:
                series = cache(**dimensions)
                if series.buffer is not None:
                    return series
            except Exception:  # noqa: BLE001, S110 -- _look_up() handles it
                pass
        return self._look_up(dimensions)

    def _look_up(self, dimensions: Mapping[str, object]) -> S | None:
        registry = self.registry
        context = (CONTEXT.get(),) if registry.has_context else ()
        if dimensions or any(context):
            cache = self._cache or self._make_cache()
            try:
                series = cache(*context, **dimensions)
                if series.discarded:
                    cache.cache_clear()
                    series = cache(*context, **dimensions)
            except Exception:  # noqa: BLE001 -- a value may raise what it wants
                # A value is not cacheable, or raised in its __hash__ or __eq__.
                series = self._series_of(*context, self._bound, (*dimensions.items(),))
        else:
            series = self._series
            if series.discarded:
                self._series = series = self._series_of(self._bound)
        if series is _DISABLED:
            return None
        if series.buffer is None:
            registry.enable_fast_path(series)
        return series

    def _series_of(self, *layers: Pairs) -> S:
        return cast("S", self.origin.series(*layers))

    def _forget(self, generation: Generation) -> None:
        # The generation last: until then other threads do so as well.
        self._series = cast("S", _UNKNOWN)
        self._cache = None
        self._generation = generation

    def _make_cache(self) -> _lru_cache_wrapper[S]:
        # lru_cache makes its key from the keywords in 227 ns, Python code in 459 ns.
        # The function has no reference to the instrument, which would make a cycle and
        # leave each instrument to the garbage collector.
        origin, bound = self.origin, self._bound

        @lru_cache(_CACHED_SETS, typed=True)
        def series_of(context: Pairs = (), /, **dimensions: object) -> S:
            pairs = tuple(dimensions.items())
            if not all(is_cacheable(part) for pair in pairs for part in pair):
                raise _NotCacheable
            return cast("S", origin.series(context, bound, pairs))

        self._cache = series_of
        return series_of


class Counter(Instrument[CounterSeries]):
    """Counts events; each interval sends the increase.

    An interval without an increase sends nothing. As a decorator a counter counts the
    calls that end, as a ``with`` block the passes. The dimension ``error.type`` names
    the exception that ended one. ``counter()`` makes it.

    >>> from dtmetrics import counter
    >>> placed = counter("orders.placed", unit="{order}")
    >>> placed.inc()
    >>> placed.inc(3, region="eu")
    >>> @counter("jobs.run")
    ... def job():
    ...     pass
    >>> with counter("imports.run"):
    ...     job()
    """

    __slots__ = ()

    def inc(self, amount: int | float = 1, /, **dimensions: object) -> None:
        """Add *amount*, which must not be negative.

        It never raises: a value that cannot be added is counted in ``stats().invalid``.

        Args:
            amount (int | float): What to add, by position. Default: 1.
            dimensions (object): Keys and values, which make the series.

        >>> from dtmetrics import counter
        >>> counter("bytes.sent", unit="By").inc(1500, **{"network.type": "ipv6"})
        """
        series = self._series
        ones = series.buffer
        if ones is None or dimensions:
            found = self.find_series(dimensions)
            if found is None:
                return
            series, ones = found, found.ones
        if amount is _ONE:
            next(ones)
            return
        values = series.values
        if values is None:
            values = self.registry.make_list(series)
        values.append(amount)
        if len(values) > series.limit:
            series.fold_if_free()

    def __call__(self, func: Callable[P, R]) -> Callable[P, R]:
        hook = CompletedCalls(self)
        return decorate(func, lambda _: hook, self.registry)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: object, error: BaseException | None, trace: object
    ) -> None:
        if error is None:
            self.inc()
        else:
            self.inc(1, **{"error.type": error_type(error)})

    def __aenter__(self) -> Ready[Self]:
        return Ready(self)

    def __aexit__(
        self, kind: object, error: BaseException | None, trace: object
    ) -> Ready[None]:
        self.__exit__(kind, error, trace)
        return Ready(None)


class Summary(Instrument[SummarySeries]):
    """Observed values; each interval sends minimum, maximum, sum and count.

    An interval without a value sends nothing. ``summary()`` makes it.

    >>> from dtmetrics import summary
    >>> summary("cart.value", unit="EUR").record(9.5)
    """

    __slots__ = ()

    def record(self, value: int | float, /, **dimensions: object) -> None:
        """Observe *value*.

        It never raises: a value that is not a finite number is counted in
        ``stats().invalid``.

        Args:
            value (int | float): The value, by position, in the unit of the summary.
            dimensions (object): Keys and values, which make the series.

        >>> from dtmetrics import summary
        >>> summary("cart.value", unit="EUR").record(9.5, region="eu")
        """
        series = self._series
        buffer = series.buffer
        if buffer is None or dimensions:
            found = self.find_series(dimensions)
            if found is None:
                return
            series, buffer = found, found.values
        buffer.append(value)
        if len(buffer) > series.limit:
            series.fold_if_free()


class CompletedCalls:
    """Count calls when they end."""

    def __init__(self, counter: Counter) -> None:
        self._counter = self.into = counter

    def begin(self) -> None:
        """Keep nothing until the call ends."""

    def end(self, *_: object) -> None:
        """Count a call that returned."""
        self._counter.inc()

    def fail(self, token: object, error: BaseException, *_: object) -> None:
        """Count a call that raised *error*."""
        self._counter.inc(1, **{"error.type": error_type(error)})
