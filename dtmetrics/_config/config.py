"""All settings of one ``configure()``: resolved, checked and reported together."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from dtmetrics._config import environment
from dtmetrics._config.invalid_setting import InvalidSettingError, describe
from dtmetrics._config.platform_files import endpoint_file
from dtmetrics._config.settings import LOCAL_ENDPOINT, SETTINGS, is_loopback
from dtmetrics._core.log import INFO
from dtmetrics._core.secret import Secret
from dtmetrics.errors import ConfigError
from dtmetrics.exporters import ConsoleExporter, Exporter, MemoryExporter

__all__ = ["Config"]

# The part of a token that identifies it, and may be shown
# (https://docs.dynatrace.com/docs/discover-dynatrace/references/dynatrace-api/basics/dynatrace-api-authentication).
_PUBLIC_PART = re.compile(r"(dt0[a-z][0-9]{2}\.[A-Z0-9]{1,64})\.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """How to record and where to send. ``resolve()`` makes only valid ones."""

    endpoint: str = LOCAL_ENDPOINT
    token: Secret = Secret("")  # noqa: RUF009 -- a Secret is immutable
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
    #: The directory of the spool.
    spool: str | None = None
    metadata: bool = True
    self_metrics: bool = True
    enrich: bool = True
    announce: bool = True
    allow_plain_http: bool = False
    #: Certificates to trust instead of the system's.
    ca_file: str | None = None
    strict: bool = False
    #: Where OneAgent and the Kubernetes operator put their files.
    platform_directory: str = environment.platform_directory({})
    #: Whether neither endpoint nor exporter is set, and the operator's file decides.
    endpoint_from_file: bool = True

    @classmethod
    def resolve(
        cls, arguments: Mapping[str, Any], environ: Mapping[str, str] | None = None
    ) -> Config:
        """Return the settings: an argument wins over *environ*, that over the default.

        *arguments* holds endpoint and token as secrets, and *environ* is left out for
        the real environment, so that a traceback with local variables shows neither.
        Raises ConfigError with one sentence for each problem.
        """
        sources = environment.settings_of(environ)
        if arguments.get("exporter") is not None:
            # The endpoint and token of the environment are for the default exporter.
            sources.pop("endpoint", None)
            sources.pop("token", None)
        sources |= {name: (name, value) for name, value in arguments.items()}
        return cls._checked(sources, environment.platform_directory(environ))

    def with_destination(self, endpoint: Secret, token: Secret) -> Config:
        """Return the settings with the *endpoint* and *token* of the operator's file.

        A token that was set wins over the file's. Raises ConfigError if the endpoint
        cannot be used.
        """
        sources: dict[str, tuple[str, object]] = {
            "endpoint": ("DT_METRICS_INGEST_URL", endpoint),
            "token": ("DT_METRICS_INGEST_API_TOKEN", self.token or token),
            "allow_plain_http": ("allow_plain_http", self.allow_plain_http),
        }
        found = self._checked(sources, self.platform_directory)
        return replace(
            self, endpoint=found.endpoint, token=found.token, endpoint_from_file=False
        )

    @classmethod
    def _checked(
        cls, sources: Mapping[str, tuple[str, object]], platform_directory: str
    ) -> Config:
        valid: dict[str, Any] = {}
        problems: list[str] = []
        for name, (source, value) in sources.items():
            try:
                valid[name] = SETTINGS[name](value)
            except InvalidSettingError as error:  # noqa: PERF203 -- each is reported
                problems.append(error.sentence(source, _token_text(sources)))
        problems += _conflicts(valid, sources)
        if problems:
            raise ConfigError(problems)
        has_destination = "endpoint" in valid or valid.get("exporter") is not None
        if has_destination and valid.get("endpoint", LOCAL_ENDPOINT) == LOCAL_ENDPOINT:
            valid.pop("token", None)  # a OneAgent needs none, so it gets none
        return cls(
            **valid,
            platform_directory=platform_directory,
            endpoint_from_file=not has_destination,
        )

    @property
    def tenant(self) -> str:
        """The identity of the destination, because a spool belongs to one.

        It contains only the public part of the token.
        """
        if self.exporter is not None:
            kind = type(self.exporter)
            return f"{kind.__module__}.{kind.__qualname__}"
        public = _PUBLIC_PART.match(self.token.reveal())
        return f"{self.endpoint} {public[1] if public else ''}"

    @property
    def resend(self) -> bool:
        """Whether a batch whose outcome is unknown is sent once more."""
        return self.delivery == "at_least_once"

    @property
    def stays_here(self) -> bool:
        """Whether batches stay on this host, where a fleet cannot post at once."""
        if self.exporter is not None:
            return isinstance(self.exporter, ConsoleExporter | MemoryExporter)
        operator_decides = self.endpoint_from_file and os.path.exists(
            endpoint_file(self.platform_directory)
        )
        return self.local and not operator_decides

    @property
    def local(self) -> bool:
        """Whether the endpoint is on this host."""
        return is_loopback(urlsplit(self.endpoint).hostname or "")


def _token_text(sources: Mapping[str, tuple[str, object]]) -> str:
    """Return the token among *sources*, valid or not, to keep it out of messages."""
    _, secret = sources.get("token", ("", None))
    text = secret.reveal() if isinstance(secret, Secret) else ""
    return text if isinstance(text, str) else ""


def _conflicts(
    valid: Mapping[str, Any], sources: Mapping[str, tuple[str, object]]
) -> list[str]:
    """Return the problems between settings that are *valid* each by itself."""
    if valid.get("exporter") is not None:
        others = " and ".join(name for name in ("endpoint", "token") if name in valid)
        requirement = "exporter must be set without endpoint and token"
        return [f"{requirement}, got one with {others}"] if others else []
    url = valid.get("endpoint", LOCAL_ENDPOINT)
    parts = urlsplit(url)
    token_is_invalid = "token" in sources and "token" not in valid
    if is_loopback(parts.hostname or "") or token_is_invalid:
        return []
    token: Secret = valid.get("token", Secret(""))
    host = describe(parts.hostname, token.reveal())
    if not token:
        return [f"token must be set for the endpoint at {host}, got none"]
    if parts.scheme == "http" and not valid.get("allow_plain_http"):
        source, _ = sources["endpoint"]
        requirement = (
            "must begin with https:// to encrypt the token on its way to "
            f"{host}, unless allow_plain_http=True"
        )
        return [f"{source} {requirement}, got {describe(url, token.reveal())}"]
    return []
