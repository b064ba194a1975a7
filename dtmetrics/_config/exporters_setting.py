"""The settings ``exporter`` and ``exporters``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from dtmetrics._config.invalid_setting import InvalidSettingError, describe, near
from dtmetrics._core.safe_call import call_safely
from dtmetrics.exporters import ConsoleExporter, Exporter

__all__ = ["exporter_setting", "exporters_setting"]

_METHODS = "export", "close", "reset_after_fork"
_NAMES = "console", "dynatrace"


def exporter_setting(value: object) -> Exporter | None:
    """Return *value* if it is an exporter or None."""
    if value is None:
        return None
    if isinstance(value, type):
        hint = describe(value).removeprefix("the class ") + "()"
        raise InvalidSettingError("be an instance", value, hint=hint)
    missing = [
        name
        for name in _METHODS
        if not callable(call_safely(getattr, value, name, None, default=None))
    ]
    if missing:
        raise InvalidSettingError(f"have the methods {', '.join(missing)}", value)
    return cast("Exporter", value)


def exporters_setting(value: object) -> tuple[Exporter | None, ...]:
    """Return the exporters in *value*, or those whose names it lists as a text.

    None is the exporter that posts to the endpoint.
    """
    if isinstance(value, str):  # from the environment
        return _by_name(value)
    if not isinstance(value, Iterable):
        raise InvalidSettingError("be a list of exporters", value)
    exporters = tuple(value)
    if not exporters or None in exporters:
        raise InvalidSettingError("have at least one exporter, and no None", value)
    if len({id(each) for each in exporters}) < len(exporters):
        # Two threads would call it at the same time.
        raise InvalidSettingError("have each exporter once", value)
    return tuple(exporter_setting(each) for each in exporters)


def _by_name(text: str) -> tuple[Exporter | None, ...]:
    names = [name.strip().lower() for name in text.split(",")]
    for name in names:
        if name not in _NAMES:
            requirement = f"list {' or '.join(_NAMES)}"
            raise InvalidSettingError(requirement, name, hint=near(name, _NAMES))
    if len({*names}) < len(names):
        raise InvalidSettingError("have each exporter once", text)
    return tuple(ConsoleExporter() if name == "console" else None for name in names)
