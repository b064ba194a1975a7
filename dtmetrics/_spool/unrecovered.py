"""What the spool cannot recover: counted, and logged with its path and age."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from dtmetrics._core import log
from dtmetrics._spool.root import SpoolRoot, closing, open_directory

__all__ = ["Unrecovered", "created_ms"]

# The name of a batch's file begins with the time of its collection.
_BATCH = re.compile(r"([0-9]{15})-[0-9a-f]{32}\.(b|try)")
_MS_PER_MINUTE = 60_000


def created_ms(name: str) -> int | None:
    """Return when the batch in the file *name* was collected; None: unknown."""
    match = _BATCH.fullmatch(name)
    return int(match[1]) if match else None


class _Loss(NamedTuple):
    """Files of one directory that are not recovered for one reason."""

    files: int
    oldest_ms: int | None


class Unrecovered:
    """Collects what is not recovered, and logs one line for each directory."""

    def __init__(self, root: SpoolRoot) -> None:
        self._root = root
        self._found: dict[tuple[str, str], _Loss] = {}
        # Directories of other endpoints that have been logged.
        self._known: dict[str, int] = {}

    @property
    def elsewhere(self) -> int:
        """How many batches for other endpoints are too old for any process."""
        return sum(self._known.copy().values())

    def add(self, reason: str, directory: str, name: str) -> None:
        """Note the file *name* in *directory*, which is not recovered for *reason*."""
        path, moment = os.path.join(self._root.path, directory), created_ms(name)
        files, oldest = self._found.get((reason, path), (0, None))
        if oldest is None or (moment is not None and moment < oldest):
            oldest = moment
        self._found[reason, path] = _Loss(files + 1, oldest)

    def look_elsewhere(self, now_ms: int, max_age_ms: float) -> None:
        """Note the batches for other endpoints that are too old to be sent.

        Younger ones may be of a process that sends them.
        """
        for directory, names in self._directories_elsewhere():
            moments = [m for m in map(created_ms, names) if m is not None]
            expired = [m for m in moments if now_ms - m > max_age_ms]
            if expired and directory not in self._known:
                reason = "they are for another endpoint, and too old"
                self._found[reason, directory] = _Loss(len(expired), min(expired))
            if expired:
                self._known[directory] = len(expired)

    def log(self, now_ms: int) -> None:
        """Log what has been found since the last call."""
        found, self._found = self._found, {}
        for (reason, path), (files, oldest) in found.items():
            age = "of unknown age"
            if oldest is not None:
                age = f"up to {(now_ms - oldest) // _MS_PER_MINUTE} minutes old"
            log.warning(
                "cannot recover %d batch%s in %s, %s: %s",
                files,
                "es" * (files > 1),
                path,
                age,
                reason,
            )

    def _directories_elsewhere(self) -> Iterator[tuple[str, list[str]]]:
        """Yield the path of each directory for another endpoint, and its files."""
        own = os.path.basename(self._root.path)
        with self._root.open_all() as root:
            for tenant in sorted({*os.listdir(root)} - {own}):
                # A file, or a directory of another user.
                with suppress(OSError):
                    yield from self._directories_of(tenant, root)

    def _directories_of(
        self, tenant: str, root: int
    ) -> Iterator[tuple[str, list[str]]]:
        top = os.path.dirname(self._root.path)
        with closing(open_directory(tenant, root)) as parent:
            for name in sorted(os.listdir(parent)):
                with suppress(OSError):
                    with closing(open_directory(name, parent)) as directory:
                        names = os.listdir(directory)
                    yield os.path.join(top, tenant, name), names
