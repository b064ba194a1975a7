"""What still waits, bounded, and the account of every point.

A point enters the account when its body enters the outbox and leaves it as accepted,
rejected or dropped: ``collected = accepted + rejected + dropped + waiting``, always.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from threading import Lock
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
    """Bodies in the order they were made; the oldest give way when it is full."""

    def __init__(self, max_bytes: int = 32 << 20, max_age: float = 55 * 60) -> None:
        self._max_bytes = max_bytes
        self._max_age_ms = max_age * 1000
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """In a forked child: what waits is the parent's to send."""
        self._lock = Lock()
        self._waiting: deque[Body] = deque()
        self._doubtful: Body | None = None
        self._bytes = 0
        self._collected = self._accepted = self._rejected = 0
        self._dropped: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, body: Body) -> None:
        """Take *body* in, and out what is too much."""
        with self._lock:
            self._collected += body.points
            self._waiting.append(body)
            self._bytes += len(body.text)
            while self._bytes > self._max_bytes and len(self._waiting) > 1:
                self._drop(FULL)

    def next(self, now_ms: int) -> Body | None:
        """Return the body to send; it stays until it is settled.

        The endpoint refuses points from more than an hour ago: bodies that would
        arrive so late are dropped.
        """
        with self._lock:
            while self._waiting:
                body = self._waiting[0]
                if now_ms - body.created_ms <= self._max_age_ms:
                    return body
                self._drop(EXPIRED)
            return None

    def settle(self, body: Body, result: ExportResult) -> bool:
        """Enter what became of *body*; False: it has to wait."""
        with self._lock:
            if not self._waiting or self._waiting[0] is not body:
                return True  # it had to give way while it was on its way
            if result.outcome is Outcome.KEEP:
                return False
            if result.outcome is Outcome.UNKNOWN and self._doubtful is not body:
                # A second sending counts it twice if the first arrived, none loses
                # it if not. One second chance: at most one body too many an outage.
                self._doubtful = body
                return False
            if result.outcome is Outcome.ANSWERED:
                rejected = min(result.rejected, body.points)
                self._rejected += rejected
                self._accepted += body.points - rejected
                self._remove()
            else:
                doubt = result.outcome is Outcome.UNKNOWN
                self._drop(UNKNOWN if doubt else REFUSED_BODY)
            return True

    def account(self) -> Account:
        """Return what became of all points so far, in one piece."""
        with self._lock:
            return Account(
                self._collected,
                self._accepted,
                self._rejected,
                dict(self._dropped),
                sum(body.points for body in self._waiting),
            )

    def _drop(self, reason: str) -> None:
        body = self._remove()
        if body.points:
            self._dropped[reason] += body.points

    def _remove(self) -> Body:
        body = self._waiting.popleft()
        self._bytes -= len(body.text)
        return body
