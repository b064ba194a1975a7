"""RecordingOptions: the settings of ``configure()`` that concern recording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from dtmetrics._core.level import INFO, NOTSET
from dtmetrics._record.rule import Rule

__all__ = ["Numbered", "RecordingOptions"]


class Numbered(Enum):
    """The processes whose gauges have the dimension ``dtmetrics.worker``."""

    NONE = "none"
    #: Those that are forked from this one, and theirs.
    CHILDREN = "children"
    #: This one as well.
    ALL = "all"

    def after_fork(self) -> Numbered:
        """Return the same, as it is for a forked child."""
        return Numbered.ALL if self is Numbered.CHILDREN else self


class RecordingOptions(NamedTuple):
    """The settings of the same names of ``configure()``, checked.

    ``enrichment`` has the dimensions that identify the platform; they come last.
    ``process_dimension`` is the key of the number of the process, if it is to be added.
    ``numbered`` is what ``worker_dimension`` means for this process.
    """

    prefix: str = ""
    dimensions: Mapping[str, object] = {}
    enrichment: Mapping[str, str] = {}
    process_dimension: str = ""
    numbered: Numbered = Numbered.NONE
    max_series_per_metric: int = 2_000
    max_series: int = 50_000
    level: int = INFO
    levels: Mapping[str, int] = {}
    rules: Sequence[Rule] = ()
    strict: bool = False

    def level_of(self, scope: str) -> int:
        """Return the level of *scope* itself; NOTSET if it has none."""
        return self.levels.get(scope, NOTSET) if scope else self.level
