"""Schedules: when the next collection is due, and when it is sent."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from dtmetrics._deliver.clock import Clock

__all__ = ["Cadence", "Schedule", "SendSchedule"]

# What waking up and floats may differ from a boundary, to either side.
_EARLY_SECONDS = 0.0005
# A collection that is later than this has the time of day: its minute is over for
# Dynatrace, which keeps one value a minute.
_LATE_SECONDS = 60.0

# The longest random delay, as a part of an interval: the rest is left for retries.
_SPREAD = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Cadence:
    """How often the flusher collects, in seconds."""

    #: The time between collections; None: only ``flush()`` collects.
    interval: float | None = 60.0
    #: The latest first collection of a process, because a new user waits for it.
    first_seconds: float = 5.0


class Schedule:
    """Collections at the ends of intervals, as the wall clock counts them.

    A minute's collection is stamped within that minute. The waiting is done by the
    monotonic clock, and a collection that is due stays due, however the wall clock is
    set. The first collection comes after *first_seconds* at the latest.
    """

    def __init__(
        self, clock: Clock, interval: float, *, first_seconds: float = math.inf
    ) -> None:
        self._clock = clock
        self._interval = interval
        #: When the next collection is due, by the monotonic clock.
        self.due = math.inf
        self._plan()
        self.due = min(self.due, clock.monotonic() + first_seconds)

    def wait(self) -> float:
        """Return the seconds until the next collection; not positive: it is due."""
        self._clock.now()
        if self._steps != self._clock.steps:
            # Never later than planned, or a clock that stands still would put it off
            # again and again.
            due = self.due
            self._plan()
            self.due = min(due, self.due)
        return self.due - self._clock.monotonic()

    def take_due(self) -> int | None:
        """Return the timestamp of the collection that is due; plan the next one.

        The timestamp is the last millisecond of the interval that has ended. Where none
        has, because the clock was set, or more than a minute ago, it is the time of
        day. None: no collection is due.
        """
        if self.wait() > 0:
            return None
        now = self._clock.now()
        end = self._boundary(now)
        ended = self._clock.monotonic_at(end) >= self.due - _EARLY_SECONDS
        on_time = ended and now - end <= _LATE_SECONDS
        timestamp = self._clock.timestamp(end - 0.001 if on_time else None)
        self._plan()
        return timestamp

    def _plan(self) -> None:
        # Intervals that were slept over are left out.
        end = self._boundary(self._clock.now()) + self._interval
        self._steps = self._clock.steps
        self.due = self._clock.monotonic_at(end)

    def _boundary(self, moment: float) -> float:
        """Return the last end of an interval at *moment*."""
        passed = math.floor((moment + _EARLY_SECONDS) / self._interval)
        return passed * self._interval


class SendSchedule:
    """When the flusher sends: a while after each collection, and now and then.

    The clocks of a fleet agree, so all its processes collect at once. Each sends *part*
    of half an interval later, of *spread_seconds* at most. Every *look_seconds* it
    sends although nothing waits here, to find what dead processes left in the spool.
    All times are the monotonic clock's.
    """

    def __init__(
        self,
        monotonic: Callable[[], float],
        *,
        interval: float,
        part: float,
        spread_seconds: float,
        look_seconds: float,
    ) -> None:
        self._monotonic = monotonic
        self._delay = min(interval * _SPREAD, spread_seconds) * part
        self._look_seconds = look_seconds
        self._send_at = math.inf
        self._look_at = monotonic() + look_seconds

    def collected(self, due: float) -> None:
        """Plan to send what was collected at *due*."""
        # A time that is planned is not put off: the collections of a clock that stands
        # still come often.
        if not due < self._send_at < math.inf:
            self._send_at = due + self._delay

    def sending(self) -> None:
        """Note that sending begins."""
        self._send_at = math.inf
        self._look_at = self._monotonic() + self._look_seconds

    def due(self, *, waiting: bool, retry_at: float) -> float:
        """Return when to send next: with batches *waiting*, at *retry_at* if not 0."""
        return retry_at or self._send_at if waiting else self._look_at
