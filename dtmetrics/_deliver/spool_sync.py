"""Which bodies have a copy on disk: those that wait, as the outbox says."""

from __future__ import annotations

from functools import partial
from time import monotonic

from dtmetrics._deliver.outbox import Outbox
from dtmetrics._spool.disk_worker import DiskWorker
from dtmetrics._spool.spool import Spool
from dtmetrics.exporters import Batch, Outcome

__all__ = ["SpoolSync"]

# How long one errand keeps bodies: a tenth of what it is waited for.
_PIECE_SECONDS = 0.5


class SpoolSync:
    """Keeps the spool in step with the outbox; without a spool it does nothing.

    Called by the thread that sends, and by one that ends the process meanwhile. While
    the disk stands still it does nothing either, and the outbox is all there is.
    """

    def __init__(self, outbox: Outbox, spool: Spool | None) -> None:
        self._outbox = outbox
        self._spool = spool
        self._errands = DiskWorker()

    def recover(self) -> list[bool]:
        """Put what dead processes left in the outbox; return what was in flight."""
        if self._spool is None:
            return []
        return self._errands.do(partial(self._recover, self._spool), default=[])

    def secure(self) -> None:
        """Let what waits, and nothing else, outlive this process."""
        if self._spool is None:
            return
        # Piece by piece: many bodies take long on a disk that does not stand still.
        piece = partial(self._secure, self._spool)
        while not self._errands.do(piece, default=True):
            pass

    def trying(self, body: Batch) -> None:
        """Note that *body* is about to be sent."""
        if self._spool is not None and self._spool.has(body):
            self._errands.do(partial(self._spool.trying, body), default=None)

    def tried(self, body: Batch, outcome: Outcome) -> None:
        """Note what became of *body*, which the outbox knows already."""
        if self._spool is None or not self._spool.has(body):
            return
        if outcome in (Outcome.RETRY, Outcome.THROTTLED, Outcome.MISCONFIGURED):
            self._errands.do(partial(self._spool.back, body), default=None)
        elif outcome in (Outcome.ANSWERED, Outcome.REJECTED):
            self._errands.do(partial(self._spool.forget, body), default=None)
        elif outcome is not Outcome.INDETERMINATE:
            self.secure()  # its parts, and then not itself any more

    def account(self) -> dict[str, int]:
        """Return what is on disk, and what has happened there."""
        if self._spool is None:
            return {}
        told = self._spool.account()
        counts = {"bodies": told.stored, "bytes": told.bytes, "adopted": told.adopted}
        counts |= {f"lost: {why}": points for why, points in told.lost.items()}
        counts |= {f"failed: {why}": times for why, times in told.failures.items()}
        if late := self._errands.late:
            counts["failed: too slow"] = late
        return counts | ({"corrupt": told.corrupt} if told.corrupt else {})

    def close(self) -> None:
        """Leave what still waits to another process."""
        if self._spool is not None:
            self.secure()
            self._errands.do(self._spool.close, default=None)

    def reset_after_fork(self) -> None:
        """In a forked child: what is on disk is the parent's."""
        self._errands.reset_after_fork()
        if self._spool is not None:
            self._spool.reset_after_fork()

    def _recover(self, spool: Spool) -> list[bool]:
        recovered = spool.adopt()
        for batch, in_flight in recovered:
            self._outbox.recover(batch, in_flight=in_flight)
        return [in_flight for _, in_flight in recovered]

    def _secure(self, spool: Spool) -> bool:
        """Secure some of what waits; say whether that is all."""
        end = monotonic() + _PIECE_SECONDS
        waiting = self._outbox.waiting()
        now = {id(body) for body, _ in waiting}
        gone = [body for body in spool.kept() if id(body) not in now]
        # Halves, if a batch was split.
        spool.exchange(gone, waiting)
        for body, doubtful in waiting:
            if monotonic() > end:
                return False
            spool.keep(body, in_doubt=doubtful)
        for body in gone:
            spool.forget(body)
        return True
