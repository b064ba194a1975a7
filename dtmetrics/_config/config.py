"""Settings: checked all at once, from arguments and the environment.

The only module that reads the environment.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from dtmetrics._config.enrichment import directory_of
from dtmetrics._config.settings import LOCAL_ENDPOINT, READERS, Fault, is_loopback
from dtmetrics._core.log import INFO
from dtmetrics._core.secret import Secret
from dtmetrics.errors import ConfigError
from dtmetrics.exporters import Exporter

__all__ = ["Config"]

# The second names are those that the Kubernetes operator gives its file's entries.
_ENVIRONMENT = {
    "endpoint": ("DTMETRICS_ENDPOINT", "DT_METRICS_INGEST_URL"),
    "token": ("DTMETRICS_TOKEN", "DT_METRICS_INGEST_API_TOKEN"),
    "prefix": ("DTMETRICS_PREFIX",),
    "dimensions": ("DTMETRICS_DIMENSIONS",),
    "interval": ("DTMETRICS_INTERVAL",),
    "level": ("DTMETRICS_LEVEL",),
    "ca_file": ("DTMETRICS_CA_FILE",),
    "delivery": ("DTMETRICS_DELIVERY",),
    "spool": ("DTMETRICS_SPOOL",),
    "enrich": ("DTMETRICS_ENRICH",),
}

# The part of a token that identifies it, and is no secret
# (https://docs.dynatrace.com/docs/discover-dynatrace/references/dynatrace-api/basics/dynatrace-api-authentication).
_PUBLIC_PART = re.compile(r"(dt0[a-z][0-9]{2}\.[A-Z0-9]{1,64})\.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """How to record and where to send. ``resolve()`` makes only valid ones."""

    endpoint: str = LOCAL_ENDPOINT
    token: Secret = Secret("")  # noqa: RUF009 -- it never changes
    exporter: Exporter | None = None
    prefix: str = ""
    dimensions: Mapping[str, Any] = field(default_factory=dict)
    interval: float | None = 60.0
    level: int = INFO
    levels: Mapping[str, int] = field(default_factory=dict)
    max_series_per_metric: int = 2_000
    max_series: int = 50_000
    max_outbox_bytes: int = 32 << 20
    delivery: str = "at_least_once"
    #: Where copies of what waits are kept on disk.
    spool: str | None = None
    metadata: bool = True
    self_metrics: bool = True
    enrich: bool = True
    #: Where the platform's files are.
    directory: str = directory_of({})
    #: Whether nobody said where to send, so that such a file may.
    follow: bool = True
    allow_plain_http: bool = False
    #: Certificates to trust in place of the system's.
    ca_file: str | None = None
    strict: bool = False

    @classmethod
    def resolve(
        cls, arguments: Mapping[str, Any], environ: Mapping[str, str] | None = None
    ) -> Config:
        """Return the settings: argument over environment over default.

        Raises ConfigError with every fault; no text of it holds the token, and no
        local variable shows it, as endpoint and token are given as secrets.
        """
        # Not kept in a variable here: a traceback with locals would show the token.
        given = _from_environment(os.environ if environ is None else environ)
        if arguments.get("exporter") is not None:
            # Where the environment would post is of no interest then.
            given = {k: v for k, v in given.items() if k not in ("endpoint", "token")}
        given |= {name: (name, value) for name, value in arguments.items()}
        problems: list[str] = []
        clean: dict[str, Any] = {}
        for name, (said, value) in given.items():
            try:
                clean[name] = READERS[name](value)
            except Fault as fault:  # noqa: PERF203 -- every fault is wanted, once
                problems.append(f"{said} {fault}")
        problems += _disagreements(clean, given.keys() - clean.keys())
        if problems:
            raise ConfigError(problems)
        follow = "endpoint" not in clean and clean.get("exporter") is None
        if not follow and clean.get("endpoint", LOCAL_ENDPOINT) == LOCAL_ENDPOINT:
            clean.pop("token", None)  # a OneAgent asks for none, so none is shown
        clean["directory"] = directory_of(os.environ if environ is None else environ)
        return cls(**clean, follow=follow)

    def at(self, endpoint: Secret, token: Secret) -> Config:
        """Return the settings to send to *endpoint*, with the token already given.

        Raises ConfigError if that cannot work.
        """
        arguments = {
            "endpoint": endpoint,
            "token": self.token or token,
            "allow_plain_http": self.allow_plain_http,
        }
        return self.resolve(arguments, {})

    @property
    def tenant(self) -> str:
        """What tells this endpoint apart from others; it shows nothing secret."""
        if self.exporter is not None:
            return (
                f"{type(self.exporter).__module__}.{type(self.exporter).__qualname__}"
            )
        public = _PUBLIC_PART.match(self.token.reveal())
        return f"{self.endpoint} {public[1] if public else ''}"

    @property
    def local(self) -> bool:
        """Whether the endpoint is on this host."""
        return is_loopback(urlsplit(self.endpoint).hostname or "")


def _from_environment(environ: Mapping[str, str]) -> dict[str, tuple[str, Any]]:
    """Return each setting that the environment has, with the variable's name."""
    found: dict[str, tuple[str, Any]] = {}
    for name, variables in _ENVIRONMENT.items():
        for variable in variables:
            text: Any = environ.get(variable, "").strip()
            if text and name not in found:
                secret = name in ("endpoint", "token")
                found[name] = variable, Secret(text) if secret else text
    return found


def _disagreements(clean: Mapping[str, Any], faulty: AbstractSet[str]) -> list[str]:
    """Return what is wrong between settings that are right each by itself."""
    if clean.get("exporter") is not None:
        both = "endpoint" in clean or "token" in clean
        return ["exporter excludes endpoint and token"] if both else []
    parts = urlsplit(clean.get("endpoint", LOCAL_ENDPOINT))
    if is_loopback(parts.hostname or "") or "token" in faulty:
        return []
    if not clean.get("token"):
        return [f"token is needed by the endpoint at {parts.hostname}"]
    if parts.scheme == "http" and not clean.get("allow_plain_http"):
        problem = (
            f"token would go to {parts.hostname} unencrypted: use https, or "
            "allow_plain_http=True if the network between is yours"
        )
        return [problem]
    return []
