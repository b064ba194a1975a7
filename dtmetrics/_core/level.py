"""Levels, as ``logging`` has them: names and numbers; and one for nothing at all."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from dtmetrics._core.log import INFO

__all__ = ["LEVELS", "LEVEL_REQUIREMENT", "OFF", "Level", "level_number"]

#: A level: a number, or the name of one of logging's, or ``"OFF"``. An instrument
#: records if its level is at least the one that ``configure()`` has set, and if neither
#: is ``"OFF"``.
Level: TypeAlias = int | Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "OFF"]

#: The number of the level ``"OFF"``, at and above which nothing records.
OFF = sys.maxsize

#: The number of each name. Any other value may be looked up as well.
LEVELS: Mapping[Any, int] = {
    "DEBUG": 10,
    "INFO": INFO,
    "WARNING": 30,
    "ERROR": 40,
    "CRITICAL": 50,
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
