"""A recorder with a clock that tests move."""

from __future__ import annotations

from typing import Any

from dtmetrics._record.registry import Registry
from tests.support.recorder import Recorder

HOUR = 3_600.0


class Clocked(Recorder):
    """A recorder with a clock that tests move."""

    def __init__(self, *, idle_seconds: float = HOUR, **options: Any) -> None:
        self.now = 0.0
        registry = Registry(clock=lambda: self.now, idle_seconds=idle_seconds)
        super().__init__(registry=registry, **options)

    def pass_hour(self) -> list[str]:
        """Collect now, after a minute and after an hour of silence; return the lines."""
        lines = self.lines()
        for seconds in (60.0, HOUR):
            self.now += seconds
            lines += self.lines()
        return lines
