"""What the platform knows of this process: dimensions from enrichment files.

https://docs.dynatrace.com/docs/ingest-from/extend-dynatrace/extend-data
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping

from dtmetrics._protocol.normalize import clean_dimension_key

__all__ = ["directory_of", "enrichment", "first_line", "pairs_of", "text_at"]

# OneAgent shows this file to the processes that it watches, and to no one else. It
# exists when it is opened by its bare name, not when it is asked for or listed; in it
# is the path of another.
_VIRTUAL = "dt_metadata_e617c525669e072eebe3d0f08212e8f2"
# Of a pod, by the Kubernetes operator; of a host, by its OneAgent. Later ones win.
_NAMES = "dt_metadata", "dt_host_metadata"
_FORMS = ".json", ".properties"

# What these files hold is a few dozen short lines.
_BYTES_LIMIT = 64 * 1024


def directory_of(environ: Mapping[str, str], system: str = os.name) -> str:
    """Return where the platform's files are on this *system*."""
    if system == "nt":
        root = environ.get("ProgramData") or r"C:\ProgramData"
        return rf"{root}\dynatrace\enrichment"
    return "/var/lib/dynatrace/enrichment"


def enrichment(directory: str) -> dict[str, str]:
    """Return what the files in *directory*, and OneAgent's own, say of this process.

    A file that is missing, unreadable or not of its form says nothing: most processes
    have none.
    """
    found = _first_with_pairs(
        first_line(text_at(_VIRTUAL + form) or "") for form in _FORMS
    )
    for name in _NAMES:
        path = os.path.join(directory, name)
        found |= _first_with_pairs(path + form for form in _FORMS)
    return found


def text_at(path: str) -> str | None:
    """Return the text of the file at *path*; None if it cannot be read."""
    try:
        # Opened without a look before: see the virtual file.
        with open(path, "rb") as file:
            return file.read(_BYTES_LIMIT).decode("utf-8-sig", "replace")
    except (OSError, ValueError):
        return None


def first_line(text: str) -> str:
    """Return the first line of *text*, without blanks around it."""
    return text.strip().partition("\n")[0].strip()


def pairs_of(text: str) -> dict[str, str]:
    """Return the ``key=value`` lines of *text*; the last of two with one key.

    Nothing is escaped there, although these files are called properties: the
    operator writes them plainly. A value may hold ``=``.
    """
    lines = (line.partition("=") for line in text.splitlines())
    pairs = ((key.strip(), value.strip()) for key, _, value in lines)
    return {key: value for key, value in pairs if key and value}


def _first_with_pairs(paths: Iterable[str]) -> dict[str, str]:
    return next((pairs for path in paths if (pairs := _pairs_at(path))), {})


def _pairs_at(path: str) -> dict[str, str]:
    text = text_at(path) if path else None
    if text is None:
        return {}
    pairs = _json_pairs(text) if path.endswith(".json") else pairs_of(text)
    return {key: value for key, value in pairs.items() if clean_dimension_key(key)}


def _json_pairs(text: str) -> dict[str, str]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {
        key: value
        for key, value in found.items()
        if isinstance(value, str) and key and value
    }
