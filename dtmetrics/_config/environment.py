"""The environment variables of dtmetrics; no other module reads any."""

from __future__ import annotations

import os
from collections.abc import Mapping

from dtmetrics._core.secret import SECRET_SETTINGS, Secret

__all__ = [
    "CONFIG",
    "DISABLED",
    "certificate_variables",
    "config_file",
    "disabled",
    "inherited",
    "known_http_methods",
    "platform_directory",
    "proxies",
    "settings_of",
]

# The setting of each variable; the later of two wins. The first two are the entries of
# the Kubernetes operator's file.
_VARIABLES = {
    "DT_METRICS_INGEST_URL": "endpoint",
    "DT_METRICS_INGEST_API_TOKEN": "token",
    "DTMETRICS_ENDPOINT": "endpoint",
    "DTMETRICS_TOKEN": "token",
    "DTMETRICS_TOKEN_FILE": "token_file",
    "DTMETRICS_ALLOW_PLAIN_HTTP": "allow_plain_http",
    "DTMETRICS_PROXY": "proxy",
    "DTMETRICS_CA_FILE": "ca_file",
    "DTMETRICS_CLIENT_CERT": "client_cert",
    "DTMETRICS_CLIENT_KEY": "client_key",
    "DTMETRICS_KEY_PASSWORD": "key_password",
    "DTMETRICS_COMPRESSION": "compression",
    "DTMETRICS_EXPORTER": "exporters",
    "DTMETRICS_PREFIX": "prefix",
    "DTMETRICS_DIMENSIONS": "dimensions",
    "DTMETRICS_PROCESS_DIMENSION": "process_dimension",
    "DTMETRICS_WORKER_DIMENSION": "worker_dimension",
    "DTMETRICS_RUNTIME": "runtime",
    "DTMETRICS_ENRICH": "enrich",
    "DTMETRICS_LEVEL": "level",
    "DTMETRICS_LEVELS": "levels",
    "DTMETRICS_RULES": "rules",
    "DTMETRICS_CAP": "cap",
    "DTMETRICS_MAX_SERIES_PER_METRIC": "max_series_per_metric",
    "DTMETRICS_MAX_SERIES": "max_series",
    "DTMETRICS_BUDGET": "budget",
    "DTMETRICS_STRICT": "strict",
    "DTMETRICS_INTERVAL": "interval",
    "DTMETRICS_DELIVERY": "delivery",
    "DTMETRICS_MAX_OUTBOX_BYTES": "max_outbox_bytes",
    "DTMETRICS_SPOOL": "spool",
    "DTMETRICS_METADATA": "metadata",
    "DTMETRICS_SELF_METRICS": "self_metrics",
    "DTMETRICS_ANNOUNCE": "announce",
    "DTMETRICS_FLUSH_AT_OS_EXIT": "flush_at_os_exit",
    "DTMETRICS_TRAVELS": "travels",
}

#: The variable that names a file of settings.
CONFIG = "DTMETRICS_CONFIG"
#: The variable that switches everything off. No argument wins over it.
DISABLED = "DTMETRICS_DISABLED"
# What other programs trust, in the order in which it is used.
_CERTIFICATES = "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"


def settings_of(
    environ: Mapping[str, str] | None = None,
) -> dict[str, tuple[str, object]]:
    """Return, by setting, the variable that sets it and its text.

    An empty variable is taken as an absent one. A setting that may hold a secret comes
    as one.
    """
    environ = os.environ if environ is None else environ
    settings: dict[str, tuple[str, object]] = {}
    for variable, name in _VARIABLES.items():
        if text := environ.get(variable, "").strip():
            secret = name in SECRET_SETTINGS
            settings[name] = variable, Secret(text) if secret else text
    return settings


def config_file(environ: Mapping[str, str] | None = None) -> str:
    """Return the path of a file of settings; empty if there is none."""
    environ = os.environ if environ is None else environ
    return environ.get(CONFIG, "").strip()


def disabled(environ: Mapping[str, str] | None = None) -> str:
    """Return the text of the variable that switches everything off; empty if absent."""
    environ = os.environ if environ is None else environ
    return environ.get(DISABLED, "").strip()


def inherited() -> dict[str, str]:
    """Return every variable, for a command that inherits them."""
    return dict(os.environ)


def proxies(
    environ: Mapping[str, str] | None = None,
) -> dict[str, tuple[str, Secret]]:
    """Return variable and value of the proxy for ``http``, ``https`` and ``all``.

    ``no`` has the hosts that need none. As for curl and Python's urllib, the variable
    in lower case wins over the other, also if it is empty. ``HTTP_PROXY`` is left out
    in a CGI program, where it is a header of the request (https://httpoxy.org).
    """
    environ = os.environ if environ is None else environ
    found: dict[str, tuple[str, Secret]] = {}
    for kind in "http", "https", "all", "no":
        lower = f"{kind}_proxy"
        upper = lower.upper()
        is_header = kind == "http" and "REQUEST_METHOD" in environ
        name = lower if lower in environ or is_header else upper
        if text := environ.get(name, "").strip():
            found[kind] = name, Secret(text)
    return found


def certificate_variables(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables that name certificates to trust, in their order."""
    environ = os.environ if environ is None else environ
    return {name: environ[name] for name in _CERTIFICATES if environ.get(name)}


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
