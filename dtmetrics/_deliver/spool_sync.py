"""SpoolSync: keeps the spool equal to what waits in the outbox."""

from __future__ import annotations

from functools import partial
from time import monotonic
from typing import Final

from dtmetrics._deliver.outbox import Outbox
from dtmetrics._spool.disk_worker import DiskWorker
from dtmetrics._spool.spool import LOOK_SECONDS, Spool
from dtmetrics.exporters import Batch, Outcome

__all__ = ["SpoolSync"]

# One operation of the disk worker stores batches for a tenth of its timeout.
_SLICE_SECONDS = 0.5


class SpoolSync:
    """Copies waiting batches to *spool*, and recovered ones to *outbox*.

    Does nothing while the disk does not answer: the outbox in memory goes on alone. The
    sending thread calls it. A thread that ends the process may call ``synchronize()``
    and ``close()`` at the same time.
    """

    #: How often to look for batches that dead processes left.
    look_seconds: Final = LOOK_SECONDS

    def __init__(self, outbox: Outbox, spool: Spool) -> None:
        self._outbox = outbox
        self._spool = spool
        #: The directory of the environment.
        self.path = spool.path
        self._disk = DiskWorker()
        self._closed = False

    def recover(self) -> list[bool]:
        """Put batches of dead processes into the outbox.

        Return for each whether it is indeterminate: the endpoint may have accepted it.
        """
        return self._disk.run(self._recover, default=[])

    def synchronize(self) -> None:
        """Store each batch that waits, and delete each that no longer does."""
        # In slices: many batches may exceed the timeout on a disk that does answer.
        while not self._disk.run(self._synchronize, default=True):
            pass

    def begin_attempt(self, batch: Batch) -> None:
        """Mark *batch* as indeterminate on disk, before it is sent."""
        if self._spool.has(batch):
            self._disk.run(partial(self._spool.begin_attempt, batch), default=None)

    def end_attempt(self, batch: Batch, outcome: Outcome) -> None:
        """Update *batch* on disk after the outbox has settled *outcome*."""
        spool = self._spool
        if not spool.has(batch):
            return
        if outcome in (Outcome.RETRY, Outcome.THROTTLED, Outcome.MISCONFIGURED):
            self._disk.run(partial(spool.undo_attempt, batch), default=None)
        elif outcome in (Outcome.ANSWERED, Outcome.REJECTED):
            self._disk.run(partial(spool.delete, batch), default=None)
        elif outcome is not Outcome.INDETERMINATE:
            # TOO_LARGE or MALFORMED: its halves wait in its place, or it was dropped.
            self.synchronize()

    def account(self) -> dict[str, int]:
        """Return ``stats().spool``: what is on disk, and what has happened there."""
        account = self._spool.account()
        if timeouts := self._disk.timeouts:
            account["failed: timeout"] = timeouts
        return account

    def close(self) -> None:
        """Store what still waits, and leave it to another process; once."""
        if self._closed:
            return  # it would store what waits a second time
        self._closed = True
        self.synchronize()
        self._disk.run(self._spool.close, default=None)

    def close_empty(self) -> None:
        """Delete what is stored: another spool has it. Leave the rest to others."""

        def close() -> None:
            for batch in self._spool.stored():
                self._spool.delete(batch)
            self._spool.close()

        self._disk.run(close, default=None)

    def reset_after_fork(self) -> None:
        """In a forked child: leave the disk to the parent."""
        self._closed = False
        self._disk.reset_after_fork()
        self._spool.reset_after_fork()

    def _recover(self) -> list[bool]:
        recovered = self._spool.recover()
        for batch, indeterminate in recovered:
            self._outbox.recover(batch, in_flight=indeterminate)
        return [indeterminate for _, indeterminate in recovered]

    def _synchronize(self) -> bool:
        """Return whether the spool is equal to the outbox; False if time ran out."""
        spool, end = self._spool, monotonic() + _SLICE_SECONDS
        waiting = dict(self._outbox.waiting())
        for batch, indeterminate in waiting.items():
            if monotonic() > end:
                return False
            spool.store(batch, indeterminate=indeterminate)
        # After its halves are stored, so that a kill in between loses nothing.
        for batch in spool.stored():
            if batch not in waiting:
                spool.delete(batch)
        return True
