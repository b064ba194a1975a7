"""What still waits, bounded, and the account of every point.

A point enters the account when its body enters the outbox and leaves it as accepted,
rejected or dropped: ``collected = accepted + rejected + dropped + waiting``, always.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from threading import RLock
from typing import NamedTuple

from dtmetrics._deliver.exporter import Body, ExportResult, Outcome

__all__ = ["Account", "Outbox"]

FULL = "outbox full"
EXPIRED = "too old"
REFUSED_BODY = "refused as a whole"
UNKNOWN = "outcome unknown"


class Account(NamedTuple):
    """What became of all points so far."""

    collected: int
    accepted: int
    rejected: int
    dropped: Mapping[str, int]
    waiting: int


class Outbox:
    """Bodies in the order they were made; the oldest give way when it is full.

    Neither the newest nor the one that is being sent gives way, so that with a tiny
    *max_bytes* these two are what is kept.
    """

    def __init__(self, max_bytes: int = 32 << 20, max_age: float = 55 * 60) -> None:
        self._max_bytes = max_bytes
        self._max_age_ms = max_age * 1000
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """In a forked child: what waits is the parent's to send."""
        # Re-entrant: a signal handler may ask for the account while its own thread
        # is in here. It finds the account between two steps, and still adding up.
        self._lock = RLock()
        self._waiting: deque[Body] = deque()
        self._leaving: Body | None = None
        self._doubtful: Body | None = None
        self._bytes = 0
        self._collected = self._accepted = self._rejected = 0
        self._dropped: Counter[str] = Counter()
        #: Whether metadata was given up that nobody has ever had the chance to take.
        self.metadata_lost = False

    def __len__(self) -> int:
        return len(self._waiting) + (self._leaving is not None)

    def put(self, body: Body) -> None:
        """Take *body* in, and out what is too much."""
        with self._lock:
            self._collected += body.points
            self._bytes += len(body.text)
            self._waiting.append(body)
            self._make_room()

    def next(self, now_ms: int) -> Body | None:
        """Return the body to send, the same one until it is settled.

        The endpoint refuses points from more than an hour ago: bodies that would
        arrive so late are dropped.
        """
        with self._lock:
            while self._leaving is not None or self._waiting:
                if self._leaving is None:
                    self._leaving = self._waiting.popleft()
                if now_ms - self._leaving.created_ms <= self._max_age_ms:
                    return self._leaving
                self._drop(self._leaving, EXPIRED)
                self._leaving = None
            return None

    def settle(self, body: Body, result: ExportResult) -> bool:
        """Enter what became of *body*; False: it has to wait."""
        with self._lock:
            if self._leaving is not body:
                return True  # sent by the parent of this forked process
            self._leaving = None
            if self._has_to_wait(body, result.outcome):
                self._waiting.appendleft(body)
                self._make_room()
                return False
            if result.outcome is Outcome.ANSWERED:
                rejected = min(max(0, result.rejected), body.points)
                self._rejected += rejected
                self._accepted += body.points - rejected
                self._bytes -= len(body.text)
            else:
                doubt = result.outcome is Outcome.UNKNOWN
                self._drop(body, UNKNOWN if doubt else REFUSED_BODY)
            return True

    def account(self) -> Account:
        """Return what became of all points so far, in one piece."""
        with self._lock:
            done = self._accepted + self._rejected + self._dropped.total()
            return Account(
                self._collected,
                self._accepted,
                self._rejected,
                dict(self._dropped),
                self._collected - done,
            )

    def _has_to_wait(self, body: Body, outcome: Outcome) -> bool:
        if outcome is Outcome.UNKNOWN and self._doubtful is not body:
            # A second sending counts it twice if the first arrived, none loses it
            # if not. One second chance: at most one body too many an outage.
            self._doubtful = body
            return True
        if outcome is Outcome.KEEP:
            return True
        self._doubtful = None
        return False

    def _make_room(self) -> None:
        while self._bytes > self._max_bytes and len(self._waiting) > 1:
            self._drop(self._waiting.popleft(), FULL)

    def _drop(self, body: Body, reason: str) -> None:
        self._bytes -= len(body.text)
        if body.points:
            self._dropped[reason] += body.points
        elif reason in (FULL, EXPIRED):
            self.metadata_lost = True
