"""What each setting must be: one function per setting checks and converts a value."""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from dtmetrics._config.endpoint_url import check_endpoint
from dtmetrics._config.invalid_setting import (
    InvalidSettingError,
    describe,
    describe_type,
)
from dtmetrics._core.safe_call import call_safely
from dtmetrics._core.secret import Secret
from dtmetrics._protocol.normalize import (
    RESERVED_PREFIX,
    clean_dimension_key,
    clean_key,
)
from dtmetrics.exporters import Exporter

__all__ = ["SETTINGS"]

# Keys are cut to 250 characters at their end, which is the part that tells them apart.
_LONGEST_PREFIX = 100
_LONGEST_TOKEN = 1024
_LONGEST_INTERVAL = 24 * 60 * 60
_LEVEL_NAMES = "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"
_DELIVERIES = "at_least_once", "at_most_once"
_EXPORTER_METHODS = "export", "close", "reset_after_fork"
_FLAG_TEXTS = {"true": True, "1": True, "false": False, "0": False}


def _token(secret: Secret) -> Secret:
    value = secret.reveal()
    if not isinstance(value, str):
        raise InvalidSettingError("be a str", got=describe_type(value))
    token = value.strip()  # one from a mounted file ends in a line end
    invalid = next((i for i, c in enumerate(token) if not "!" <= c <= "~"), None)
    if len(token) > _LONGEST_TOKEN or invalid is not None:
        at = "" if invalid is None else f" with an invalid one at index {invalid}"
        raise InvalidSettingError(
            f"have at most {_LONGEST_TOKEN} characters, printable ASCII without spaces",
            got=f"{len(token)} characters{at}",
        )
    return Secret(token)


def _exporter(value: object) -> Exporter | None:
    if value is None:
        return None
    if isinstance(value, type):
        hint = describe(value).removeprefix("the class ") + "()"
        raise InvalidSettingError("be an instance", value, hint=hint)
    missing = [
        name
        for name in _EXPORTER_METHODS
        if not callable(call_safely(getattr, value, name, None, default=None))
    ]
    if missing:
        hints = {"console": "ConsoleExporter()", "memory": "MemoryExporter()"}
        raise InvalidSettingError(
            f"have the methods {', '.join(_EXPORTER_METHODS)}",
            value,
            note=f" without {', '.join(missing)}",
            hint=hints.get(value.lower(), "") if isinstance(value, str) else "",
        )
    return value  # type: ignore[return-value]  # it has the methods


def _prefix(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidSettingError("be a str", value)
    prefix = value.strip(". ")
    if not prefix:
        return ""
    clean = clean_key(prefix)
    assert clean is not None  # only an empty first section has no clean form
    if f"{clean}.".startswith(RESERVED_PREFIX):
        requirement = f"not begin with {RESERVED_PREFIX!r}, which Dynatrace reserves"
        raise InvalidSettingError(requirement, value)
    if len(clean) > _LONGEST_PREFIX:
        requirement = f"have at most {_LONGEST_PREFIX} characters"
        raise InvalidSettingError(requirement, got=f"{len(clean)} characters")
    return clean


def _dimensions(value: object) -> Mapping[str, Any]:
    if value is None:
        return {}
    if isinstance(value, str):  # from the environment
        pairs = [pair.partition("=") for pair in value.split(",")]
        if not all(equals for _, equals, _ in pairs):
            raise InvalidSettingError("have the form key=value,key=value", value)
        value = {key.strip(): text.strip() for key, _, text in pairs}
    if not isinstance(value, Mapping):
        raise InvalidSettingError("be a mapping of keys to values", value)
    for key in value:
        if not isinstance(key, str) or clean_dimension_key(key) is None:
            requirement = "have only str keys with a letter, digit or underscore"
            raise InvalidSettingError(requirement, key)
    return dict(value)


def _interval(value: object) -> float | None:
    if value is None:
        return None
    seconds = math.nan
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            seconds = float(value)
        except (ValueError, OverflowError):
            seconds = math.nan
    if not 0 < seconds <= _LONGEST_INTERVAL:
        requirement = f"be between 0 and {_LONGEST_INTERVAL} seconds"
        # An interval of 0 is how other libraries switch their thread off.
        hint = "None" if seconds == 0 and not isinstance(value, str) else ""
        raise InvalidSettingError(requirement, value, hint=hint)
    return seconds


def _level(value: object, key: str | None = None) -> int:
    level = value
    if isinstance(value, str):
        text = value.strip().upper()
        digits = re.fullmatch("[0-9]{1,4}", text)
        level = int(text) if digits else logging.getLevelName(text)
    if isinstance(level, bool) or not isinstance(level, int):
        raise InvalidSettingError(
            "be a logging level name or an int",
            value,
            hint=_nearest(value, _LEVEL_NAMES),
            key=key,
        )
    return level


def _levels(value: object) -> Mapping[str, int]:
    if not isinstance(value, Mapping):
        raise InvalidSettingError("be a mapping of meter names to levels", value)
    for name in value:
        if not isinstance(name, str):
            raise InvalidSettingError("have only str keys", name)
    return {name: _level(level, key=name) for name, level in value.items()}


def _at_least_one(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidSettingError("be an int of at least 1", value)
    return value


def _flag(value: object) -> bool:
    flag = value
    if isinstance(value, str):  # from the environment
        flag = _FLAG_TEXTS.get(value.lower())
    if not isinstance(flag, bool):
        hints = {"yes": "True", "on": "True", "no": "False", "off": "False"}
        hint = hints.get(value.lower(), "") if isinstance(value, str) else ""
        raise InvalidSettingError("be True or False", value, hint=hint)
    return flag


def _delivery(value: object) -> str:
    if not isinstance(value, str) or value not in _DELIVERIES:
        hint = _nearest(value, _DELIVERIES)
        requirement = " or ".join(map(repr, _DELIVERIES))
        raise InvalidSettingError(
            f"be {requirement}", value, hint=repr(hint) if hint else ""
        )
    return value


def _path(value: object) -> str | None:
    if value is None:
        return None
    path = value
    if isinstance(value, os.PathLike):
        path = call_safely(os.fspath, value, default=None)
    if not isinstance(path, str) or not path.strip() or "\0" in path:
        raise InvalidSettingError("be a path", value)
    return path


def _ca_file(value: object) -> str | None:
    import ssl  # noqa: PLC0415 -- 10 ms, and loaded by configure() in any case

    path = _path(value)
    if path is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
        except OSError:  # ssl's errors are OSErrors too
            requirement = "name a readable file of PEM certificates"
            raise InvalidSettingError(requirement, path) from None
    return path


def _nearest(value: object, names: tuple[str, ...]) -> str:
    """Return the one of *names* that *value* was most likely meant to be, or ''."""
    if not isinstance(value, str):
        return ""
    by_lower = {name.lower(): name for name in names}
    near = get_close_matches(value.strip().lower()[:40], by_lower, 1)
    return by_lower[near[0]] if near else ""


#: Each returns the value in its final form or raises InvalidSettingError.
SETTINGS: dict[str, Callable[[Any], object]] = {
    "endpoint": check_endpoint,
    "token": _token,
    "exporter": _exporter,
    "prefix": _prefix,
    "dimensions": _dimensions,
    "interval": _interval,
    "level": _level,
    "levels": _levels,
    "max_series_per_metric": _at_least_one,
    "max_series": _at_least_one,
    "max_outbox_bytes": _at_least_one,
    "delivery": _delivery,
    "spool": _path,
    "metadata": _flag,
    "self_metrics": _flag,
    "enrich": _flag,
    "allow_plain_http": _flag,
    "ca_file": _ca_file,
    "strict": _flag,
}
