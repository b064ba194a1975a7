"""The problems between settings that are valid each by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from dtmetrics._config.certificate_settings import client_certificate_problems
from dtmetrics._config.endpoint_url import LOCAL_ENDPOINT
from dtmetrics._config.hosts import is_cluster_host, is_loopback
from dtmetrics._config.invalid_setting import describe
from dtmetrics._config.token_setting import text_of
from dtmetrics._core.secret import Secret

__all__ = ["DESTINATION", "TOKENS", "conflicts"]

TOKENS = "token", "token_file"
#: What is for the default exporter.
DESTINATION = "endpoint", *TOKENS
_CLIENT_CERTIFICATE = "client_cert", "client_key", "key_password"


def conflicts(
    valid: Mapping[str, Any],
    sources: Mapping[str, tuple[str, object]],
    *,
    by_operator: bool,
) -> list[str]:
    """Return one sentence for each problem between the *valid* settings of *sources*.

    *by_operator*: the endpoint is that of the Kubernetes operator's file.
    """
    chosen = [name for name in ("exporter", "exporters") if valid.get(name) is not None]
    if len(chosen) == 2:
        problems = ["exporter must be set without exporters, got both"]
    elif chosen and None not in (valid.get("exporters") or ()):
        problems = _destination_problems(chosen[0], valid, sources)
    else:
        problems = _endpoint_problems(valid, sources, by_operator=by_operator)
    return problems + _certificate_problems(valid, sources)


def _destination_problems(
    name: str, valid: Mapping[str, Any], sources: Mapping[str, tuple[str, object]]
) -> list[str]:
    """Return the problem if *name* leaves no exporter for the endpoint that is set."""
    # A text comes from a variable or a document, and may replace an endpoint that is
    # named elsewhere.
    is_argument = not isinstance(sources[name][1], str)
    others = [other for other in DESTINATION if other in valid and is_argument]
    requirement = f"{name} must be set without endpoint and token"
    return [f"{requirement}, got one with {' and '.join(others)}"] if others else []


def _endpoint_problems(
    valid: Mapping[str, Any],
    sources: Mapping[str, tuple[str, object]],
    *,
    by_operator: bool,
) -> list[str]:
    token: Secret = valid.get("token") or Secret("")
    if token and valid.get("token_file"):
        names = [sources[name][0] for name in TOKENS]
        return [f"{names[0]} must be set without {names[1]}, got both"]
    url = valid.get("endpoint", LOCAL_ENDPOINT)
    parts = urlsplit(url)
    token_is_invalid = any(name in sources and name not in valid for name in TOKENS)
    if is_loopback(parts.hostname or "") or token_is_invalid:
        return []
    host = describe(parts.hostname, text_of(token))
    if not token and not valid.get("token_file"):
        return [f"token must be set for the endpoint at {host}, got none"]
    allowed = valid.get("allow_plain_http") or (
        by_operator and is_cluster_host(parts.hostname or "")
    )
    if parts.scheme == "http" and not allowed:
        source, _ = sources["endpoint"]
        requirement = (
            "must begin with https:// to encrypt the token on its way to "
            f"{host}, unless allow_plain_http=True"
        )
        return [f"{source} {requirement}, got {describe(url, text_of(token))}"]
    return []


def _certificate_problems(
    valid: Mapping[str, Any], sources: Mapping[str, tuple[str, object]]
) -> list[str]:
    names = {name: sources[name][0] for name in _CLIENT_CERTIFICATE if valid.get(name)}
    if any(name in sources and name not in valid for name in _CLIENT_CERTIFICATE):
        return []
    return client_certificate_problems(
        names,
        cert=valid.get("client_cert"),
        key=valid.get("client_key"),
        password=valid.get("key_password") or Secret(""),
    )
