"""Meters: make instruments, with a scope for levels and dimensions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from dtmetrics._core.level import Level
from dtmetrics._core.shared import Shared
from dtmetrics._record.dimensions import Pairs, as_plain, require_cacheable
from dtmetrics._record.gauge import Gauge
from dtmetrics._record.instrument_maker import InstrumentMaker
from dtmetrics._record.instruments import Counter
from dtmetrics._record.leveled_meter import LeveledMeter
from dtmetrics._record.pickling import Reduced, restored_meter
from dtmetrics._record.registry import Registry
from dtmetrics._record.summary_meter import SummaryMeter
from dtmetrics._record.worker_dimension import same_in_workers

if TYPE_CHECKING:
    from functools import _lru_cache_wrapper

__all__ = ["Meter"]

# The objects of the defaults. Comparing by identity runs no code of a caller.
_EMPTY, _INFO = "", "INFO"
# How many meters with other dimensions a meter remembers.
_BOUND_METERS = 256


class Meter(SummaryMeter, LeveledMeter, Shared):
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
        self._summaries = {}
        self._timers = {}
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

    def _make_cache(self) -> _lru_cache_wrapper[Meter]:
        registry, name, outer = self.registry, self.name, self._dimensions

        @lru_cache(_BOUND_METERS, typed=True)
        def bound(**dimensions: object) -> Meter:
            require_cacheable(dimensions)
            return Meter(registry, name, (*outer, *dimensions.items()))

        self._bound = bound
        return bound
