"""The account of an outbox adds up, wherever a signal handler raises."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from dtmetrics._deliver import outbox as module
from dtmetrics._deliver.outbox import Outbox
from dtmetrics.exporters import Batch, ExportResult, Outcome
from tests.support.exporter_contract import a_body
from tests.support.raising_signal import steps_of
from tests.support.recorder import MOMENT

HOUR_MS = 3_600_000


def leaving(box: Outbox) -> Batch:
    """Let the first body leave."""
    body = box.next(MOMENT)
    assert body is not None
    return body


def settle(outcome: Outcome) -> Callable[[Outbox], Callable[[], object]]:
    """Settle a body that has left."""

    def prepare(box: Outbox) -> Callable[[], object]:
        body, result = leaving(box), ExportResult(outcome, 1)
        return lambda: box.settle(body, result)

    return prepare


def divide(box: Outbox) -> Callable[[], object]:
    """Divide a body that has left."""
    body = leaving(box)
    return lambda: box.divide(body)


def replace(box: Outbox) -> Callable[[], object]:
    """Put another body in the place of two."""
    old = box.untried()[1:]
    new = Batch(b"k2 gauge,1\nk3 gauge,1", old[0].identities, MOMENT, (2, 2))
    return lambda: box.replace(old, [new])


#: What is done to an outbox that holds three bodies of two points each.
ACTIONS: dict[str, Callable[[Outbox], Callable[[], object]]] = {
    "put": lambda box: lambda: box.put(a_body("new gauge,1")),
    "adopt": lambda box: lambda: box.adopt(a_body("new gauge,1"), doubtful=True),
    "next": lambda box: lambda: box.next(MOMENT),
    "expire": lambda box: lambda: box.next(MOMENT + HOUR_MS),
    "divide": divide,
    "replace": replace,
    "newest first": lambda box: lambda: box.newest_first(2),
    **{outcome.value: settle(outcome) for outcome in Outcome},
}


def strike_everywhere(prepare: Callable[[Outbox], Callable[[], object]]) -> int:
    """Do it, raising at one point after the other; return how many there are."""
    strike, struck = 0, True
    while struck:
        strike += 1
        box = Outbox()
        for number in range(3):
            box.put(a_body(f"k{number} gauge,1", f"l{number} gauge,1"))
        # So that something gives way to what comes.
        box._max_bytes = box._bytes + 1
        action = prepare(box)
        struck = steps_of(action, strike, module.__file__)
        queue = [entry for entry in (*box._waiting, box._leaving) if entry]
        assert len({*map(id, queue)}) == len(queue), strike
        assert box._bytes == sum(entry.body.size for entry in queue), strike
        assert box.account().waiting == sum(e.body.points for e in queue), strike
        while body := box.next(MOMENT):
            assert box.settle(body, ExportResult(Outcome.ANSWERED)), strike
        account = box.account()
        assert (account.waiting, box._bytes) == (0, 0), strike
        assert account.collected >= 6, strike
    return strike


@pytest.mark.parametrize("name", ACTIONS)
def test_raising_at_every_point(name: str) -> None:
    """Whatever is under way, each point is in the account once, and where it says."""
    # In a thread of its own: raising between two steps of an `except` leaves the
    # exception behind as the thread's current one.
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(strike_everywhere, ACTIONS[name]).result() > 2
