from __future__ import annotations

import threading

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dtmetrics._deliver.exporter import Body, ExportResult, Outcome
from dtmetrics._deliver.outbox import Outbox
from tests.contract import a_body
from tests.recorder import MOMENT

ANSWERED = ExportResult(Outcome.ANSWERED)
KEEP = ExportResult(Outcome.KEEP)
UNKNOWN = ExportResult(Outcome.UNKNOWN)
DROP = ExportResult(Outcome.DROP)
MINUTE = 60_000


def bodies(count: int) -> list[Body]:
    """Return so many bodies of one point and 20 bytes each."""
    return [a_body(f"order.{n:02} count,delta") for n in range(count)]


def holds(outbox: Outbox) -> None:
    """Assert that the account adds up."""
    account = outbox.account()
    done = account.accepted + account.rejected + sum(account.dropped.values())
    assert account.collected == done + account.waiting
    assert account.waiting >= 0


def test_oldest_first() -> None:
    """Bodies leave in the order in which they were made."""
    outbox = Outbox()
    made = bodies(3)
    for body in made:
        outbox.put(body)
    for body in made:
        assert outbox.next(MOMENT) is body
        assert outbox.settle(body, ANSWERED)
    assert outbox.next(MOMENT) is None
    assert outbox.account() == (3, 3, 0, {}, 0)


def test_keeps() -> None:
    """What was not taken stays at the head, and is waiting."""
    outbox = Outbox()
    first, second = bodies(2)
    outbox.put(first)
    outbox.put(second)
    for _ in range(3):
        assert outbox.next(MOMENT) is first
        assert not outbox.settle(first, KEEP)
    assert outbox.account() == (2, 0, 0, {}, 2)
    assert len(outbox) == 2


def test_answered_in_part() -> None:
    """Refused lines are rejected, the others accepted."""
    outbox = Outbox()
    body = a_body("a count,delta=1", "b count,delta=1", "c count,delta=1")
    outbox.put(body)
    assert outbox.next(MOMENT) is body
    outbox.settle(body, ExportResult(Outcome.ANSWERED, rejected=2))
    assert outbox.account() == (3, 1, 2, {}, 0)


@pytest.mark.parametrize(("rejected", "counted"), [(-5, 0), (99, 1)])
def test_wild_answers_add_up(rejected: int, counted: int) -> None:
    """An exporter that counts wrongly cannot make the account wrong."""
    outbox = Outbox()
    outbox.put(a_body())
    body = outbox.next(MOMENT)
    assert body is not None
    outbox.settle(body, ExportResult(Outcome.ANSWERED, rejected=rejected))
    assert outbox.account() == (1, 1 - counted, counted, {}, 0)


def test_unknown_is_sent_again_once() -> None:
    """A body that may have been taken gets one second chance and is dropped then."""
    outbox = Outbox()
    body = a_body()
    outbox.put(body)
    assert outbox.next(MOMENT) is body
    assert not outbox.settle(body, UNKNOWN)
    assert outbox.next(MOMENT) is body
    assert not outbox.settle(body, KEEP)  # it did not even leave: no chance used up
    assert outbox.next(MOMENT) is body
    assert outbox.settle(body, UNKNOWN)
    assert outbox.account() == (1, 0, 0, {"outcome unknown": 1}, 0)


def test_dropped_as_a_whole() -> None:
    """A body that will never be taken is counted, and makes way."""
    outbox = Outbox()
    body = a_body()
    outbox.put(body)
    outbox.next(MOMENT)
    assert outbox.settle(body, DROP)
    assert outbox.account() == (1, 0, 0, {"refused as a whole": 1}, 0)


def test_full() -> None:
    """When it is full the oldest give way, counted."""
    outbox = Outbox(max_bytes=3 * 20)
    made = bodies(5)
    for body in made:
        outbox.put(body)
    assert outbox.account() == (5, 0, 0, {"outbox full": 2}, 3)
    assert outbox.next(MOMENT) is made[2]


def test_full_while_sending() -> None:
    """What is being sent does not give way: it is answered for, not guessed at."""
    outbox = Outbox(max_bytes=3 * 20)
    made = bodies(5)
    for body in made[:3]:
        outbox.put(body)
    assert outbox.next(MOMENT) is made[0]
    for body in made[3:]:
        outbox.put(body)
    assert outbox.account().dropped == {"outbox full": 2}
    assert outbox.settle(made[0], ANSWERED)
    assert outbox.account() == (5, 1, 0, {"outbox full": 2}, 2)
    assert outbox.next(MOMENT) is made[3]


def test_full_and_kept() -> None:
    """What came back unsent is the oldest again, and the first to give way."""
    outbox = Outbox(max_bytes=25)
    made = bodies(2)
    outbox.put(made[0])
    assert outbox.next(MOMENT) is made[0]
    outbox.put(made[1])
    assert outbox.account().dropped == {}
    assert not outbox.settle(made[0], KEEP)
    assert outbox.account() == (2, 0, 0, {"outbox full": 1}, 1)
    assert outbox.next(MOMENT) is made[1]


def test_newest_stays() -> None:
    """One body larger than all that is allowed is kept: it may still go out."""
    outbox = Outbox(max_bytes=1)
    for body in bodies(3):
        outbox.put(body)
    assert outbox.account() == (3, 0, 0, {"outbox full": 2}, 1)


def test_expires() -> None:
    """After 55 minutes points are dropped: they would arrive too late to be taken."""
    outbox = Outbox()
    old = a_body(created_ms=MOMENT)
    new = a_body(created_ms=MOMENT + MINUTE)
    outbox.put(old)
    outbox.put(new)
    assert outbox.next(MOMENT + 55 * MINUTE) is old
    assert not outbox.settle(old, KEEP)
    assert outbox.next(MOMENT + 55 * MINUTE + 1) is new
    assert outbox.account() == (2, 0, 0, {"too old": 1}, 1)


def test_metadata_is_no_point() -> None:
    """A body without points takes part in delivery and not in the account."""
    outbox = Outbox(max_bytes=1)
    for number in range(3):
        outbox.put(Body(b"#orders count dt.meta.unit=%d" % number, (), MOMENT))
    outbox.next(MOMENT)
    assert outbox.account() == (0, 0, 0, {}, 0)


def test_forgets_after_fork() -> None:
    """In a forked child nothing waits, nothing was counted, no lock is held."""
    outbox = Outbox()
    outbox.put(a_body())
    body = outbox.next(MOMENT)
    assert body is not None
    with outbox._lock:
        outbox.reset_after_fork()
        asked = threading.Thread(target=outbox.account)
        asked.start()
        asked.join(5)
        assert not asked.is_alive()
    assert outbox.settle(body, ANSWERED)  # of the parent, and not of this account
    assert outbox.account() == (0, 0, 0, {}, 0)


def test_lock() -> None:
    """The account is read in one piece: it waits for whoever is changing it."""
    outbox = Outbox()
    asked = threading.Thread(target=outbox.account)
    with outbox._lock:
        asked.start()
        asked.join(0.05)
        assert asked.is_alive()
    asked.join(5)
    assert not asked.is_alive()


class Accounts(RuleBasedStateMachine):
    """Any sequence of what can happen to an outbox, beside a plain model of it."""

    LIMIT = 300

    def __init__(self) -> None:
        super().__init__()
        self.outbox = Outbox(max_bytes=self.LIMIT, max_age=60)
        self.now = MOMENT
        self.model: list[Body] = []
        self.leaving: Body | None = None
        self.collected = self.accepted = self.rejected = 0

    @rule(lines=st.integers(0, 8))
    def put(self, lines: int) -> None:
        """Something is collected; a body of metadata has no points."""
        made = [f"k{n} count,delta" for n in range(lines)]
        body = a_body(*made, created_ms=self.now) if lines else Body(b"#", (), self.now)
        self.outbox.put(body)
        self.collected += lines
        self.model.append(body)
        self._full()

    @rule(seconds=st.integers(0, 40))
    def wait(self, seconds: int) -> None:
        """Time goes by."""
        self.now += seconds * 1_000

    @rule()
    def next(self) -> None:
        """Somebody sends: the oldest that is not too old."""
        queue = ([self.leaving] if self.leaving else []) + self.model
        fresh = [b for b in queue if self.now - b.created_ms <= 60_000]
        body = self.outbox.next(self.now)
        assert body is (fresh[0] if fresh else None)
        self.leaving, self.model = body, fresh[1:]

    @precondition(lambda self: self.leaving is not None)
    @rule(outcome=st.sampled_from(Outcome), rejected=st.integers(-1, 10))
    def settle(self, outcome: Outcome, rejected: int) -> None:
        """Enter an answer."""
        body = self.leaving
        assert body is not None
        self.leaving = None
        if self.outbox.settle(body, ExportResult(outcome, rejected)):
            assert outcome is not Outcome.KEEP
            if outcome is Outcome.ANSWERED:
                counted = min(max(rejected, 0), body.points)
                self.rejected += counted
                self.accepted += body.points - counted
        else:
            assert outcome in (Outcome.KEEP, Outcome.UNKNOWN)
            self.model.insert(0, body)
            self._full()

    def _full(self) -> None:
        def size() -> int:
            return sum(len(b.text) for b in (*self.model, self.leaving) if b)

        while size() > self.LIMIT and len(self.model) > 1:
            self.model.pop(0)

    @invariant()
    def adds_up(self) -> None:
        """Check that the account adds up, and says what the model says."""
        holds(self.outbox)
        account = self.outbox.account()
        waiting = [*self.model, self.leaving] if self.leaving else self.model
        assert account[:3] == (self.collected, self.accepted, self.rejected)
        assert account.waiting == sum(body.points for body in waiting if body)
        assert len(self.outbox) == len(waiting)

    @invariant()
    def is_bounded(self) -> None:
        """Beyond its bound it holds what is being sent and the newest, no more."""
        if len(self.outbox) > 2 or (len(self.outbox) > 1 and self.leaving is None):
            assert self.outbox._bytes <= self.LIMIT
        kept = (*self.model, self.leaving)
        assert self.outbox._bytes == sum(len(body.text) for body in kept if body)


TestAccounts = Accounts.TestCase
