"""The outbox: its order, its bounds, and the account of every point."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dtmetrics._deliver.account import Account
from dtmetrics._deliver.batch_state import MOST_SPLITS, NextAttempt
from dtmetrics._deliver.outbox import Outbox
from dtmetrics.exporters import Batch, ExportResult, Outcome
from tests.support.exporter_contract import a_batch
from tests.support.recorder import MOMENT

ANSWERED = ExportResult(Outcome.ANSWERED)
RETRY = ExportResult(Outcome.RETRY)
INDETERMINATE = ExportResult(Outcome.INDETERMINATE)
REJECTED = ExportResult(Outcome.REJECTED)
MINUTE = 60_000


def batches(count: int) -> list[Batch]:
    """Return so many batches of one point and the same size."""
    return [a_batch(f"order.{n:02} count,delta") for n in range(count)]


#: The size of one of them.
SIZE = batches(1)[0].size


def waiting_in(outbox: Outbox) -> list[Batch]:
    """Return the batches that wait, in their order."""
    return [batch for batch, _ in outbox.waiting()]


# -- attempts -----------------------------------------------------------------------


def test_undelivered_since() -> None:
    """Two accounts differ by what was dropped or rejected between them."""
    before = Account(5, 1, 1, {"too old": 2}, 1)
    after = Account(9, 1, 3, {"too old": 2, "indeterminate": 3}, 0)
    assert after.undelivered_since(before) == {"rejected": 2, "indeterminate": 3}
    assert before.undelivered_since(before) == {}


# -- bounds -------------------------------------------------------------------------


def test_full_while_sending() -> None:
    """A batch in flight is never dropped for want of room: its outcome counts."""
    outbox = Outbox(max_bytes=3 * SIZE)
    made = batches(5)
    for batch in made[:3]:
        outbox.put(batch)
    assert outbox.begin_attempt(MOMENT) is made[0]
    for batch in made[3:]:
        outbox.put(batch)
    assert outbox.account().dropped == {"outbox full": 2}
    outbox.settle(made[0], ANSWERED)
    assert outbox.account() == (5, 1, 0, {"outbox full": 2}, 2)
    assert outbox.begin_attempt(MOMENT) is made[3]


def test_too_old() -> None:
    """After 55 minutes a batch is dropped: the endpoint would reject its points."""
    outbox = Outbox()
    old = a_batch(created_ms=MOMENT)
    new = a_batch(created_ms=MOMENT + MINUTE)
    outbox.put(old)
    outbox.put(new)
    assert outbox.begin_attempt(MOMENT + 55 * MINUTE) is old
    outbox.settle(old, RETRY)
    assert outbox.begin_attempt(MOMENT + 55 * MINUTE + 1) is new
    assert outbox.account() == (2, 0, 0, {"too old": 1}, 1)


def test_metadata_holds_no_points() -> None:
    """A batch of metadata is delivered like any other, and not in the account."""
    outbox = Outbox(max_bytes=1)
    for number in range(3):
        outbox.put(Batch(b"#orders count dt.meta.unit=%d" % number, (), MOMENT))
    assert outbox.account() == (0, 0, 0, {}, 0)
    assert outbox.take_metadata_dropped()
    assert not outbox.take_metadata_dropped()
    batch = outbox.begin_attempt(MOMENT)
    assert batch is not None
    outbox.settle(batch, REJECTED)
    assert not outbox.take_metadata_dropped()


# -- forks and threads --------------------------------------------------------------


def test_starts_empty_after_a_fork() -> None:
    """In a forked child nothing waits, nothing was counted, no lock is held."""
    outbox = Outbox()
    outbox.put(a_batch())
    batch = outbox.begin_attempt(MOMENT)
    assert batch is not None
    with outbox._lock:
        outbox.reset_after_fork()
        reader = threading.Thread(target=outbox.account)
        reader.start()
        reader.join(5)
        assert not reader.is_alive()
    # The outcome is that of the parent's attempt.
    assert outbox.settle(batch, ANSWERED) is NextAttempt.AT_ONCE
    assert outbox.account() == (0, 0, 0, {}, 0)


def test_account_waits_for_a_change() -> None:
    """The account is read as of one moment: it waits while another thread changes it."""
    outbox = Outbox()
    reader = threading.Thread(target=outbox.account)
    with outbox._lock:
        reader.start()
        reader.join(0.05)
        assert reader.is_alive()
    reader.join(5)
    assert not reader.is_alive()


# -- any sequence -------------------------------------------------------------------


@dataclass(eq=False)
class ModelBatch:
    """One batch, as the model has it."""

    batch: Batch
    indeterminate: bool = False


class Accounts(RuleBasedStateMachine):
    """Any sequence of what can happen to an outbox, beside a plain model of it."""

    LIMIT = 400

    def __init__(self) -> None:
        super().__init__()
        self.outbox = Outbox(max_bytes=self.LIMIT, max_age=60)
        self.now = MOMENT
        self.model: list[ModelBatch] = []
        self.in_flight: ModelBatch | None = None
        self.unread_in_a_row = 0
        self.collected = self.accepted = self.rejected = self.dropped = 0

    @rule(lines=st.integers(0, 8), recovered=st.none() | st.booleans())
    def put(self, lines: int, recovered: bool | None) -> None:
        """Collect a batch, or recover one; a batch of metadata has no points."""
        made = [f"k{n} count,delta" for n in range(lines)]
        batch = (
            a_batch(*made, created_ms=self.now) if lines else Batch(b"#", (), self.now)
        )
        if recovered is None:
            self.outbox.put(batch)
        else:
            self.outbox.recover(batch, in_flight=recovered)
        self.collected += lines
        self.model.append(ModelBatch(batch, bool(recovered)))
        self._make_room()

    @rule(seconds=st.integers(0, 40))
    def wait(self, seconds: int) -> None:
        """Let time pass."""
        self.now += seconds * 1_000

    @rule()
    def begin_attempt(self) -> None:
        """Begin an attempt with the first batch that is not too old."""
        self._interrupted()
        fresh = [k for k in self.model if self.now - k.batch.created_ms <= 60_000]
        old = self.model[: self.model.index(fresh[0])] if fresh else self.model
        self.dropped += sum(entry.batch.points for entry in old)
        batch = self.outbox.begin_attempt(self.now)
        assert batch is (fresh[0].batch if fresh else None)
        self.in_flight = fresh[0] if fresh else None
        self.model = self.model[len(old) + 1 :]

    @precondition(lambda self: self.in_flight is not None)
    @rule()
    def interrupt(self) -> None:
        """End an attempt without an outcome."""
        assert self.in_flight is not None
        batch = self.in_flight.batch
        self._interrupted()
        assert self.outbox.interrupt(batch) is NextAttempt.AFTER_PROBE

    @precondition(lambda self: self.in_flight is not None)
    @rule(outcome=st.sampled_from(Outcome), rejected=st.integers(-1, 10))
    def settle(self, outcome: Outcome, rejected: int) -> None:
        """End an attempt with an outcome."""
        entry = self.in_flight
        assert entry is not None
        self.in_flight = None
        batch = entry.batch
        at_once = (
            self.outbox.settle(batch, ExportResult(outcome, rejected))
            is NextAttempt.AT_ONCE
        )
        if outcome is Outcome.ANSWERED:
            counted = min(max(rejected, 0), batch.points)
            self.rejected += counted
            self.accepted += batch.points - counted
            self.unread_in_a_row = 0
        elif outcome in (Outcome.TOO_LARGE, Outcome.MALFORMED):
            self.unread_in_a_row += 1
            if b"\n" in batch.text and self.unread_in_a_row < MOST_SPLITS:
                self._split(batch)
            else:
                self.dropped += batch.points
        elif outcome is Outcome.REJECTED:
            self.dropped += batch.points
        else:
            assert not at_once
            self._not_answered(entry, indeterminate=outcome is Outcome.INDETERMINATE)
            return
        assert at_once

    @rule()
    def compress(self) -> None:
        """Change nothing but the memory that batches take."""
        texts = [batch.text for batch in waiting_in(self.outbox)]
        self.outbox.compress()
        assert [batch.text for batch in waiting_in(self.outbox)] == texts

    @rule(collections=st.integers(1, 3))
    def newest_first(self, collections: int) -> None:
        """Move the last collections before the others, each in its order."""
        self.outbox.newest_first(collections)
        newest = sorted({entry.batch.created_ms for entry in self.model})[-collections:]
        self.model.sort(key=lambda entry: entry.batch.created_ms not in newest)

    def _interrupted(self) -> None:
        if self.in_flight is not None:
            entry, self.in_flight = self.in_flight, None
            self._not_answered(entry, indeterminate=True)

    def _not_answered(self, entry: ModelBatch, *, indeterminate: bool) -> None:
        if indeterminate and entry.indeterminate:
            self.dropped += entry.batch.points
            return
        entry.indeterminate |= indeterminate
        self.model.insert(0, entry)
        self._make_room()

    def _split(self, batch: Batch) -> None:
        first, second = batch.halves()
        assert first.text + b"\n" + second.text == batch.text
        assert (*first.identities, *second.identities) == batch.identities
        self.model[:0] = [ModelBatch(first), ModelBatch(second)]
        self._make_room()
        for entry, half in zip(self.model, waiting_in(self.outbox), strict=True):
            assert entry.batch.text == half.text
            entry.batch = half

    def _make_room(self) -> None:
        while self._size() > self.LIMIT and len(self.model) > 1:
            oldest = min(self.model, key=lambda entry: entry.batch.created_ms)
            self.model.remove(oldest)
            self.dropped += oldest.batch.points

    def _size(self) -> int:
        return sum(entry.batch.size for entry in (*self.model, self.in_flight) if entry)

    @invariant()
    def adds_up(self) -> None:
        """Check that the account adds up, and agrees with the model."""
        account = self.outbox.account()
        dropped = sum(account.dropped.values())
        done = account.accepted + account.rejected + dropped
        assert account.collected == done + account.waiting
        assert account[:3] == (self.collected, self.accepted, self.rejected)
        assert dropped == self.dropped
        entries = [*([self.in_flight] if self.in_flight else []), *self.model]
        assert account.waiting == sum(each.batch.points for each in entries)
        states = [(each.batch, each.indeterminate) for each in entries]
        assert self.outbox.waiting() == states
        assert len(self.outbox) == len(entries)

    @invariant()
    def is_bounded(self) -> None:
        """Check that only the newest and the one in flight exceed the bound."""
        if len(self.outbox) > 2 or (len(self.outbox) > 1 and self.in_flight is None):
            assert self.outbox._bytes <= self.LIMIT
        assert self.outbox._bytes == self._size()


TestAccounts = Accounts.TestCase
