"""Index: the directories of the spool that this process holds, and their batches."""

from __future__ import annotations

import errno
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple, TypeVar

from dtmetrics._core.safe_call import call_safely
from dtmetrics._spool.directory import Directory
from dtmetrics._spool.record import RECORD_LIMIT, TEXT_LIMIT, decode
from dtmetrics._spool.root import SpoolRoot
from dtmetrics._spool.unrecovered import Unrecovered
from dtmetrics.exporters import Batch

__all__ = ["ATTEMPTED", "WAITING", "Index", "SpoolLimits", "StoredBatch"]

T = TypeVar("T")

#: The endings of file names: of a batch that waits, and of one that the endpoint may
#: have accepted already.
WAITING, ATTEMPTED = ".b", ".try"
_CORRUPT = ".bad"

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
    """How much a process stores, takes over and keeps."""

    max_bytes: int = 64 << 20
    #: In seconds, since the batch was created.
    max_age: float = 55 * 60
    max_files: int = 5_000
    #: Each directory takes two file descriptors from the application.
    max_directories: int = 16
    max_corrupt: int = 10
    #: The text that one call of recover() reads. It bounds memory and time.
    recover_bytes: int = TEXT_LIMIT


@dataclass(eq=False, slots=True)
class StoredBatch:
    """A file, and the batch in it once that has been read."""

    directory: Directory
    name: str
    size: int
    batch: Batch | None = None
    #: The name before the last attempt.
    name_before: str = ""

    def read(self) -> Batch | None:
        """Return the batch in the file, or None if the file is corrupt."""
        record = self.directory.read(self.name, RECORD_LIMIT)
        return None if record is None else decode(record)

    def rename(self, name: str) -> None:
        """Rename the file to *name*."""
        self.directory.rename(self.name, name)
        self.name = name


class Index:
    """What this process holds below *root*.

    Only ``create_directory()`` and ``set_aside()`` raise errors of the disk. The other
    methods count them.
    """

    def __init__(self, root: SpoolRoot, limits: SpoolLimits) -> None:
        self._root = root
        self._limits = limits
        #: The directory for new batches of this process.
        self.active: Directory | None = None
        #: By name. Entered before they are locked: a fork may come in between.
        self.directories: dict[str, Directory] = {}
        #: Batches that this process has in memory as well.
        self.stored: dict[Batch, StoredBatch] = {}
        #: Batches of dead processes, still to be read, the oldest first.
        self.unread: deque[StoredBatch] = deque()
        #: What is not recovered.
        self.unrecovered = Unrecovered(root)
        #: What has happened on disk, as ``Spool.account()`` returns it.
        self.counts = Counter(recovered=0)

    def __iter__(self) -> Iterator[StoredBatch]:
        return chain(self.stored.values(), self.unread)

    @property
    def full(self) -> bool:
        """Whether this process takes over no more directories."""
        return (
            len(self.directories) >= self._limits.max_directories
            or sum(entry.size for entry in self) >= self._limits.max_bytes
        )

    def safely(self, operation: Callable[..., T], *args: object) -> T | None:
        """Return the result of *operation*; count a failure, and return None then."""
        return call_safely(operation, *args, default=None, on_error=self.count_failure)

    def count_failure(self, error: Exception) -> None:
        """Count a failed disk operation."""
        reason = _REASONS.get(getattr(error, "errno", 0), "other")
        self.counts[f"failed: {reason}"] += 1

    def create_directory(self) -> Directory:
        """Return a new directory, which is the active one from then on."""
        directory = Directory()
        with self._root.open(create=True) as parent:
            self.directories[directory.name] = directory
            try:
                directory.create(parent)
            except BaseException:
                self.release(directory)
                raise
        self.active = directory
        return directory

    def take_over(self, name: str, parent: int, now: float) -> None:
        """Take over the directory *name* in *parent* if its process is dead."""
        directory = self.directories[name] = Directory(name)
        if not self.safely(directory.acquire, parent, now):
            self.release(directory)
            return
        for file, size in (self.safely(directory.sizes) or {}).items():
            if file.endswith((WAITING, ATTEMPTED)):
                entry = StoredBatch(directory, file, size)
                if size <= RECORD_LIMIT:
                    self.unread.append(entry)
                else:  # a huge file must not make valid ones exceed the limits
                    self.safely(self.set_aside, entry)
        # A directory without batches goes at once, and counts for no limit.
        self.remove_idle_directories()

    def set_aside(self, entry: StoredBatch) -> None:
        """Keep a corrupt file for inspection, unless it is huge or ten are kept."""
        self.counts["corrupt"] += 1
        self.unrecovered.add("they are corrupt", entry.directory.name, entry.name)
        with self._root.open() as parent:
            corrupt = sum(name.endswith(_CORRUPT) for name in os.listdir(parent))
            if corrupt < self._limits.max_corrupt and entry.size <= RECORD_LIMIT:
                # Cut, because a foreign name may be as long as the system allows.
                name = f"{entry.name[:64]}.{entry.directory.name}{_CORRUPT}"
                entry.directory.rename(entry.name, name, parent)
            else:
                entry.directory.delete(entry.name)

    def delete(self, entry: StoredBatch) -> None:
        """Delete the file of *entry*."""
        self.safely(entry.directory.delete, entry.name)

    def enforce_limits(self) -> None:
        """Delete the oldest files beyond the limits."""
        limits = self._limits
        files = len(self.stored) + len(self.unread)
        size = sum(entry.size for entry in self)
        # Sorted only beyond a limit: this is called for each batch that is stored.
        exceeded = files > limits.max_files or size > limits.max_bytes
        for oldest in sorted(self, key=lambda each: each.name) if exceeded else ():
            if files <= limits.max_files and size <= limits.max_bytes:
                break
            files -= 1
            size -= oldest.size
            if oldest.batch is not None:
                self.counts["failed: spool full"] += 1  # the outbox still holds it
                del self.stored[oldest.batch]
            else:
                if batch := call_safely(oldest.read, default=None):
                    self.counts["dropped: spool full"] += batch.points
                    reason = "the spool is full"
                    self.unrecovered.add(reason, oldest.directory.name, oldest.name)
                self.unread.remove(oldest)
            self.delete(oldest)
        self.remove_idle_directories()

    def remove_idle_directories(self) -> None:
        """Remove each directory without batches, but not the active one."""
        busy = {entry.directory for entry in self} | {self.active}
        for directory in [d for d in self.directories.values() if d not in busy]:
            self.safely(self._remove, directory)
            self.release(directory)

    def _remove(self, directory: Directory) -> None:
        with self._root.open() as parent:
            directory.remove(parent)

    def release(self, directory: Directory) -> None:
        """Release *directory* and leave its files to other processes."""
        self.safely(directory.release)
        del self.directories[directory.name]
