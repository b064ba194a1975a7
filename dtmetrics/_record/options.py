"""How to record: what ``configure()`` was told about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from dtmetrics._core.log import INFO

__all__ = ["RecordingOptions"]


class RecordingOptions(NamedTuple):
    """How to record: see the settings of the same names in ``configure()``."""

    prefix: str = ""
    dimensions: Mapping[str, Any] = {}
    enrichment: Mapping[str, str] = {}
    max_series_per_metric: int = 2_000
    max_series: int = 50_000
    level: int = INFO
    levels: Mapping[str, int] = {}
    strict: bool = False

    def least_level(self, scope: str) -> int:
        """Return the level from which on instruments of *scope* record.

        As in logging, it is that of the nearest meter above which has one.
        """
        while scope:
            if scope in self.levels:
                return self.levels[scope]
            scope, _, _ = scope.rpartition(".")
        return self.level
