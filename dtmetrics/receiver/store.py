"""What arrived lately, in memory: limited by time, lines and characters."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, TypedDict

from dtmetrics._protocol.parse import ParsedMetadata, ParsedPoint
from dtmetrics._protocol.point import CountDelta, Dimensions, GaugeSummary
from dtmetrics.receiver.verdict import LineReport, Verdict

__all__ = ["RejectedView", "SeriesView", "Snapshot", "StatsView", "Store"]

_REJECTED_LIMIT = 100
_METADATA_LIMIT = 10_000
_WARNINGS_LIMIT = 1_000
# The approximate size of a series or a point beside its texts, in characters.
_OVERHEAD = 100


class SeriesView(TypedDict):
    """The sum of a series' stored points. A number beyond a double's range is None.

    ``kind`` is ``gauge``, ``count`` or, for the deprecated running totals, ``total``.
    ``count`` is the number of observations and ``points`` that of lines. ``last`` is
    the latest value, increase or, for a summary, mean.
    """

    key: str
    kind: str
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


class StatsView(TypedDict):
    """Counts since the start, of requests and of lines."""

    requests: int
    requests_rejected: int
    accepted: int
    rejected: int
    warnings: int


class _Series:
    """One series and the number of its stored points."""

    __slots__ = ("dimensions", "key", "kind", "points", "size")

    def __init__(self, key: str, kind: str, dimensions: Dimensions) -> None:
        self.key = key
        self.kind = kind
        self.dimensions = dimensions
        self.points = 0
        texts = (len(name) + len(value) for name, value in dimensions)
        self.size = _OVERHEAD + len(key) + sum(texts)


class _Arrival(NamedTuple):
    at: float
    series: _Series
    observed: GaugeSummary
    last: int | float


class Store:
    """Holds the last *seconds*, and at most so many *lines* and *characters*.

    It is not thread-safe: one event loop uses it. *clock* returns seconds.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        seconds: float = 600.0,
        lines: int = 100_000,
        characters: int = 20_000_000,
    ) -> None:
        self._clock = clock
        self._seconds = seconds
        self._lines = lines
        self._characters = characters
        self._size = 0
        self._arrivals: deque[_Arrival] = deque()
        self._series: dict[tuple[str, str, Dimensions], _Series] = {}
        self._metadata: dict[str, dict[str, str]] = {}
        self._rejected: deque[tuple[float, LineReport]] = deque(maxlen=_REJECTED_LIMIT)
        # Each text once, in the order of arrival: every flush repeats them.
        self._warnings: dict[str, None] = {}
        self._stats = StatsView(
            requests=0, requests_rejected=0, accepted=0, rejected=0, warnings=0
        )

    def add(self, verdict: Verdict) -> None:
        """Store the lines of a request."""
        now = self._clock()
        self._stats["requests"] += 1
        self._stats["accepted"] += len(verdict.accepted)
        self._stats["rejected"] += len(verdict.rejected)
        self._stats["warnings"] += len(verdict.warnings)
        for parsed in verdict.accepted:
            if isinstance(parsed, ParsedPoint):
                self._add_point(parsed, now)
            else:
                self._add_metadata(parsed)
        latest = verdict.rejected[-_REJECTED_LIMIT:]
        self._rejected.extend((now, report) for report in latest)
        for report in verdict.warnings:
            if len(self._warnings) < _WARNINGS_LIMIT:
                self._warnings.setdefault(report.text)
        self._expire(now)

    def count_rejected_request(self) -> None:
        """Count a request that was rejected before its lines were read."""
        self._stats["requests"] += 1
        self._stats["requests_rejected"] += 1

    def stats(self) -> StatsView:
        """Return the counts since the start."""
        return self._stats.copy()

    def snapshot(self) -> Snapshot:
        """Return what is stored, series by series, sorted by key and dimensions."""
        self._expire(self._clock())
        totals: dict[_Series, tuple[GaugeSummary, int | float]] = {}
        for _, series, observed, last in self._arrivals:
            so_far, _ = totals.get(series, (_EMPTY, 0))
            totals[series] = _merge(so_far, observed), last
        views = [self._view(series, *total) for series, total in totals.items()]
        return Snapshot(
            series=sorted(views, key=_sort_key),
            rejected=[
                RejectedView(
                    at_ms=int(at * 1000), line=report.line_number, error=report.text
                )
                for at, report in self._rejected
            ],
            warnings=[*self._warnings],
        )

    def _add_point(self, point: ParsedPoint, now: float) -> None:
        identity = point.key, _kind(point), tuple(sorted(point.dimensions.items()))
        series = self._series.get(identity)
        if series is None:
            series = self._series[identity] = _Series(*identity)
            self._size += series.size
        series.points += 1
        self._size += _OVERHEAD
        self._arrivals.append(_Arrival(now, series, *_observed(point)))
        self._expire(now)

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
        while self._rejected and self._rejected[0][0] <= now - self._seconds:
            self._rejected.popleft()

    def _add_metadata(self, metadata: ParsedMetadata) -> None:
        # The first metadata of a key stays, as at Dynatrace.
        if len(self._metadata) < _METADATA_LIMIT:
            self._metadata.setdefault(metadata.key, metadata.properties)

    def _view(
        self, series: _Series, total: GaugeSummary, last: int | float
    ) -> SeriesView:
        return SeriesView(
            key=series.key,
            kind=series.kind,
            dimensions=dict(series.dimensions),
            points=series.points,
            count=total.count,
            sum=_finite(total.sum),
            min=_finite(total.min),
            max=_finite(total.max),
            last=_finite(last),
            metadata=self._metadata.get(series.key, {}),
        )


def _sort_key(view: SeriesView) -> tuple[str, str, list[tuple[str, str]]]:
    return view["key"], view["kind"], list(view["dimensions"].items())


def _kind(point: ParsedPoint) -> str:
    if point.absolute:
        return "total"
    return "count" if isinstance(point.payload, CountDelta) else "gauge"


def _observed(point: ParsedPoint) -> tuple[GaugeSummary, int | float]:
    """Return the observations in *point*, and the latest value."""
    payload = point.payload
    if isinstance(payload, GaugeSummary):
        return payload, payload.sum / payload.count if payload.count else 0
    value = payload[0]
    return GaugeSummary(value, value, value, 1), value


_EMPTY = GaugeSummary(0, 0, 0, 0)


def _merge(one: GaugeSummary, other: GaugeSummary) -> GaugeSummary:
    # An empty summary has zeros that nothing observed.
    if not one.count:
        return other
    if not other.count:
        return one
    try:
        added = one.sum + other.sum
    except OverflowError:
        added = math.inf
    return GaugeSummary(
        min(one.min, other.min),
        max(one.max, other.max),
        added,
        one.count + other.count,
    )


def _finite(number: int | float) -> int | float | None:
    """Return *number*, or None if it is beyond a double's range, and so JSON's."""
    try:
        return number if math.isfinite(number) else None
    except OverflowError:
        return None
