"""Makes the instruments of a meter; equal definitions make one instrument."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeVar, cast

from dtmetrics._core.level import LEVELS, Level, checked_level
from dtmetrics._core.safe_call import call_safely
from dtmetrics._protocol.normalize import text_of
from dtmetrics._record.definition import RESTORED_SITE, Definition, calling_site
from dtmetrics._record.derived import plan_of
from dtmetrics._record.details import NO_DETAILS, Details
from dtmetrics._record.dimensions import PLAIN_TYPES, Pairs
from dtmetrics._record.gauge import Gauge
from dtmetrics._record.instruments import Counter, Summary
from dtmetrics._record.number import LARGEST
from dtmetrics._record.origin import Origin
from dtmetrics._record.registry import Registry
from dtmetrics._record.slow_summary import SlowSummary
from dtmetrics._record.source import Source

__all__ = ["InstrumentMaker", "check_name"]

I = TypeVar("I", Counter, Gauge, Summary)  # noqa: E741 -- an instrument

# How many instruments a meter remembers, beside those that the program keeps.
_MOST_INSTRUMENTS = 4_096

_KINDS: dict[str, Any] = {"counter": Counter, "gauge": Gauge, "summary": Summary}


class InstrumentMaker:
    """Makes the instruments of the meter *scope*, which has *dimensions*."""

    def __init__(self, registry: Registry, scope: str, dimensions: Pairs) -> None:
        self._registry = registry
        self._scope = scope
        self._dimensions = dimensions
        # Equal definitions are one instrument, because a module may be loaded twice.
        # Those that were used last are kept: an instrument that is made anew records
        # into the same series.
        self._made = lru_cache(_MOST_INSTRUMENTS, typed=True)(self._new)

    def make(  # noqa: PLR0913 -- what a definition may have
        self,
        kind: type[I],
        name: str,
        unit: str,
        description: str,
        level: Level,
        dimensions: Mapping[str, object] | None,
        ttl: float | None = None,
        details: Details = NO_DETAILS,
    ) -> I:
        """Return the instrument with these arguments of ``counter()`` and the like."""
        check_name(kind.__name__.lower(), name)
        ttl = _checked_ttl(ttl)
        pairs = tuple((dimensions or {}).items())
        types = tuple(type(value) for _, value in pairs)  # 1 and True are equal
        level = LEVELS.get(level, level)  # "INFO" and 20 are equal
        # Only of plain types: comparing others may run a caller's code.
        texts = type(name) is type(unit) is type(description) is str
        plain = texts and PLAIN_TYPES.issuperset(types)
        make: Callable[..., object] = self._made if plain else self._new
        texts_and_level = name, unit, description, level
        return cast("I", make(kind, texts_and_level, pairs, types, ttl, details))

    def _new(
        self,
        kind: type[Counter | Gauge | Summary],
        texts_and_level: tuple[str, str, str, Level],
        pairs: Pairs,
        _types: tuple[type, ...],
        ttl: float | None,
        details: Details,
    ) -> Counter | Gauge | Summary:
        origin = self.origin(kind.__name__.lower(), *texts_and_level, ttl)
        family, definition = origin.family, origin.definition
        if pairs or details:
            origin = origin._replace(defined=pairs, details=details)
        derived = details._replace(slow=None)
        if derived and not family.void:
            plan = plan_of(self._registry.catalog, family, definition, derived)
            if plan is not None:
                self._registry.follow(family, plan)
        return (
            kind(origin, pairs) if details.slow is None else SlowSummary(origin, pairs)
        )

    def restore(
        self,
        definition: Definition,
        level: int,
        dimensions: Pairs,
        details: Details = NO_DETAILS,
    ) -> Counter | Gauge | Summary:
        """Return the instrument of a pickle, which names where it was defined."""
        name, kind, unit, description, site, ttl = definition
        token = RESTORED_SITE.set(site)
        try:
            given: Any = self.make(
                _KINDS[kind],
                name,
                unit,
                description,
                level,
                dict(dimensions),
                ttl,
                details,
            )
        finally:
            RESTORED_SITE.reset(token)
        return cast("Counter | Gauge | Summary", given)

    def origin(
        self,
        kind: str,
        name: str,
        unit: str,
        description: str,
        level: Level,
        ttl: float | None = None,
    ) -> Origin:
        """Define the metric *name*; raise a TypeError or ValueError for *level*."""
        number = checked_level(level)
        if isinstance(name, str):
            name = "".join((name,))  # of a subclass of str: makes a plain one
        definition = Definition(
            name=name,
            kind=kind,
            # A caller may pass None, or a text that is translated when it is used.
            unit=call_safely(text_of, unit, default=""),
            description=call_safely(text_of, description, default=""),
            site=calling_site(),
            ttl=ttl,
        )
        family = self._registry.catalog.define(definition)
        return Origin(
            registry=self._registry,
            family=family,
            definition=definition,
            source=Source(family.name, self._scope, number),
            dimensions=self._dimensions,
        )


def check_name(verb: str, name: object) -> None:
    """Raise a TypeError if *name* is a function: the decorator lacks parentheses."""
    if callable(name):
        raise TypeError(
            f"{verb}() must be called with a name before it decorates: "
            f'write @{verb}("a.name"), not @{verb}'
        )


def _checked_ttl(ttl: object) -> float | None:
    """Return *ttl* in seconds; raise a TypeError or ValueError if it is invalid."""
    if ttl is None:
        return None
    if not isinstance(ttl, int | float) or isinstance(ttl, bool):
        raise TypeError(f"ttl must be a number of seconds, got {ttl!r}")
    if not 0 < ttl <= LARGEST:
        raise ValueError(f"ttl must be a number of seconds above 0, got {ttl!r}")
    return float(ttl)
