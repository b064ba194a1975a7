"""Meters: make instruments, with a scope for levels and dimensions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, overload

from dtmetrics._core.level import Level
from dtmetrics._core.shared import Shared
from dtmetrics._record.dimensions import Pairs, as_plain, require_cacheable
from dtmetrics._record.gauge import Gauge
from dtmetrics._record.instrument_maker import InstrumentMaker
from dtmetrics._record.instruments import Counter, Summary
from dtmetrics._record.job_meter import JobMeter
from dtmetrics._record.leveled_meter import LeveledMeter
from dtmetrics._record.pickling import Reduced, restored_meter
from dtmetrics._record.registry import Registry
from dtmetrics._record.timer import Timer, TimerOptions
from dtmetrics._record.worker_dimension import same_in_workers

if TYPE_CHECKING:
    from functools import _lru_cache_wrapper

__all__ = ["Meter"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

# The objects of the defaults. Comparing by identity runs no code of a caller.
_EMPTY, _INFO, _SECONDS, _TOTAL = "", "INFO", "s", "total"
_NOTHING: Any = ()
# How many meters with other dimensions a meter remembers.
_BOUND_METERS = 256


class Meter(JobMeter, LeveledMeter, Shared):
    """Makes instruments that share a name and dimensions; ``get_meter()`` returns it.

    The name is not part of a metric key, because keys are global in Dynatrace. It has
    the level, as in logging: ``set_level("shop.db", "DEBUG")``. The dimensions
    are added to everything that the instruments record. The functions ``counter()``,
    ``gauge()`` and so on of ``dtmetrics`` are methods of the meter without a name.

    >>> from dtmetrics import get_meter
    >>> meter = get_meter("shop.db")
    >>> meter.name
    'shop.db'
    >>> meter.counter("queries.run").inc()
    """

    def __init__(self, registry: Registry, name: str, dimensions: Pairs = ()) -> None:
        #: The name, for ``configure(levels=...)``.
        self.name: str = name
        #: The registry that the instruments record into.
        self.registry: Registry = registry
        self._dimensions = dimensions
        self._maker = InstrumentMaker(registry, name, dimensions)
        # What was defined by nothing but its name, for code that defines an instrument
        # where it records: 0.2 us instead of 1.
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._summaries: dict[str, Summary] = {}
        self._timers: dict[str, Timer] = {}
        self._bound: _lru_cache_wrapper[Meter] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    def __reduce__(self) -> Reduced:
        unbound = self.registry.get_meter(self.name)
        if self._dimensions:
            return restored_meter, (unbound, as_plain(self._dimensions))
        return self.registry.get_meter, (self.name,)

    def bind(self, /, **dimensions: object) -> Meter:
        """Return a meter whose instruments add *dimensions* to all they record.

        Dimensions of the instrument or of the call win over these.

        >>> from dtmetrics import get_meter
        >>> replica = get_meter("shop.db").bind(server="replica")
        >>> replica.counter("queries.run").inc()
        """
        bound = self._bound or self._make_cache()
        try:
            return bound(**dimensions)
        except Exception:  # noqa: BLE001 -- not cacheable, or its __hash__ raised
            pairs = (*self._dimensions, *dimensions.items())
            return Meter(self.registry, self.name, pairs)

    def counter(
        self,
        name: str,
        /,
        *,
        unit: str = "",
        description: str = "",
        level: Level = "INFO",
        dimensions: Mapping[str, object] | None = None,
    ) -> Counter:
        """Return the counter *name*, which counts events.

        Equal definitions return the same counter.

        Args:
            name (str): The metric key. A character that a key cannot have becomes an
                underscore, and what follows the 250th character is cut off
                (https://docs.dynatrace.com/docs/ingest-from/extend-dynatrace/extend-metrics/reference/metric-ingestion-protocol).
            unit (str): Of the values, as Dynatrace shows it: a UCUM symbol (``"s"``,
                ``"By"``), or what is counted, in braces (``"{order}"``). Default: none.
            description (str): One sentence for Dynatrace, of which it keeps at most
                1,023 characters. Default: none. Of a key that is defined twice, the
                first unit and description count.
            level (Level): A name or a number, as in logging. Below the level that
                ``configure()`` sets for the meter, and at ``"OFF"``, the counter
                records nothing. Default: ``"INFO"``.
            dimensions (Mapping[str, object] | None): Keys and values that are added to
                everything that the counter records. Default: none.

        Raises:
            TypeError: *level* is neither an int nor a str, or *name* is a function,
                because the decorator was written without parentheses.
            ValueError: *level* is a str, but not the name of a level.
            DefinitionError: Only under ``configure(strict=True)``: *name* has no valid
                character, begins with ``dt.``, or is another kind of instrument. Else
                the error is logged once, and the counter records nothing.

        >>> from dtmetrics import counter
        >>> placed = counter("orders.placed", unit="{order}", description="Orders")
        >>> placed.inc()
        >>> counter("cache.hits", level="DEBUG", dimensions={"cache": "carts"}).inc(3)
        """
        named = unit is description is _EMPTY and level is _INFO and dimensions is None
        if named:
            try:
                return self._counters[name]
            except Exception:  # noqa: BLE001, S110 -- a new or an invalid name
                pass
        made = self._maker.make(Counter, name, unit, description, level, dimensions)
        if named and not made.origin.family.void:
            self._counters[made.name] = made
        return made

    def gauge(
        self,
        name: str,
        /,
        *,
        unit: str = "",
        description: str = "",
        level: Level = "INFO",
        dimensions: Mapping[str, object] | None = None,
        per_worker: bool = True,
        ttl: float | None = None,
    ) -> Gauge:
        """Return the gauge *name*, for a value that goes up and down.

        The other arguments and the errors are those of ``counter()``.

        Args:
            per_worker (bool): Whether each worker has a value of its own, which the
                dimension ``dtmetrics.worker`` keeps apart; see ``worker_dimension`` of
                ``configure()``. False: the value is the same in all of them, such as
                the depth of a queue that they share. Default: True.
            ttl (float | None): Seconds, above 0, after which a series that is neither
                set nor moved is forgotten, as by ``remove()``: at the first collection
                so long after the one that sent its last change. Where calls or blocks
                move the gauge, it must be longer than the longest of them. Of two
                definitions of the key, that of the first record into a series counts.
                Default: none, and the last value is sent in each interval.

        Raises:
            TypeError: *ttl* is not a number; or as in ``counter()``.
            ValueError: *ttl* is not above 0, or not finite; or as in ``counter()``.
            DefinitionError: As in ``counter()``.

        >>> from dtmetrics import gauge
        >>> gauge("jobs.active", unit="{job}").set(12)
        >>> gauge("queue.depth", unit="{job}", per_worker=False).set(40)
        >>> gauge("session.depth", ttl=300).set(3, session="a1")
        """
        if not per_worker:
            dimensions = same_in_workers(dimensions)
        named = unit is description is _EMPTY and level is _INFO and dimensions is None
        named = named and ttl is None
        if named:
            try:
                return self._gauges[name]
            except Exception:  # noqa: BLE001, S110 -- a new or an invalid name
                pass
        made = self._maker.make(Gauge, name, unit, description, level, dimensions, ttl)
        if named and not made.origin.family.void:
            self._gauges[made.name] = made
        return made

    def summary(
        self,
        name: str,
        /,
        *,
        unit: str = "",
        description: str = "",
        level: Level = "INFO",
        dimensions: Mapping[str, object] | None = None,
    ) -> Summary:
        """Return the summary *name*: minimum, maximum, sum and count of values.

        The arguments and the errors are those of ``counter()``.

        >>> from dtmetrics import summary
        >>> summary("cart.value", unit="EUR").record(9.5)
        """
        named = unit is description is _EMPTY and level is _INFO and dimensions is None
        if named:
            try:
                return self._summaries[name]
            except Exception:  # noqa: BLE001, S110 -- a new or an invalid name
                pass
        made = self._maker.make(Summary, name, unit, description, level, dimensions)
        if named and not made.origin.family.void:
            self._summaries[made.name] = made
        return made

    @overload
    def timed(self, func: type[T], /) -> type[T]: ...
    @overload
    def timed(self, func: Callable[P, R], /) -> Callable[P, R]: ...
    @overload
    def timed(
        self,
        name: str | None = None,
        /,
        *,
        args: Sequence[str] | Mapping[str, Callable[[Any], Any]] = (),
        result: Callable[[Any], Mapping[str, Any]] | None = None,
        errors: bool = True,
        ignore: tuple[type[BaseException], ...] = (),
        generator: Literal["total", "active"] = "total",
        unit: str = "s",
        description: str = "",
        level: Level = "INFO",
        dimensions: Mapping[str, object] | None = None,
    ) -> Timer: ...
    def timed(
        self,
        name: str | Callable[..., Any] | None = None,
        /,
        *,
        args: Sequence[str] | Mapping[str, Callable[[Any], Any]] = (),
        result: Callable[[Any], Mapping[str, Any]] | None = None,
        errors: bool = True,
        ignore: tuple[type[BaseException], ...] = (),
        generator: Literal["total", "active"] = "total",
        unit: str = "s",
        description: str = "",
        level: Level = "INFO",
        dimensions: Mapping[str, object] | None = None,
    ) -> Timer | Callable[..., Any]:
        """Time calls (as a decorator) or blocks (``with``), in seconds.

        ``@timed`` without parentheses decorates; ``timed(...)`` returns a `Timer`,
        which decorates and times blocks. A decorated function, coroutine function,
        generator, class or other callable keeps its type, signature and behaviour. A
        call that raises, cancelling included, is recorded with the dimension
        ``error.type``. A call with wrong arguments is not recorded.

        Args:
            name (str | None): The metric key. Without one it is ``function.duration``,
                and the dimension ``code.function.name`` names the function.
            args (Sequence[str] | Mapping[str, Callable]): Names of arguments whose
                values become dimensions: ``("region",)``, or with a callable for each,
                which converts the value, ``{"region": str.lower}``. Default: none.
            result (Callable | None): Called with what the function returned; returns a
                mapping of dimensions. Default: none.
            errors (bool): Whether ``error.type`` is added. Default: True.
            ignore (tuple[type[BaseException], ...]): Exceptions that add no
                ``error.type``. Default: none.
            generator (str): What counts for a generator: ``"total"``, all from its
                first step to its last, or ``"active"``, only while it runs. Default:
                ``"total"``.
            unit (str): As in ``counter()``; values are seconds. Default: ``"s"``.
            description (str): As in ``counter()``.
            level (Level): As in ``counter()``. Default: ``"INFO"``.
            dimensions (Mapping[str, object] | None): As in ``counter()``.

        Raises:
            TypeError: *ignore* is not a class of exceptions or several; or as in
                ``counter()``.
            ValueError: *generator* is another text; or as in ``counter()``.
            DefinitionError: As in ``counter()``.

        >>> from dtmetrics import timed
        >>> @timed
        ... def area(side):
        ...     return side * side
        >>> @timed("fetch.duration", args=("region",), ignore=(KeyError,))
        ... async def fetch(url, region):
        ...     ...
        >>> with timed("render.duration") as t:
        ...     t.set(kind="page")
        """
        named = result is None and dimensions is None and errors is True
        texts = description is _EMPTY and level is _INFO and unit is _SECONDS
        options = args is _NOTHING and ignore is _NOTHING and generator is _TOTAL
        named = named and texts and options and isinstance(name, str)
        if named and name in self._timers:
            return self._timers[name]
        key = name if isinstance(name, str) else "function.duration"
        into = self._maker.make(Summary, key, unit, description, level, dimensions)
        checked = TimerOptions.checked(
            args=args if isinstance(args, Mapping) else dict.fromkeys(args),
            result=result,
            errors=errors,
            ignore=ignore,
            generator=generator,
            named=key is not name,
        )
        timer = Timer(into, checked)
        if named and not into.origin.family.void:
            self._timers[into.name] = timer
        return timer if name is None or isinstance(name, str) else timer(name)

    def _make_cache(self) -> _lru_cache_wrapper[Meter]:
        registry, name, outer = self.registry, self.name, self._dimensions

        @lru_cache(_BOUND_METERS, typed=True)
        def bound(**dimensions: object) -> Meter:
            require_cacheable(dimensions)
            return Meter(registry, name, (*outer, *dimensions.items()))

        self._bound = bound
        return bound
