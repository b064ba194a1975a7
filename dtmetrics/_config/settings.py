"""What each setting may be: one function per kind reads a value or says its fault."""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from dtmetrics._core.secret import Secret
from dtmetrics._protocol.normalize import (
    RESERVED_PREFIX,
    clean_dimension_key,
    clean_key,
)
from dtmetrics.exporters import Exporter

__all__ = ["LOCAL_ENDPOINT", "READERS", "Fault", "is_loopback"]

#: The OneAgent of this host; no token is needed there.
#: https://docs.dynatrace.com/docs/ingest-from/extend-dynatrace/extend-metrics/ingestion-methods/oneagent-metric-api
LOCAL_ENDPOINT = "http://localhost:14499/metrics/ingest"
INGEST_PATH = "/api/v2/metrics/ingest"

# One label of a host name; the underscore is no host's, and common all the same.
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")

# Keys are cut at 250 characters, at their end, where they differ.
_LONGEST_PREFIX = 100
_LONGEST_INTERVAL = 24 * 60 * 60.0


class Fault(Exception):  # noqa: N818 -- one sentence of a ConfigError
    """Why a setting cannot work. Its text may quote a setting, but never the token."""


def is_loopback(host: str) -> bool:
    """Say whether *host* is this host, by name or by address."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _endpoint(secret: Secret) -> str:
    value = secret.reveal()
    if not isinstance(value, str):
        raise Fault("is no text")
    text = value.strip()
    if len(text) > 2_000 or any(not "!" <= character <= "~" for character in text):
        raise Fault("holds characters that no URL has, or is too long")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise Fault("is no URL") from None
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise Fault("is no http or https URL")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise Fault("holds credentials, a query or a fragment; give the token as token")
    if not _is_host(host) or not _is_place(parts.netloc, host):
        raise Fault("names no host")
    return urlunsplit((parts.scheme, parts.netloc, _ingest_path(parts.path), "", ""))


def _is_host(host: str) -> bool:
    if ":" in host or host.replace(".", "").isdecimal():
        try:
            return bool(ip_address(host)) and "%" not in host
        except ValueError:
            return False
    labels = host.removesuffix(".").split(".")
    return len(host) <= 253 and all(_LABEL.fullmatch(label) for label in labels)


def _is_place(netloc: str, host: str) -> bool:
    # urlsplit finds a host in `:][A` as well (CPython 3.10).
    shown = f"[{host}]" if ":" in host else host
    return (
        re.fullmatch(re.escape(shown) + "(:[0-9]*)?", netloc, re.IGNORECASE) is not None
    )


def _ingest_path(path: str) -> str:
    """Return *path* with what is missing of the ingest path.

    A bare environment's URL is what people have at hand
    (https://docs.dynatrace.com/docs/dynatrace-api/environment-api/metric-v2/post-ingest-metrics).
    """
    path = path.rstrip("/")
    if path.endswith("/metrics/ingest"):
        return path
    if path.endswith("/api/v2"):
        return path + "/metrics/ingest"
    if path.endswith("/api"):
        return path + "/v2/metrics/ingest"
    first, _, rest = path.lstrip("/").partition("/")
    if not path or (first == "e" and rest and "/" not in rest):
        return path + INGEST_PATH
    return path


def _token(secret: Secret) -> Secret:
    value = secret.reveal()
    if not isinstance(value, str):
        raise Fault("is no text")
    token = value.strip()  # one from a mounted file ends in a line end
    if len(token) > 1024 or any(not "!" <= character <= "~" for character in token):
        raise Fault("has characters that no token has, or is too long")
    return Secret(token)


def _exporter(value: Any) -> Exporter | None:
    methods = ("export", "close", "reset_after_fork")
    if value is not None and not all(
        callable(getattr(value, m, None)) for m in methods
    ):
        raise Fault(f"has to have the methods {', '.join(methods)}")
    return value  # type: ignore[no-any-return]


def _prefix(value: Any) -> str:
    if not isinstance(value, str):
        raise Fault("is no text")
    prefix = value.strip(". ")
    if not prefix:
        return ""
    clean = clean_key(prefix)
    if clean is None or f"{clean}.".startswith(RESERVED_PREFIX):
        raise Fault(f"{value!r:.200} cannot start a metric key")
    if len(clean) > _LONGEST_PREFIX:
        raise Fault(f"has more than {_LONGEST_PREFIX} characters")
    return clean


def _dimensions(value: Any) -> Mapping[str, Any]:
    if value is None:
        return {}
    if isinstance(value, str):  # from the environment: region=eu,tier=1
        pairs = [pair.partition("=") for pair in value.split(",")]
        if not all(equals for _, equals, _ in pairs):
            raise Fault("is not of the form key=value,key=value")
        value = {key.strip(): text.strip() for key, _, text in pairs}
    if not isinstance(value, Mapping):
        raise Fault("is no mapping")
    for key in value:
        if not isinstance(key, str) or clean_dimension_key(key) is None:
            raise Fault(f"has a key with nothing valid in it: {key!r}"[:200])
    return dict(value)


def _interval(value: Any) -> float | None:
    if value is None:
        return None
    number = isinstance(value, int | float | str) and not isinstance(value, bool)
    try:
        seconds = float(value) if number else math.nan
    except (ValueError, OverflowError):
        seconds = math.nan
    if not 0 < seconds <= _LONGEST_INTERVAL:
        raise Fault("is no positive number of seconds, at most a day's")
    return seconds


def _level(value: Any) -> int:
    if isinstance(value, str):
        text = value.strip().upper()
        digits = re.fullmatch("[0-9]{1,4}", text)
        value = int(text) if digits else logging.getLevelName(text)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Fault("is no level; DEBUG, INFO, WARNING and so on are, or a number")
    return value


def _levels(value: Any) -> Mapping[str, int]:
    if not isinstance(value, Mapping) or not all(isinstance(k, str) for k in value):
        raise Fault("is no mapping of meter names to levels")
    return {name: _level(level) for name, level in value.items()}


def _at_least_one(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise Fault("is no whole number from 1 on")
    return value


def _flag(value: Any) -> bool:
    if isinstance(value, str):  # from the environment
        value = {"true": True, "1": True, "false": False, "0": False}.get(value.lower())
    if not isinstance(value, bool):
        raise Fault("is neither True nor False")
    return value


def _delivery(value: Any) -> str:
    if value not in ("at_least_once", "at_most_once"):
        raise Fault("is neither 'at_least_once' nor 'at_most_once'")
    return str(value)


def _path(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str | os.PathLike):
        raise Fault("is no path")
    path = os.fspath(value)
    if not isinstance(path, str) or not path.strip() or "\0" in path:
        raise Fault("is no path")
    return path


def _ca_file(value: Any) -> str | None:
    # Slow to load; whoever configures has it by then.
    import ssl  # noqa: PLC0415

    path = _path(value)
    if path is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
        except OSError:  # ssl's own errors are
            raise Fault("holds no certificates that can be read") from None
    return path


READERS: dict[str, Callable[[Any], Any]] = {
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
    "enrich": _flag,
    "allow_plain_http": _flag,
    "ca_file": _ca_file,
    "strict": _flag,
}
