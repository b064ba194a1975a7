"""What still waits, bounded, and the account of every point.

A point enters the account when its body enters the outbox and leaves it as accepted,
rejected or dropped: ``collected = accepted + rejected + dropped + waiting``, always.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from threading import RLock
from typing import NamedTuple

from dtmetrics._core.safe_call import call_safely
from dtmetrics.exporters import Batch, ExportResult, Outcome

__all__ = ["Account", "Outbox"]

FULL = "outbox full"
EXPIRED = "too old"
REFUSED_BODY = "refused as a whole"
UNKNOWN = "outcome unknown"
TOO_LARGE = "too large"
UNREAD = "refused unread"

# Requests to find the lines that make an endpoint refuse a body unread: 20 find one
# among 1,000. What is still in doubt then is dropped.
_SEARCH_REQUESTS = 32


class Account(NamedTuple):
    """What became of all points so far."""

    collected: int
    accepted: int
    rejected: int
    dropped: Mapping[str, int]
    waiting: int

    def lost_since(self, earlier: Account) -> dict[str, int]:
        """Return how many points were given up or refused since then, by reason."""
        before = {**earlier.dropped, "rejected": earlier.rejected}
        now = {**self.dropped, "rejected": self.rejected}
        grown = {
            reason: points - before.get(reason, 0) for reason, points in now.items()
        }
        return {reason: points for reason, points in grown.items() if points > 0}


class _Search:
    """How many requests are left to find what is wrong with a body."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = _SEARCH_REQUESTS


class _Entry:
    """A body that waits, and what has happened to it."""

    __slots__ = ("body", "doubtful", "search", "tried")

    def __init__(self, body: Batch, *, doubtful: bool = False) -> None:
        self.body = body
        #: Whether it may have been taken already.
        self.doubtful = doubtful
        self.tried = doubtful
        self.search = _Search()


class Outbox:
    """Bodies in the order they were made; the oldest give way when it is full.

    Neither the newest nor the one that is being sent gives way, so that with a tiny
    *max_bytes* these two are what is kept. What may have been taken is given out a
    second time, unless *resend* is false.

    A signal handler may raise in here, and runs where something has been called. So
    what is changed in several steps is made ready first, and then changed with at most
    one call, the last of them.
    """

    def __init__(
        self,
        max_bytes: int = 32 << 20,
        max_age: float = 55 * 60,
        *,
        resend: bool = True,
    ) -> None:
        self._max_bytes = max_bytes
        self._max_age_ms = max_age * 1000
        self._resend = resend
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """In a forked child: what waits is the parent's to send."""
        # Re-entrant: a signal handler may ask for the account while its own thread
        # is in here. It finds the account between two steps, and still adding up.
        self._lock = RLock()
        self._waiting: deque[_Entry] = deque()
        self._leaving: _Entry | None = None
        self._bytes = 0
        self._collected = self._accepted = self._rejected = 0
        self._dropped: Counter[str] = Counter()
        #: Whether metadata was given up that nobody has ever had the chance to take.
        self.metadata_lost = False

    def __len__(self) -> int:
        return len(self._waiting) + (self._leaving is not None)

    # -- in and out ----------------------------------------------------------------

    def put(self, body: Batch) -> None:
        """Take *body* in, and out what is too much."""
        self._put(_Entry(body))

    def adopt(self, body: Batch, *, doubtful: bool) -> None:
        """Take in what another process has left, which may have been taken."""
        self._put(_Entry(body, doubtful=doubtful))

    def next(self, now_ms: int) -> Batch | None:
        """Return the body to send, the same one until it is settled.

        The endpoint refuses points from more than an hour ago: bodies that would
        arrive so late are dropped.
        """
        with self._lock:
            while self._leaving is not None or self._waiting:
                if self._leaving is None:
                    self._leaving = self._waiting[0]
                    del self._waiting[0]
                entry = self._leaving
                if now_ms - entry.body.created_ms > self._max_age_ms:
                    self._drop(entry, EXPIRED)
                elif entry.doubtful and not self._resend:
                    self._drop(entry, UNKNOWN)
                else:
                    entry.tried = True
                    return entry.body
            return None

    def settle(self, body: Batch, result: ExportResult) -> bool:
        """Enter what became of *body*; False: it has to wait."""
        with self._lock:
            entry = self._leaving
            if entry is None or entry.body is not body:
                return True  # sent by the parent of this forked process
            if self._has_to_wait(entry, result.outcome):
                self._leaving = None
                self._waiting.appendleft(entry)
                self._make_room()
                return False
            if result.outcome is Outcome.ANSWERED:
                rejected = _points_rejected(body, result)
                points, size = body.points, body.size
                self._leaving = None
                self._rejected += rejected
                self._accepted += points - rejected
                self._bytes -= size
            elif result.outcome is Outcome.TOO_LARGE:
                self._divide(entry, TOO_LARGE)
            elif result.outcome is Outcome.MALFORMED:
                entry.search.left -= 1
                self._divide(entry, UNREAD)
            else:
                doubt = result.outcome is Outcome.INDETERMINATE
                self._drop(entry, UNKNOWN if doubt else REFUSED_BODY)
            return True

    def divide(self, body: Batch) -> None:
        """Take *body*, which is leaving, back in halves: it would be too large."""
        with self._lock:
            entry = self._leaving
            if entry is not None and entry.body is body:
                self._divide(entry, TOO_LARGE)

    # -- waiting -------------------------------------------------------------------

    def newest_first(self, cuts: int) -> None:
        """Put what was collected at the last few times before all that is older."""
        with self._lock:
            moments = sorted({entry.body.created_ms for entry in self._waiting})
            newest = frozenset(moments[-cuts:])
            self._waiting = deque(
                # Stable, so that the order is kept on both sides.
                sorted(self._waiting, key=lambda e: e.body.created_ms not in newest)
            )

    def stow(self) -> None:
        """Let what waits take less room."""
        with self._lock:
            for entry in self._waiting:
                size = entry.body.size
                entry.body.stow()
                self._bytes += entry.body.size - size

    def untried(self) -> list[Batch]:
        """Return the bodies that nobody has tried to send yet, oldest first."""
        with self._lock:
            return [entry.body for entry in self._waiting if not entry.tried]

    def replace(self, old: Iterable[Batch], new: Iterable[Batch]) -> None:
        """Let *new* wait in place of *old*, with the same points, if all still wait."""
        with self._lock:
            waiting = {id(e.body): e for e in self._waiting if not e.tried}
            gone = [waiting.get(id(body)) for body in old]
            if not gone or None in gone:
                return
            come = [_Entry(body) for body in new]
            place = self._waiting.index(gone[0])  # type: ignore[arg-type]
            rest = [e for e in self._waiting if e not in gone]
            waiting_now = deque([*rest[:place], *come, *rest[place:]])
            more = sum(e.body.size for e in come)
            more -= sum(e.body.size for e in gone if e)
            self._waiting = waiting_now
            self._bytes += more
            self._make_room()

    def waiting(self) -> list[tuple[Batch, bool]]:
        """Return all that waits, each with whether it may have been taken already."""
        with self._lock:
            leaving = [self._leaving] if self._leaving else []
            return [(each.body, each.doubtful) for each in (*leaving, *self._waiting)]

    # -- the account ---------------------------------------------------------------

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

    # -- within --------------------------------------------------------------------

    def _put(self, entry: _Entry) -> None:
        with self._lock:
            points, size = entry.body.points, entry.body.size
            self._collected += points
            self._bytes += size
            self._waiting.append(entry)
            self._make_room()

    def _has_to_wait(self, entry: _Entry, outcome: Outcome) -> bool:
        if outcome is Outcome.INDETERMINATE:
            # A second sending counts it twice if the first arrived, none loses it
            # if not. One second chance: at most one body too many an outage.
            again, entry.doubtful = not entry.doubtful and self._resend, True
            return again
        return outcome in (Outcome.RETRY, Outcome.THROTTLED, Outcome.MISCONFIGURED)

    def _divide(self, entry: _Entry, reason: str) -> None:
        if b"\n" not in entry.body.text or entry.search.left <= 0:
            self._drop(entry, reason)
            return
        more = -entry.body.size
        parts = []
        for half in entry.body.halves():
            part = _Entry(half)
            part.search, part.tried = entry.search, True
            more += half.size
            parts.append(part)
        parts.reverse()
        self._leaving = None
        self._bytes += more
        self._waiting.extendleft(parts)
        self._make_room()

    def _make_room(self) -> None:
        while self._bytes > self._max_bytes and len(self._waiting) > 1:
            oldest = min(self._waiting, key=lambda entry: entry.body.created_ms)
            self._drop(oldest, FULL)

    def _drop(self, entry: _Entry, reason: str) -> None:
        """Give up what leaves or waits."""
        points, size = entry.body.points, entry.body.size
        dropped = self._dropped[reason] + points
        if entry is self._leaving:
            self._leaving = None
        else:
            place = self._waiting.index(entry)
            del self._waiting[place]
        self._bytes -= size
        if points:
            self._dropped[reason] = dropped
        elif reason in (FULL, EXPIRED):
            self.metadata_lost = True


def _points_rejected(body: Batch, result: ExportResult) -> int:
    """Return how many points the refused lines of *body* stand for.

    A list of them may be cut: of those that are not named, any may have been refused,
    and the first are taken for them.
    """
    lines = min(max(0, result.rejected), len(body.identities))
    if not body.weights or not lines:
        return lines
    # Who exports may be anybody, and name anything.
    named = call_safely(_named, result, len(body.weights), default=set[int]())
    others = (line for line in range(len(body.weights)) if line not in named)
    counted = [*sorted(named), *others][:lines]
    return sum(body.weights[line] for line in counted)


def _named(result: ExportResult, lines: int) -> set[int]:
    return {note.line for note in result.rejected_lines if note.line in range(lines)}
