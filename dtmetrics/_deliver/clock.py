"""The clock: the time of day without its jumps, and timestamps that never repeat."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["STEP_SECONDS", "Clock", "Timing"]

#: By how much the wall clock must differ from the monotonic one to have been set.
STEP_SECONDS = 2.0


class Clock:
    """The wall clock, carried on by the monotonic one as long as both agree.

    Where they differ by more than 2 s the wall clock was set, or the machine slept: the
    wall clock is right then, and ``steps`` counts it. There is no lock: two threads
    that see the same step at once may count it twice.
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
        # Collections lie on the ends of intervals, so a clock that is set back by some
        # of them would repeat their timestamps.
        self._used: deque[int] = deque(maxlen=1_000)

    def now(self) -> float:
        """Return the time in seconds since 1970, UTC."""
        monotonic, wall = self.monotonic(), self._wall()
        if abs(wall - monotonic - self._ahead) > STEP_SECONDS:
            self._ahead = wall - monotonic
            self.steps += 1
        return monotonic + self._ahead

    def now_ms(self) -> int:
        """Return the time in milliseconds since 1970, UTC."""
        return round(self.now() * 1000)

    def monotonic_at(self, moment: float) -> float:
        """Return what the monotonic clock shows at *moment*, by the present offset."""
        return moment - self._ahead

    def timestamp(self, moment: float | None = None) -> int:
        """Return a collection's timestamp, as of *moment* or now, in milliseconds.

        It is later than the last one, by 1 ms at least. Only where the last one lies
        more than 2 s in the future is it earlier: the clock was ahead and has been
        corrected, and the endpoint rejects points from more than 10 minutes ahead. No
        two of the last 1,000 timestamps are the same.
        """
        now_ms = self.now_ms()
        if self._last_ms > now_ms + STEP_SECONDS * 1000:
            self._last_ms = 0
        wanted = now_ms if moment is None else round(moment * 1000)
        self._last_ms = self.unused(max(wanted, self._last_ms + 1))
        return self._last_ms

    def unused(self, ms: int) -> int:
        """Use the first millisecond from *ms* on that no timestamp has; return it."""
        while ms in self._used:
            ms += 1
        self._used.append(ms)
        return ms


class Timing(NamedTuple):
    """The time and chance by which delivery runs. Tests replace them."""

    clock: Clock
    #: Returns a number from 0 to 1, for jitter.
    random: Callable[[], float] = random.random
    #: Makes the event that the flusher's thread waits on.
    event: Callable[[], threading.Event] = threading.Event
