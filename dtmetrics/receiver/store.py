"""What arrived lately, in memory: limited by time, lines and characters."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypedDict

from cachetools import FIFOCache, LRUCache

from dtmetrics._protocol.parse import ParsedPoint
from dtmetrics._protocol.point import (
    CountDelta,
    Dimensions,
    GaugeSummary,
    GaugeValue,
    Payload,
)
from dtmetrics.receiver.shared_gauges import SharedGauges, sharing_warning
from dtmetrics.receiver.verdict import Verdict

__all__ = ["RejectedView", "SeriesView", "Snapshot", "Store"]

_REJECTED_LIMIT = 100
_METADATA_LIMIT = 10_000
_WARNINGS_LIMIT = 1_000
_COUNTS = ("requests", "requests_rejected", "accepted", "rejected", "warnings")
# As OpenTelemetry and as Dynatrace write them.
_TIME_UNITS = frozenset(
    ("s", "ms", "us", "ns", "min", "h", "Second", "MilliSecond", "MicroSecond")
)
# The approximate size of a series or a point beside its texts, in characters.
_OVERHEAD = 100


class SeriesView(TypedDict):
    """The sum of a series' stored points. A number beyond a double's range is None.

    ``kind`` is ``gauge``, ``count`` or, for the deprecated running totals, ``total``.
    ``instrument`` is what code records with: ``counter``, ``gauge``, ``summary`` or,
    for a summary of times, ``timer``. ``count`` is the number of observations and
    ``points`` that of lines. ``last`` is the latest value, increase or, for a summary,
    mean.
    """

    key: str
    kind: str
    instrument: str
    dimensions: dict[str, str]
    points: int
    count: int
    sum: int | float | None
    min: int | float | None
    max: int | float | None
    last: int | float | None
    metadata: dict[str, str]


class RejectedView(TypedDict):
    """A rejected line: when it came, its number from 1 on, and the reason."""

    at_ms: int
    line: int
    error: str


class Snapshot(TypedDict):
    """Everything stored, ready for JSON."""

    series: list[SeriesView]
    rejected: list[RejectedView]
    warnings: list[str]


@dataclass(slots=True, eq=False)
class _Series:
    """One series and the number of its stored points."""

    key: str
    kind: str
    dimensions: Dimensions
    points: int = 0
    #: Whether the last point was a summary of observations.
    summarized: bool = False
    #: Whether it is a gauge whose points have extremes beside the value.
    with_extremes: bool = False

    @property
    def size(self) -> int:
        texts = (len(name) + len(value) for name, value in self.dimensions)
        return _OVERHEAD + len(self.key) + sum(texts)


class _Arrival(NamedTuple):
    at: float
    series: _Series
    observed: GaugeSummary
    last: int | float


class Store:
    """Holds the last *seconds*, and at most so many *lines* and *characters*.

    It is not thread-safe: one event loop uses it. *clock* returns seconds. *report* is
    called with each warning about what several clients send.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        report: Callable[[str], object] | None = None,
        seconds: float = 600.0,
        lines: int = 100_000,
        characters: int = 20_000_000,
    ) -> None:
        self._clock = clock
        self._report = report
        self._shared = SharedGauges()
        self._seconds = seconds
        self._lines = lines
        self._characters = characters
        self._size = 0
        self._arrivals: deque[_Arrival] = deque()
        self._series: dict[tuple[str, str, Dimensions], _Series] = {}
        # Of the keys that were used last, because a client may make keys up.
        self._metadata: LRUCache[str, dict[str, str]] = LRUCache(_METADATA_LIMIT)
        self._rejected: deque[RejectedView] = deque(maxlen=_REJECTED_LIMIT)
        # Each text once, in the order of arrival: every flush repeats them.
        self._warnings: FIFOCache[str, None] = FIFOCache(_WARNINGS_LIMIT)
        self._stats = dict.fromkeys(_COUNTS, 0)

    def add(self, verdict: Verdict, client: str = "") -> None:
        """Store the lines of a request, which a *client* has sent."""
        now = self._clock()
        self._stats["requests"] += 1
        self._stats["accepted"] += len(verdict.accepted)
        self._stats["rejected"] += len(verdict.rejected)
        self._stats["warnings"] += len(verdict.warnings)
        for parsed in verdict.accepted:
            if isinstance(parsed, ParsedPoint):
                self._add_point(parsed, now, client)
            elif parsed.key not in self._metadata:
                # The first metadata of a key stays, as at Dynatrace.
                self._metadata[parsed.key] = parsed.properties
        for number, text in verdict.rejected[-_REJECTED_LIMIT:]:
            at_ms = int(now * 1000)
            self._rejected.append(RejectedView(at_ms=at_ms, line=number, error=text))
        for report in verdict.warnings:
            self._keep_warning(report.text)
        self._expire(now)

    def count_rejected_request(self) -> None:
        """Count a request that was rejected before its lines were read."""
        self._stats["requests"] += 1
        self._stats["requests_rejected"] += 1

    def stats(self) -> dict[str, int]:
        """Return the counts since the start, of requests and of lines."""
        return self._stats.copy()

    def snapshot(self) -> Snapshot:
        """Return what is stored, series by series, sorted by key and dimensions."""
        self._expire(self._clock())
        arrivals: dict[_Series, list[_Arrival]] = {}
        for arrival in self._arrivals:
            arrivals.setdefault(arrival.series, []).append(arrival)
        return Snapshot(
            series=[
                self._view(series, arrivals[series])
                for _, series in sorted(self._series.items())
            ],
            rejected=[*self._rejected],
            warnings=[*self._warnings],
        )

    def _add_point(self, point: ParsedPoint, now: float, client: str) -> None:
        identity = point.key, _kind(point), tuple(sorted(point.dimensions.items()))
        series = self._series.get(identity)
        if series is None:
            series = self._series[identity] = _Series(*identity)
            self._size += series.size
        series.points += 1
        level = _level(series, point.payload)
        series.summarized = level is None
        if level is not None and self._shared.add(identity, client, now, level):
            self._warn(sharing_warning(point.key))
        self._size += _OVERHEAD
        self._arrivals.append(_Arrival(now, series, *_observed(point)))
        self._expire(now)

    def _warn(self, text: str) -> None:
        """Add a warning, once, that is not about a single line."""
        if self._keep_warning(text):
            self._stats["warnings"] += 1
            if self._report is not None:
                self._report(text)

    def _keep_warning(self, text: str) -> bool:
        """Keep each text once; return whether it is new."""
        is_new = text not in self._warnings
        if is_new:
            self._warnings[text] = None
        return is_new

    def _expire(self, now: float) -> None:
        """Drop the oldest points while they are too old or too many."""
        arrivals = self._arrivals
        while arrivals and (
            arrivals[0].at <= now - self._seconds
            or len(arrivals) > self._lines
            or self._size > self._characters
        ):
            series = arrivals.popleft().series
            series.points -= 1
            self._size -= _OVERHEAD
            if not series.points:
                del self._series[series.key, series.kind, series.dimensions]
                self._size -= series.size
        oldest_ms = (now - self._seconds) * 1000
        while self._rejected and self._rejected[0]["at_ms"] <= oldest_ms:
            self._rejected.popleft()

    def _view(self, series: _Series, arrivals: list[_Arrival]) -> SeriesView:
        # An empty summary has zeros that nothing observed.
        observed = [each.observed for each in arrivals if each.observed.count]
        try:
            total = sum(each.sum for each in observed)
        except OverflowError:
            total = math.inf
        metadata = self._metadata.get(series.key, {})
        return SeriesView(
            key=series.key,
            kind=series.kind,
            instrument=_instrument(series, metadata.get("dt.meta.unit", "")),
            dimensions=dict(series.dimensions),
            points=series.points,
            count=sum(each.count for each in observed),
            sum=_finite(total),
            min=_finite(min((each.min for each in observed), default=0)),
            max=_finite(max((each.max for each in observed), default=0)),
            last=_finite(arrivals[-1].last),
            metadata=metadata,
        )


def _kind(point: ParsedPoint) -> str:
    if point.absolute:
        return "total"
    return "count" if isinstance(point.payload, CountDelta) else "gauge"


def _level(series: _Series, payload: Payload) -> int | float | None:
    """Return the value of a gauge; None if *payload* is none."""
    if isinstance(payload, GaugeSummary):
        low, high, total, count = payload
        # One observation has equal extremes: these are a gauge's.
        series.with_extremes |= count == 1 and low < high
        return total if series.with_extremes else None
    return payload.value if isinstance(payload, GaugeValue) else None


def _instrument(series: _Series, unit: str) -> str:
    if series.kind != "gauge":
        return "counter"
    if not series.summarized:
        return "gauge"
    return "timer" if unit in _TIME_UNITS else "summary"


def _observed(point: ParsedPoint) -> tuple[GaugeSummary, int | float]:
    """Return the observations in *point*, and the latest value."""
    payload = point.payload
    if isinstance(payload, GaugeSummary):
        return payload, payload.sum / payload.count if payload.count else 0
    value = payload[0]
    return GaugeSummary(value, value, value, 1), value


def _finite(number: int | float) -> int | float | None:
    """Return *number*, or None if it is beyond a double's range, and so JSON's."""
    try:
        return number if math.isfinite(number) else None
    except OverflowError:
        return None
