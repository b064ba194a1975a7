"""Values that are asked for: once per collection, in the thread that collects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from dtmetrics._core.safe_call import call_safely
from dtmetrics._protocol.point import (
    CountDelta,
    DataPoints,
    Dimensions,
    GaugeValue,
    Identity,
)
from dtmetrics._record.dimensions import Pairs
from dtmetrics._record.instrument import Origin
from dtmetrics._record.number import Number, judged

__all__ = ["Observation"]

#: A number, or pairs of a number and its dimensions.
Answer = float | Iterable[tuple[float, Mapping[str, Any]]]

FAILED = "observing it failed"


class Observation:
    """One function that is asked, and what became of its last answer."""

    def __init__(self, origin: Origin, ask: Callable[[], Answer]) -> None:
        self._origin = origin
        self._ask = ask
        # The last running total by dimensions, for kind="counter". By those that
        # were answered: several of them may share the series for the overflow.
        self._totals: dict[Dimensions, Number] = {}
        self._epoch = origin.registry.epoch

    def __call__(self, timestamp_ms: int) -> DataPoints:
        """Ask, and return the answer as data points."""
        kind = GaugeValue if self._origin.definition.kind == "gauge" else CountDelta
        values = self._values()
        return DataPoints(kind, [*values], [*values.values()], timestamp_ms)

    def _values(self) -> dict[Identity, Number]:
        registry, family, definition, scope, level, _ = self._origin
        if family.void or family.quarantined or not registry.enabled(scope, level):
            return {}
        rows: dict[Dimensions, tuple[Pairs, Number]] = {}
        # An answer may be a generator: what raises half way gives what came before.
        complete = call_safely(
            self._take,
            rows,
            default=False,
            on_error=lambda _: family.refuse(FAILED),
        )
        say = self._gauges if definition.kind == "gauge" else self._increases
        values = say(rows)
        if complete:  # what is no longer answered need not be remembered
            self._totals = {
                dimensions: total
                for dimensions, total in self._totals.items()
                if dimensions in rows
            }
        return values

    def _take(self, rows: dict[Dimensions, tuple[Pairs, Number]]) -> bool:
        registry, family, definition, _, _, scoped = self._origin
        answer = self._ask()
        for value, given in answer if isinstance(answer, Iterable) else [(answer, {})]:
            number = judged(value, family.refuse)
            if number is None:
                continue
            pairs = tuple(given.items())
            dimensions = registry.merged((scoped, pairs), family.refuse)
            if dimensions in rows and definition.kind == "counter":
                number += rows[dimensions][1]
            rows[dimensions] = pairs, number
        return True

    def _gauges(
        self, rows: Mapping[Dimensions, tuple[Pairs, Number]]
    ) -> dict[Identity, Number]:
        return {self._identity(pairs): number for pairs, number in rows.values()}

    def _increases(
        self, rows: Mapping[Dimensions, tuple[Pairs, Number]]
    ) -> dict[Identity, Number]:
        registry, family, _, _, _, _ = self._origin
        if self._epoch is not registry.epoch:
            # What it grew by until now is the parent's to send, or was never recorded.
            self._epoch = registry.epoch
            self._totals = {}
        grown: dict[Identity, Number] = {}
        for dimensions, (pairs, number) in rows.items():
            # Where it stood when we first looked is no increase.
            before = self._totals.get(dimensions, number)
            self._totals[dimensions] = number
            # A total that fell was started again: all of it is new.
            increase = number - before if number >= before else number
            if increase > 0 and judged(increase, family.refuse) is not None:
                identity = self._identity(pairs)
                grown[identity] = grown.get(identity, 0) + increase
        return grown

    def _identity(self, pairs: Pairs) -> Identity:
        registry, family, _, _, _, scoped = self._origin
        return registry.series(family, (scoped, pairs))
