"""Timers by a clock that tests move."""

from __future__ import annotations

from typing import Any

from dtmetrics._protocol.point import GaugeSummary
from dtmetrics._record.timer import Timer, TimerOptions
from tests.support.recorder import Recorder


class Clock:
    """A clock that stands still until it is told how much time has passed."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        """Let *seconds* pass."""
        self.now += seconds


class Timing:
    """A recorder, a clock, and timers that use both."""

    def __init__(self) -> None:
        self.recorder = Recorder()
        self.clock = Clock()
        self.pass_ = self.clock.pass_

    def timer(self, name: str = "t", **options: Any) -> Timer:
        """Return a timer; *options* are those of ``TimerOptions``."""
        summary = self.recorder.meter.summary(name)
        return Timer(summary, TimerOptions(**options), self.clock)

    def took(self) -> dict[str, list[float]]:
        """Collect; for each dimension set, written out, how many, least and most."""
        found = {}
        for (_, dimensions), payload in self.recorder.payloads().items():
            assert isinstance(payload, GaugeSummary)
            text = ",".join(f"{key}={value}" for key, value in sorted(dimensions))
            found[text] = [payload.count, payload.min, payload.max]
        return found
