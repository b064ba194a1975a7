"""A second ``configure()``, which is ignored: whether its settings differ."""

from __future__ import annotations

from dtmetrics._config.config import Config
from dtmetrics._core import log
from dtmetrics._core.safe_call import call_safely
from dtmetrics._core.secret import Secret
from dtmetrics._runtime.given import Given

__all__ = ["differing_settings", "log_ignored"]


def log_ignored(running: Config, given: Given) -> None:
    """Log which of the *given* settings differ from the *running* ones, by name."""
    if names := differing_settings(running, given):
        log.warning(
            "configure() was ignored, because it has been called before with other "
            "settings (%s): force=True replaces them",
            ", ".join(names),
        )


def differing_settings(running: Config, given: Given) -> list[str]:
    """Return the names of the *given* settings whose values are not those of *running*.

    Settings that are invalid differ all. One that is not given does not differ.
    """
    config = call_safely(given.resolve, default=None)
    return [
        name
        for name in given.names
        if config is None
        or not call_safely(
            _are_equal, getattr(running, name), getattr(config, name), default=False
        )
    ]


def _are_equal(one: object, other: object) -> bool:
    if isinstance(one, Secret) and isinstance(other, Secret):
        return bool(one.reveal() == other.reveal())
    return bool(one == other)  # a caller's class may return anything, or raise
