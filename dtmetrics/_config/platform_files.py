"""The files of OneAgent and the Kubernetes operator: dimensions, and an endpoint.

https://docs.dynatrace.com/docs/ingest-from/extend-dynatrace/extend-data
https://docs.dynatrace.com/docs/ingest-from/extend-dynatrace/extend-metrics/ingestion-methods
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from time import monotonic

from dtmetrics._core import log
from dtmetrics._core.safe_call import call_safely
from dtmetrics._core.secret import Secret
from dtmetrics._protocol.normalize import clean_dimension_key
from dtmetrics.errors import ConfigError
from dtmetrics.exporters import Batch, Exporter, ExportResult, Outcome

__all__ = [
    "EndpointFileExporter",
    "endpoint_file",
    "first_line",
    "is_monitored",
    "parse_properties",
    "read_destination",
    "read_enrichment",
]

# OneAgent shows this file only to the processes that it monitors, and only when it is
# opened by its bare name: it is absent from listings and from stat(). Its content is
# the path of another file.
_VIRTUAL_FILE = "dt_metadata_e617c525669e072eebe3d0f08212e8f2"
# Of a pod, from the Kubernetes operator; of a host, from its OneAgent. The later wins.
_FILES = "dt_metadata", "dt_host_metadata"
_EXTENSIONS = ".json", ".properties"

# The entries of the operator's endpoint file.
_URL_KEY = "DT_METRICS_INGEST_URL"
_TOKEN_KEY = "DT_METRICS_INGEST_API_TOKEN"  # noqa: S105 -- the key, not a token

# These files hold a few dozen short lines.
_BYTES_LIMIT = 64 * 1024

# dynatrace-metric-utils-java checks as often. A change is applied once two checks in a
# row have read the same text, because the first may have met a half-written file.
_CHECK_SECONDS = 60.0
_RECHECK_SECONDS = 1.0


def read_enrichment(platform_directory: str) -> dict[str, str]:
    """Return the dimensions in the files of the *platform_directory* and in OneAgent's.

    A file that is missing, unreadable or malformed is skipped: most processes have
    none.
    """
    dimensions: dict[str, str] = {}
    virtual = [first_line(_read_text(_VIRTUAL_FILE + end)) for end in _EXTENSIONS]
    pod, host = (
        [os.path.join(platform_directory, name + end) for end in _EXTENSIONS]
        for name in _FILES
    )
    for paths in (virtual, pod, host):
        # The files of a name have one content, in two formats.
        dimensions |= next(filter(None, map(_read_pairs, paths)), {})
    return dimensions


def is_monitored() -> bool:
    """Return whether OneAgent monitors this process: it shows its file to no other."""
    return any(_read_text(_VIRTUAL_FILE + end).strip() for end in _EXTENSIONS)


def endpoint_file(platform_directory: str) -> str:
    """Return the path of the operator's endpoint file in the *platform_directory*."""
    return os.path.join(platform_directory, "endpoint", "endpoint.properties")


def read_destination(path: str) -> tuple[Secret, Secret]:
    """Return the endpoint and the token in the file at *path*; empty if absent."""
    return _destination(Secret(_read_text(path)))


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
        self._applied = self._latest = Secret(_read_text(path))
        self._apply()
        self._next_check = clock() + _CHECK_SECONDS

    @property
    def destination(self) -> str:
        """The host of the endpoint that is in use."""
        return getattr(self._exporter, "destination", "")

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

    def _check(self) -> None:
        text = Secret(_read_text(self._path))
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


def first_line(text: str) -> str:
    """Return the first line of *text* that is not blank, without spaces around it."""
    return text.strip().partition("\n")[0].strip()


def parse_properties(text: str) -> dict[str, str]:
    """Return the ``key=value`` lines of *text* that have both; the last of a key wins.

    Nothing is unescaped, although these files are called properties: the operator
    escapes nothing. A value may contain ``=``.
    """
    lines = (line.partition("=") for line in text.splitlines())
    pairs = ((key.strip(), value.strip()) for key, _, value in lines)
    return {key: value for key, value in pairs if key and value}


def _read_text(path: str) -> str:
    """Return the text of the file at *path*; empty if it cannot be read."""
    try:
        # Opened without a check before: the virtual file fails every check.
        with open(path, "rb") as file:
            return file.read(_BYTES_LIMIT).decode("utf-8-sig", "replace")
    except (OSError, ValueError):
        return ""


def _read_pairs(path: str) -> dict[str, str]:
    parse = json.loads if path.endswith(".json") else parse_properties
    pairs: object = call_safely(parse, _read_text(path), default={})
    return {
        key: value
        for key, value in (pairs.items() if isinstance(pairs, dict) else ())
        if clean_dimension_key(key) and isinstance(value, str) and value
    }


def _destination(text: Secret) -> tuple[Secret, Secret]:
    # No variable shows the token, as a traceback with locals would.
    secrets = {k: Secret(v) for k, v in parse_properties(text.reveal()).items()}
    return secrets.get(_URL_KEY, Secret("")), secrets.get(_TOKEN_KEY, Secret(""))
