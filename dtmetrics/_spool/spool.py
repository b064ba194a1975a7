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
from collections.abc import Callable, Mapping
from typing import NamedTuple

from dtmetrics._core.safe_call import call_safely
from dtmetrics._spool.directory import Directory, can_lock
from dtmetrics._spool.index import ATTEMPTED, WAITING, Index, SpoolLimits, StoredBatch
from dtmetrics._spool.record import TEXT_LIMIT, encode
from dtmetrics._spool.recovery import Recovery
from dtmetrics._spool.root import SpoolRoot
from dtmetrics.errors import ConfigError
from dtmetrics.exporters import Batch

__all__ = ["Spool", "SpoolAccount", "SpoolLimits"]

_PAUSE_SECONDS = 60.0
_DEFAULT_LIMITS = SpoolLimits()


class SpoolAccount(NamedTuple):
    """What is on disk now, and what has happened there so far.

    ``dropped`` counts data points of dead processes that will not be sent, by reason.
    ``failures`` counts disk operations that failed, by reason.
    """

    batches: int
    bytes: int
    recovered: int
    corrupt: int
    dropped: Mapping[str, int]
    failures: Mapping[str, int]


class Spool:
    """Stores batches below *root*, and recovers those of dead processes.

    *tenant* identifies the endpoint. Batches for one tenant are never sent to another.
    It may name a token but must not contain the secret part of one. One thread calls at
    a time. Raises ConfigError if *root* cannot be used. No method raises: a failed
    disk operation is counted, and the batch stays in memory.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        tenant: str,
        *,
        now_ms: Callable[[], int],
        clock: Callable[[], float],
        limits: SpoolLimits = _DEFAULT_LIMITS,
    ) -> None:
        if not can_lock():
            raise ConfigError(["spool must be unset: this system has no flock()"])
        self._root = SpoolRoot(root, tenant)
        self._limits = limits
        self._now_ms = now_ms
        self._clock = clock
        self._create_state()

    def _create_state(self) -> None:
        """Create what a forked child must not share with its parent."""
        self._index = Index(self._root, self._limits)
        self._recovery = Recovery(self._index, self._now_ms, self._clock)
        self._paused_until = -math.inf

    def reset_after_fork(self) -> None:
        """In a forked child: leave files and locks to the parent."""
        self._index.reset_after_fork()
        self._create_state()

    def account(self) -> SpoolAccount:
        """Return what is on disk, and what has happened there."""
        index = self._index
        # Each copied in one step, because another thread may change them meanwhile.
        entries = [*index.stored.copy().values(), *index.unread.copy()]
        sizes = [entry.size for entry in entries]
        return SpoolAccount(
            len(sizes),
            sum(sizes),
            self._recovery.recovered,
            self._recovery.corrupt,
            dict(index.dropped),
            dict(index.failures),
        )

    def recover(self) -> list[tuple[Batch, bool]]:
        """Return batches of dead processes, each with whether it is indeterminate.

        They count as stored by this process from then on. One call returns about 4 MiB
        of text. Later calls return the rest, and look for more every five minutes.
        """
        return self._recovery.recover()

    def store(self, batch: Batch, *, indeterminate: bool = False) -> None:
        """Store *batch* unless it is stored. On return it outlives this process.

        *indeterminate*: the endpoint may have accepted it already.
        """
        if id(batch) in self._index.stored:
            if indeterminate:
                self.begin_attempt(batch)
        elif batch.identities and self._clock() >= self._paused_until:
            suffix = ATTEMPTED if indeterminate else WAITING
            call_safely(self._store, batch, suffix, default=None, on_error=self._pause)

    def has(self, batch: Batch) -> bool:
        """Return whether *batch* is stored."""
        return id(batch) in self._index.stored

    def stored(self) -> list[Batch]:
        """Return all stored batches."""
        return [e.batch for e in self._index.stored.values() if e.batch is not None]

    def begin_attempt(self, batch: Batch) -> None:
        """Mark *batch* as indeterminate, before it is sent."""
        if entry := self._index.stored.get(id(batch)):
            waiting = entry.name.endswith(WAITING)
            entry.name_before = entry.name if waiting else ""
            if waiting:
                name = entry.name.removesuffix(WAITING) + ATTEMPTED
                self._index.rename(entry, name)

    def undo_attempt(self, batch: Batch) -> None:
        """Restore the mark of *batch*: the endpoint did not accept it in this attempt.

        A batch that was indeterminate before the attempt remains indeterminate.
        """
        entry = self._index.stored.get(id(batch))
        if entry and entry.name_before:
            self._index.rename(entry, entry.name_before)
            entry.name_before = ""

    def delete(self, batch: Batch) -> None:
        """Delete *batch* from the disk: it was answered, dropped or divided."""
        if entry := self._index.stored.pop(id(batch), None):
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

    def _store(self, batch: Batch, suffix: str) -> None:
        index = self._index
        record = encode(batch)
        if len(batch.text) > TEXT_LIMIT or len(record) > self._limits.max_bytes:
            index.failures["too large"] += 1
            return
        name = f"{batch.created_ms:015}-{os.urandom(16).hex()}{suffix}"
        directory = index.active or self._create_directory()
        try:
            directory.write(name, record)
        except FileNotFoundError:
            self._abandon(directory)
            raise
        index.stored[id(batch)] = StoredBatch(directory, name, len(record), batch)
        index.enforce_limits()

    def _create_directory(self) -> Directory:
        index = self._index
        directory = Directory()
        with self._root.open(create=True) as parent:
            index.directories[directory.name] = directory
            try:
                directory.create(parent)
            except BaseException:
                index.release(directory)
                raise
        index.active = directory
        return directory

    def _abandon(self, directory: Directory) -> None:
        """Forget the active *directory*: another process has removed it."""
        index = self._index
        index.stored = {
            k: e for k, e in index.stored.items() if e.directory is not directory
        }
        index.active = None
        index.release(directory)

    def _pause(self, error: Exception) -> None:
        """Store nothing for a minute: retrying would not help a full disk."""
        self._index.failed(error)
        self._paused_until = self._clock() + _PAUSE_SECONDS
