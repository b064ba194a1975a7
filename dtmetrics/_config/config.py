"""All settings of one ``configure()``: resolved, checked and reported together."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from dtmetrics._config import environment
from dtmetrics._config.conflicts import DESTINATION, TOKENS, conflicts
from dtmetrics._config.destination_notes import notes
from dtmetrics._config.document import Document
from dtmetrics._config.document_file import document_of_environment
from dtmetrics._config.endpoint_url import LOCAL_ENDPOINT
from dtmetrics._config.hosts import is_loopback
from dtmetrics._config.invalid_setting import InvalidSettingError
from dtmetrics._config.platform_files import endpoint_file
from dtmetrics._config.proxy_setting import environment_proxy
from dtmetrics._config.settings import SETTINGS
from dtmetrics._config.token_setting import public_part, text_of
from dtmetrics._core.log import INFO
from dtmetrics._core.secret import Secret
from dtmetrics._record.rule import Rule
from dtmetrics.errors import ConfigError
from dtmetrics.exporters import ConsoleExporter, Exporter, MemoryExporter

__all__ = ["Config"]

_Sources = Mapping[str, tuple[str, object]]

# The environment has those of a deployment, and the program adds its own.
_MERGED = "dimensions", "levels", "rules"
_OPERATORS_TOKEN = "DT_METRICS_INGEST_API_TOKEN"  # noqa: S105 -- the variable


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """How to record and where to send. ``resolve()`` makes only valid ones."""

    endpoint: str = LOCAL_ENDPOINT
    #: A text, or a callable that returns it.
    token: Secret = Secret("")  # noqa: RUF009 -- a Secret is immutable
    #: A file that holds the token, if *token* is empty.
    token_file: str | None = None
    exporter: Exporter | None = None
    #: Several exporters, or empty; None stands for the one that posts to the endpoint.
    exporters: tuple[Exporter | None, ...] = ()
    prefix: str = ""
    dimensions: Mapping[str, Any] = field(default_factory=dict)
    interval: float | None = 60.0
    level: int = INFO
    levels: Mapping[str, int] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    cap: str | None = None
    max_series_per_metric: int = 2_000
    max_series: int = 50_000
    #: The data points a minute near which a warning is logged.
    budget: int | None = None
    max_outbox_bytes: int = 32 << 20
    delivery: str = "at_least_once"
    compression: str | None = None
    #: The directory of the spool.
    spool: str | None = None
    metadata: bool = True
    self_metrics: bool = True
    enrich: bool = True
    #: The key of the dimension with the number of the process; empty for none.
    process_dimension: str = ""
    #: Whether gauges have the number of the worker: True, False or "auto".
    worker_dimension: bool | str = "auto"
    #: The groups of runtime metrics that are observed.
    runtime: tuple[str, ...] = ()
    announce: bool = True
    allow_plain_http: bool = False
    #: Certificates to trust instead of the system's.
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    key_password: Secret | None = None
    #: A URL, False for none, or None for that of the environment.
    proxy: Secret | bool | None = None
    strict: bool = False
    flush_at_os_exit: bool = True
    #: Whether a pickle configures the process that it arrives in.
    travels: bool = True
    #: Where OneAgent and the Kubernetes operator put their files.
    platform_directory: str = environment.platform_directory({})
    #: Whether neither endpoint nor exporter is set, and the operator's file decides.
    endpoint_from_file: bool = True
    #: What must be logged before the first export to the endpoint.
    notes: Sequence[str] = ()
    #: What the environment names for all programs: see `environment`.
    proxies: Mapping[str, tuple[str, Secret]] = field(default_factory=dict)
    certificate_variables: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def resolve(
        cls,
        arguments: Mapping[str, Any],
        environ: Mapping[str, str] | None = None,
        ignored: Iterable[str] = (),
        document: Document | None = None,
    ) -> Config:
        """Return the settings: an argument wins over *environ*, that over the default.

        A setting of the *document* wins over the default, or counts as an argument.
        Without one it is read from the file that *environ* names, if it does. Of
        dimensions and levels, the winner wins by key; of rules, its own come first.
        *arguments* holds endpoint and token as secrets, and *environ* is left out for
        the real environment, so that a traceback with local variables shows neither.
        The variables and the document's settings of *ignored* names are not read.
        Raises ConfigError with one sentence for each problem.
        """
        if document is None:
            document = document_of_environment(environ)
        variables = environment.settings_of(environ)
        below = {} if document.wins else dict(document.settings)
        given = {name: (name, value) for name, value in arguments.items()}
        if document.wins:
            given = {**document.settings, **given}
        chosen = arguments.get("exporter"), arguments.get("exporters")
        if chosen != (None, None):
            # The endpoint and token of the environment are for the default exporter.
            ignored = *ignored, *DESTINATION, "exporters"
        for name in (*ignored, *_tokens_above(given)):
            variables.pop(name, None)
        for name in (*ignored, *_tokens_above(given), *_tokens_above(variables)):
            below.pop(name, None)
        if (
            "token_file" in variables
            and _source(variables, "token") == _OPERATORS_TOKEN
        ):
            # As DTMETRICS_TOKEN does, DTMETRICS_TOKEN_FILE wins over the operator's.
            del variables["token"]
        directory = environment.platform_directory(environ)
        layers = below, variables, given
        found = cls._checked(layers, directory, problems=document.problems)
        return replace(
            found,
            proxies=environment.proxies(environ),
            certificate_variables=environment.certificate_variables(environ),
        )

    @property
    def all_exporters(self) -> tuple[Exporter | None, ...]:
        """The exporters; None is the one that posts to the endpoint."""
        return self.exporters or (self.exporter,)

    def with_destination(self, endpoint: Secret, token: Secret) -> Config:
        """Return the settings with the *endpoint* and *token* of the operator's file.

        A token that was set wins over the file's. The operator names its ActiveGate in
        the cluster by a plain http URL, always, so that such a URL is used. Raises
        ConfigError if the endpoint cannot be used.
        """
        sources: dict[str, tuple[str, object]] = {
            "endpoint": ("DT_METRICS_INGEST_URL", endpoint),
            "allow_plain_http": ("allow_plain_http", self.allow_plain_http),
        }
        if self.token_file is None:
            token = self.token or token
            sources["token"] = _OPERATORS_TOKEN, token
        else:
            sources["token_file"] = "token_file", self.token_file
        found = self._checked([sources], self.platform_directory, by_operator=True)
        return replace(
            self,
            endpoint=found.endpoint,
            token=found.token,
            token_file=found.token_file,
            endpoint_from_file=False,
            notes=found.notes,
        )

    @classmethod
    def _checked(
        cls,
        layers: Sequence[_Sources],
        platform_directory: str,
        *,
        problems: Sequence[str] = (),
        by_operator: bool = False,
    ) -> Config:
        """Return the settings of *layers*; of two, the later wins."""
        sources = {name: each for layer in layers for name, each in layer.items()}
        valid: dict[str, Any] = {}
        problems = [*problems]
        for name, (source, value) in _in_effect(layers):
            if isinstance(value, InvalidSettingError):
                problems += value.sentences(source, _token_text(sources))
                continue
            try:
                checked: Any = SETTINGS[name](value)
                valid[name] = _added(checked, to=valid.get(name))
            except InvalidSettingError as error:
                problems += error.sentences(source, _token_text(sources))
        problems += conflicts(valid, sources, by_operator=by_operator)
        if problems:
            raise ConfigError(problems)
        exporters = valid.get("exporters") or (valid.get("exporter"),)
        has_destination = "endpoint" in valid or None not in exporters
        if has_destination and valid.get("endpoint", LOCAL_ENDPOINT) == LOCAL_ENDPOINT:
            for name in TOKENS:
                valid.pop(name, None)  # a OneAgent needs none, so it gets none
        return cls(
            **valid,
            platform_directory=platform_directory,
            endpoint_from_file=not has_destination,
            notes=notes(valid, sources),
        )

    @property
    def environment(self) -> str:
        """The identity of the destination, because a spool belongs to one.

        What waited while a token was revoked is sent with the next token.
        """
        if self.exporter is not None:
            kind = type(self.exporter)
            return f"{kind.__module__}.{kind.__qualname__}"
        parts = urlsplit(self.endpoint)
        return parts._replace(netloc=parts.netloc.lower()).geturl()

    @property
    def public_token(self) -> str:
        """The part of the token that identifies it and may be shown, or empty."""
        return public_part(self.token)

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

    @property
    def token_changes(self) -> bool:
        """Whether the token is read again while the program runs."""
        return self.token_file is not None or callable(self.token.reveal())

    @property
    def proxy_in_use(self) -> Secret | None:
        """The URL of the proxy through which to post, if any.

        None leads to this host. Plain http shows the token to a proxy.
        """
        plain = self.endpoint.startswith("http:") and not self.allow_plain_http
        if self.local or plain or self.proxy is False:
            return None
        if isinstance(self.proxy, Secret):
            return self.proxy
        return environment_proxy(self.proxies, self.endpoint)


def _added(checked: Any, *, to: Any) -> Any:  # noqa: ANN401 -- of any setting
    """Return the value of a setting with what is below it, if that is merged.

    Of a mapping it wins by key. Of rules it comes first.
    """
    if to is None:
        return checked
    return {**to, **checked} if isinstance(to, dict) else (*checked, *to)


def _in_effect(
    layers: Sequence[_Sources],
) -> Iterator[tuple[str, tuple[str, object]]]:
    """Yield each setting of *layers* that a later layer does not replace."""
    for place, layer in enumerate(layers):
        above = {name for each in layers[place + 1 :] for name in each}
        for name, each in layer.items():
            if name in _MERGED or name not in above:
                yield name, each


def _tokens_above(layer: _Sources) -> Sequence[str]:
    """Return the names of a token that *layer* replaces below it, by any of them."""
    return TOKENS if any(name in layer for name in TOKENS) else ()


def _source(sources: _Sources, name: str) -> str:
    """Return the argument or variable that sets *name*, or an empty text."""
    return sources.get(name, ("", None))[0]


def _token_text(sources: _Sources) -> str:
    """Return the token among *sources*, valid or not, to keep it out of messages."""
    _, secret = sources.get("token", ("", None))
    return text_of(secret) if isinstance(secret, Secret) else ""
