"""A series by itself: recorded into as a handle does, drained as the registry does."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Sequence
from threading import Lock
from typing import Any

from dtmetrics._protocol.point import GaugeSummary
from dtmetrics._record.counter_series import CounterSeries
from dtmetrics._record.gauge_series import GaugeSeries
from dtmetrics._record.series import Series
from dtmetrics._record.series import drain as drain_all
from dtmetrics._record.summary_series import SummarySeries

KINDS = [CounterSeries, SummarySeries, GaugeSeries]


def series_of(kind: type[Series], limit: int = 8) -> tuple[Any, Tally[str]]:
    """Return a series, wired, and what it refuses, by reason."""
    refused: Tally[str] = Tally()

    def refuse(reason: str) -> None:
        refused[reason] += 1

    series = kind("key", "key", Lock(), refuse, limit)
    series.wire()
    return series, refused


def record(series: Any, *values: Any) -> None:
    """Record as a handle does what is not a counter's one."""
    if series.values is None:
        series.values = []
    for value in values:
        series.values.append(value)
        if len(series.values) > series.limit:
            series.fold_if_free()


def drain(series: Any) -> Any:
    """Drain as the registry does; return a payload."""
    with series.lock:
        return drain_together([series])[0]


def drain_together(cells: Sequence[Any]) -> list[Any]:
    """Do so with cells of one kind, whose lock is held."""
    return [
        value if value is None or type(value) is GaugeSummary else cell.payload(value)
        for cell, value in zip(cells, drain_all(cells), strict=True)
    ]
