"""A family: all series of one metric key."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from threading import Lock
from typing import NamedTuple

from dtmetrics._core.safe_call import call_safely
from dtmetrics._protocol.normalize import RESERVED_PREFIX
from dtmetrics._record.counter_series import CounterSeries
from dtmetrics._record.gauge_series import GaugeSeries
from dtmetrics._record.series import Series
from dtmetrics._record.summary_series import SummarySeries
from dtmetrics.errors import ConflictError, DefinitionError, InvalidKeyError

__all__ = ["KINDS", "Definition", "Family", "calling_site", "fault_of"]

KINDS: dict[str, type[Series]] = {
    "counter": CounterSeries,
    "gauge": GaugeSeries,
    "summary": SummarySeries,
}

# With the separator, or a neighbour called `dtmetrics_app` would count as ours.
_PACKAGE = os.path.join(os.path.dirname(os.path.dirname(__file__)), "")


class Definition(NamedTuple):
    """What an instrument was defined as, and where."""

    name: str
    kind: str
    unit: str = ""
    description: str = ""
    site: str = ""

    def __str__(self) -> str:
        name = call_safely(repr, self.name, default="?")  # it may be anything
        return f"{self.kind} {name} (defined at {self.site})"


class Family:
    """All series of one metric key, by what their lines start with."""

    __slots__ = (
        "definition",
        "described",
        "key",
        "lock",
        "quarantined",
        "refuse",
        "series",
        "void",
    )

    def __init__(
        self, definition: Definition, key: str, refuse: Callable[[str], None]
    ) -> None:
        self.definition = definition
        self.key = key
        self.refuse = refuse
        self.lock = Lock()
        self.series: dict[str, Series] = {}
        #: Whether its metadata has been collected.
        self.described = False
        #: Defined wrongly: it records nothing.
        self.void = False
        #: Why it records nothing for now: the endpoint refuses all of it.
        self.quarantined = ""

    @property
    def meaningful(self) -> bool:
        """Whether a definition said what it means."""
        return bool(self.definition.unit or self.definition.description)

    def also(self, definition: Definition) -> None:
        """Take note of another definition: the first to say what it means counts."""
        if not self.meaningful:
            unit, description = definition.unit, definition.description
            self.definition = self.definition._replace(
                unit=unit, description=description
            )

    def all_series(self) -> list[Series]:
        """Return every series there is now."""
        return list(self.series.values())

    def clear(self) -> None:
        """Let every series go; handles that still hold one will ask again."""
        # First none can be found, then none is alive: a signal handler that records
        # in between makes a new one.
        gone, self.series = self.series, {}
        self.described = False
        for series in gone.values():
            series.let_go()

    def reset_after_fork(self) -> None:
        """Forget what the parent recorded, and a lock that it may have held."""
        self.lock = Lock()
        self.described = False
        for series in self.all_series():
            series.reset(self.lock)


def fault_of(family: Family, found: Family | None) -> DefinitionError | None:
    """Say why *family* cannot be, beside the one that was *found* under its key."""
    definition = family.definition
    if not family.key:
        return InvalidKeyError(f"no valid metric key in {definition}")
    if family.key.startswith(RESERVED_PREFIX):
        return InvalidKeyError(
            f"keys in {RESERVED_PREFIX!r} are reserved: {definition}"
        )
    if found is not None and found.definition.kind != definition.kind:
        return ConflictError(f"{definition} is also {found.definition}")
    return None


def calling_site() -> str:
    """Return ``file:line`` of the nearest caller outside this package."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
