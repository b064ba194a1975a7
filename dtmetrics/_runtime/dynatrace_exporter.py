"""DynatraceExporter: the public name of what ``configure(endpoint=...)`` makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dtmetrics._config.config import Config
from dtmetrics._core.secret import hide_secrets
from dtmetrics.exporters import Batch, Exporter, ExportResult

__all__ = ["CONNECTION_SETTINGS", "DynatraceExporter"]

#: The settings of ``configure()`` that describe the way to one endpoint.
CONNECTION_SETTINGS = (
    "endpoint",
    "token",
    "token_file",
    "allow_plain_http",
    "proxy",
    "ca_file",
    "client_cert",
    "client_key",
    "key_password",
    "compression",
)

# What follows from them and from the environment.
_DESTINATION = (
    *CONNECTION_SETTINGS,
    "endpoint_from_file",
    "notes",
    "platform_directory",
    "proxies",
    "certificate_variables",
)


class DynatraceExporter:
    """Posts to a Dynatrace endpoint, as ``configure(endpoint=..., token=...)`` does.

    For ``configure(exporters=[...])``, and for an exporter of your own that adds
    something to this one.

    Args:
        endpoint (str | None): As in ``configure()``, with the same default.
        token (str | Callable[[], str] | None): As in ``configure()``, with the same
            default.
        settings: Any of the other settings that ``configure()`` documents under
            "Destination", but for *exporter* and *exporters*.

    Raises:
        ConfigError: A setting is invalid. ``problems`` has a sentence for each.
        TypeError: An argument is not such a setting.

    >>> from dtmetrics.exporters import DynatraceExporter
    >>> DynatraceExporter(
    ...     endpoint="https://abc12345.live.dynatrace.com",
    ...     token="dt0c01.ABC.DEF",
    ... )
    <DynatraceExporter https://abc12345.live.dynatrace.com/api/v2/metrics/ingest>
    """

    def __init__(
        self,
        *,
        endpoint: str | None = None,
        token: str | Callable[[], str] | None = None,
        **settings: Any,  # noqa: ANN401 -- a value of any setting
    ) -> None:
        # Rebound, because error reporters print the local variables of this frame.
        given = hide_secrets({"endpoint": endpoint, "token": token, **settings})
        endpoint, token, settings = None, None, {}
        if unknown := given.keys() - {*CONNECTION_SETTINGS}:
            raise TypeError(
                "DynatraceExporter() got an unexpected keyword argument "
                f"{min(unknown)!r}"
            )
        self._config = Config.resolve(
            {name: value for name, value in given.items() if value is not None},
            ignored=("exporters",),
        )
        self._exporter: Exporter | None = None

    def __repr__(self) -> str:
        # Error reporters print it while it is made, too.
        config = getattr(self, "_config", None)
        return f"<DynatraceExporter {config.endpoint if config else '?'}>"

    def settings_with(self, config: Config) -> Config:
        """Return *config* with the destination of this exporter."""
        own = {name: getattr(self._config, name) for name in _DESTINATION}
        return replace(config, exporter=None, exporters=(), **own)

    @property
    def destination(self) -> str:
        """The host of the endpoint."""
        found: object = getattr(self._inner(), "destination", "")
        return str(found)

    def export(self, batch: Batch, timeout: float, /) -> ExportResult:
        """Post *batch* within about *timeout* seconds and return the result."""
        return self._inner().export(batch, timeout)

    def close(self) -> None:
        """Close the idle connections. A later export opens new ones."""
        if self._exporter is not None:
            self._exporter.close()

    def reset_after_fork(self) -> None:
        """In a forked child: drop the parent's connections."""
        if self._exporter is not None:
            self._exporter.reset_after_fork()

    def _inner(self) -> Exporter:
        """Return the exporter that posts; ``configure()`` makes one of its own."""
        if self._exporter is None:
            from dtmetrics._runtime.factories import make_exporter  # noqa: PLC0415

            self._exporter = make_exporter(self._config)
        return self._exporter
