"""What must be logged about a destination that is used other than as it was written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from dtmetrics._config.hosts import api_host, is_loopback
from dtmetrics._config.invalid_setting import describe
from dtmetrics._config.token_setting import text_of
from dtmetrics._core.secret import Secret

__all__ = ["notes"]


def notes(
    valid: Mapping[str, Any], sources: Mapping[str, tuple[str, object]]
) -> tuple[str, ...]:
    """Return one sentence for each fact about the *valid* endpoint, of *sources*."""
    if "endpoint" not in valid:
        return ()
    source, written = sources["endpoint"]
    parts = urlsplit(valid["endpoint"])
    host = parts.hostname or ""
    token: Secret = valid.get("token", Secret(""))
    shown = describe(host, text_of(token))
    found = []
    if isinstance(written, Secret) and _names_user_interface(written):
        found.append(
            f"{source} names the user interface of Dynatrace; its API is at {shown}, "
            "which is used instead"
        )
    allowed = is_loopback(host) or valid.get("allow_plain_http")
    if parts.scheme == "http" and not allowed:
        found.append(
            f"the token is sent unencrypted to {shown}, which the Kubernetes operator "
            "names by an http:// URL; allow_plain_http=True accepts that"
        )
    return tuple(found)


def _names_user_interface(written: Secret) -> bool:
    host = urlsplit(written.reveal().strip()).hostname or ""
    return api_host(host) != host
