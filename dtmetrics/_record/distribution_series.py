"""The series of a summary that sends percentiles or counts per threshold as well.

The values are recorded into a list, as into that of any summary. What they are folded
into has a sketch of them, and how many were at most each threshold. It is never
changed: each fold makes a new one, and takes the place of the old one and of the values
in one step. So the counts are exact, and no value is in the sketch twice.

The sketch is a t-digest of the library fastdigest: 68 ns for each value, 12 KB, and an
error of 0.11 % of the ranks at p50 and 0.03 % at p99. Others take longer, have a larger
error or need numpy; ``examples/libraries/percentiles.md`` has the figures.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from dtmetrics._core.safe_call import call_safely
from dtmetrics._protocol.normalize import DIMENSIONS_LIMIT, clean_key, line_prefix
from dtmetrics._protocol.point import DataPoints, GaugeSummary, GaugeValue, Identity
from dtmetrics._record.dimensions import Pairs, dimensions_in
from dtmetrics._record.number import LARGEST, NOT_FINITE, Number
from dtmetrics._record.series import Value
from dtmetrics._record.summary_series import SummarySeries, plain_summary

if TYPE_CHECKING:
    from typing_extensions import Self

    from dtmetrics._protocol.point import Payload
    from dtmetrics._record.family import Family

__all__ = [
    "CENTROIDS",
    "LEAST_LIMIT",
    "Distribution",
    "DistributionSeries",
    "Plan",
    "Sent",
    "count_of",
    "expand",
    "percentile",
]

#: More take more memory, fewer have a larger error: 200 of them 7 KB, with 0.5 % of the
#: ranks at p50.
CENTROIDS = 500


#: At how many values a series folds at the earliest. A sketch takes more memory than
#: these, and a value three times as long if it is folded with six others.
LEAST_LIMIT = 64


class Distribution(NamedTuple):
    """The summary of the observed values, a sketch of them, and counts of them."""

    summary: GaugeSummary
    #: A t-digest, if the plan has percentiles.
    sketch: Any
    #: For each threshold, how many values were at most that.
    counts: tuple[int, ...]


class Sent(NamedTuple):
    """One number that is sent of each distribution, under a key of its own."""

    family: Family
    suffix: str
    kind: type[Payload]
    dimensions: tuple[tuple[str, str], ...]
    value_of: Callable[[Distribution], Number | None]


class Plan(NamedTuple):
    """What is made of the values of a family, beside the summary."""

    sent: tuple[Sent, ...]
    thresholds: tuple[float, ...]
    new_sketch: Callable[[], Any] | None


class DistributionSeries(SummarySeries):
    """The values observed since the last drain, for a family with a plan."""

    __slots__ = ("_identities", "plan", "worker")

    # The Handover expands it.
    payload: ClassVar[type[Any]] = Distribution

    #: Set by what makes the series.
    plan: Plan
    #: The dimension that gauges get beside those of the summary.
    worker: Pairs

    values: list[Any]

    def drain_each(self, chunk: Sequence[Self], drained: list[Value]) -> None:
        """Move to *drained* the distribution of what each series has observed."""
        for series in chunk:
            series.drain_checked(drained)

    def drain_checked(self, drained: list[Value]) -> None:
        """Move the distribution to *drained*."""
        values = self.values
        length = len(values)
        found: Any = self._distribute(values[:length])
        del values[:length]
        drained.append(found)

    def identities(self) -> Sequence[Identity]:
        """Return the identity of each number that is sent beside the summary."""
        found: list[Identity] | None = getattr(self, "_identities", None)
        if found is None:
            found = self._identities = [*map(self._identity, self.plan.sent)]
        return found

    def _identity(self, sent: Sent) -> Identity:
        dimensions = {**dimensions_in(self.line_prefix)}
        more = dict(sent.dimensions)
        if sent.kind is GaugeValue and len(dimensions) < DIMENSIONS_LIMIT:
            more = {key: str(text) for key, text in self.worker if text}
            more = {**more, **dimensions}
        pairs = tuple(sorted({**dimensions, **more}.items()))
        # Not that of the family, which may have another prefix by now.
        key = clean_key(self.key + sent.suffix) or self.key
        return Identity(key, line_prefix(key, pairs))

    def _fold(self, chunk: list[Any]) -> list[Any]:
        found = self._distribute(chunk)
        return [] if found is None else [found]

    def _distribute(self, chunk: list[Any]) -> Distribution | None:
        before: Distribution | None = None
        if chunk and type(chunk[0]) is Distribution:
            before, chunk = chunk[0], chunk[1:]
        summary, numbers = self._taken(before and before.summary, chunk)
        if summary is None or not numbers:
            return before
        numbers.sort()
        sketch = before and before.sketch
        if self.plan.new_sketch is not None:
            sketch = self.plan.new_sketch() if sketch is None else sketch.copy()
            sketch.batch_update(numbers)
        thresholds = self.plan.thresholds
        earlier = before.counts if before else (0,) * len(thresholds)
        counts = tuple(
            count + bisect_right(numbers, threshold)
            for count, threshold in zip(earlier, thresholds, strict=True)
        )
        return Distribution(summary, sketch, counts)

    def _taken(
        self, before: GaugeSummary | None, values: list[Any]
    ) -> tuple[GaugeSummary | None, list[Number]]:
        """Return the summary of *before* and *values*, and the valid ones of these."""
        if {*map(type, values)} <= {int, float}:
            summary = call_safely(plain_summary, before, values, default=None)
            if summary is not None:
                return summary, values
        taken: list[Number] = []
        summary = before
        for number in self._checked(values, least=-LARGEST):
            longer = plain_summary(summary, [number])
            if longer is None:
                self.reject(NOT_FINITE)
            else:
                summary = longer
                taken.append(number)
        return summary, taken


def expand(points: DataPoints) -> list[DataPoints]:
    """Return *points*, whose values are distributions, by what is sent of them."""
    all_series: Sequence[Any] = points.identities
    distributions: Sequence[Distribution] = points.values
    summaries = [distribution.summary for distribution in distributions]
    parts = [points._replace(kind=GaugeSummary, values=summaries)]
    plan = all_series[0].plan if all_series else Plan((), (), None)
    for place, sent in enumerate(plan.sent):
        if sent.family.void or sent.family.quarantined:
            continue
        values = {
            series.identities()[place]: value
            for series, distribution in zip(all_series, distributions, strict=True)
            if (value := sent.value_of(distribution)) is not None
        }
        part = DataPoints(sent.kind, [*values], [*values.values()], points.timestamp_ms)
        parts.append(part)
    return parts


def percentile(fraction: float) -> Callable[[Distribution], Number]:
    """Return the function that estimates a percentile of a distribution."""
    return partial(_percentile, fraction)


def count_of(place: int) -> Callable[[Distribution], Number | None]:
    """Return the function that counts what is at most a threshold; None if nothing."""
    return partial(_count, place)


def _percentile(fraction: float, distribution: Distribution) -> Number:
    low, high, _, _ = distribution.summary
    estimate: float = distribution.sketch.quantile(fraction)
    # Between two values whose difference exceeds a double, it is not a number.
    if estimate > high:
        return high
    return max(estimate, low)


def _count(place: int, distribution: Distribution) -> Number | None:
    return distribution.counts[place] or None
