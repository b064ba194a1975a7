"""A registry that records, without delivery: what most tests of recording need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dtmetrics._protocol.line import encode
from dtmetrics._protocol.point import (
    DataPoint,
    DataPoints,
    GaugeSummary,
    GaugeValue,
    Payload,
)
from dtmetrics._record.meters import Meters
from dtmetrics._record.options import RecordingOptions
from dtmetrics._record.registry import Registry
from tests.support.protocol_grammar import read

MOMENT = 1_700_000_000_000


def dimensions_of(point: DataPoint) -> dict[str, str]:
    """Return the dimensions of *point*, as read from its line."""
    return read(one_line_of(point)).dimensions


def one_line_of(point: DataPoint) -> str:
    """Return *point* as its line."""
    [line] = encode(in_columns([point]))
    return line


def in_columns(points: Sequence[DataPoint]) -> DataPoints:
    """Return *points*, of one kind and moment, as they are collected."""
    identities, payloads, [*_, moment] = zip(*points, strict=True)
    kind = type(payloads[0])
    values = payloads if kind is GaugeSummary else [value for (value,) in payloads]
    columns = DataPoints(kind, identities, values, moment)
    assert [*columns.each()] == [*points]
    return columns


def level_of(payload: Payload) -> float | None:
    """Return the current value that a gauge sends, with its extremes or without."""
    if isinstance(payload, GaugeValue):
        return payload.value
    if isinstance(payload, GaugeSummary) and payload.count == 1:
        return payload.sum
    return None


class Recorder:
    """A registry that records, and what it collects."""

    def __init__(self, *, registry: Registry | None = None, **options: Any) -> None:
        self.registry = registry or Registry()
        self.meters = Meters(self.registry)
        self.meter = self.meters.root
        self.wakes = 0
        self.registry.start(RecordingOptions(**options), self._wake)

    def _wake(self) -> bool:
        self.wakes += 1
        return True

    def points(self) -> list[DataPoint]:
        """Collect; return the data points."""
        chunks = self.registry.collect(MOMENT)
        return [point for chunk in chunks for point in chunk.each()]

    def lines(self) -> list[str]:
        """Collect; return the lines, sorted, without timestamps."""
        return sorted(one_line_of(point).rpartition(" ")[0] for point in self.points())

    def payloads(self) -> dict[tuple[str, frozenset[tuple[str, str]]], Payload]:
        """Collect; return payloads by key and dimensions."""
        return {
            (point.identity.key, frozenset(dimensions_of(point).items())): point.payload
            for point in self.points()
        }
