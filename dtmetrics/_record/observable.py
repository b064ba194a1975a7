"""Observable values: a function is called at each collection, in its thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from dtmetrics._core.safe_call import call_safely
from dtmetrics._protocol.point import (
    CountDelta,
    DataPoints,
    Dimensions,
    GaugeValue,
    Identity,
)
from dtmetrics._record.dimensions import Pairs
from dtmetrics._record.instruments import Origin
from dtmetrics._record.number import Number, checked_number

__all__ = ["Observation", "Observed"]

#: What an observed function returns: a number, or pairs of a number and its dimensions.
Observed = float | Iterable[tuple[float, Mapping[str, object]]]

#: By cleaned dimensions: the dimensions as they were returned, and the number.
Rows = dict[Dimensions, tuple[Pairs, Number]]

FAILED = "observing it failed"


class Observation:
    """One observed function, and its last totals."""

    def __init__(self, origin: Origin, function: Callable[[], Observed]) -> None:
        self._origin = origin
        self._function = function
        # The last running totals, for kind="counter". By dimensions, because several
        # of them may share the overflow series.
        self._totals: dict[Dimensions, Number] = {}
        self._generation = origin.registry.generation

    def __call__(self, timestamp_ms: int) -> DataPoints:
        """Call the function, and return its numbers as data points."""
        kind = GaugeValue if self._origin.definition.kind == "gauge" else CountDelta
        values = self._values()
        return DataPoints(kind, [*values], [*values.values()], timestamp_ms)

    def _values(self) -> dict[Identity, Number]:
        origin = self._origin
        # Not Origin.enabled(): the final collection comes after recording has stopped.
        if origin.family.void or origin.family.quarantined:
            return {}
        if not origin.registry.generation.enabled(origin.scope, origin.level):
            return {}
        rows: Rows = {}
        # A generator that raises half way has yielded the rows before.
        complete = call_safely(
            self._call, rows, default=False, on_error=lambda _: self._reject(FAILED)
        )
        gauge = origin.definition.kind == "gauge"
        values = self._levels(rows) if gauge else self._increases(rows)
        if complete:  # forget the totals that the function has stopped returning
            self._totals = {
                dimensions: total
                for dimensions, total in self._totals.items()
                if dimensions in rows
            }
        return values

    def _call(self, rows: Rows) -> bool:
        origin = self._origin
        returned = self._function()
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

    def _reject(self, reason: str) -> None:
        self._origin.family.reject(reason)

    def _levels(self, rows: Rows) -> dict[Identity, Number]:
        return {self._identity(pairs): number for pairs, number in rows.values()}

    def _increases(self, rows: Rows) -> dict[Identity, Number]:
        generation = self._origin.registry.generation
        if self._generation is not generation:
            # The parent sends what was added before a fork. What was added while
            # recording was off is not sent.
            self._generation = generation
            self._totals = {}
        increases: dict[Identity, Number] = {}
        for dimensions, (pairs, number) in rows.items():
            # The first total is where counting begins, not an increase.
            before = self._totals.get(dimensions, number)
            self._totals[dimensions] = number
            # A total that fell has been reset: all of it is new.
            increase = number - before if number >= before else number
            if increase > 0 and checked_number(increase, self._reject) is not None:
                identity = self._identity(pairs)
                increases[identity] = increases.get(identity, 0) + increase
        return increases

    def _identity(self, pairs: Pairs) -> Identity:
        origin = self._origin
        return origin.registry.series(origin.family, (origin.dimensions, pairs))
