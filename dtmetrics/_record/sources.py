"""Sources: the instruments that record under one metric key, and which are enabled.

Instruments of several meters and levels may record into one series. An instrument on
the fast path looks at nothing but its series. So where a change of levels has disabled
only some of the instruments of a key, none of them uses the fast path.
"""

from __future__ import annotations

from dtmetrics._record.generation import Generation
from dtmetrics._record.source import Source

__all__ = ["Sources"]


class Sources:
    """The sources of one metric key."""

    __slots__ = ("_enabled", "known")

    def __init__(self) -> None:
        self.known: set[Source] = set()
        self._enabled: set[bool | None] = set()

    def add(self, source: Source, generation: Generation) -> None:
        """Add *source*, which records from *generation* on."""
        self.known.add(source)
        self._enabled.add(generation.enabled(source))

    def refresh(self, generation: Generation) -> None:
        """Look again which sources are enabled."""
        self._enabled = {generation.enabled(source) for source in [*self.known]}

    @property
    def mixed(self) -> bool:
        """Whether some sources may be enabled and others disabled."""
        undecided = None in self._enabled and len(self.known) > 1
        return len(self._enabled) > 1 or undecided

    @property
    def all_enabled(self) -> bool:
        """Whether every source is enabled, whatever its dimensions."""
        return self._enabled <= {True}
