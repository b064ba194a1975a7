"""A series alone: recorded into as instruments do, drained as the registry does."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Sequence
from threading import Lock
from typing import Any

from dtmetrics._protocol.point import GaugeSummary
from dtmetrics._record.gauge_series import GaugeSeries
from dtmetrics._record.series import CounterSeries, Series
from dtmetrics._record.series import drain as drain_all
from dtmetrics._record.summary_series import SummarySeries

KINDS = [CounterSeries, SummarySeries, GaugeSeries]


def series_of(kind: type[Series[Any]], limit: int = 8) -> tuple[Any, Tally[str]]:
    """Return a series with its fast path enabled, and counts of what it rejects."""
    rejected: Tally[str] = Tally()

    def reject(reason: str) -> None:
        rejected[reason] += 1

    series = kind("key", "key", Lock(), reject, limit)
    series.enable_fast_path()
    return series, rejected


def record(series: Any, *values: Any) -> None:
    """Record *values* as an instrument does, even a counter's 1 as an item of the list."""
    if series.values is None:
        series.values = []
    for value in values:
        series.values.append(value)
        if len(series.values) > series.limit:
            series.fold_if_free()


def drain(series: Any) -> Any:
    """Drain one series as the registry does; return a payload."""
    with series.lock:
        return drain_together([series])[0]


def drain_together(chunk: Sequence[Any]) -> list[Any]:
    """Drain several series of one kind, whose lock is held; return their payloads."""
    values: list[Any] = []
    drain_all(chunk, values)
    return [
        value if value is None or type(value) is GaugeSummary else series.payload(value)
        for series, value in zip(chunk, values, strict=True)
    ]
