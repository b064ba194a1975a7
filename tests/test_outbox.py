from __future__ import annotations

import threading
from dataclasses import dataclass

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dtmetrics._deliver.outbox import Outbox
from dtmetrics.exporters import Batch, ExportResult, Outcome
from tests.support.exporter_contract import a_body
from tests.support.recorder import MOMENT

ANSWERED = ExportResult(Outcome.ANSWERED)
RETRY = ExportResult(Outcome.RETRY)
INDETERMINATE = ExportResult(Outcome.INDETERMINATE)
REJECTED = ExportResult(Outcome.REJECTED)
MINUTE = 60_000


def bodies(count: int) -> list[Batch]:
    """Return so many bodies of one point and 20 bytes each."""
    return [a_body(f"order.{n:02} count,delta") for n in range(count)]


#: What one of them takes.
SIZE = bodies(1)[0].size


def waiting_in(outbox: Outbox) -> list[Batch]:
    """Return what waits, in its order."""
    return [body for body, _ in outbox.waiting()]


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
        assert not outbox.settle(first, RETRY)
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
    assert not outbox.settle(body, INDETERMINATE)
    assert outbox.next(MOMENT) is body
    assert not outbox.settle(body, RETRY)  # it did not even leave: no chance used up
    assert outbox.next(MOMENT) is body
    assert outbox.settle(body, INDETERMINATE)
    assert outbox.account() == (1, 0, 0, {"indeterminate": 1}, 0)


def test_dropped_as_a_whole() -> None:
    """A body that will never be taken is counted, and makes way."""
    outbox = Outbox()
    body = a_body()
    outbox.put(body)
    outbox.next(MOMENT)
    assert outbox.settle(body, REJECTED)
    assert outbox.account() == (1, 0, 0, {"rejected batch": 1}, 0)


def test_full() -> None:
    """When it is full the oldest give way, counted."""
    outbox = Outbox(max_bytes=3 * SIZE)
    made = bodies(5)
    for body in made:
        outbox.put(body)
    assert outbox.account() == (5, 0, 0, {"outbox full": 2}, 3)
    assert outbox.next(MOMENT) is made[2]


def test_full_while_sending() -> None:
    """What is being sent does not give way: it is answered for, not guessed at."""
    outbox = Outbox(max_bytes=3 * SIZE)
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
    outbox = Outbox(max_bytes=SIZE + 5)
    made = bodies(2)
    outbox.put(made[0])
    assert outbox.next(MOMENT) is made[0]
    outbox.put(made[1])
    assert outbox.account().dropped == {}
    assert not outbox.settle(made[0], RETRY)
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
    assert not outbox.settle(old, RETRY)
    assert outbox.next(MOMENT + 55 * MINUTE + 1) is new
    assert outbox.account() == (2, 0, 0, {"too old": 1}, 1)


def test_metadata_is_no_point() -> None:
    """A body without points takes part in delivery and not in the account."""
    outbox = Outbox(max_bytes=1)
    for number in range(3):
        outbox.put(Batch(b"#orders count dt.meta.unit=%d" % number, (), MOMENT))
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


@dataclass(eq=False)
class Known:
    """What the model knows of one body."""

    body: Batch
    doubtful: bool = False


class Accounts(RuleBasedStateMachine):
    """Any sequence of what can happen to an outbox, beside a plain model of it."""

    LIMIT = 400

    def __init__(self) -> None:
        super().__init__()
        self.outbox = Outbox(max_bytes=self.LIMIT, max_age=60)
        self.now = MOMENT
        self.model: list[Known] = []
        self.leaving: Known | None = None
        self.collected = self.accepted = self.rejected = self.dropped = 0

    @rule(lines=st.integers(0, 8), adopted=st.none() | st.booleans())
    def put(self, lines: int, adopted: bool | None) -> None:
        """Something is collected, or taken over; a body of metadata has no points."""
        made = [f"k{n} count,delta" for n in range(lines)]
        body = (
            a_body(*made, created_ms=self.now) if lines else Batch(b"#", (), self.now)
        )
        if adopted is None:
            self.outbox.put(body)
        else:
            self.outbox.adopt(body, doubtful=adopted)
        self.collected += lines
        self.model.append(Known(body, bool(adopted)))
        self._full()

    @rule(seconds=st.integers(0, 40))
    def wait(self, seconds: int) -> None:
        """Time goes by."""
        self.now += seconds * 1_000

    @rule()
    def next(self) -> None:
        """Somebody sends: the first that is not too old."""
        queue = ([self.leaving] if self.leaving else []) + self.model
        fresh = [k for k in queue if self.now - k.body.created_ms <= 60_000]
        before = queue[: queue.index(fresh[0])] if fresh else queue
        self.dropped += sum(known.body.points for known in before)
        body = self.outbox.next(self.now)
        assert body is (fresh[0].body if fresh else None)
        self.leaving = fresh[0] if fresh else None
        self.model = queue[len(before) + 1 :]

    @precondition(lambda self: self.leaving is not None)
    @rule(outcome=st.sampled_from(Outcome), rejected=st.integers(-1, 10))
    def settle(self, outcome: Outcome, rejected: int) -> None:
        """Enter an answer."""
        known = self.leaving
        assert known is not None
        self.leaving = None
        body = known.body
        settled = self.outbox.settle(body, ExportResult(outcome, rejected))
        if outcome is Outcome.ANSWERED:
            lines = min(max(rejected, 0), len(body.identities))
            counted = sum(body.weights[:lines]) if body.weights else lines
            self.rejected += counted
            self.accepted += body.points - counted
        elif outcome in (Outcome.TOO_LARGE, Outcome.MALFORMED) and b"\n" in body.text:
            self._halved(body)
        elif outcome in (Outcome.RETRY, Outcome.THROTTLED, Outcome.MISCONFIGURED) or (
            outcome is Outcome.INDETERMINATE and not known.doubtful
        ):
            assert not settled
            known.doubtful |= outcome is Outcome.INDETERMINATE
            self.model.insert(0, known)
            self._full()
            return
        else:
            self.dropped += body.points
        assert settled

    @rule()
    def stow(self) -> None:
        """Nothing changes but the room that it takes."""
        texts = [body.text for body in waiting_in(self.outbox)]
        self.outbox.stow()
        assert [body.text for body in waiting_in(self.outbox)] == texts

    @rule(cuts=st.integers(1, 3))
    def newest_first(self, cuts: int) -> None:
        """Put the last cuts before the others, each in its order."""
        self.outbox.newest_first(cuts)
        newest = sorted({known.body.created_ms for known in self.model})[-cuts:]
        self.model.sort(key=lambda known: known.body.created_ms not in newest)

    @rule(data=st.data())
    def replace(self, data: st.DataObject) -> None:
        """Untried bodies are put together; with one that is gone nothing happens."""
        old = self.outbox.untried()
        chosen = [body for body in old if data.draw(st.booleans())]
        if not chosen:
            return
        points = sum(body.points for body in chosen)
        new = Batch(b"x", (), chosen[-1].created_ms)
        if points:
            new = a_body("x count,delta", created_ms=chosen[-1].created_ms)
            new = Batch(new.text, new.identities, new.created_ms, (points,))
        self.outbox.replace([*chosen, a_body()], [new])
        assert self.outbox.untried() == old
        self.outbox.replace(chosen, [new])
        place = next(n for n, k in enumerate(self.model) if k.body in chosen)
        self.model = [k for k in self.model if k.body not in chosen]
        self.model.insert(place, Known(new))
        self._full()

    def _halved(self, body: Batch) -> None:
        first, second = body.halves()
        assert first.text + b"\n" + second.text == body.text
        assert (*first.identities, *second.identities) == body.identities
        self.model[:0] = [Known(first), Known(second)]
        self._full()
        for known, half in zip(self.model, waiting_in(self.outbox), strict=True):
            assert known.body.text == half.text
            known.body = half

    def _full(self) -> None:
        while self._size() > self.LIMIT and len(self.model) > 1:
            oldest = min(self.model, key=lambda known: known.body.created_ms)
            self.model.remove(oldest)
            self.dropped += oldest.body.points

    def _size(self) -> int:
        return sum(known.body.size for known in (*self.model, self.leaving) if known)

    @invariant()
    def adds_up(self) -> None:
        """Check that the account adds up, and says what the model says."""
        holds(self.outbox)
        account = self.outbox.account()
        waiting = [*self.model, self.leaving] if self.leaving else self.model
        assert account[:3] == (self.collected, self.accepted, self.rejected)
        assert sum(account.dropped.values()) == self.dropped
        assert account.waiting == sum(known.body.points for known in waiting if known)
        leaving = [self.leaving] if self.leaving else []
        in_order = [known.body for known in (*leaving, *self.model) if known]
        assert waiting_in(self.outbox) == in_order
        assert len(self.outbox) == len(in_order)

    @invariant()
    def is_bounded(self) -> None:
        """Beyond its bound it holds what is being sent and the newest, no more."""
        if len(self.outbox) > 2 or (len(self.outbox) > 1 and self.leaving is None):
            assert self.outbox._bytes <= self.LIMIT
        assert self.outbox._bytes == self._size()


TestAccounts = Accounts.TestCase
