"""Meters: make instruments, with a scope for levels and dimensions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, ParamSpec, TypeVar, cast, overload

from dtmetrics._core.log import INFO
from dtmetrics._core.safe_call import call_safely
from dtmetrics._protocol.normalize import text_of
from dtmetrics._record.definition import Definition, calling_site
from dtmetrics._record.dimensions import Pairs
from dtmetrics._record.gauge import Gauge
from dtmetrics._record.instruments import Counter, Origin, Summary
from dtmetrics._record.observable import Observation, Observed
from dtmetrics._record.registry import Registry
from dtmetrics._record.timer import Timer, TimerOptions

__all__ = ["Meter", "Meters"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
I = TypeVar("I", Counter, Gauge, Summary)  # noqa: E741 -- an instrument

# The types of dimension values by which equal definitions are recognised.
_PLAIN = frozenset((str, int, float, bool, type(None)))


class Meter:
    """Makes instruments that share a name and dimensions.

    The name is not part of a metric key, because keys are global in Dynatrace. It sets
    the level, as in logging: ``configure(levels={"shop.db": "DEBUG"})``. The dimensions
    are added to everything that the instruments record.
    """

    def __init__(self, registry: Registry, name: str, dimensions: Pairs = ()) -> None:
        self.name = name
        #: The registry that the instruments record into.
        self.registry = registry
        self._dimensions = dimensions
        # Equal definitions are one instrument, because a module may be loaded twice.
        self._made: dict[tuple[object, ...], Counter | Gauge | Summary] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    def bind(self, /, **dimensions: object) -> Meter:
        """Return a meter whose instruments add *dimensions* to all they record."""
        pairs = (*self._dimensions, *dimensions.items())
        return Meter(self.registry, self.name, pairs)

    def counter(
        self,
        name: str,
        /,
        *,
        unit: str = "",
        description: str = "",
        level: int = INFO,
        dimensions: Mapping[str, object] | None = None,
    ) -> Counter:
        """Return the counter *name*, which counts events.

        *unit* and *description* are shown in Dynatrace. *level* is a number as in
        logging; below the level of ``configure()`` the counter records nothing.
        *dimensions* are added to everything that it records.

        Raises TypeError if *level* is not an int. If *name* is not a valid key or is
        defined as another kind, raises a DefinitionError under ``strict=True``; else
        that is logged, and the counter records nothing.

        >>> from dtmetrics import counter
        >>> counter("orders.placed", unit="{order}").inc()
        """
        return self._make(Counter, name, unit, description, level, dimensions)

    def gauge(
        self,
        name: str,
        /,
        *,
        unit: str = "",
        description: str = "",
        level: int = INFO,
        dimensions: Mapping[str, object] | None = None,
    ) -> Gauge:
        """Return the gauge *name*, for a value that goes up and down.

        The arguments are those of ``counter()``.

        >>> from dtmetrics import gauge
        >>> gauge("queue.depth").set(12)
        """
        return self._make(Gauge, name, unit, description, level, dimensions)

    def summary(
        self,
        name: str,
        /,
        *,
        unit: str = "",
        description: str = "",
        level: int = INFO,
        dimensions: Mapping[str, object] | None = None,
    ) -> Summary:
        """Return the summary *name*: minimum, maximum, sum and count of values.

        The arguments are those of ``counter()``.

        >>> from dtmetrics import summary
        >>> summary("cart.value", unit="EUR").record(9.5)
        """
        return self._make(Summary, name, unit, description, level, dimensions)

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
        level: int = INFO,
        dimensions: Mapping[str, object] | None = None,
    ) -> Timer: ...
    def timed(
        self,
        name: object = None,
        /,
        *,
        args: Sequence[str] | Mapping[str, Callable[[Any], Any]] = (),
        result: Callable[[Any], Mapping[str, Any]] | None = None,
        errors: bool = True,
        ignore: tuple[type[BaseException], ...] = (),
        generator: Literal["total", "active"] = "total",
        unit: str = "s",
        description: str = "",
        level: int = INFO,
        dimensions: Mapping[str, object] | None = None,
    ) -> object:
        """Time calls (as a decorator) or blocks (``with``), in seconds.

        Without a name the key is ``function.duration``, and ``code.function.name``
        names the function. *args* names arguments whose values become dimensions, or
        maps such names to callables that convert the values. *result* is called with
        what the function returned, and returns dimensions.

        A call that raises, cancelling included, is recorded with ``error.type``, unless
        *errors* is false or the exception's class is in *ignore*. A call with wrong
        arguments is not recorded. A *generator* is timed from its first step to its
        last, or with "active" only while it runs. The other arguments are those of
        ``counter()``.

        Raises ValueError if *generator* is another text, and TypeError if *ignore* is
        not a class of exceptions or several.

        >>> from dtmetrics import timed
        >>> @timed
        ... def area(side): return side * side
        >>> @timed("area.duration", args=("side",))
        ... def area(side): return side * side
        """
        key = name if isinstance(name, str) else "function.duration"
        into = self._make(Summary, key, unit, description, level, dimensions)
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
        return timer(cast("Callable[..., object]", name))

    def observe(
        self,
        name: str,
        /,
        *,
        kind: Literal["gauge", "counter"] = "gauge",
        unit: str = "",
        description: str = "",
        level: int = INFO,
        dimensions: Mapping[str, object] | None = None,
    ) -> Callable[[Callable[[], Observed]], Callable[[], Observed]]:
        """Call the decorated function at each collection, in the flusher's thread.

        The function returns a number, or several as pairs of a number and its
        dimensions. With *kind* "counter" the number is a running total, whose increase
        is sent. The other arguments are those of ``counter()``.

        Raises TypeError if *kind* is another text.

        >>> from dtmetrics import observe
        >>> @observe("pool.size")
        ... def pool_size(): return [(3, {"pool": "a"}), (4, {"pool": "b"})]
        """
        _check_name("observe", name)
        if kind not in ("gauge", "counter"):
            raise TypeError(f"kind must be 'gauge' or 'counter', got {kind!r}")
        origin = self._origin(kind, name, unit, description, level)
        pairs = tuple((dimensions or {}).items())
        origin = origin._replace(dimensions=(*origin.dimensions, *pairs))

        def decorate(function: Callable[[], Observed]) -> Callable[[], Observed]:
            self.registry.observers.append(Observation(origin, function))
            return function

        return decorate

    def _make(
        self,
        kind: type[I],
        name: str,
        unit: str,
        description: str,
        level: int,
        dimensions: Mapping[str, object] | None,
    ) -> I:
        _check_name(kind.__name__.lower(), name)
        pairs = tuple((dimensions or {}).items())
        types = tuple(type(value) for _, value in pairs)  # 1 and True are equal
        key = (kind, name, unit, description, level, pairs, types)
        # Only of plain types: comparing others may run a caller's code.
        texts = type(name) is type(unit) is type(description) is str
        plain = texts and _PLAIN.issuperset(types)
        if plain and key in self._made:
            return cast("I", self._made[key])
        origin = self._origin(kind.__name__.lower(), name, unit, description, level)
        made = kind(origin, pairs)
        return cast("I", self._made.setdefault(key, made)) if plain else made

    def _origin(
        self, kind: str, name: str, unit: str, description: str, level: int
    ) -> Origin:
        if not isinstance(level, int):
            raise TypeError(f"level must be an int, as logging.INFO is, got {level!r}")
        if isinstance(name, str):
            name = "".join((name,))  # of a subclass of str: makes a plain one
        definition = Definition(
            name=name,
            kind=kind,
            # A caller may pass None, or a text that is translated when it is used.
            unit=call_safely(text_of, unit, default=""),
            description=call_safely(text_of, description, default=""),
            site=calling_site(),
        )
        return Origin(
            registry=self.registry,
            family=self.registry.catalog.define(definition),
            definition=definition,
            scope=self.name,
            level=level,
            dimensions=self._dimensions,
        )


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


def _check_name(verb: str, name: object) -> None:
    if callable(name):
        raise TypeError(
            f"{verb}() must be called with a name before it decorates: "
            f'write @{verb}("a.name"), not @{verb}'
        )
