"""Whether the environment switches dtmetrics off."""

from __future__ import annotations

from collections.abc import Mapping

from dtmetrics._config import environment
from dtmetrics._config.invalid_setting import InvalidSettingError
from dtmetrics._config.settings import flag
from dtmetrics.errors import ConfigError

__all__ = ["is_disabled"]


def is_disabled(environ: Mapping[str, str] | None = None) -> bool:
    """Return whether ``DTMETRICS_DISABLED`` is true, in *environ* or the real one.

    Raises ConfigError if its text is neither true nor false.
    """
    text = environment.disabled(environ)
    try:
        return bool(text) and flag(text)
    except InvalidSettingError as error:
        raise ConfigError([error.sentence(environment.DISABLED)]) from None
