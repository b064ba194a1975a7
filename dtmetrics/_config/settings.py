"""What each setting must be: one function per setting checks and converts a value."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from dtmetrics._config.invalid_setting import InvalidSettingError, describe
from dtmetrics._core.level import LEVEL_REQUIREMENT, LEVELS, level_number
from dtmetrics._core.safe_call import call_safely
from dtmetrics._core.secret import Secret
from dtmetrics._protocol.normalize import (
    RESERVED_PREFIX,
    clean_dimension_key,
    clean_key,
)
from dtmetrics.exporters import Exporter

__all__ = ["INGEST_PATH", "LOCAL_ENDPOINT", "SETTINGS", "is_loopback"]

#: The OneAgent of this host, which needs no token.
#: https://docs.dynatrace.com/docs/ingest-from/extend-dynatrace/extend-metrics/ingestion-methods/oneagent-metric-api
LOCAL_ENDPOINT = "http://localhost:14499/metrics/ingest"
INGEST_PATH = "/api/v2/metrics/ingest"

# Keys are cut to 250 characters at their end, which is the part that tells them apart.
_LONGEST_PREFIX = 100
_LONGEST_TOKEN = 1024
_LONGEST_URL = 2_000
_LONGEST_INTERVAL = 24 * 60 * 60
_DELIVERIES = "at_least_once", "at_most_once"
_EXPORTER_METHODS = "export", "close", "reset_after_fork"
_FLAG_TEXTS = {"true": True, "1": True, "false": False, "0": False}

_URL = "be an http:// or https:// URL"
# The underscore is not allowed in a host name, and common all the same: docker compose
# makes such names.
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_ENDPOINT = re.compile(
    rf"(?P<scheme>https?)(?P<authority>://(?P<host>(?:{_LABEL}\.)*{_LABEL}\.?|\[[0-9a-f]*:[0-9a-f:.]*\])"
    r"(?::(?P<port>[0-9]{0,5}))?)(?P<path>/[!-~]*)?",
    re.ASCII | re.IGNORECASE,
)


def _endpoint(secret: Secret) -> str:
    """Return the URL in *secret*, with the ingest path where it has no path.

    It arrives as a secret because a wrong one may hold a token in its query.
    """
    value = secret.reveal()
    if not isinstance(value, str):
        raise InvalidSettingError(_URL, value)
    text = value.strip()
    if any(mark in text for mark in "@?#"):
        requirement = f"{_URL} without credentials, query and fragment"
        raise InvalidSettingError(requirement, got="one that has them")
    if not text.lower().startswith(("http://", "https://")):
        raise InvalidSettingError(_URL, text, hint=_with_scheme(text))
    match = _ENDPOINT.fullmatch(text) if len(text) <= _LONGEST_URL else None
    if (
        match is None
        or not _is_host(match["host"])
        or not 0 < int(match["port"] or 1) < 65_536
    ):
        requirement = (
            f"{_URL} with a valid host and port, and at most {_LONGEST_URL} printable "
            "ASCII characters"
        )
        raise InvalidSettingError(requirement, text)
    origin = match["scheme"].lower() + match["authority"]
    return origin + _ingest_path(match["path"] or "")


def _with_scheme(text: str) -> str:
    """Return *text* with the scheme that it lacks, if that makes it an endpoint.

    >>> _with_scheme("localhost:14499")
    'http://localhost:14499'
    """
    try:
        host = urlsplit(f"//{text}").hostname or ""
        url = f"{'http' if is_loopback(host) else 'https'}://{text}"
        _endpoint(Secret(url))
    except (ValueError, InvalidSettingError):
        return ""
    # Without a dot, any word would pass for a host.
    return url if is_loopback(host) or "." in host else ""


def is_loopback(host: str) -> bool:
    """Return whether *host* is this host, by name or by address."""
    address = call_safely(ip_address, host, default=None)
    return host == "localhost" or (address is not None and address.is_loopback)


def _is_host(host: str) -> bool:
    """Return whether *host*, which ``_ENDPOINT`` matched, is a valid host."""
    if ":" in host or host.replace(".", "").isdecimal():
        return call_safely(ip_address, host.strip("[]"), default=None) is not None
    return len(host) <= 253


def _ingest_path(path: str) -> str:
    """Return *path* completed to the ingest path.

    The URL of an environment is what its users have at hand
    (https://docs.dynatrace.com/docs/dynatrace-api/environment-api/metric-v2/post-ingest-metrics).
    """
    path = path.rstrip("/")
    if path.endswith("/metrics/ingest"):
        return path
    if path.endswith("/api/v2"):
        return path + "/metrics/ingest"
    if path.endswith("/api"):
        return path + "/v2/metrics/ingest"
    is_environment = re.fullmatch("(/+e/[^/]+)?", path)
    return path + INGEST_PATH if is_environment else path


def _token(secret: Secret) -> Secret:
    value = secret.reveal()
    if not isinstance(value, str):
        raise InvalidSettingError("be a str", secret)
    token = value.strip()  # one from a mounted file ends in a line end
    if not re.fullmatch(f"[!-~]{{0,{_LONGEST_TOKEN}}}", token):
        raise InvalidSettingError(
            f"have at most {_LONGEST_TOKEN} characters, printable ASCII without spaces",
            got=f"{len(token)} characters",
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
        raise InvalidSettingError(f"have the methods {', '.join(missing)}", value)
    return value  # type: ignore[return-value]  # it has the methods


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
        seconds = call_safely(float, value, default=math.nan)
    if not 0 < seconds <= _LONGEST_INTERVAL:
        requirement = f"be between 0 and {_LONGEST_INTERVAL} seconds"
        # An interval of 0 is how other libraries switch their thread off.
        hint = "None" if seconds == 0 and not isinstance(value, str) else ""
        raise InvalidSettingError(requirement, value, hint=hint)
    return seconds


def _level(value: object, key: str | None = None) -> int:
    level = level_number(value)
    if level is None:
        text = value.strip().upper() if isinstance(value, str) else ""
        hint = _near(text, LEVELS)
        raise InvalidSettingError(LEVEL_REQUIREMENT, value, hint=hint, key=key)
    return level


def _near(text: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 -- 3 ms, for errors only

    return "".join(get_close_matches(text[:40], [*known], 1))


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
    # The environment holds texts.
    flag = _FLAG_TEXTS.get(value.lower()) if isinstance(value, str) else value
    if not isinstance(flag, bool):
        raise InvalidSettingError("be True or False", value)
    return flag


def _delivery(value: object) -> str:
    if not isinstance(value, str) or value not in _DELIVERIES:
        raise InvalidSettingError(f"be {' or '.join(map(repr, _DELIVERIES))}", value)
    return value


def _path(value: object) -> str | None:
    if value is None:
        return None
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


#: Each returns the value in its final form or raises InvalidSettingError.
SETTINGS: dict[str, Callable[[Any], object]] = {
    "endpoint": _endpoint,
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
    "announce": _flag,
    "enrich": _flag,
    "allow_plain_http": _flag,
    "ca_file": _ca_file,
    "strict": _flag,
}
