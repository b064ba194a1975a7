"""A wall clock and a monotonic one that tests move."""

from __future__ import annotations

from dtmetrics._deliver.clock import Clock
from tests.support.recorder import MOMENT


class Clocks:
    """A clock over a wall clock and a monotonic one."""

    def __init__(self) -> None:
        self.wall = MOMENT / 1000
        self.monotonic = 5_000.0
        self.clock = Clock(lambda: self.wall, lambda: self.monotonic)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.wall += seconds
        self.monotonic += seconds

    @property
    def wall_ms(self) -> int:
        """The wall clock in milliseconds."""
        return round(self.wall * 1000)
