"""Values that are asked for: once per collection, in the thread that collects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from dtmetrics._record.guard import attempt
from dtmetrics._record.instruments import Origin
from dtmetrics._record.series import NOT_A_NUMBER, Series, finite_number
from dtmetrics._wire.point import CountDelta, DataPoint, GaugeValue, Identity

__all__ = ["Observation"]

#: A number, or pairs of a number and its dimensions.
Answer = float | Iterable[tuple[float, Mapping[str, Any]]]

FAILED = "observing it failed"


class Observation:
    """One function that is asked, and what became of its last answer."""

    def __init__(self, origin: Origin, ask: Callable[[], Answer]) -> None:
        self._origin = origin
        self._ask = ask
        # The last running total of each series, for kind="counter".
        self._totals: dict[Identity, int | float] = {}

    def __call__(self, timestamp_ms: int) -> list[DataPoint]:
        """Ask, and return the answer as data points."""
        registry, family, _, scope, level, _ = self._origin
        if family.void or not registry.enabled(scope, level):
            return []
        # An answer may be a generator: what raises half way gives what came before.
        points: list[DataPoint] = []
        attempt(
            self._take,
            points,
            timestamp_ms,
            default=None,
            on_error=lambda _: family.refuse(FAILED),
        )
        return points

    def _take(self, points: list[DataPoint], timestamp_ms: int) -> None:
        answer = self._ask()
        rows = answer if isinstance(answer, Iterable) else [(answer, {})]
        for value, dimensions in rows:
            number = attempt(finite_number, value, default=None)
            if number is None:
                self._origin.family.refuse(NOT_A_NUMBER)
                continue
            series = self._series(dimensions)
            payload = self._payload(series.identity, number)
            if payload is not None:
                points.append(DataPoint(series.identity, payload, timestamp_ms))

    def _series(self, dimensions: Mapping[str, Any]) -> Series:
        registry, family, _, _, _, scoped = self._origin
        pairs = tuple((str(key), value) for key, value in dimensions.items())
        return registry.series(family, (scoped, pairs))

    def _payload(
        self, identity: Identity, number: int | float
    ) -> CountDelta | GaugeValue | None:
        if self._origin.definition.kind == "gauge":
            return GaugeValue(number)
        before = self._totals.get(identity)
        self._totals[identity] = number
        if before is None:  # where it stood when we first looked is no increase
            return None
        # A total that fell was started again: all of it is new.
        increase = number - before if number >= before else number
        return CountDelta(increase) if increase > 0 else None
