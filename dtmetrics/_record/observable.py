"""Observable values: a function is called at each collection, in its thread."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from types import MethodType, ModuleType
from typing import TypeVar
from weakref import WeakMethod, ref

from dtmetrics._core.error_place import kind_and_place
from dtmetrics._core.safe_call import call_safely
from dtmetrics._protocol.point import (
    CountDelta,
    DataPoints,
    Dimensions,
    GaugeValue,
    Identity,
)
from dtmetrics._record.dimensions import Pairs, as_texts
from dtmetrics._record.generation import Generation
from dtmetrics._record.invalid_values import ignore
from dtmetrics._record.number import Number, checked_number
from dtmetrics._record.origin import Origin
from dtmetrics._record.refusal import Refusal
from dtmetrics._record.registry import Registry

__all__ = ["Observation", "Observed", "observe", "unobserve"]

T = TypeVar("T")

#: What an observed function returns: a number, or pairs of a number and its dimensions.
Observed = float | Iterable[tuple[float, Mapping[str, object]]]

#: By cleaned dimensions: the dimensions as they were returned, and the number.
Rows = dict[Dimensions, tuple[Pairs, Number]]

FAILED = "observing it failed"


def observe(
    origin: Origin,
    function: Callable[[], Observed],
    begin: Callable[[], object] | None = None,
) -> None:
    """Call *function* at each collection, in place of an equal one.

    Equal is what has the same definition and the same module and name: the function of
    a module that is loaded twice, or of a factory that is called again. Methods of two
    objects differ.

    With *begin* the function counts from the last call of that, which is made now, when
    recording starts, in a forked child, and at a collection where it does not record.
    """
    observers = origin.registry.observers
    key = _key(origin, function)
    observation = Observation(origin, function, begin)
    earlier = observers.pop(key, None)
    if isinstance(earlier, Observation):
        observation.continue_from(earlier)
    observation.begin()
    observers[key] = observation


def unobserve(registry: Registry, function: Callable[[], Observed]) -> None:
    """Call *function* no more."""
    for key, observer in list(registry.observers.items()):
        if isinstance(observer, Observation) and observer.function() == function:
            registry.observers.pop(key, None)


def _key(origin: Origin, function: Callable[[], Observed]) -> Hashable:
    pairs = as_texts(dict(origin.dimensions))
    definition = origin.definition.kind, origin.family.key, (*pairs.items(),)
    named = getattr(function, "__func__", function)
    name = getattr(named, "__qualname__", None)
    if name is None:  # an object with __call__, or a partial
        return *definition, id(function)
    owner = getattr(function, "__self__", None)
    module = getattr(named, "__module__", None)
    return *definition, module, name, None if owner is None else id(owner)


def _reference(function: Callable[[], T]) -> Callable[[], Callable[[], T] | None]:
    """Return a reference to *function*: to a method a weak one, as to its object."""
    owner = getattr(function, "__self__", None)
    if owner is not None and not isinstance(owner, ModuleType):
        try:
            if isinstance(function, MethodType):
                return WeakMethod(function)
            method = ref(owner)
        except TypeError:  # the object cannot be referenced weakly
            return lambda: function
        name = function.__name__

        def of_object() -> Callable[[], T] | None:
            alive = method()
            return None if alive is None else getattr(alive, name)

        return of_object
    return lambda: function


class Observation:
    """One observed function, and its last totals."""

    def __init__(
        self,
        origin: Origin,
        function: Callable[[], Observed],
        begin: Callable[[], object] | None = None,
    ) -> None:
        self._origin = origin
        self._begin = begin
        #: Returns the function, or None after the object of a method is gone.
        self.function = _reference(function)
        # The last running totals, for kind="counter". By dimensions, because several
        # of them may share the overflow series.
        self.totals: dict[Dimensions, Number] = {}
        self.next_totals = self.totals
        self._generation = origin.registry.generation

    def continue_from(self, earlier: Observation) -> None:
        """Go on with the totals of the observation that this one replaces."""
        self.totals = self.next_totals = earlier.totals
        self._generation = earlier._generation

    def begin(self) -> None:
        """Let the function count from now on, if it does so."""
        if self._begin is not None:
            call_safely(self._begin, default=None, on_error=self._failed)

    def __call__(self, timestamp_ms: int) -> DataPoints:
        """Call the function, and return its numbers as data points."""
        self.next_totals = self.totals
        kind = GaugeValue if self._origin.definition.is_gauge else CountDelta
        values = self._values()
        return DataPoints(kind, [*values], [*values.values()], timestamp_ms)

    def _values(self) -> dict[Identity, Number]:
        origin = self._origin
        # Not Origin.disabled(): the final collection comes after recording has stopped.
        if origin.family.void or origin.family.quarantined:
            return {}
        if origin.registry.generation.enabled(origin.source) is False:
            self.next_totals = {}  # what is added while it does not record is not sent
            self.begin()
            return {}
        rows: Rows = {}
        # A generator that raises half way has yielded the rows before.
        complete = call_safely(self._call, rows, default=False, on_error=self._failed)
        gauge = origin.definition.is_gauge
        values = self._levels(rows) if gauge else self._increases(rows)
        if complete:  # forget the totals that the function has stopped returning
            self.next_totals = {
                dimensions: total
                for dimensions, total in self.next_totals.items()
                if dimensions in rows
            }
        return values

    def _call(self, rows: Rows) -> bool:
        origin = self._origin
        function = self.function()
        if function is None:
            self._end()
            return True
        returned = function()
        pairs = returned if isinstance(returned, Iterable) else [(returned, {})]
        for value, dimensions in pairs:
            number = checked_number(value, self._reject)
            if number is None:
                continue
            items = tuple(dimensions.items())
            cleaned = origin.registry.generation.dimensions(
                (origin.dimensions, items), self._reject
            )
            if cleaned in rows and origin.definition.kind == "counter":
                number += rows[cleaned][1]
            rows[cleaned] = items, number
        return True

    def _end(self) -> None:
        observers = self._origin.registry.observers
        for key, observer in list(observers.items()):
            if observer is self:
                observers.pop(key, None)

    def _failed(self, error: Exception) -> None:
        self._origin.family.reject(FAILED, kind_and_place(error))

    def _reject(self, reason: str) -> None:
        self._origin.family.reject(reason)

    def _levels(self, rows: Rows) -> dict[Identity, Number]:
        values: dict[Identity, Number] = {}
        for pairs, number in rows.values():
            identity = self._identity(pairs)
            if identity is not None:
                values[identity] = number
        return values

    def _increases(self, rows: Rows) -> dict[Identity, Number]:
        generation = self._origin.registry.generation
        if self._generation is not generation:
            self.totals = self._totals_in(generation, rows)
            self._generation = generation
        self.next_totals = totals = self.totals.copy()
        increases: dict[Identity, Number] = {}
        for dimensions, (pairs, number) in rows.items():
            # The first total is where counting begins, not an increase, unless the
            # function counts from a moment that it knows.
            before = totals.get(dimensions, number if self._begin is None else 0)
            totals[dimensions] = number
            # A total that fell has been reset: all of it is new.
            increase = number - before if number >= before else number
            if increase > 0 and checked_number(increase, self._reject) is not None:
                identity = self._identity(pairs)
                if identity is not None:
                    increases[identity] = increases.get(identity, 0) + increase
        return increases

    def _totals_in(
        self, generation: Generation, rows: Rows
    ) -> dict[Dimensions, Number]:
        """Return the last totals by the dimensions that they have in *generation*."""
        earlier, origin = self._generation, self._origin
        if earlier.epoch is not generation.epoch:
            # The parent sends what was added before a fork. What was added while
            # recording was off is not sent.
            return {}
        before = {
            dimensions: earlier.dimensions((origin.dimensions, pairs), ignore)
            for dimensions, (pairs, _) in rows.items()
        }
        return {
            dimensions: self.totals[known]
            for dimensions, known in before.items()
            if known in self.totals
        }

    def _identity(self, pairs: Pairs) -> Identity | None:
        origin = self._origin
        series = origin.registry.series(origin, (origin.dimensions, pairs))
        if isinstance(series, Refusal):
            origin.count_refused(series)
            return None
        return series
