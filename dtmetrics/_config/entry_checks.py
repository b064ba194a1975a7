"""Checks of the entries of settings that are mappings, which several settings share."""

from __future__ import annotations

from dtmetrics._config.invalid_setting import InvalidSettingError, near
from dtmetrics._core.level import LEVEL_REQUIREMENT, LEVELS, level_number
from dtmetrics._protocol.normalize import clean_dimension_key

__all__ = ["dimension_key", "level"]


def level(value: object, key: str | None = None) -> int:
    """Return the number of a level; *key* is that of an entry."""
    number = level_number(value)
    if number is None:
        text = value.strip().upper() if isinstance(value, str) else ""
        hint = near(text, LEVELS)
        raise InvalidSettingError(LEVEL_REQUIREMENT, value, hint=hint, key=key)
    return number


def dimension_key(key: object) -> None:
    """Raise unless *key* can be that of a dimension."""
    if not isinstance(key, str) or clean_dimension_key(key) is None:
        requirement = "have only str keys with a letter, digit or underscore"
        raise InvalidSettingError(requirement, key)
