"""Meters: make instruments, with a scope for levels and dimensions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, ParamSpec, TypeVar, overload

from dtmetrics._core.level import Level
from dtmetrics._record.dimensions import Pairs
from dtmetrics._record.gauge import Gauge
from dtmetrics._record.instrument_maker import InstrumentMaker, check_name
from dtmetrics._record.instruments import Counter, Summary
from dtmetrics._record.observable import Observation, Observed
from dtmetrics._record.registry import Registry
from dtmetrics._record.timer import Timer, TimerOptions

__all__ = ["Meter", "Meters"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[[], Observed])


class Meter:
    """Makes instruments that share a name and dimensions; ``get_meter()`` returns it.

    The name is not part of a metric key, because keys are global in Dynatrace. It sets
    the level, as in logging: ``configure(levels={"shop.db": "DEBUG"})``. The dimensions
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

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    def bind(self, /, **dimensions: object) -> Meter:
        """Return a meter whose instruments add *dimensions* to all they record.

        Dimensions of the instrument or of the call win over these.

        >>> from dtmetrics import get_meter
        >>> replica = get_meter("shop.db").bind(server="replica")
        >>> replica.counter("queries.run").inc()
        """
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
                ``configure()`` sets for the meter, the counter records nothing.
                Default: ``"INFO"``.
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
        return self._maker.make(Counter, name, unit, description, level, dimensions)

    def gauge(
        self,
        name: str,
        /,
        *,
        unit: str = "",
        description: str = "",
        level: Level = "INFO",
        dimensions: Mapping[str, object] | None = None,
    ) -> Gauge:
        """Return the gauge *name*, for a value that goes up and down.

        The arguments and the errors are those of ``counter()``.

        >>> from dtmetrics import gauge
        >>> gauge("queue.depth", unit="{job}").set(12)
        """
        return self._maker.make(Gauge, name, unit, description, level, dimensions)

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
        return self._maker.make(Summary, name, unit, description, level, dimensions)

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
        key = name if isinstance(name, str) else "function.duration"
        into = self._maker.make(Summary, key, unit, description, level, dimensions)
        options = TimerOptions(
            args=args if isinstance(args, Mapping) else dict.fromkeys(args),
            result=result,
            errors=errors,
            ignore=ignore,
            generator=generator,
            named=key is not name,
        )
        timer = Timer(into, options)
        if name is None or isinstance(name, str):
            return timer
        return timer(name)

    def observe(
        self,
        name: str,
        /,
        *,
        kind: Literal["gauge", "counter"] = "gauge",
        unit: str = "",
        description: str = "",
        level: Level = "INFO",
        dimensions: Mapping[str, object] | None = None,
    ) -> Callable[[F], F]:
        """Call the decorated function at each collection, in the flusher's thread.

        The function returns a number, or several as pairs of a number and its
        dimensions. If it raises, that is counted in ``stats().invalid``. The decorator
        returns the function itself.

        Args:
            name (str): The metric key, as in ``counter()``.
            kind (str): ``"gauge"``: the number is sent. ``"counter"``: the number is a
                running total, whose increase is sent. Default: ``"gauge"``.
            unit (str): As in ``counter()``.
            description (str): As in ``counter()``.
            level (Level): As in ``counter()``. Default: ``"INFO"``.
            dimensions (Mapping[str, object] | None): As in ``counter()``.

        Raises:
            TypeError: *kind* is another text; or as in ``counter()``.
            ValueError: As in ``counter()``.
            DefinitionError: As in ``counter()``.

        >>> from dtmetrics import observe
        >>> @observe("pool.size", unit="{connection}")
        ... def pool_size():
        ...     return [(3, {"pool": "a"}), (4, {"pool": "b"})]
        """
        check_name("observe", name)
        if kind not in ("gauge", "counter"):
            raise TypeError(f"kind must be 'gauge' or 'counter', got {kind!r}")
        origin = self._maker.origin(kind, name, unit, description, level)
        pairs = tuple((dimensions or {}).items())
        origin = origin._replace(dimensions=(*origin.dimensions, *pairs))

        def decorate(function: F) -> F:
            self.registry.observers.append(Observation(origin, function))
            return function

        return decorate


class Meters:
    """All meters of a registry, one for each name."""

    def __init__(self, registry: Registry) -> None:
        self.root = Meter(registry, "")
        self._registry = registry
        self._by_name = {"": self.root}

    def get(self, name: str = "") -> Meter:
        """Return the meter *name*; dots make it a child, as in logging.

        Raises TypeError if *name* is not a str.
        """
        if not isinstance(name, str):
            raise TypeError(f"the name of a meter must be a str, got {name!r}")
        return self._by_name.get(name) or self._by_name.setdefault(
            name, Meter(self._registry, name)
        )
