"""Where to send, as the Kubernetes operator says it in a file that may change.

https://docs.dynatrace.com/docs/ingest-from/extend-dynatrace/extend-metrics/ingestion-methods
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from time import monotonic

from dtmetrics._config.enrichment import pairs_of, text_at
from dtmetrics._core import log
from dtmetrics._core.secret import Secret
from dtmetrics.errors import ConfigError
from dtmetrics.exporters import Batch, Exporter, ExportResult, Outcome

__all__ = ["FollowingExporter", "path_in", "said_at"]

URL_KEY = "DT_METRICS_INGEST_URL"
TOKEN_KEY = "DT_METRICS_INGEST_API_TOKEN"  # noqa: S105 -- its name

# As often as dynatrace-metric-utils-java looks; a change may be half written, so it
# has to look the same twice.
_LOOK_SECONDS = 60.0
_LOOK_AGAIN_SECONDS = 1.0

#: Makes the exporter for an endpoint and a token; raises ConfigError if none can be.
Make = Callable[[Secret, Secret], Exporter]


def path_in(directory: str) -> str:
    """Return where in the enrichment *directory* the file is."""
    return os.path.join(directory, "endpoint", "endpoint.properties")


def said_at(path: str) -> tuple[Secret, Secret]:
    """Return which endpoint and token the file at *path* names, if it does."""
    pairs = pairs_of(text_at(path) or "")
    return Secret(pairs.get(URL_KEY, "")), Secret(pairs.get(TOKEN_KEY, ""))


class FollowingExporter:
    """Exports to where the file at *path* says, or by *fallback* while it says nothing.

    The file may appear late, change, be half written or vanish: what was read last
    and could be used holds until there is something better. *on_move* is called
    after each change.
    """

    def __init__(
        self,
        path: str,
        make: Make,
        fallback: Exporter,
        on_move: Callable[[], object],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._path = path
        self._make = make
        self._exporter = fallback
        self._on_move = on_move
        self._clock = clock
        # Its text holds the token.
        self._used = self._seen = self._read()
        self._follow()
        self._look_at = clock() + _LOOK_SECONDS

    def export(self, body: Batch, timeout: float) -> ExportResult:
        """Export *body* to where the file says now."""
        if self._clock() >= self._look_at:
            self._look()
        exporter = self._exporter
        result = exporter.export(body, timeout)
        if result.outcome is not Outcome.MISCONFIGURED:
            return result
        # A token that was rotated, perhaps: better seen now than in a minute.
        self._look()
        changed = self._seen.reveal() != self._used.reveal()
        if exporter is self._exporter and not changed:
            return result
        return replace(result, outcome=Outcome.RETRY, retry_after=_LOOK_AGAIN_SECONDS)

    def close(self) -> None:
        """Let go of what the current exporter holds."""
        self._exporter.close()

    def reset_after_fork(self) -> None:
        """In a forked child: let go of the parent's connections."""
        self._exporter.reset_after_fork()

    def _read(self) -> Secret:
        return Secret(text_at(self._path) or "")

    def _look(self) -> None:
        now = self._read()
        again = now.reveal() != self._seen.reveal()
        self._seen = now
        self._look_at = self._clock() + (
            _LOOK_AGAIN_SECONDS if again else _LOOK_SECONDS
        )
        if not again and now.reveal() != self._used.reveal():
            self._used = now
            if self._follow():
                self._on_move()

    def _follow(self) -> bool:
        """Export to where the file says from now on, if that can be."""
        pairs = {
            key: Secret(text) for key, text in pairs_of(self._used.reveal()).items()
        }
        if URL_KEY not in pairs:
            return False
        try:
            exporter = self._make(pairs[URL_KEY], pairs.get(TOKEN_KEY, Secret("")))
        except ConfigError as error:
            log.warning("%s cannot be followed: %s", self._path, error)
            return False
        self._exporter.close()
        self._exporter = exporter
        return True
