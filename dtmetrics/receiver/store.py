"""What arrived lately, in memory: bounded by time, by lines and by characters."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, TypedDict

from dtmetrics._protocol.parse import ParsedMetadata, ParsedPoint
from dtmetrics._protocol.point import CountDelta, Dimensions, GaugeSummary
from dtmetrics.receiver.judge import LineNote, Verdict

__all__ = ["InvalidView", "SeriesView", "Snapshot", "StatsView", "Store"]

_INVALID_KEPT = 100
_METADATA_KEPT = 10_000
_WARNINGS_KEPT = 1_000
# What a series or a point weighs in characters beside its texts, about.
_OVERHEAD = 100


class SeriesView(TypedDict):
    """A series as its retained points add up. A number no double can hold is None.

    ``kind`` is ``gauge``, ``count`` or, for the deprecated running totals, ``total``.
    ``count`` is how many observations there were, ``points`` how many lines; ``last``
    is the latest value, increase or, of a summary, mean.
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


class InvalidView(TypedDict):
    """A refused line: when, its number in its body, and why."""

    at_ms: int
    line: int
    error: str


class Snapshot(TypedDict):
    """Everything retained, ready for JSON."""

    series: list[SeriesView]
    invalid: list[InvalidView]
    warnings: list[str]


class StatsView(TypedDict):
    """What there was since the start, whether it is still retained or not."""

    requests: int
    requests_refused: int
    accepted: int
    invalid: int
    warnings: int


class _Series:
    """One series and how many of its points are retained."""

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
    """Keeps the last *keep* seconds, and no more than *lines* and *characters*.

    For one thread, such as that of an event loop. *clock* gives seconds.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        keep: float = 600.0,
        lines: int = 100_000,
        characters: int = 20_000_000,
    ) -> None:
        self._clock = clock
        self._keep = keep
        self._lines = lines
        self._characters = characters
        self._size = 0
        self._arrivals: deque[_Arrival] = deque()
        self._series: dict[tuple[str, str, Dimensions], _Series] = {}
        self._metadata: dict[str, dict[str, str]] = {}
        self._invalid: deque[tuple[float, LineNote]] = deque(maxlen=_INVALID_KEPT)
        # Each text once, in the order of coming: they come again with every flush.
        self._warnings: dict[str, None] = {}
        self._stats = StatsView(
            requests=0, requests_refused=0, accepted=0, invalid=0, warnings=0
        )

    def take(self, verdict: Verdict) -> None:
        """Keep what a body brought."""
        now = self._clock()
        self._stats["requests"] += 1
        self._stats["accepted"] += len(verdict.accepted)
        self._stats["invalid"] += len(verdict.invalid)
        self._stats["warnings"] += len(verdict.warnings)
        for parsed in verdict.accepted:
            if isinstance(parsed, ParsedPoint):
                self._arrive(parsed, now)
            else:
                self._describe(parsed)
        self._invalid.extend((now, note) for note in verdict.invalid[-_INVALID_KEPT:])
        for note in verdict.warnings:
            if len(self._warnings) < _WARNINGS_KEPT:
                self._warnings.setdefault(note.text)
        self._forget(now)

    def refuse(self) -> None:
        """Count a request of which no line was looked at."""
        self._stats["requests"] += 1
        self._stats["requests_refused"] += 1

    def stats(self) -> StatsView:
        """Return the counts since the start."""
        return self._stats.copy()

    def snapshot(self) -> Snapshot:
        """Return what is retained, series by series, sorted by key and dimensions."""
        self._forget(self._clock())
        folded: dict[_Series, tuple[GaugeSummary, int | float]] = {}
        for _, series, observed, last in self._arrivals:
            so_far, _ = folded.get(series, (_NOTHING, 0))
            folded[series] = _together(so_far, observed), last
        views = [self._view(series, *folds) for series, folds in folded.items()]
        return Snapshot(
            series=sorted(views, key=_order),
            invalid=[
                InvalidView(at_ms=int(at * 1000), line=note.line, error=note.text)
                for at, note in self._invalid
            ],
            warnings=[*self._warnings],
        )

    def _arrive(self, point: ParsedPoint, now: float) -> None:
        identity = point.key, _kind(point), tuple(sorted(point.dimensions.items()))
        series = self._series.get(identity)
        if series is None:
            series = self._series[identity] = _Series(*identity)
            self._size += series.size
        series.points += 1
        self._size += _OVERHEAD
        self._arrivals.append(_Arrival(now, series, *_observed(point)))
        self._forget(now)

    def _forget(self, now: float) -> None:
        """Drop from the old end what is too old or too much."""
        arrivals = self._arrivals
        while arrivals and (
            arrivals[0].at <= now - self._keep
            or len(arrivals) > self._lines
            or self._size > self._characters
        ):
            series = arrivals.popleft().series
            series.points -= 1
            self._size -= _OVERHEAD
            if not series.points:
                del self._series[series.key, series.kind, series.dimensions]
                self._size -= series.size
        while self._invalid and self._invalid[0][0] <= now - self._keep:
            self._invalid.popleft()

    def _describe(self, metadata: ParsedMetadata) -> None:
        # What is known of a key already stands, as at the endpoint.
        if len(self._metadata) < _METADATA_KEPT:
            self._metadata.setdefault(metadata.key, metadata.properties)

    def _view(
        self, series: _Series, folded: GaugeSummary, last: int | float
    ) -> SeriesView:
        return SeriesView(
            key=series.key,
            kind=series.kind,
            dimensions=dict(series.dimensions),
            points=series.points,
            count=folded.count,
            sum=_finite(folded.sum),
            min=_finite(folded.min),
            max=_finite(folded.max),
            last=_finite(last),
            metadata=self._metadata.get(series.key, {}),
        )


def _order(view: SeriesView) -> tuple[str, str, list[tuple[str, str]]]:
    return view["key"], view["kind"], list(view["dimensions"].items())


def _kind(point: ParsedPoint) -> str:
    if point.absolute:
        return "total"
    return "count" if isinstance(point.payload, CountDelta) else "gauge"


def _observed(point: ParsedPoint) -> tuple[GaugeSummary, int | float]:
    """Return what *point* adds to its series, and its latest value."""
    payload = point.payload
    if isinstance(payload, GaugeSummary):
        return payload, payload.sum / payload.count if payload.count else 0
    value = payload[0]
    return GaugeSummary(value, value, value, 1), value


_NOTHING = GaugeSummary(0, 0, 0, 0)


def _together(one: GaugeSummary, other: GaugeSummary) -> GaugeSummary:
    # The zeros of an empty summary are no observations.
    if not one.count:
        return other
    if not other.count:
        return one
    try:
        total = one.sum + other.sum
    except OverflowError:
        total = math.inf
    return GaugeSummary(
        min(one.min, other.min),
        max(one.max, other.max),
        total,
        one.count + other.count,
    )


def _finite(number: int | float) -> int | float | None:
    """Return *number* unless it outgrew what a double, and so JSON, can hold."""
    try:
        return number if math.isfinite(number) else None
    except OverflowError:
        return None
