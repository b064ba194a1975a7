"""The account of an outbox adds up, wherever a signal handler raises."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import dtmetrics
from dtmetrics._deliver import outbox as module
from dtmetrics._deliver.batch_state import MOST_SPLITS
from dtmetrics._deliver.outbox import Outbox
from dtmetrics.exporters import Batch, ExportResult, Outcome
from tests.support.exporter_contract import a_batch
from tests.support.raising_signal import steps_of
from tests.support.recorder import MOMENT

HOUR_MS = 3_600_000
ANSWERED = ExportResult(Outcome.ANSWERED)

Action = Callable[[], object]


def first_in_flight(outbox: Outbox) -> Batch:
    """Begin an attempt; return the batch that is in flight then."""
    batch = outbox.begin_attempt(MOMENT)
    assert batch is not None
    return batch


def settle(outcome: Outcome, unread: int = 0) -> Callable[[Outbox], Action]:
    """Settle a batch in flight, after so many that were too large or malformed."""

    def prepare(outbox: Outbox) -> Action:
        batch, result = first_in_flight(outbox), ExportResult(outcome, 1)
        outbox._counts.unread_in_a_row = unread
        return lambda: outbox.settle(batch, result)

    return prepare


def interrupt(outbox: Outbox) -> Action:
    """Interrupt the attempt of a batch in flight."""
    batch = first_in_flight(outbox)
    return lambda: outbox.interrupt(batch)


def attempt_again(outbox: Outbox) -> Action:
    """Begin an attempt while a batch is in flight."""
    first_in_flight(outbox)
    return lambda: outbox.begin_attempt(MOMENT)


def recover(outbox: Outbox) -> Action:
    """Recover a batch that may have been taken."""
    return lambda: outbox.recover(a_batch("new gauge,1"), in_flight=True)


#: What is done to an outbox that holds three batches of two points each.
ACTIONS: dict[str, Callable[[Outbox], Action]] = {
    "put": lambda outbox: lambda: outbox.put(a_batch("new gauge,1")),
    "recover": recover,
    "begin attempt": lambda outbox: lambda: outbox.begin_attempt(MOMENT),
    "begin another attempt": attempt_again,
    "too old": lambda outbox: lambda: outbox.begin_attempt(MOMENT + HOUR_MS),
    "interrupt": interrupt,
    "newest first": lambda outbox: lambda: outbox.newest_first(2),
    "compress": lambda outbox: outbox.compress,
    "too large, not split": settle(Outcome.TOO_LARGE, MOST_SPLITS),
    **{outcome.value: settle(outcome) for outcome in Outcome},
}


#: After these the batch was certainly not taken: an attempt more risks nothing.
NOT_TAKEN = {
    each.value for each in (Outcome.RETRY, Outcome.THROTTLED, Outcome.MISCONFIGURED)
}


def raise_everywhere(name: str, *, resend: bool) -> int:
    """Do it, raising at one point after the other; return how many there are."""
    prepare = ACTIONS[name]
    point, raised = 0, True
    while raised:
        point += 1
        outbox = Outbox(resend=resend)
        for number in range(3):
            lines = [f"{key}{number}{'x' * 200} gauge,1" for key in "kl"]
            outbox.put(a_batch(*lines))
        # A batch more takes the place of the oldest.
        outbox._max_bytes = outbox._bytes + 1
        sent: list[Batch] = []
        begin = outbox.begin_attempt

        def note(now_ms: int) -> Batch | None:
            batch = begin(now_ms)  # noqa: B023 -- called within this round only
            sent.extend([batch] if batch else [])  # noqa: B023
            return batch

        outbox.begin_attempt = note  # type: ignore[method-assign]
        raised = steps_of(prepare(outbox), point, module.__file__)
        entries = [each for each in (*outbox._queue, outbox._in_flight) if each]
        assert len({*map(id, entries)}) == len(entries), point
        assert outbox._bytes == sum(entry.size for entry in entries), point
        points = sum(entry.batch.points for entry in entries)
        assert outbox.account().waiting == points, point
        while batch := outbox.begin_attempt(MOMENT):
            outbox.settle(batch, ANSWERED)
        account = outbox.account()
        assert (account.waiting, outbox._bytes) == (0, 0), point
        assert account.collected >= 6, point
        most = (2 if resend else 1) + (name in NOT_TAKEN)
        assert all(sent.count(batch) <= most for batch in sent), point
    return point


@pytest.mark.parametrize("resend", [True, False], ids=["at least once", "at most once"])
@pytest.mark.parametrize("name", ACTIONS)
def test_raising_at_every_point(name: str, resend: bool) -> None:
    """Each point is counted once, and no batch is sent too often, whatever is raised."""
    # In a thread of its own: raising between two steps of an `except` leaves the
    # exception behind as the thread's current one.
    with ThreadPoolExecutor(1) as pool:
        points = pool.submit(raise_everywhere, name, resend=resend).result()
    assert points > 2


def raise_while_handed_over(point: int) -> bool:
    """Hand three batches over, raising at *point*; return whether it was reached."""
    outbox, other = Outbox(), Outbox()
    made = [a_batch(f"k{number} gauge,1", f"l{number} gauge,1") for number in range(3)]
    for batch in made:
        outbox.put(batch)
    # Also in what is called, such as the number of points of a batch.
    package = str(Path(dtmetrics.__file__).parent)
    raised = steps_of(lambda: outbox.hand_over(other), point, package)
    both = [batch for each in (outbox, other) for batch, _ in each.waiting()]
    assert sorted(both, key=made.index) == made, point
    for each in (outbox, other):
        points = sum(batch.points for batch, _ in each.waiting())
        assert each.account()[:5] == (points, 0, 0, {}, points), point
        assert each._bytes == sum(batch.size for batch, _ in each.waiting()), point
    return raised


def test_raising_while_handed_over() -> None:
    """Each batch is in one of the two outboxes, and counted there, whatever is raised."""
    with ThreadPoolExecutor(1) as pool:
        point = 1
        while pool.submit(raise_while_handed_over, point).result():
            point += 1
    assert point > 2
