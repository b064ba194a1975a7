"""A clock that runs faster, so that an outage of ten minutes takes half a minute.

Accelerated are ``time.monotonic``, ``time.time`` (both also in ns) and ``time.sleep``,
and the timeouts of ``threading``: ``Condition.wait`` (hence ``Event.wait``, ``queue``
and ``Semaphore``), ``Lock.acquire`` and ``Thread.join``.

Not accelerated are sockets, their timeouts, name resolution, the CPU,
``time.perf_counter``, timers of signals, ``datetime.now``, and references to the
functions above that were taken before ``start()``. At 20 times the speed a read that
times out after 3 s takes 60 s of the accelerated clock. A scenario that measures how
long something takes therefore sets the speed back to 1 first.

``CLOCK_MONOTONIC`` is the same in all processes of a machine: processes that start with
the same origin agree on the time.
"""

from __future__ import annotations

import threading
import time
from typing import Any, NamedTuple

_monotonic, _sleep = time.monotonic, time.sleep
_wait, _join = threading.Condition.wait, threading.Thread.join
_lock = threading.Lock


class Origin(NamedTuple):
    """When the clock was started, how fast it runs, and whether the speed may change."""

    speed: float = 1.0
    monotonic: float = 0.0
    wall: float = 0.0
    changes: bool = False

    @classmethod
    def now(cls, speed: float = 1.0, *, changes: bool = False) -> Origin:
        """Return an origin at the present moment, where the clock shows a full minute.

        A program that runs for less than a minute then never crosses the end of one.
        """
        minute = time.time() // 60 * 60
        return cls(speed, _monotonic(), minute, changes or speed != 1)


class Clock:
    """The time since an origin; it can be set, and can jump as after a sleep."""

    def __init__(self, origin: Origin) -> None:
        self.wall_offset = 0.0
        self.slept = 0.0
        self._wall = origin.wall - origin.monotonic
        # Each pace: its start by the machine's clock and by this clock, its speed.
        self._paces = ((origin.monotonic, origin.monotonic, origin.speed),)

    @property
    def speed(self) -> float:
        """How many times faster than the machine's clock it runs now."""
        return self._pace(_monotonic())[2]

    def pace(self, speed: float, at: float) -> None:
        """Run at *speed* from *at* on, a moment of the machine's clock to come."""
        since, base, before = self._paces[-1]
        self._paces = (*self._paces, (at, base + (at - since) * before, speed))

    def monotonic(self) -> float:
        """Return what ``time.monotonic()`` returns in this process."""
        now = _monotonic()
        since, base, speed = self._pace(now)
        return base + (now - since) * speed + self.slept

    def time(self) -> float:
        """Return what ``time.time()`` returns in this process."""
        return self._wall + self.monotonic() + self.wall_offset

    def step(self, seconds: float) -> None:
        """Set the wall clock forward, or back if *seconds* is negative."""
        self.wall_offset += seconds

    def freeze(self, seconds: float) -> None:
        """Skip *seconds*, as after SIGSTOP or a machine's sleep."""
        self.slept += seconds

    def _pace(self, now: float) -> tuple[float, float, float]:
        return next(pace for pace in reversed(self._paces) if pace[0] <= now)


def start(origin: Origin) -> Clock:
    """Replace this process's clocks from now on; call it before other imports."""
    clock = Clock(origin)
    time.monotonic = threading._time = clock.monotonic  # type: ignore[attr-defined]
    time.time = clock.time
    time.monotonic_ns = lambda: int(clock.monotonic() * 1e9)
    time.time_ns = lambda: int(clock.time() * 1e9)
    if not origin.changes:
        return clock

    def wait(self: threading.Condition, timeout: float | None = None) -> bool:
        return _wait(self, None if timeout is None else timeout / clock.speed)

    def join(self: threading.Thread, timeout: float | None = None) -> None:
        _join(self, None if timeout is None else timeout / clock.speed)

    time.sleep = lambda seconds: _sleep(seconds / clock.speed)
    threading.Condition.wait = wait  # type: ignore[method-assign]
    threading.Thread.join = join  # type: ignore[method-assign]
    _QuickLock.clock = clock
    threading.Lock = _QuickLock  # type: ignore[misc, assignment]
    return clock


class _QuickLock:
    """A lock whose timeouts are divided by the clock's speed."""

    clock: Clock

    def __init__(self) -> None:
        self._real = _lock()
        self.release = self._real.release
        self.locked = self._real.locked

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if timeout > 0:
            timeout /= self.clock.speed
        return self._real.acquire(blocking, timeout)

    def __enter__(self) -> bool:
        return self._real.acquire()

    def __exit__(self, *_: object) -> None:
        self._real.release()

    def __getattr__(self, name: str) -> Any:  # such as _at_fork_reinit
        return getattr(self._real, name)
