"""A clock that runs faster, so that an outage of ten minutes takes half a minute.

Accelerated is what a program asks of Python: ``time.monotonic``, ``time.time`` (both
also in ns) and ``time.sleep``, and the timeouts of ``threading``: ``Condition.wait``
(and so ``Event.wait``, ``queue``, ``Semaphore``), ``Lock.acquire`` and ``Thread.join``.
Not accelerated are sockets, their timeouts and name servers, the CPU,
``time.perf_counter``, signals' timers, ``datetime.now``, and whatever took one of the
functions above before ``start()``. So a read that times out after 3 s takes 60 s of a
life that is 20 times as fast, and a body takes 20 times as long to be sent: only what
waits is shortened, and a scenario goes on at the pace of life where it wants to see
how long something takes.

``CLOCK_MONOTONIC`` is one for all processes of a machine: those who begin with the same
origin agree on the time.
"""

from __future__ import annotations

import threading
import time
from typing import Any, NamedTuple

_monotonic, _sleep = time.monotonic, time.sleep
_wait, _join = threading.Condition.wait, threading.Thread.join
_lock = threading.Lock


class Origin(NamedTuple):
    """When the accelerated life began, how fast it is, and whether that changes."""

    speed: float = 1.0
    monotonic: float = 0.0
    wall: float = 0.0
    changes: bool = False

    @classmethod
    def now(cls, speed: float = 1.0, *, changes: bool = False) -> Origin:
        """Return an origin here and now, where the clock shows a full minute.

        What waits is put together minute by minute: no short life sees the end of one.
        """
        minute = time.time() // 60 * 60
        return cls(speed, _monotonic(), minute, changes or speed != 1)


class Clock:
    """The time since an origin. Clocks are set, and machines sleep: it may jump."""

    def __init__(self, origin: Origin) -> None:
        self.wall_offset = 0.0
        self.slept = 0.0
        self._wall = origin.wall - origin.monotonic
        # From when on, by the machine's clock; what it was by this one; how fast.
        self._paces = ((origin.monotonic, origin.monotonic, origin.speed),)

    @property
    def speed(self) -> float:
        """How fast it runs now."""
        return self._pace(_monotonic())[2]

    def pace(self, speed: float, at: float) -> None:
        """Run so fast from *at* on, in the near future by the machine's clock."""
        since, base, before = self._paces[-1]
        self._paces = (*self._paces, (at, base + (at - since) * before, speed))

    def monotonic(self) -> float:
        """Return the seconds that ``time.monotonic`` says."""
        now = _monotonic()
        since, base, speed = self._pace(now)
        return base + (now - since) * speed + self.slept

    def time(self) -> float:
        """Return the seconds that ``time.time`` says."""
        return self._wall + self.monotonic() + self.wall_offset

    def step(self, seconds: float) -> None:
        """Set the wall clock, as somebody with a watch would."""
        self.wall_offset += seconds

    def freeze(self, seconds: float) -> None:
        """Let *seconds* pass in which nothing ran: SIGSTOP, or a machine that slept."""
        self.slept += seconds

    def _pace(self, now: float) -> tuple[float, float, float]:
        return next(pace for pace in reversed(self._paces) if pace[0] <= now)


def start(origin: Origin) -> Clock:
    """Let this process live by *origin*, from now on. To be called first of all."""
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
    """A lock whose timeouts are as short as the life is fast."""

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

    def __getattr__(self, name: str) -> Any:  # what a fork resets
        return getattr(self._real, name)
