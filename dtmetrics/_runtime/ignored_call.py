"""A second ``configure()``, which is ignored: whether its settings differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dtmetrics._config.config import Config
from dtmetrics._core import log
from dtmetrics._core.safe_call import call_safely
from dtmetrics._core.secret import Secret

__all__ = ["differing_settings", "log_ignored"]


def log_ignored(running: Config, arguments: Mapping[str, Any]) -> None:
    """Log which of the *arguments* differ from the *running* settings, by name."""
    if names := differing_settings(running, arguments):
        log.warning(
            "configure() was ignored, because it has been called before with other "
            "settings (%s): force=True replaces them",
            ", ".join(names),
        )


def differing_settings(running: Config, arguments: Mapping[str, Any]) -> list[str]:
    """Return the names of the *arguments* whose values are not those of *running*.

    Arguments that are invalid differ all. A setting that is not given does not differ.
    """
    config = call_safely(Config.resolve, arguments, default=None)
    return [
        name
        for name in arguments
        if config is None
        or not call_safely(
            _are_equal, getattr(running, name), getattr(config, name), default=False
        )
    ]


def _are_equal(one: object, other: object) -> bool:
    if isinstance(one, Secret) and isinstance(other, Secret):
        return bool(one.reveal() == other.reveal())
    return bool(one == other)  # a caller's class may return anything, or raise
