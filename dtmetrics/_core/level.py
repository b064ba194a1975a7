"""Levels, as ``logging`` has them: names and numbers; and one for nothing at all."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

from dtmetrics._core.log import INFO

__all__ = [
    "CRITICAL",
    "DEBUG",
    "ERROR",
    "INFO",
    "LEVELS",
    "LEVEL_REQUIREMENT",
    "NOTSET",
    "OFF",
    "WARNING",
    "Level",
    "checked_level",
    "level_number",
]

#: A level: a number, or the name of one of logging's, or ``"OFF"``. An instrument
#: records if its level is at least the one that ``configure()`` has set, and if neither
#: is ``"OFF"``.
Level: TypeAlias = (
    int | Literal["NOTSET", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "OFF"]
)

#: As in logging, and ``OFF``, at and above which nothing records.
NOTSET: Final = 0
DEBUG: Final = 10
WARNING: Final = 30
ERROR: Final = 40
CRITICAL: Final = 50
OFF: Final = sys.maxsize

#: The number of each name. Any other value may be looked up as well.
LEVELS: Mapping[Any, int] = {
    "NOTSET": NOTSET,
    "DEBUG": DEBUG,
    "INFO": INFO,
    "WARNING": WARNING,
    "ERROR": ERROR,
    "CRITICAL": CRITICAL,
    "OFF": OFF,
}
_DIGITS = 4

#: What an error says that a level must be.
LEVEL_REQUIREMENT = "be a logging level name or an int"


def level_number(level: object) -> int | None:
    """Return the number of *level*; None if it is neither an int nor a name.

    Names may have any case, and may be added by ``logging.addLevelName()``. A number
    may be a text, as it is in the environment.

    >>> level_number("debug"), level_number(35), level_number("15")
    (10, 35, 15)
    >>> level_number("LOUD"), level_number(True)
    (None, None)
    """
    if isinstance(level, int) and not isinstance(level, bool):
        return level
    if not isinstance(level, str):
        return None
    name: Any = level.strip().upper()
    if name.isascii() and name.isdigit() and len(name) <= _DIGITS:
        return int(name)
    if name in LEVELS:
        return LEVELS[name]
    # 6 ms, for a rare name.
    import logging  # noqa: PLC0415

    number: object = logging.getLevelName(name)
    return number if isinstance(number, int) else None


def checked_level(level: object) -> int:
    """Return the number of *level*; raise a TypeError or a ValueError if it has none.

    >>> checked_level("debug")
    10
    >>> checked_level("LOUD")
    Traceback (most recent call last):
        ...
    ValueError: level must be a logging level name or an int, got 'LOUD'
    """
    number = level_number(level)
    if number is None:
        error = ValueError if isinstance(level, str) else TypeError
        raise error(f"level must {LEVEL_REQUIREMENT}, got {level!r}")
    return number
