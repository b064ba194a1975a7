"""RecordingOptions: the settings of ``configure()`` that concern recording."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from dtmetrics._core.log import INFO

__all__ = ["RecordingOptions"]


class RecordingOptions(NamedTuple):
    """The settings of the same names of ``configure()``, checked.

    ``enrichment`` has the dimensions that identify the platform; they come last.
    """

    prefix: str = ""
    dimensions: Mapping[str, object] = {}
    enrichment: Mapping[str, str] = {}
    max_series_per_metric: int = 2_000
    max_series: int = 50_000
    level: int = INFO
    levels: Mapping[str, int] = {}
    strict: bool = False
