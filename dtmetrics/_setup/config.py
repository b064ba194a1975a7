"""Settings: checked all at once, from arguments and the environment.

The only module that reads the environment.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from dtmetrics._deliver.exporter import Exporter
from dtmetrics._wire.names import RESERVED_PREFIX, clean_dimension_key, clean_key
from dtmetrics.errors import ConfigError

__all__ = ["LOCAL_ENDPOINT", "Config", "is_loopback"]

#: The OneAgent of this host; no token is needed there.
#: https://docs.dynatrace.com/docs/ingest-from/extend-dynatrace/extend-metrics/ingestion-methods/oneagent-metric-api
LOCAL_ENDPOINT = "http://localhost:14499/metrics/ingest"
INGEST_PATH = "/api/v2/metrics/ingest"

# The second names are those that the Kubernetes operator gives its file's entries.
_ENVIRONMENT = {
    "endpoint": ("DTMETRICS_ENDPOINT", "DT_METRICS_INGEST_URL"),
    "token": ("DTMETRICS_TOKEN", "DT_METRICS_INGEST_API_TOKEN"),
    "prefix": ("DTMETRICS_PREFIX",),
    "dimensions": ("DTMETRICS_DIMENSIONS",),
    "interval": ("DTMETRICS_INTERVAL",),
    "level": ("DTMETRICS_LEVEL",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """How to record and where to send. Valid once it exists, or ConfigError."""

    endpoint: str = LOCAL_ENDPOINT
    token: str = field(default="", repr=False)
    exporter: Exporter | None = None
    prefix: str = ""
    dimensions: Mapping[str, Any] = field(default_factory=dict)
    interval: float | None = 60.0
    level: int = logging.INFO
    levels: Mapping[str, int] = field(default_factory=dict)
    max_series_per_metric: int = 2_000
    max_series: int = 50_000
    max_outbox_bytes: int = 32 << 20
    allow_plain_http: bool = False
    strict: bool = False

    @classmethod
    def resolve(
        cls, arguments: Mapping[str, Any], environ: Mapping[str, str] | None = None
    ) -> Config:
        """Return the settings: argument over environment over default.

        Raises ConfigError with every fault; no text of it holds the token.
        """
        given = dict(arguments)
        for name, text in _from_environment(os.environ if environ is None else environ):
            given.setdefault(name, text)
        if given.get("exporter") is not None:
            # Where the environment would post is of no interest then.
            for name in {"endpoint", "token"} - arguments.keys():
                given.pop(name, None)
        problems: list[str] = []
        clean: dict[str, Any] = {}
        for name, value in given.items():
            try:
                clean[name] = _READERS[name](value)
            except _Fault as fault:  # noqa: PERF203 -- every fault is wanted, once
                problems.append(f"{name} {fault}")
        problems += _disagreements(clean)
        if problems:
            raise ConfigError(problems)
        return cls(**clean)

    @property
    def local(self) -> bool:
        """Whether the endpoint is on this host."""
        return is_loopback(urlsplit(self.endpoint).hostname or "")


def is_loopback(host: str) -> bool:
    """Say whether *host* is this host, by name or by address."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class _Fault(Exception):  # noqa: N818 -- one sentence of a ConfigError
    """Why a setting cannot work. Its text may quote a setting, but never the token."""


def _from_environment(environ: Mapping[str, str]) -> list[tuple[str, str]]:
    found = []
    for name, variables in _ENVIRONMENT.items():
        for variable in variables:
            if environ.get(variable, "").strip():
                found.append((name, environ[variable].strip()))
                break
    return found


def _disagreements(clean: Mapping[str, Any]) -> list[str]:
    """Return what is wrong between settings that are right each by itself."""
    problems = []
    if clean.get("exporter") is not None and ("endpoint" in clean or "token" in clean):
        problems.append("exporter excludes endpoint and token")
    parts = urlsplit(clean.get("endpoint", LOCAL_ENDPOINT))
    local = is_loopback(parts.hostname or "")
    if not local and "exporter" not in clean:
        if not clean.get("token"):
            problems.append(f"token is needed by the endpoint at {parts.hostname}")
        elif parts.scheme == "http" and not clean.get("allow_plain_http"):
            problems.append(
                f"token would go to {parts.hostname} unencrypted: use https, or "
                "allow_plain_http=True if the network between is yours"
            )
    return problems


def _endpoint(value: Any) -> str:
    if not isinstance(value, str):
        raise _Fault("is no text")
    try:
        parts = urlsplit(value.strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise _Fault("is no URL") from None
    if parts.scheme not in ("http", "https") or not host:
        raise _Fault("is no http or https URL")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise _Fault(
            "holds credentials, a query or a fragment; give the token as token"
        )
    if any(not "!" <= character <= "~" for character in value.strip()):
        raise _Fault("holds characters that no URL has")
    return urlunsplit((parts.scheme, parts.netloc, _ingest_path(parts.path), "", ""))


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


def _token(value: Any) -> str:
    if not isinstance(value, str):
        raise _Fault("is no text")
    token = value.strip()  # one from a mounted file ends in a line end
    if len(token) > 1024 or any(not "!" <= character <= "~" for character in token):
        raise _Fault("has characters that no token has, or is too long")
    return token


def _exporter(value: Any) -> Exporter | None:
    methods = ("export", "close", "reset_after_fork")
    if value is not None and not all(
        callable(getattr(value, m, None)) for m in methods
    ):
        raise _Fault(f"has to have the methods {', '.join(methods)}")
    return value  # type: ignore[no-any-return]


def _prefix(value: Any) -> str:
    if not isinstance(value, str):
        raise _Fault("is no text")
    prefix = value.strip(". ")
    if not prefix:
        return ""
    clean = clean_key(prefix)
    if clean is None or f"{clean}.".startswith(RESERVED_PREFIX):
        raise _Fault(f"{value!r} cannot start a metric key")
    return clean


def _dimensions(value: Any) -> Mapping[str, Any]:
    if value is None:
        return {}
    if isinstance(value, str):  # from the environment: region=eu,tier=1
        pairs = [pair.partition("=") for pair in value.split(",")]
        if not all(equals for _, equals, _ in pairs):
            raise _Fault("is not of the form key=value,key=value")
        value = {key.strip(): text.strip() for key, _, text in pairs}
    if not isinstance(value, Mapping):
        raise _Fault("is no mapping")
    for key in value:
        if not isinstance(key, str) or clean_dimension_key(key) is None:
            raise _Fault(f"has a key with nothing valid in it: {key!r}"[:200])
    return dict(value)


def _interval(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise _Fault("is no number of seconds") from None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value <= 0:
        raise _Fault("is no positive number of seconds")
    return float(value)


def _level(value: Any) -> int:
    if isinstance(value, str):
        value = logging.getLevelName(value.strip().upper())
    if isinstance(value, bool) or not isinstance(value, int):
        raise _Fault("is no level; DEBUG, INFO, WARNING and so on are, or a number")
    return value


def _levels(value: Any) -> Mapping[str, int]:
    if not isinstance(value, Mapping):
        raise _Fault("is no mapping of meter names to levels")
    return {str(name): _level(level) for name, level in value.items()}


def _at_least_one(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise _Fault("is no whole number from 1 on")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Fault("is neither True nor False")
    return value


_READERS: dict[str, Callable[[Any], Any]] = {
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
    "allow_plain_http": _flag,
    "strict": _flag,
}
