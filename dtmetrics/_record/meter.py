"""Meters: who instruments itself. A scope for levels and dimensions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, ParamSpec, TypeVar, overload

from dtmetrics._core.log import INFO
from dtmetrics._core.safe_call import call_safely
from dtmetrics._protocol.normalize import text_of
from dtmetrics._record.dimensions import Pairs
from dtmetrics._record.family import Definition, calling_site
from dtmetrics._record.instrument import Instrument, Origin
from dtmetrics._record.instruments import Counter, Gauge, Summary
from dtmetrics._record.observable import Answer, Observation
from dtmetrics._record.registry import Registry
from dtmetrics._record.timer import Timer, TimerOptions

__all__ = ["Meter", "Meters"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
I = TypeVar("I", bound=Instrument)  # noqa: E741 -- an instrument

# By whose values an instrument is known again.
_PLAIN = frozenset((str, int, float, bool, type(None)))


class Meter:
    """Makes instruments that share a scope.

    Its name is no part of a metric key, because keys are global in Dynatrace and
    few; levels are set by it, as in logging (``configure(levels={"shop.db":
    "DEBUG"})``), and its dimensions go with all that its instruments record.
    """

    def __init__(self, registry: Registry, name: str, dimensions: Pairs = ()) -> None:
        self.name = name
        self._registry = registry
        self._dimensions = dimensions
        # One definition, one instrument: modules may be loaded twice.
        self._made: dict[Any, Any] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    @property
    def registry(self) -> Registry:
        """The registry that its instruments record into."""
        return self._registry

    def bind(self, /, **dimensions: Any) -> Meter:
        """Return a meter whose instruments add *dimensions* to all they record."""
        pairs = (*self._dimensions, *dimensions.items())
        return Meter(self._registry, self.name, pairs)

    def counter(
        self,
        name: str,
        /,
        *,
        unit: str = "",
        description: str = "",
        level: int = INFO,
        dimensions: Mapping[str, Any] | None = None,
    ) -> Counter:
        """Return the counter *name*: it counts what happens.

        *unit* and *description* are shown in Dynatrace; *level* says how much it
        matters, as in logging; *dimensions* go with all it records. Raises
        DefinitionError only under ``configure(strict=True)``.

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
        dimensions: Mapping[str, Any] | None = None,
    ) -> Gauge:
        """Return the gauge *name*: it shows a value that goes up and down.

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
        dimensions: Mapping[str, Any] | None = None,
    ) -> Summary:
        """Return the summary *name*: least, most, sum and count of what it observes.

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
        dimensions: Mapping[str, Any] | None = None,
    ) -> Timer: ...
    def timed(
        self,
        name: Any = None,
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
        dimensions: Mapping[str, Any] | None = None,
    ) -> Any:
        """Time calls (as a decorator) or blocks (``with``), in seconds.

        Without a name it is ``function.duration``, and ``code.function.name`` says
        which function. *args* names arguments whose values become dimensions, or
        maps them to callables that make a value of theirs; *result* makes dimensions
        of what is returned. A failure, cancelling included, is recorded with its
        ``error.type``, unless *errors* is false or its class is in *ignore*; a call
        with wrong arguments never began, and is not recorded. A *generator* is timed
        over its whole life, or by "active" only inside it. The other arguments are
        those of ``counter()``.

        >>> from dtmetrics import timed
        >>> @timed
        ... def area(side): return side * side
        >>> @timed("area.duration", args=("side",))
        ... def area(side): return side * side
        """
        key = name if isinstance(name, str) else "function.duration"
        into = self._make(Summary, key, unit, description, level, dimensions)
        wanted = args if isinstance(args, Mapping) else dict.fromkeys(args)
        options = TimerOptions(
            wanted, result, errors, ignore, generator, key is not name
        )
        timer = Timer(into, options)
        return timer if name is None or isinstance(name, str) else timer(name)

    def observe(
        self,
        name: str,
        /,
        *,
        kind: Literal["gauge", "counter"] = "gauge",
        unit: str = "",
        description: str = "",
        level: int = INFO,
        dimensions: Mapping[str, Any] | None = None,
    ) -> Callable[[Callable[[], Answer]], Callable[[], Answer]]:
        """Ask the decorated function at each collection, in the flusher's thread.

        It returns a number, or several as pairs of a number and its dimensions. As
        a "counter" the number is a running total, and its increase is sent. The
        other arguments are those of ``counter()``.

        >>> from dtmetrics import observe
        >>> @observe("pool.size")
        ... def pool_size(): return [(3, {"pool": "a"}), (4, {"pool": "b"})]
        """
        _must_be_a_name("observe", name)
        if kind not in ("gauge", "counter"):
            raise TypeError(f"kind is 'gauge' or 'counter', not {kind!r}")
        origin = self._origin(kind, name, unit, description, level)
        fixed = tuple((dimensions or {}).items())
        origin = origin._replace(dimensions=(*origin.dimensions, *fixed))

        def observed(ask: Callable[[], Answer]) -> Callable[[], Answer]:
            self._registry.observers.append(Observation(origin, ask))
            return ask

        return observed

    def _make(
        self,
        kind: type[I],
        name: str,
        unit: str,
        description: str,
        level: int,
        dimensions: Mapping[str, Any] | None,
    ) -> I:
        _must_be_a_name(kind.__name__.lower(), name)
        own = tuple((dimensions or {}).items())
        types = tuple(type(value) for _, value in own)  # 1 and True are equal
        key = (kind, name, unit, description, level, own, types)
        # What is compared below must not be able to raise, or to lie.
        texts = type(name) is type(unit) is type(description) is str
        plain = texts and _PLAIN.issuperset(types)
        if plain and key in self._made:
            return self._made[key]  # type: ignore[no-any-return]
        origin = self._origin(kind.__name__.lower(), name, unit, description, level)
        made = kind(origin, own)
        return self._made.setdefault(key, made) if plain else made

    def _origin(
        self, kind: str, name: str, unit: str, description: str, level: int
    ) -> Origin:
        if not isinstance(level, int):
            raise TypeError(f"level is a number, as logging.INFO is, not {level!r}")
        if isinstance(name, str):
            name = "".join((name,))  # an instance of a subclass becomes a plain str
        # Whatever was given: None, or a lazy translation.
        unit = call_safely(text_of, unit, default="")
        description = call_safely(text_of, description, default="")
        definition = Definition(name, kind, unit, description, calling_site())
        family = self._registry.catalog.define(definition)
        return Origin(
            self._registry, family, definition, self.name, level, self._dimensions
        )


class Meters:
    """All meters of a registry: the same name, the same meter."""

    def __init__(self, registry: Registry) -> None:
        self.root = Meter(registry, "")
        self._registry = registry
        self._named = {"": self.root}

    def get(self, name: str = "") -> Meter:
        """Return the meter *name*; dots make it a child, as in logging."""
        if not isinstance(name, str):
            raise TypeError(f"the name of a meter is a str, not {name!r}")
        return self._named.get(name) or self._named.setdefault(
            name, Meter(self._registry, name)
        )


def _must_be_a_name(verb: str, name: object) -> None:
    if callable(name):
        raise TypeError(
            f"{verb}() takes the name of a metric first, and then decorates: "
            f'write @{verb}("a.name"), not @{verb}'
        )
