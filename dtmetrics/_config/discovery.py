"""The endpoint that the Kubernetes operator names in a file, which may change.

https://docs.dynatrace.com/docs/ingest-from/extend-dynatrace/extend-metrics/ingestion-methods
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from time import monotonic

from dtmetrics._config.enrichment import parse_properties, read_text
from dtmetrics._core import log
from dtmetrics._core.secret import Secret
from dtmetrics.errors import ConfigError
from dtmetrics.exporters import Batch, Exporter, ExportResult, Outcome

__all__ = ["EndpointFileExporter", "endpoint_file", "read_destination"]

_URL_KEY = "DT_METRICS_INGEST_URL"
_TOKEN_KEY = "DT_METRICS_INGEST_API_TOKEN"  # noqa: S105 -- the key, not a token

# dynatrace-metric-utils-java checks as often. A change is applied once two checks in a
# row have read the same text, because the first may have met a half-written file.
_CHECK_SECONDS = 60.0
_RECHECK_SECONDS = 1.0


def endpoint_file(platform_directory: str) -> str:
    """Return the path of the operator's file in the *platform_directory*."""
    return os.path.join(platform_directory, "endpoint", "endpoint.properties")


def read_destination(path: str) -> tuple[Secret, Secret]:
    """Return the endpoint and the token in the file at *path*; empty if absent."""
    return _destination(Secret(read_text(path) or ""))


class EndpointFileExporter:
    """Exports to the endpoint that the file at *path* names.

    The file may appear late, change, be half-written or vanish. The last usable
    content stays in use until a usable one replaces it; before the first, *fallback*
    exports. *make_exporter* returns an exporter for an endpoint and a token, or raises
    ConfigError. *on_change* is called after each change of the endpoint.
    """

    def __init__(
        self,
        path: str,
        make_exporter: Callable[[Secret, Secret], Exporter],
        fallback: Exporter,
        on_change: Callable[[], object],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._path = path
        self._make_exporter = make_exporter
        self._exporter = fallback
        self._on_change = on_change
        self._clock = clock
        # Both are texts of the file, which holds a token.
        self._applied = self._latest = self._read()
        self._apply()
        self._next_check = clock() + _CHECK_SECONDS

    def export(self, batch: Batch, timeout: float) -> ExportResult:
        """Export *batch* to the endpoint that the file names now."""
        if self._clock() >= self._next_check:
            self._check()
        exporter = self._exporter
        result = exporter.export(batch, timeout)
        if result.outcome is not Outcome.MISCONFIGURED:
            return result
        # The token may have been rotated: check now, not within the next minute.
        self._check()
        changing = self._latest.reveal() != self._applied.reveal()
        if exporter is self._exporter and not changing:
            return result
        return replace(result, outcome=Outcome.RETRY, retry_after=_RECHECK_SECONDS)

    def close(self) -> None:
        """Close the current exporter."""
        self._exporter.close()

    def reset_after_fork(self) -> None:
        """In a forked child: drop the parent's connections."""
        self._exporter.reset_after_fork()

    def _read(self) -> Secret:
        return Secret(read_text(self._path) or "")

    def _check(self) -> None:
        text = self._read()
        changed = text.reveal() != self._latest.reveal()
        self._latest = text
        pause = _RECHECK_SECONDS if changed else _CHECK_SECONDS
        self._next_check = self._clock() + pause
        if not changed and text.reveal() != self._applied.reveal():
            self._applied = text
            if self._apply():
                self._on_change()

    def _apply(self) -> bool:
        """Switch to the endpoint of the applied text; return whether that worked."""
        endpoint, token = _destination(self._applied)
        if not endpoint:
            return False
        try:
            exporter = self._make_exporter(endpoint, token)
        except ConfigError as error:
            log.warning("the endpoint in %s cannot be used: %s", self._path, error)
            return False
        self._exporter.close()
        self._exporter = exporter
        return True


def _destination(text: Secret) -> tuple[Secret, Secret]:
    pairs = {key: Secret(value) for key, value in parse_properties(text.reveal())}
    return pairs.get(_URL_KEY, Secret("")), pairs.get(_TOKEN_KEY, Secret(""))
