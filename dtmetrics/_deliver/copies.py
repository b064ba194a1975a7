"""Which bodies have a copy on disk: those that wait, as the outbox says."""

from __future__ import annotations

from threading import RLock

from dtmetrics._deliver.exporter import Body, Outcome
from dtmetrics._deliver.outbox import Outbox
from dtmetrics._deliver.spool.spool import Spool

__all__ = ["Copies"]


class Copies:
    """Keeps the spool in step with the outbox; without a spool it does nothing.

    Called by the thread that sends, and by one that ends the process meanwhile.
    """

    def __init__(self, outbox: Outbox, spool: Spool | None) -> None:
        self._outbox = outbox
        self._spool = spool
        self._lock = RLock()

    def adopt(self) -> list[bool]:
        """Let wait what dead processes have left; say of each if it is in doubt."""
        if self._spool is None:
            return []
        with self._lock:
            adopted = self._spool.adopt()
            for body, doubtful in adopted:
                self._outbox.adopt(body, doubtful=doubtful)
            return [doubtful for _, doubtful in adopted]

    def secure(self) -> None:
        """Let what waits, and nothing else, outlive this process."""
        if self._spool is None:
            return
        with self._lock:
            waiting = self._outbox.waiting()
            now = {id(body) for body, _ in waiting}
            gone = [body for body in self._spool.kept() if id(body) not in now]
            # What was divided or folded, if something was.
            self._spool.exchange(gone, waiting)
            for body, doubtful in waiting:
                self._spool.keep(body, in_doubt=doubtful)
            for body in gone:
                self._spool.forget(body)

    def trying(self, body: Body) -> None:
        """Note that *body* is about to be sent."""
        if self._spool is not None:
            with self._lock:
                self._spool.trying(body)

    def tried(self, body: Body, outcome: Outcome) -> None:
        """Note what became of *body*, which the outbox knows already."""
        if self._spool is None:
            return
        with self._lock:
            if outcome in (Outcome.KEEP, Outcome.MISCONFIGURED):
                self._spool.back(body)
            elif outcome in (Outcome.ANSWERED, Outcome.DROP):
                self._spool.forget(body)
            elif outcome is not Outcome.UNKNOWN and body in self._spool.kept():
                self.secure()  # its parts, and then not itself any more

    def account(self) -> dict[str, int]:
        """Return what is on disk, and what has happened there."""
        if self._spool is None:
            return {}
        told = self._spool.account()
        counts = {"bodies": told.stored, "bytes": told.bytes, "adopted": told.adopted}
        counts |= {f"lost: {why}": points for why, points in told.lost.items()}
        counts |= {f"failed: {why}": times for why, times in told.failures.items()}
        return counts | ({"corrupt": told.corrupt} if told.corrupt else {})

    def close(self) -> None:
        """Leave what still waits to another process."""
        if self._spool is not None:
            with self._lock:
                self.secure()
                self._spool.close()

    def reset_after_fork(self) -> None:
        """In a forked child: what is on disk is the parent's."""
        self._lock = RLock()
        if self._spool is not None:
            self._spool.reset_after_fork()
