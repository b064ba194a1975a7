"""The outbox: the batches that wait, within bounds, and the account of every point.

What becomes of a batch is decided by the table in `dtmetrics._deliver.batch_state`;
this module executes it. A point enters the account with its batch and leaves it as
accepted, rejected or dropped: ``collected = accepted + rejected + sum(dropped) +
waiting`` at every moment.
"""

from __future__ import annotations

from collections import Counter, deque
from threading import RLock

from dtmetrics._deliver.account import Account
from dtmetrics._deliver.batch_state import (
    AT_LEAST_ONCE,
    AT_MOST_ONCE,
    MOST_SPLITS,
    Event,
    NextAttempt,
    State,
    Transition,
)
from dtmetrics._record.handover import Handover
from dtmetrics.exporters import Batch, ExportResult, Outcome

__all__ = ["Outbox"]


# The same outcome of a batch that is not split.
_NOT_SPLIT = {
    Outcome.TOO_LARGE: Event.LINE_TOO_LARGE,
    Outcome.MALFORMED: Event.LINE_MALFORMED,
}


class _Entry:
    """A batch, its state, and the bytes that the outbox counts for it."""

    __slots__ = ("batch", "size", "state")

    def __init__(self, batch: Batch, state: State) -> None:
        self.batch = batch
        self.size = batch.size
        self.state = state


class _Counts:
    """What the outbox counts. The points that wait are the difference."""

    def __init__(self) -> None:
        self.collected = self.accepted = self.rejected = 0
        self.dropped: Counter[str] = Counter()
        #: Whether metadata was dropped that the endpoint has never answered.
        self.metadata_dropped = False
        #: How many requests in a row came back as too large or malformed.
        self.unread_in_a_row = 0


class Outbox:
    """Batches in the order of their collection. One of them may be in flight.

    Beyond *max_bytes* the oldest are dropped, except the newest and the one in flight:
    with a tiny *max_bytes* it holds these two. Batches older than *max_age* seconds are
    dropped instead of sent. Unless *resend* is true, no batch is sent twice.

    Discipline: a signal handler may raise in here after any call. So each change is
    prepared first, and then made with at most one call, which comes last. A result is
    returned outside of the lock: CPython does not release it where a handler raises
    between the call of ``return call()`` and the end of the block.
    """

    def __init__(
        self,
        max_bytes: int = 32 << 20,
        max_age: float = 55 * 60,
        *,
        resend: bool = True,
    ) -> None:
        self._max_age_ms = max_age * 1000
        self.limit(max_bytes, resend=resend)
        self.reset_after_fork()

    def limit(self, max_bytes: int, *, resend: bool) -> None:
        """Hold *max_bytes* from the next batch on, and send it twice or not."""
        self._max_bytes = max_bytes
        self._table = AT_LEAST_ONCE if resend else AT_MOST_ONCE

    def reset_after_fork(self) -> None:
        """Start empty in a forked child: what waits is the parent's to send."""
        # Re-entrant: a signal handler may read the account while its own thread is in
        # here. It finds the account between two changes, and the account adds up.
        self._lock = RLock()
        self._queue: deque[_Entry] = deque()
        self._in_flight: _Entry | None = None
        self._bytes = 0
        self._counts = _Counts()
        # Why it takes no batches any more; empty: it does.
        self._closed = ""

    def __len__(self) -> int:
        return len(self._queue) + (self._in_flight is not None)

    # -- new batches ---------------------------------------------------------------

    def put(self, batch: Batch, handover: Handover | None = None) -> None:
        """Add a batch that was collected just now, and note that in *handover*.

        Both are one step, wherever a signal handler raises.
        """
        self._add(batch, Event.COLLECTED, handover)

    def recover(self, batch: Batch, *, in_flight: bool) -> None:
        """Add a batch of a dead process, which may have died while sending it."""
        self._add(batch, Event.LEFT_IN_FLIGHT if in_flight else Event.RECOVERED)

    def _add(
        self, batch: Batch, event: Event, handover: Handover | None = None
    ) -> None:
        with self._lock:
            state, reason, _ = self._table[State.NEW, event]
            counts, points = self._counts, batch.points
            reason = self._closed or reason
            if self._closed or state is State.DROPPED:
                dropped = counts.dropped[reason] + points
                if handover is not None:
                    handover.entered = batch
                counts.collected += points
                counts.dropped[reason] = dropped
                return
            entry = _Entry(batch, state)
            counts.collected += points
            self._bytes += entry.size
            if handover is not None:
                handover.entered = batch
            self._queue.append(entry)
            self._make_room()

    # -- attempts ------------------------------------------------------------------

    def begin_attempt(self, now_ms: int) -> Batch | None:
        """Return the first batch that is not too old, now in flight; None: none waits.

        A batch that is still in flight counts as interrupted: a signal handler raised
        before its outcome could be settled.
        """
        with self._lock:
            if self._in_flight is not None:
                self.interrupt(self._in_flight.batch)
            while self._queue:
                entry = self._queue[0]
                if now_ms - entry.batch.created_ms > self._max_age_ms:
                    self._drop(entry, self._table[entry.state, Event.TOO_OLD].reason)
                    continue
                transition = self._table[entry.state, Event.ATTEMPT]
                del self._queue[0]
                entry.state = transition.state
                self._in_flight = entry
                return entry.batch
            return None

    def settle(self, batch: Batch, result: ExportResult) -> NextAttempt:
        """Enter what became of the attempt to send *batch*; return when to go on."""
        with self._lock:
            entry = self._in_flight
            if entry is None or entry.batch is not batch:
                # Sent by the parent of this forked process.
                return NextAttempt.AT_ONCE
            event = self._event_of(batch, result.outcome)
            next_attempt = self._end_attempt(entry, event, result.rejected)
        return next_attempt  # noqa: RET504 -- see the class docstring

    def interrupt(self, batch: Batch) -> NextAttempt:
        """Note that the attempt to send *batch* ended without an outcome."""
        with self._lock:
            entry = self._in_flight
            if entry is None or entry.batch is not batch:
                return NextAttempt.AT_ONCE
            next_attempt = self._end_attempt(entry, Event.INTERRUPTED)
        return next_attempt  # noqa: RET504 -- see the class docstring

    def _event_of(self, batch: Batch, outcome: Outcome) -> Event:
        counts = self._counts
        if outcome in _NOT_SPLIT:
            counts.unread_in_a_row += 1
            if counts.unread_in_a_row >= MOST_SPLITS or b"\n" not in batch.text:
                return _NOT_SPLIT[outcome]
        elif outcome is Outcome.ANSWERED:
            counts.unread_in_a_row = 0
        return Event[outcome.name]

    def _end_attempt(
        self, entry: _Entry, event: Event, rejected: int = 0
    ) -> NextAttempt:
        transition = self._table[entry.state, event]
        if transition.state is State.ANSWERED:
            self._answer(entry, rejected)
        elif transition.state is State.SPLIT:
            self._split(entry)
        elif transition.state is State.DROPPED:
            self._drop(entry, transition.reason)
        else:
            self._put_back(entry, transition)
        # Each row of a batch that was sent has a next attempt.
        return transition.next_attempt or NextAttempt.AT_ONCE

    def _answer(self, entry: _Entry, rejected: int) -> None:
        counts, points = self._counts, entry.batch.points
        # An exporter may be the user's own, and count wrongly.
        rejected = min(max(0, rejected), points)
        self._in_flight = None
        counts.rejected += rejected
        counts.accepted += points - rejected
        self._bytes -= entry.size

    def _split(self, entry: _Entry) -> None:
        state = self._table[State.NEW, Event.HALVED].state
        halves = [_Entry(half, state) for half in entry.batch.halves()]
        growth = sum(half.size for half in halves) - entry.size
        halves.reverse()
        self._in_flight = None
        self._bytes += growth
        self._queue.extendleft(halves)
        self._make_room()

    def _put_back(self, entry: _Entry, transition: Transition) -> None:
        self._in_flight = None
        entry.state = transition.state
        self._queue.appendleft(entry)
        self._make_room()

    def _drop(self, entry: _Entry, reason: str) -> None:
        """Discard *entry*, which is in flight or waits, and count its points."""
        counts, points = self._counts, entry.batch.points
        dropped = counts.dropped[reason] + points
        if entry is self._in_flight:
            self._in_flight = None
        else:
            place = self._queue.index(entry)
            del self._queue[place]
        self._bytes -= entry.size
        if points:
            counts.dropped[reason] = dropped
        elif entry.state in (State.QUEUED, State.INDETERMINATE):
            counts.metadata_dropped = True

    # -- waiting -------------------------------------------------------------------

    def newest_first(self, collections: int) -> None:
        """Move the batches of the last *collections* before all that are older."""
        with self._lock:
            moments = sorted({entry.batch.created_ms for entry in self._queue})
            newest = frozenset(moments[-collections:])
            self._queue = deque(
                # Stable, so the order is kept on both sides.
                sorted(self._queue, key=lambda e: e.batch.created_ms not in newest)
            )

    def compress(self) -> None:
        """Let the batches that wait take less memory."""
        with self._lock:
            for entry in self._queue:
                entry.batch.compress()
                size = entry.batch.size
                self._bytes += size - entry.size
                entry.size = size

    def waiting(self) -> list[tuple[Batch, bool]]:
        """Return each batch that waits, and whether it may have been taken already."""
        maybe_taken = State.INDETERMINATE, State.RESENDING
        with self._lock:
            first = [self._in_flight] if self._in_flight else []
            entries = [*first, *self._queue]
        return [(each.batch, each.state in maybe_taken) for each in entries]

    def _make_room(self) -> None:
        while self._bytes > self._max_bytes and len(self._queue) > 1:
            oldest = min(self._queue, key=lambda entry: entry.batch.created_ms)
            self._drop(oldest, self._table[oldest.state, Event.OUTBOX_FULL].reason)

    def hand_over(self, other: Outbox) -> int:
        """Move what waits to *other*; return how many points. One may be in flight."""
        moved = 0
        with self._lock, other._lock:
            while self._queue:
                entry = self._queue[0]
                points = entry.batch.points
                moved += points
                self._counts.collected -= points
                self._bytes -= entry.size
                del self._queue[0]
                other._counts.collected += points
                other._bytes += entry.size
                other._queue.append(entry)
            other._make_room()
        return moved

    def close(self, reason: str) -> int:
        """Drop what waits, and all that comes, for *reason*; return how many points."""
        with self._lock:
            self._closed = reason
            before = self._counts.dropped[reason]
            if self._in_flight is not None:
                self._drop(self._in_flight, reason)
            while self._queue:
                self._drop(self._queue[0], reason)
            dropped = self._counts.dropped[reason] - before
        return dropped  # noqa: RET504 -- see the class docstring

    # -- the account ---------------------------------------------------------------

    def account(self) -> Account:
        """Return what became of all points so far, as of one moment."""
        with self._lock:
            counts = self._counts
            done = counts.accepted + counts.rejected + counts.dropped.total()
            account = Account(
                counts.collected,
                counts.accepted,
                counts.rejected,
                dict(counts.dropped),
                counts.collected - done,
            )
        return account  # noqa: RET504 -- see the class docstring

    def take_metadata_dropped(self) -> bool:
        """Return whether metadata was dropped unanswered since the last call."""
        counts = self._counts
        dropped = counts.metadata_dropped
        counts.metadata_dropped = False
        return dropped
