"""The time of a cut, and when the next one is due.

A *cut* is a collection as what is recorded sees it: before it or after it.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

__all__ = ["Clock", "Schedule"]

_STEP_SECONDS = 2.0
# What waking up and floats may differ from a boundary, to either side.
_EARLY_SECONDS = 0.0005
# A slot of Dynatrace's, and far from the hour after which points are refused.
_LATE_SECONDS = 60.0


class Clock:
    """The wall clock, carried on by the monotonic one as long as both agree.

    Where they differ by more than 2 s one was set, or the machine slept: the wall
    clock is believed then, and ``steps`` counts it. No lock: two threads that see the
    same step at once may count it twice.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall = wall
        self.monotonic = monotonic
        self.steps = 0
        self._ahead = wall() - monotonic()
        self._last_ms = 0
        # Cuts lie on the ends of intervals: a clock that is set back by some of them
        # would give their stamps again.
        self._given: deque[int] = deque(maxlen=1_000)

    def now(self) -> float:
        """Return the time in seconds since 1970, UTC."""
        monotonic, wall = self.monotonic(), self._wall()
        if abs(wall - monotonic - self._ahead) > _STEP_SECONDS:
            self._ahead = wall - monotonic
            self.steps += 1
        return monotonic + self._ahead

    def now_ms(self) -> int:
        """Return the time in milliseconds since 1970, UTC."""
        return round(self.now() * 1000)

    def monotonic_at(self, moment: float) -> float:
        """Return what the monotonic clock shows at *moment*, as far as is known."""
        return moment - self._ahead

    def stamp(self, moment: float | None = None) -> int:
        """Return the timestamp of a cut, now or as of *moment*, in milliseconds.

        It is later than the last one's, by 1 ms at least. Only where the last lies
        more than 2 s in the future is it the time of day as it is, and earlier: the
        clock was ahead and has been put right. To go on from there would be to be
        wrong for as long as it was ahead, and points are refused from 10 minutes on.
        Even then no two cuts share one, of the last 1,000.
        """
        now_ms = self.now_ms()
        if self._last_ms > now_ms + _STEP_SECONDS * 1000:
            self._last_ms = 0
        wanted = now_ms if moment is None else round(moment * 1000)
        self._last_ms = self.unused(max(wanted, self._last_ms + 1))
        return self._last_ms

    def unused(self, ms: int) -> int:
        """Return the first millisecond from *ms* on that has not been given yet."""
        while ms in self._given:
            ms += 1
        self._given.append(ms)
        return ms


class Schedule:
    """Cuts at the ends of intervals, as the wall clock counts them.

    So a minute's cut is stamped in that minute. The waiting is done by the monotonic
    clock, and a cut that is due stays due, whatever happens to the other one.
    """

    def __init__(self, clock: Clock, interval: float) -> None:
        self._clock = clock
        self._interval = interval
        #: When the next cut is due, by the monotonic clock.
        self.due = math.inf
        self._plan()

    def wait(self) -> float:
        """Return how many seconds are left until the next cut, or less than none."""
        self._clock.now()
        if self._steps != self._clock.steps:
            # Never later than planned, or a clock that stands still puts it off again
            # and again.
            due = self.due
            self._plan()
            self.due = min(due, self.due)
        return self.due - self._clock.monotonic()

    def cut(self) -> int | None:
        """Return the timestamp of the cut that is due, if one is; plan the next.

        It is the last millisecond of the interval that has ended. Where none has,
        because the clock was set, or more than a minute ago, it is the time of day.
        """
        if self.wait() > 0:
            return None
        now = self._clock.now()
        end = self._boundary(now)
        ended = self._clock.monotonic_at(end) >= self.due - _EARLY_SECONDS
        on_time = ended and now - end <= _LATE_SECONDS
        stamp = self._clock.stamp(end - 0.001 if on_time else None)
        self._plan()
        return stamp

    def _plan(self) -> None:
        # Intervals that were slept over are left out.
        end = self._boundary(self._clock.now()) + self._interval
        self._steps = self._clock.steps
        self.due = self._clock.monotonic_at(end)

    def _boundary(self, moment: float) -> float:
        """Return the last end of an interval at *moment*."""
        passed = math.floor((moment + _EARLY_SECONDS) / self._interval)
        return passed * self._interval
