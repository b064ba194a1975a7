"""What each setting must be: one function per setting checks and converts a value."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from dtmetrics._config.certificate_settings import ca_file, key_password, path
from dtmetrics._config.endpoint_url import endpoint_url
from dtmetrics._config.entry_checks import dimension_key, level
from dtmetrics._config.exporters_setting import exporter_setting, exporters_setting
from dtmetrics._config.invalid_setting import InvalidSettingError, check_each, near
from dtmetrics._config.proxy_setting import proxy
from dtmetrics._config.rules_setting import cap, rules
from dtmetrics._config.token_setting import token, token_file
from dtmetrics._core.safe_call import call_safely
from dtmetrics._process.groups import GROUPS
from dtmetrics._protocol.normalize import (
    RESERVED_PREFIX,
    clean_key,
)

__all__ = ["SETTINGS", "flag"]

#: The dimensions by which a OneAgent relates a data point to a process. The first is
#: that of the newest pages, the other that of an older one:
#: https://docs.dynatrace.com/docs/ingest-from/extend-dynatrace/extend-metrics/ingestion-methods/oneagent-metric-api
#: https://docs.dynatrace.com/docs/dynatrace-api/environment-api/metric-v2/post-ingest-metrics
_PROCESS_DIMENSIONS = "dt.process.pid", "dt.process.id"

# Keys are cut to 250 characters at their end, which is the part that differs.
_LONGEST_PREFIX = 100
_LONGEST_NUMBER = 20
_LONGEST_INTERVAL = 24 * 60 * 60
_DELIVERIES = "at_least_once", "at_most_once"
_FLAG_TEXTS = {"true": True, "1": True, "false": False, "0": False}
_COMPRESSIONS = ("gzip",)
_RUNTIME = f"be True, False or a list of {', '.join(map(repr, GROUPS))}"


def _prefix(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidSettingError("be a str", value)
    clean = clean_key(value.strip(". ")) or ""
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
    value = _pairs(value, "key=value,key=value")
    if not isinstance(value, Mapping):
        raise InvalidSettingError("be a mapping of keys to values", value)
    check_each(partial(dimension_key, key) for key in value)
    return dict(value)


def _pairs(value: object, form: str) -> object:
    """Return the mapping that *value* is if it is a text, as in the environment."""
    if not isinstance(value, str):
        return value
    pairs = [pair.partition("=") for pair in value.split(",")]
    if not all(equals for _, equals, _ in pairs):
        raise InvalidSettingError(f"have the form {form}", value)
    return {key.strip(): text.strip() for key, _, text in pairs}


def _interval(value: object) -> float | None:
    if value is None:
        return None
    seconds = math.nan
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        seconds = call_safely(float, value, default=math.nan)
    if not 0 < seconds <= _LONGEST_INTERVAL:
        requirement = f"be between 0 and {_LONGEST_INTERVAL} seconds"
        # An interval of 0 is how other libraries switch their thread off.
        hint = "None" if seconds == 0 and not isinstance(value, str) else ""
        raise InvalidSettingError(requirement, value, hint=hint)
    return seconds


def _levels(value: object) -> Mapping[str, int]:
    value = _pairs(value, "meter=LEVEL,meter=LEVEL")
    if not isinstance(value, Mapping):
        raise InvalidSettingError("be a mapping of meter names to levels", value)
    pairs = value.items()
    return dict(check_each(partial(_level_of, name, each) for name, each in pairs))


def _level_of(name: object, value: object) -> tuple[str, int]:
    if not isinstance(name, str):
        raise InvalidSettingError("have only str keys", name)
    return name, level(value, key=name)


def _at_least_one(value: object) -> int:
    number = value
    if isinstance(value, str) and len(value) <= _LONGEST_NUMBER:
        number = call_safely(int, value, default=None)
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise InvalidSettingError("be an int of at least 1", value)
    return number


def _truth(value: object) -> object:
    """Return what *value* means: True or False for such a text of the environment."""
    return _FLAG_TEXTS.get(value.lower(), value) if isinstance(value, str) else value


def flag(value: object) -> bool:
    """Return *value*, True or False, which may be a text; raise if it is neither."""
    found = _truth(value)
    if not isinstance(found, bool):
        raise InvalidSettingError("be True or False", value)
    return found


def _delivery(value: object) -> str:
    if not isinstance(value, str) or value not in _DELIVERIES:
        raise InvalidSettingError(f"be {' or '.join(map(repr, _DELIVERIES))}", value)
    return value


def _compression(value: object) -> str | None:
    if value is not None and not (isinstance(value, str) and value in _COMPRESSIONS):
        raise InvalidSettingError("be 'gzip' or None", value)
    return value


def _process_dimension(value: object) -> str:
    """Return the key of the dimension; empty for none."""
    key = _truth(value)
    if isinstance(key, bool):
        return _PROCESS_DIMENSIONS[0] if key else ""
    if not isinstance(key, str) or key not in _PROCESS_DIMENSIONS:
        keys = " or ".join(map(repr, _PROCESS_DIMENSIONS))
        raise InvalidSettingError(f"be True, False, {keys}", value)
    return key


def _worker_dimension(value: object) -> bool | str:
    if isinstance(value, str) and value.lower() == "auto":
        return "auto"
    found = _truth(value)
    if not isinstance(found, bool):
        raise InvalidSettingError("be 'auto', True or False", value)
    return found


def _runtime(value: object) -> tuple[str, ...]:
    """Return the groups that are observed, in the order of all."""
    value = _truth(value)
    if isinstance(value, bool):
        return GROUPS if value else ()
    if isinstance(value, str):
        value = [*map(str.strip, value.split(","))]
    if not isinstance(value, list | tuple | set | frozenset):
        raise InvalidSettingError(_RUNTIME, value)
    check_each(partial(_group, name) for name in value)
    return tuple(group for group in GROUPS if group in value)


def _group(name: object) -> None:
    if not isinstance(name, str) or name not in GROUPS:
        hint = near(name, GROUPS) if isinstance(name, str) else ""
        raise InvalidSettingError(_RUNTIME, name, hint=hint)


#: Each returns the value in its final form or raises InvalidSettingError.
SETTINGS: dict[str, Callable[[Any], object]] = {
    "endpoint": endpoint_url,
    "token": token,
    "token_file": token_file,
    "exporter": exporter_setting,
    "exporters": exporters_setting,
    "prefix": _prefix,
    "dimensions": _dimensions,
    "interval": _interval,
    "level": level,
    "levels": _levels,
    "rules": rules,
    "cap": cap,
    "max_series_per_metric": _at_least_one,
    "max_series": _at_least_one,
    "budget": _at_least_one,
    "max_outbox_bytes": _at_least_one,
    "delivery": _delivery,
    "compression": _compression,
    "process_dimension": _process_dimension,
    "worker_dimension": _worker_dimension,
    "spool": path,
    "metadata": flag,
    "self_metrics": flag,
    "announce": flag,
    "enrich": flag,
    "allow_plain_http": flag,
    "ca_file": ca_file,
    "client_cert": path,
    "client_key": path,
    "key_password": key_password,
    "proxy": proxy,
    "strict": flag,
    "flush_at_os_exit": flag,
    "runtime": _runtime,
    "travels": flag,
}
