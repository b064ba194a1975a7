"""The environment variables of dtmetrics; no other module reads any."""

from __future__ import annotations

import os
from collections.abc import Mapping

from dtmetrics._core.secret import SECRET_SETTINGS, Secret

__all__ = ["known_http_methods", "platform_directory", "settings_of"]

# The setting of each variable; the later of two wins. The first two are the entries of
# the Kubernetes operator's file.
_VARIABLES = {
    "DT_METRICS_INGEST_URL": "endpoint",
    "DT_METRICS_INGEST_API_TOKEN": "token",
    "DTMETRICS_ENDPOINT": "endpoint",
    "DTMETRICS_TOKEN": "token",
    "DTMETRICS_PREFIX": "prefix",
    "DTMETRICS_DIMENSIONS": "dimensions",
    "DTMETRICS_INTERVAL": "interval",
    "DTMETRICS_LEVEL": "level",
    "DTMETRICS_CA_FILE": "ca_file",
    "DTMETRICS_DELIVERY": "delivery",
    "DTMETRICS_SPOOL": "spool",
    "DTMETRICS_ENRICH": "enrich",
    "DTMETRICS_ANNOUNCE": "announce",
}


def settings_of(
    environ: Mapping[str, str] | None = None,
) -> dict[str, tuple[str, object]]:
    """Return, by setting, the variable that sets it and its text.

    An empty variable is taken as an absent one. Endpoint and token come as secrets.
    """
    environ = os.environ if environ is None else environ
    settings: dict[str, tuple[str, object]] = {}
    for variable, name in _VARIABLES.items():
        if text := environ.get(variable, "").strip():
            secret = name in SECRET_SETTINGS
            settings[name] = variable, Secret(text) if secret else text
    return settings


def platform_directory(
    environ: Mapping[str, str] | None = None, system: str = os.name
) -> str:
    """Return where OneAgent and the Kubernetes operator put their files.

    https://docs.dynatrace.com/docs/ingest-from/extend-dynatrace/extend-data
    """
    environ = os.environ if environ is None else environ
    if system == "nt":
        root = environ.get("ProgramData") or r"C:\ProgramData"
        return rf"{root}\dynatrace\enrichment"
    return "/var/lib/dynatrace/enrichment"


def known_http_methods(environ: Mapping[str, str] | None = None) -> frozenset[str]:
    """Return the HTTP methods that OpenTelemetry's variable lists, separated by commas.

    Empty where the variable is. It is read when a middleware is made
    (https://opentelemetry.io/docs/specs/semconv/http/http-spans/).
    """
    environ = os.environ if environ is None else environ
    text = environ.get("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", "")
    return frozenset(filter(None, map(str.strip, text.split(","))))
