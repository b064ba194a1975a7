"""The part of a meter that switches its instruments on and off: levels."""

from __future__ import annotations

from dtmetrics._core.level import OFF, Level, checked_level
from dtmetrics._record.registry import Registry

__all__ = ["LeveledMeter"]


class LeveledMeter:
    """Has a level, as a logger has."""

    name: str
    registry: Registry

    @property
    def level(self) -> int:
        """The level of the meter itself; 0 (``NOTSET``) if it has that of those above.

        >>> from dtmetrics import get_meter
        >>> get_meter("shop.cache").level
        0
        """
        return self.registry.generation.level(self.name)

    def set_level(self, level: Level) -> None:
        """Let instruments of this level and higher ones record from now on.

        It holds for the meter and for those below it without a level of their own, in
        this process and in those that are forked from it. What was recorded before is
        sent. While a level disables a gauge, its value is kept up to date and not sent.
        A later ``configure()`` that changes the level of the meter wins.

        Args:
            level (Level): A name or a number, as in logging. ``"OFF"``: none records.
                ``"NOTSET"``: the level of the meter above holds again.

        Raises:
            TypeError: *level* is neither an int nor a str.
            ValueError: *level* is a str, but not the name of a level.

        >>> from dtmetrics import get_meter
        >>> get_meter("shop.cache").set_level("DEBUG")
        >>> get_meter("shop.cache").level
        10
        >>> get_meter("shop.cache").set_level("NOTSET")
        """
        self.registry.set_level(self.name, checked_level(level))

    def is_enabled_for(self, level: Level) -> bool:
        """Return whether instruments of *level* record now: never if none does.

        For code that would do work only in order to record. As in logging, the level of
        the nearest meter decides that has one: this one, or one above it. Without any,
        it is ``"INFO"``. Rules, which look at keys too, are left aside.

        Args:
            level (Level): A name or a number, as in logging.

        Raises:
            TypeError: *level* is neither an int nor a str.
            ValueError: *level* is a str, but not the name of a level.

        >>> from dtmetrics import get_meter
        >>> meter = get_meter("shop.cache")
        >>> if meter.is_enabled_for("DEBUG"):
        ...     meter.summary("cache.entries", level="DEBUG").record(sum(range(10)))
        """
        number = checked_level(level)
        registry = self.registry
        lowest = registry.generation.lowest_level(self.name)
        return registry.recording and lowest <= number < OFF
