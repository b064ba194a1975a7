"""Index: the directories of the spool that this process holds, and their batches."""

from __future__ import annotations

import errno
from collections import Counter, deque
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from dtmetrics._core.safe_call import call_safely
from dtmetrics._spool.directory import Directory
from dtmetrics._spool.record import RECORD_LIMIT, decode
from dtmetrics._spool.root import SpoolRoot
from dtmetrics.exporters import Batch

__all__ = ["ATTEMPTED", "WAITING", "Index", "SpoolLimits", "StoredBatch"]

#: The endings of file names: of a batch that waits, and of one that the endpoint may
#: have accepted already.
WAITING, ATTEMPTED = ".b", ".try"

_REASONS = {
    errno.EACCES: "not allowed",
    errno.EDQUOT: "disk full",
    errno.EIO: "disk error",
    errno.EMFILE: "too many open files",
    errno.ENFILE: "too many open files",
    errno.ENOENT: "removed by others",
    errno.ENOSPC: "disk full",
    errno.EPERM: "not allowed",
    errno.EROFS: "read-only",
}


class SpoolLimits(NamedTuple):
    """How much a process stores: bytes, seconds since the batch was made, files."""

    max_bytes: int = 64 << 20
    max_age: float = 55 * 60
    max_files: int = 5_000


class StoredBatch:
    """A file, and the batch in it once that has been read."""

    __slots__ = ("batch", "directory", "name", "name_before", "size")

    def __init__(
        self, directory: Directory, name: str, size: int, batch: Batch | None = None
    ) -> None:
        self.directory = directory
        self.name = name
        self.size = size
        self.batch = batch
        #: The name before the attempt under way, if the attempt changed it.
        self.name_before = ""

    def read(self) -> Batch | None:
        """Return the batch in the file, or None if the file is corrupt."""
        record = self.directory.read(self.name, RECORD_LIMIT)
        return None if record is None else decode(record)

    def rename(self, name: str) -> None:
        """Rename the file to *name*."""
        self.directory.rename(self.name, name)
        self.name = name


class Index:
    """What this process holds below *root*. Its methods count errors, raise none."""

    def __init__(self, root: SpoolRoot, limits: SpoolLimits) -> None:
        self.root = root
        self.limits = limits
        #: The directory for new batches of this process.
        self.active: Directory | None = None
        #: By name. Entered before they are locked: a fork may come in between.
        self.directories: dict[str, Directory] = {}
        #: Batches that this process has in memory as well, by ``id(batch)``.
        self.stored: dict[int, StoredBatch] = {}
        #: Batches of dead processes, still to be read, the oldest first.
        self.unread: deque[StoredBatch] = deque()
        #: Failed disk operations, by reason.
        self.failures: Counter[str] = Counter()
        #: Data points of dead processes that will not be sent, by reason.
        self.dropped: Counter[str] = Counter()

    def __iter__(self) -> Iterator[StoredBatch]:
        return chain(self.stored.values(), self.unread)

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(entry.size for entry in self)

    def reset_after_fork(self) -> None:
        """In a forked child: close the parent's directories without unlocking them."""
        for directory in list(self.directories.values()):
            call_safely(directory.reset_after_fork, default=None)

    def failed(self, error: Exception) -> None:
        """Count a failed disk operation."""
        number = error.errno if isinstance(error, OSError) else None
        self.failures[_REASONS.get(number or 0, "other")] += 1

    def rename(self, entry: StoredBatch, name: str) -> None:
        """Rename the file of *entry* to *name*."""
        call_safely(entry.rename, name, default=None, on_error=self.failed)

    def delete(self, entry: StoredBatch) -> None:
        """Delete the file of *entry*."""
        call_safely(
            entry.directory.delete, entry.name, default=None, on_error=self.failed
        )

    def enforce_limits(self) -> None:
        """Delete the oldest files beyond the limits."""
        for entry in self._pop_oldest():
            if entry.batch is not None:
                self.failures["spool full"] += 1  # the outbox still holds it
            elif batch := call_safely(entry.read, default=None):
                self.dropped["spool full"] += batch.points
            self.delete(entry)
        self.remove_idle_directories()

    def _pop_oldest(self) -> list[StoredBatch]:
        entries = sorted(self, key=lambda entry: entry.name)
        files, size = len(entries), self.size
        removed: set[StoredBatch] = set()
        for entry in entries:
            if files <= self.limits.max_files and size <= self.limits.max_bytes:
                break
            files -= 1
            size -= entry.size
            removed.add(entry)
        if removed:
            kept = {k: e for k, e in self.stored.items() if e not in removed}
            self.stored = kept
            self.unread = deque(e for e in self.unread if e not in removed)
        return [entry for entry in entries if entry in removed]

    def remove_idle_directories(self) -> None:
        """Remove each directory without batches, but not the active one."""
        busy = {entry.directory for entry in self} | {self.active}
        for directory in [d for d in self.directories.values() if d not in busy]:
            call_safely(self._remove, directory, default=None, on_error=self.failed)
            self.release(directory)

    def release(self, directory: Directory) -> None:
        """Release *directory* and leave its files to other processes."""
        call_safely(directory.release, default=None, on_error=self.failed)
        del self.directories[directory.name]

    def _remove(self, directory: Directory) -> None:
        with self.root.open() as parent:
            directory.remove(parent)
