"""Timers with a clock that tests advance."""

from __future__ import annotations

from typing import Any

from dtmetrics._protocol.point import GaugeSummary
from dtmetrics._record.timer import Timer, TimerOptions
from tests.support.recorder import Recorder


class Clock:
    """A clock that stands still until ``pass_`` is called, or *now* is set."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        """Advance by *seconds*."""
        self.now += seconds


class Timing:
    """A recorder, a clock, and timers with both."""

    def __init__(self) -> None:
        self.recorder = Recorder()
        self.clock = Clock()
        self.pass_ = self.clock.pass_

    def timer(self, name: str = "t", **options: Any) -> Timer:
        """Return a timer; *options* are those of ``TimerOptions``."""
        summary = self.recorder.meter.summary(name)
        return Timer(summary, TimerOptions.checked(**options), self.clock)

    def took(self) -> dict[str, list[float]]:
        """Collect; return count, minimum and maximum by dimensions, written as text."""
        took = {}
        for (_, dimensions), payload in self.recorder.payloads().items():
            assert isinstance(payload, GaugeSummary)
            text = ",".join(f"{key}={value}" for key, value in sorted(dimensions))
            took[text] = [payload.count, payload.min, payload.max]
        return took
