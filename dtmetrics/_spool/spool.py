"""Spool: waiting batches on disk, for the case that this process is killed.

::

    <root>/<16 hex digits of the tenant>/     shared by all that send to one endpoint
        p-<pid>-<random>/                     of one process, which holds its lock
            lock
            <created_ms>-<id>.b               waits
            <created_ms>-<id>.try             the endpoint may have accepted it already
        <file>.<directory>.bad                corrupt; ten are kept

A file appears whole or not at all, and its name holds its state. No other file lists
the batches, so that none can contradict the directory after a crash.

A batch that is divided is deleted after its parts are stored. A process killed in
between leaves both; the whole is marked as indeterminate then, as it is during every
attempt to send it.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from dtmetrics._core.safe_call import call_safely
from dtmetrics._spool.directory import PREFIX, can_lock
from dtmetrics._spool.index import ATTEMPTED, WAITING, Index, SpoolLimits, StoredBatch
from dtmetrics._spool.record import TEXT_LIMIT, encode
from dtmetrics._spool.root import SpoolRoot
from dtmetrics.errors import ConfigError
from dtmetrics.exporters import Batch

__all__ = ["LOOK_SECONDS", "Spool", "SpoolLimits"]

#: How often a process looks for directories of dead processes.
LOOK_SECONDS = 300.0
_PAUSE_SECONDS = 60.0


class Spool:
    """Stores batches below *root*, and recovers those of dead processes.

    *tenant* identifies the endpoint. Batches for one tenant are never sent to another.
    One thread calls at a time. Raises ConfigError if *root* cannot be used. No method
    raises: a failed disk operation is counted, and the batch stays in memory.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        tenant: str,
        *,
        now_ms: Callable[[], int],
        clock: Callable[[], float],
        limits: SpoolLimits | None = None,
    ) -> None:
        if not can_lock():
            raise ConfigError(["spool must be unset: this system has no flock()"])
        self._root = SpoolRoot(root, tenant)
        #: The directory that all processes share that send to this endpoint.
        self.path = self._root.path
        self._limits = limits or SpoolLimits()
        self._now_ms = now_ms
        self._clock = clock
        self._create_state()

    def _create_state(self) -> None:
        """Create what a forked child must not share with its parent."""
        self._index = Index(self._root, self._limits)
        self._look_at = self._paused_until = -math.inf

    def reset_after_fork(self) -> None:
        """In a forked child: leave files and locks to the parent."""
        for directory in list(self._index.directories.values()):
            call_safely(directory.reset_after_fork, default=None)
        self._create_state()

    def account(self) -> dict[str, int]:
        """Return what is on disk now, and what has happened there so far.

        ``batches`` and ``bytes`` are on disk. ``recovered`` and ``corrupt`` count files
        of dead processes. ``dropped: <reason>`` counts data points of dead processes
        that will not be sent, ``failed: <reason>`` disk operations that failed, and
        ``expired: other endpoint`` batches that no process sends any more. They stay on
        disk.
        """
        index = self._index
        # Each copied in one step, because another thread may change them meanwhile.
        entries = [*index.stored.copy().values(), *index.unread.copy()]
        sizes = [entry.size for entry in entries]
        account = {"batches": len(sizes), "bytes": sum(sizes), **index.counts.copy()}
        if expired := index.unrecovered.elsewhere:
            account["expired: other endpoint"] = expired
        return account

    # -- batches of this process -----------------------------------------------------

    def has(self, batch: Batch) -> bool:
        """Return whether *batch* is stored."""
        return batch in self._index.stored

    def stored(self) -> list[Batch]:
        """Return all stored batches."""
        return list(self._index.stored)

    def store(self, batch: Batch, *, indeterminate: bool = False) -> None:
        """Store *batch* unless it is stored. On return it outlives this process.

        *indeterminate*: the endpoint may have accepted it already.
        """
        if self.has(batch):
            if indeterminate:
                self.begin_attempt(batch)
        elif batch.identities and self._clock() >= self._paused_until:
            suffix = ATTEMPTED if indeterminate else WAITING
            call_safely(self._store, batch, suffix, default=None, on_error=self._pause)

    def _store(self, batch: Batch, suffix: str) -> None:
        index = self._index
        record = encode(batch)
        if len(batch.text) > TEXT_LIMIT or len(record) > self._limits.max_bytes:
            index.counts["failed: too large"] += 1
            return
        name = f"{batch.created_ms:015}-{os.urandom(16).hex()}{suffix}"
        directory = index.active or index.create_directory()
        try:
            directory.write(name, record)
        except FileNotFoundError:  # another process has removed the directory
            index.stored = {
                b: e for b, e in index.stored.items() if e.directory is not directory
            }
            index.active = None
            index.release(directory)
            raise
        index.stored[batch] = StoredBatch(directory, name, len(record), batch)
        index.enforce_limits()

    def _pause(self, error: Exception) -> None:
        """Store nothing for a minute: retrying would not help a full disk."""
        self._index.count_failure(error)
        self._paused_until = self._clock() + _PAUSE_SECONDS

    def begin_attempt(self, batch: Batch) -> None:
        """Mark *batch* as indeterminate, before it is sent."""
        if entry := self._index.stored.get(batch):
            entry.name_before = entry.name
            if entry.name.endswith(WAITING):
                name = entry.name.removesuffix(WAITING) + ATTEMPTED
                self._index.safely(entry.rename, name)

    def undo_attempt(self, batch: Batch) -> None:
        """Restore the mark of *batch*: the endpoint did not accept it in this attempt.

        A batch that was indeterminate before the attempt remains indeterminate.
        """
        entry = self._index.stored.get(batch)
        if entry and entry.name_before:
            self._index.safely(entry.rename, entry.name_before)

    def delete(self, batch: Batch) -> None:
        """Delete *batch* from the disk: it was answered, dropped or divided."""
        if entry := self._index.stored.pop(batch, None):
            self._index.delete(entry)
            if entry.directory is not self._index.active:
                self._index.remove_idle_directories()

    def close(self) -> None:
        """Leave all stored batches to other processes."""
        index = self._index
        index.stored.clear()
        index.unread.clear()
        index.active = None
        # Removes the empty directories, and releases the others.
        index.remove_idle_directories()

    # -- batches of dead processes ---------------------------------------------------

    def recover(self) -> list[tuple[Batch, bool]]:
        """Return batches of dead processes, each with whether it is indeterminate.

        They count as stored by this process from then on. One call returns about 4 MiB
        of text. Later calls return the rest, and look for more every five minutes.
        """
        index = self._index
        if self._clock() >= self._look_at and not index.full:
            self._look_at = self._clock() + LOOK_SECONDS
            index.safely(self._look)
            index.safely(self._look_elsewhere)
        found: list[tuple[Batch, bool]] = []
        left = self._limits.recover_bytes
        while index.unread and left > 0:
            left -= index.safely(self._read, index.unread.popleft(), found) or 0
        index.remove_idle_directories()
        index.unrecovered.log(self._now_ms())
        return found

    def _look(self) -> None:
        """Take over the directories of dead processes."""
        index = self._index
        # Without a directory for the tenant, no process has stored anything yet.
        with suppress(FileNotFoundError), self._root.open() as parent:
            for name in set(os.listdir(parent)) - index.directories.keys():
                if index.full:
                    self._look_at = -math.inf  # look again with the next call
                    break
                if name.startswith(PREFIX):
                    index.take_over(name, parent, self._now_ms() / 1000)
        index.unread = deque(sorted(index.unread, key=lambda entry: entry.name))
        index.enforce_limits()

    def _look_elsewhere(self) -> None:
        """Find what was left for other endpoints, which no process sends."""
        # It only reports. A failure to list directories is counted by _look().
        with suppress(OSError):
            self._index.unrecovered.look_elsewhere(
                self._now_ms(), self._limits.max_age * 1000
            )

    def _read(self, entry: StoredBatch, found: list[tuple[Batch, bool]]) -> int:
        """Add the batch of *entry* to *found*; return how many bytes were read."""
        index = self._index
        batch = entry.read()
        if batch is None:
            index.set_aside(entry)
            return entry.size
        if self._now_ms() - batch.created_ms > self._limits.max_age * 1000:
            index.counts["dropped: too old"] += batch.points
            index.unrecovered.add("they are too old", entry.directory.name, entry.name)
            index.delete(entry)
        else:
            index.counts["recovered"] += 1
            entry.batch = batch
            index.stored[batch] = entry
            found.append((batch, entry.name.endswith(ATTEMPTED)))
        return len(batch.text)
