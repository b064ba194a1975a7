"""Points on their way from their series to the outbox.

A signal handler may raise after any call, and so end a flush anywhere. Each value moves
from its series to a list here in one step, between two calls, and each batch from here
to the outbox. What is here is encoded again by the next flush.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import compress
from typing import Any, NamedTuple, Protocol, cast

from dtmetrics._protocol.point import DataPoints, GaugeSummary, GaugeValue, Payload
from dtmetrics._record.distribution_series import Distribution, expand

__all__ = ["Handover", "Totals"]


class Totals(Protocol):
    """What makes points of the increase of totals."""

    #: The totals of the points that were handed over.
    totals: Any
    #: The totals of the points that were made last.
    next_totals: Any


class _Batch(Protocol):
    """Lines of a number of points."""

    @property
    def points(self) -> int:
        """How many."""


class _State(NamedTuple):
    points: list[DataPoints]
    #: How many points of the first chunk are in the outbox.
    done: int
    #: The batch with the first points that are not in the outbox, or were not.
    batch: _Batch | None


class Handover:
    """The points that have left their series, until a batch with them is in the outbox.

    One thread at a time uses it.
    """

    def __init__(self) -> None:
        self._state = _State([], 0, None)
        #: The batch that is in the outbox, which stores it here in the same step.
        self.entered: _Batch | None = None

    def open(self, points: DataPoints) -> list[Any]:
        """Add *points*, whose values will be drained to the list that is returned."""
        self._state.points.append(points)
        return cast("list[Any]", points.values)

    def complete(self) -> list[DataPoints]:
        """Return the points that were opened last, as far as they have values.

        They come by kind. To complete them again changes nothing.
        """
        points = self._state.points
        points[-1:] = parts = _complete(points[-1])
        return parts

    def add(self, chunks: Sequence[DataPoints], owner: Totals) -> None:
        """Add *chunks*, and advance the totals of *owner*, in one step."""
        add = self._state.points.extend
        owner.totals = owner.next_totals
        add(chunks)

    def waiting(self) -> Iterator[DataPoints]:
        """Yield the points that are not in the outbox."""
        points, done, _ = self._state
        if points:
            self.complete()  # a signal handler has raised while they were drained
        for chunk in list(points):
            yield chunk.since(done) if done else chunk
            done = 0

    @property
    def batch(self) -> Any:  # noqa: ANN401 -- what begin() was given
        """The batch that has begun and is not settled; or None."""
        return self._state.batch

    def begin(self, batch: _Batch) -> None:
        """Note that *batch*, with the first points, will be put in the outbox."""
        self._state = self._state._replace(batch=batch)

    def settle(self) -> None:
        """Drop the points of the batch that is in the outbox, if there is one."""
        points, done, batch = self._state
        if batch is None or batch is not self.entered:
            return
        done += batch.points
        first = 0
        while first < len(points) and done >= len(points[first].identities):
            done -= len(points[first].identities)
            first += 1
        self._state = _State(points[first:], done, None)
        self.entered = None


def _complete(points: DataPoints) -> list[DataPoints]:
    """Return *points* without those that are not sent, by kind."""
    kind: type[Any] = points.kind
    _, identities, values, _ = points
    if len(values) != len(identities) or not all(values):
        # Some are zero, or None, which is not sent; or the last ones were not drained.
        sent = [value is not None for value in values]
        identities, values = [*compress(identities, sent)], [*compress(values, sent)]
        points = points._replace(identities=identities, values=values)
    if kind is GaugeValue and not _are_numbers(values):
        return [_of_kind(points, GaugeSummary), _of_kind(points, GaugeValue)]
    return expand(points) if kind is Distribution else [points]


def _are_numbers(values: Sequence[Any]) -> bool:
    """Return whether no gauge among *values* has its extremes with it."""
    try:
        # A sum takes 3 ns for each, and a look at its type 20 ns, a tenth of its line.
        sum(values)
    except (OverflowError, TypeError):
        return GaugeSummary not in {*map(type, values)}
    return True


def _of_kind(gauges: DataPoints, kind: type[Payload]) -> DataPoints:
    """Return those of *gauges* that are sent with their extremes, or those without."""
    with_extremes = kind is GaugeSummary
    sent = [(type(value) is GaugeSummary) is with_extremes for value in gauges.values]
    identities = [*compress(gauges.identities, sent)]
    values = [*compress(gauges.values, sent)]
    return gauges._replace(kind=kind, identities=identities, values=values)
