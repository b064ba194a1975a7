"""The setting ``endpoint``: which URLs can be posted to, and which one was meant."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit, urlunsplit

from dtmetrics._config.invalid_setting import InvalidSettingError
from dtmetrics._core.secret import Secret

__all__ = ["INGEST_PATH", "LOCAL_ENDPOINT", "check_endpoint", "is_loopback"]

#: The OneAgent of this host, which needs no token.
#: https://docs.dynatrace.com/docs/ingest-from/extend-dynatrace/extend-metrics/ingestion-methods/oneagent-metric-api
LOCAL_ENDPOINT = "http://localhost:14499/metrics/ingest"
INGEST_PATH = "/api/v2/metrics/ingest"

_URL = "be an http:// or https:// URL"
_LONGEST_URL = 2_000

# One label of a host name. The underscore is not allowed in one, and common all the
# same: docker compose makes such names.
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


def check_endpoint(secret: Secret) -> str:
    """Return the URL in *secret*, with the ingest path where it has no path.

    It arrives as a secret because a wrong one may hold a token in its query.
    """
    value = secret.reveal()
    if not isinstance(value, str):
        raise InvalidSettingError(_URL, value)
    text = value.strip()
    if any(mark in text for mark in "@?#"):
        raise InvalidSettingError(
            f"{_URL} without credentials, query and fragment",
            got="one that has them",
            hint=_without_extras(text),
        )
    if len(text) > _LONGEST_URL or any(not "!" <= c <= "~" for c in text):
        requirement = f"{_URL} of at most {_LONGEST_URL} printable ASCII characters"
        raise InvalidSettingError(requirement, text)
    try:
        parts = urlsplit(text)
        host = parts.hostname
    except ValueError:
        raise InvalidSettingError(_URL, text) from None
    if parts.scheme not in ("http", "https") or not host:
        raise InvalidSettingError(_URL, text, hint=_with_scheme(text))
    if not _is_host(host):
        raise InvalidSettingError(f"{_URL} with a valid host", text)
    if not _is_authority(parts.netloc, host):
        raise InvalidSettingError(f"{_URL} with a port from 1 to 65535", text)
    return urlunsplit((parts.scheme, parts.netloc, _ingest_path(parts.path), "", ""))


def is_loopback(host: str) -> bool:
    """Return whether *host* is this host, by name or by address."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _with_scheme(text: str) -> str:
    """Return *text* with the right scheme, if that makes it an endpoint.

    >>> _with_scheme("localhost:14499")
    'http://localhost:14499'
    """
    rest = (text.partition("://")[2] or text).lstrip("/")
    try:
        host = urlsplit(f"//{rest}").hostname or ""
    except ValueError:
        return ""
    if not is_loopback(host) and "." not in host:
        return ""  # any single word would pass for a host
    return _if_valid(f"{'http' if is_loopback(host) else 'https'}://{rest}")


def _without_extras(text: str) -> str:
    """Return *text* without credentials, query or fragment, where it has one of them.

    With two of them, such as a ``#`` within a password, a piece of the one might pass
    for a host or a path.
    """
    if sum(mark in text for mark in "@?#") != 1:
        return ""
    start, separator, rest = text.partition("://")
    rest = re.split("[?#]", rest)[0]
    credentials, _, host = rest.rpartition("@")
    if not separator or "/" in credentials:
        return ""
    return _if_valid(f"{start}{separator}{host}")


def _if_valid(url: str) -> str:
    try:
        check_endpoint(Secret(url))
    except InvalidSettingError:
        return ""
    return url


def _is_host(host: str) -> bool:
    if ":" in host or host.replace(".", "").isdecimal():
        try:
            return bool(ip_address(host)) and "%" not in host
        except ValueError:
            return False
    labels = host.removesuffix(".").split(".")
    return len(host) <= 253 and all(_LABEL.fullmatch(label) for label in labels)


def _is_authority(netloc: str, host: str) -> bool:
    """Return whether *netloc* is *host*, and at most a port after it."""
    # urlsplit finds a host in `:][A` as well (CPython 3.10).
    written = re.escape(f"[{host}]" if ":" in host else host)
    match = re.fullmatch(f"{written}(?::([0-9]*))?", netloc, re.IGNORECASE)
    return match is not None and 0 < int((match[1] or "1")[:9]) < 65_536


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
    first, _, rest = path.lstrip("/").partition("/")
    if not path or (first == "e" and rest and "/" not in rest):
        return path + INGEST_PATH
    return path
