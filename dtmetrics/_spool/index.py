"""What a process holds of a spool: folders, and the copies of bodies in them."""

from __future__ import annotations

import errno
from collections import Counter, deque
from collections.abc import Iterator
from itertools import chain

from dtmetrics._core.safe_call import call_safely
from dtmetrics._spool.directory import Directory
from dtmetrics._spool.record import RECORD_LIMIT, Stored, decode
from dtmetrics._spool.root import Ground
from dtmetrics.exporters import Batch

__all__ = ["TRIED", "WAITS", "Copy", "Holdings"]

#: How the names of bodies end: of one that waits, and that may have been taken.
WAITS, TRIED = ".b", ".try"

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


class Copy:
    """A file, and the body that it is a copy of, once that is known."""

    __slots__ = ("body", "folder", "name", "name_before", "size")

    def __init__(
        self, folder: Directory, name: str, size: int, body: Batch | None = None
    ) -> None:
        self.folder = folder
        self.name = name
        self.size = size
        self.body = body
        #: What it was called before the attempt under way, if that is in doubt now.
        self.name_before = ""

    def read(self) -> Stored | None:
        """Return what it says; None if that is not what was written."""
        record = self.folder.read(self.name, RECORD_LIMIT)
        return None if record is None else decode(record)

    def rename(self, name: str) -> None:
        """Call the file *name*."""
        self.folder.rename(self.name, name)
        self.name = name


class Holdings:
    """Folders of this process on *ground*, and what is in them. Raises nothing."""

    def __init__(self, ground: Ground, max_files: int, max_bytes: int) -> None:
        self.ground = ground
        self._max_files = max_files
        self.max_bytes = max_bytes
        #: The folder that takes this process's own bodies.
        self.own: Directory | None = None
        #: By name, and from before they are locked on: a fork may come in between.
        self.folders: dict[str, Directory] = {}
        #: By the identity of their bodies.
        self.known: dict[int, Copy] = {}
        #: Left by dead processes, the oldest first.
        self.unread: deque[Copy] = deque()
        self.failures: Counter[str] = Counter()
        #: Data points of dead processes that nobody will send, by reason.
        self.lost: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Copy]:
        return chain(self.known.values(), self.unread)

    def __len__(self) -> int:
        return len(self.known) + len(self.unread)

    @property
    def size(self) -> int:
        """How many bytes all copies have."""
        return sum(copy.size for copy in self)

    def reset_after_fork(self) -> None:
        """In a forked child: let go of what the parent holds."""
        for folder in list(self.folders.values()):
            call_safely(folder.reset_after_fork, default=None)

    def failed(self, error: Exception) -> None:
        """Count what could not be done."""
        number = error.errno if isinstance(error, OSError) else None
        self.failures[_REASONS.get(number or 0, "other")] += 1

    def rename(self, copy: Copy, name: str) -> None:
        """Call the file of *copy* by another *name*."""
        call_safely(copy.rename, name, default=None, on_error=self.failed)

    def delete(self, copy: Copy) -> None:
        """Delete the file of *copy*."""
        call_safely(copy.folder.delete, copy.name, default=None, on_error=self.failed)

    def stay_within_bounds(self) -> None:
        """Delete the oldest copies that are too many or too much."""
        for copy in self._take_out_oldest():
            if copy.body is not None:
                self.failures["spool full"] += 1
            elif stored := call_safely(copy.read, default=None):
                self.lost["spool full"] += stored.points
            self.delete(copy)
        self.tidy()

    def _take_out_oldest(self) -> list[Copy]:
        files, size = len(self), self.size
        if files <= self._max_files and size <= self.max_bytes:
            return []
        out: list[Copy] = []
        for copy in sorted(self, key=lambda copy: copy.name):
            if files <= self._max_files and size <= self.max_bytes:
                break
            files -= 1
            size -= copy.size
            out.append(copy)
        gone = set(out)
        self.known = {k: copy for k, copy in self.known.items() if copy not in gone}
        self.unread = deque(copy for copy in self.unread if copy not in gone)
        return out

    def tidy(self) -> None:
        """Let go of each folder but our own that has no copies, and remove it."""
        busy = {copy.folder for copy in self} | {self.own}
        for folder in [f for f in self.folders.values() if f not in busy]:
            call_safely(self._remove, folder, default=None, on_error=self.failed)
            self.let_go(folder)

    def let_go(self, folder: Directory) -> None:
        """Hold *folder* no more, and let it be."""
        call_safely(folder.release, default=None, on_error=self.failed)
        del self.folders[folder.name]

    def _remove(self, folder: Directory) -> None:
        with self.ground.opened() as tenant:
            folder.remove(tenant)
