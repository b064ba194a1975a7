"""Dimensions of this process from the files of OneAgent and the Kubernetes operator.

https://docs.dynatrace.com/docs/ingest-from/extend-dynatrace/extend-data
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable

from dtmetrics._protocol.normalize import clean_dimension_key

__all__ = ["first_line", "parse_properties", "read_enrichment", "read_text"]

# OneAgent shows this file only to the processes that it monitors, and only when it is
# opened by its bare name: it is absent from listings and from stat(). Its content is
# the path of another file.
_VIRTUAL_FILE = "dt_metadata_e617c525669e072eebe3d0f08212e8f2"
# Of a pod, from the Kubernetes operator; of a host, from its OneAgent. The later wins.
_FILES = "dt_metadata", "dt_host_metadata"
_EXTENSIONS = ".json", ".properties"

# These files hold a few dozen short lines.
_BYTES_LIMIT = 64 * 1024


def read_enrichment(platform_directory: str) -> dict[str, str]:
    """Return the dimensions in the files of the *platform_directory* and in OneAgent's.

    A file that is missing, unreadable or malformed is skipped: most processes have
    none.
    """
    dimensions = _first_with_pairs(
        first_line(read_text(_VIRTUAL_FILE + extension) or "")
        for extension in _EXTENSIONS
    )
    for name in _FILES:
        path = os.path.join(platform_directory, name)
        dimensions |= _first_with_pairs(path + extension for extension in _EXTENSIONS)
    return dimensions


def read_text(path: str) -> str | None:
    """Return the text of the file at *path*; None if it cannot be read."""
    try:
        # Opened without a check before: the virtual file fails every check.
        with open(path, "rb") as file:
            return file.read(_BYTES_LIMIT).decode("utf-8-sig", "replace")
    except (OSError, ValueError):
        return None


def first_line(text: str) -> str:
    """Return the first line of *text* that is not blank, without spaces around it."""
    return text.strip().partition("\n")[0].strip()


def parse_properties(text: str) -> list[tuple[str, str]]:
    """Return the ``key=value`` lines of *text* that have both.

    Nothing is unescaped, although these files are called properties: the operator
    escapes nothing. A value may contain ``=``.
    """
    lines = (line.partition("=") for line in text.splitlines())
    pairs = ((key.strip(), value.strip()) for key, _, value in lines)
    return [(key, value) for key, value in pairs if key and value]


def _first_with_pairs(paths: Iterable[str]) -> dict[str, str]:
    return next((pairs for path in paths if (pairs := _read_pairs(path))), {})


def _read_pairs(path: str) -> dict[str, str]:
    text = read_text(path) if path else None
    if text is None:
        return {}
    is_json = path.endswith(".json")
    pairs = _parse_json(text) if is_json else dict(parse_properties(text))
    return {key: value for key, value in pairs.items() if clean_dimension_key(key)}


def _parse_json(text: str) -> dict[str, str]:
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(parsed, dict):
        return {}
    return {
        key: value
        for key, value in parsed.items()
        if isinstance(value, str) and key and value
    }
