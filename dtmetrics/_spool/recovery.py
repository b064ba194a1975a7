"""Recovery: take over the batches that dead processes left in the spool."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable

from dtmetrics._core.safe_call import call_safely
from dtmetrics._spool.directory import Directory
from dtmetrics._spool.index import ATTEMPTED, WAITING, Index, StoredBatch
from dtmetrics._spool.record import RECORD_LIMIT, TEXT_LIMIT
from dtmetrics.exporters import Batch

__all__ = ["LOOK_SECONDS", "Recovery"]

_CORRUPT = ".bad"
_MOST_CORRUPT = 10

#: How often a process looks for directories of dead processes.
LOOK_SECONDS = 300.0
# The text that one call of recover() reads. It bounds memory and the flusher's time.
_RECOVER_BYTES = TEXT_LIMIT
# Each directory takes two file descriptors from the application.
_MOST_DIRECTORIES = 16


class Recovery:
    """Takes over directories without a living owner, and adds them to *index*."""

    def __init__(
        self, index: Index, now_ms: Callable[[], int], clock: Callable[[], float]
    ) -> None:
        self._index = index
        self._now_ms = now_ms
        self._clock = clock
        self._look_at = -math.inf
        self.recovered = self.corrupt = 0

    def recover(self) -> list[tuple[Batch, bool]]:
        """Return batches of dead processes, each with whether it is indeterminate.

        They count as stored by this process from then on. One call returns about 4 MiB
        of text. Later calls return the rest, and look for more every five minutes.
        """
        index = self._index
        if self._clock() >= self._look_at and not self._at_limit():
            self._look_at = self._clock() + LOOK_SECONDS
            call_safely(self._look, default=None, on_error=index.failed)
        found: list[tuple[Batch, bool]] = []
        if index.unread:
            left = _RECOVER_BYTES
            while index.unread and left > 0:
                entry = index.unread.popleft()
                left -= call_safely(
                    self._read, entry, found, default=0, on_error=index.failed
                )
            index.remove_idle_directories()
        return found

    def _at_limit(self) -> bool:
        index = self._index
        return (
            len(index.directories) >= _MOST_DIRECTORIES
            or index.size >= index.limits.max_bytes
        )

    def _look(self) -> None:
        index = self._index
        try:
            with index.root.open() as parent:
                self._look_in(parent)
        except FileNotFoundError:
            return  # no process has stored anything yet
        index.unread = deque(sorted(index.unread, key=lambda entry: entry.name))
        index.enforce_limits()

    def _look_in(self, parent: int) -> None:
        index = self._index
        for name in set(os.listdir(parent)) - index.directories.keys():
            if self._at_limit():
                self._look_at = -math.inf  # look again with the next call
                break
            if name.startswith("p-"):
                call_safely(
                    self._take_over, name, parent, default=None, on_error=index.failed
                )

    def _take_over(self, name: str, parent: int) -> None:
        """Take over the directory *name* if its process is dead."""
        index = self._index
        directory = index.directories[name] = Directory(name)
        done = False
        try:
            if directory.acquire(parent, self._now_ms() / 1000):
                names = directory.names()
                entries = [
                    StoredBatch(directory, n, directory.status(n).st_size)
                    for n in names
                    if n.endswith((WAITING, ATTEMPTED))
                ]
                index.unread += filter(self._has_valid_size, entries)
                done = True
                # A directory without batches goes at once, and counts for no limit.
                index.remove_idle_directories()
        finally:
            if not done:
                index.release(directory)

    def _has_valid_size(self, entry: StoredBatch) -> bool:
        """Return whether *entry* may be a batch; delete it otherwise.

        A huge file must not make valid ones exceed the limits.
        """
        if entry.size <= RECORD_LIMIT:
            return True
        self.corrupt += 1
        self._index.delete(entry)
        return False

    def _read(self, entry: StoredBatch, found: list[tuple[Batch, bool]]) -> int:
        """Add the batch of *entry* to *found*; return how many bytes were read."""
        index = self._index
        batch = entry.read()
        if batch is None:
            self.corrupt += 1
            self._set_aside(entry)
            return entry.size
        if self._now_ms() - batch.created_ms > index.limits.max_age * 1000:
            index.dropped["too old"] += batch.points
            index.delete(entry)
        else:
            self.recovered += 1
            entry.batch = batch
            index.stored[id(batch)] = entry
            found.append((batch, entry.name.endswith(ATTEMPTED)))
        return len(batch.text)

    def _set_aside(self, entry: StoredBatch) -> None:
        """Keep a corrupt file for inspection, unless ten are kept already."""
        with self._index.root.open() as parent:
            kept = sum(name.endswith(_CORRUPT) for name in os.listdir(parent))
            if kept < _MOST_CORRUPT:
                # Cut, because a foreign name may be as long as the system allows.
                name = f"{entry.name[:64]}.{entry.directory.name}{_CORRUPT}"
                entry.directory.rename(entry.name, name, parent)
            else:
                entry.directory.delete(entry.name)
