from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._deliver.backlog import fold
from dtmetrics._protocol.point import Identity
from dtmetrics.exporters import Batch
from tests.support.delivery_rig import KEEP, Sending
from tests.support.recorder import MOMENT

# A whole minute, to the second.
MINUTE = MOMENT - MOMENT % 60_000


def backlog(sending: Sending, cuts: int, seconds: int = 10) -> None:
    """Let so many cuts wait, one each so many seconds, from a minute's beginning on."""
    for number in range(cuts):
        sending.now_ms = MINUTE + number * seconds * 1_000
        sending.put("orders", "sales")


def total(sending: Sending) -> Counter[tuple[str, int]]:
    """Return by key and minute what all that waits adds up to."""
    found: Counter[tuple[str, int]] = Counter()
    for body in sending.waiting:
        for line in body.text.decode().split("\n"):
            key, payload, moment = line.split(" ")
            delta = int(payload.removeprefix("count,delta="))
            found[key, int(moment) // 60_000] += delta
    return found


def test_minute_by_minute() -> None:
    """Of a long backlog each minute that is over becomes one cut; no count changes."""
    sending = Sending()
    backlog(sending, 13)
    sending.now_ms += 9_000  # in the middle of the third minute
    before = total(sending)
    fold(sending.outbox, sending.now_ms)
    bodies = sending.waiting
    assert [body.created_ms for body in bodies] == [
        MINUTE + 50_000,
        MINUTE + 110_000,
        MINUTE + 120_000,
    ]
    assert [body.points for body in bodies] == [12, 12, 2]
    assert total(sending) == before
    assert sending.outbox.account() == (26, 0, 0, {}, 26)
    assert sending.send()
    assert sending.outbox.account() == (26, 26, 0, {}, 0)


def test_whose_lines_they_are() -> None:
    """Each line still knows its series, so that a refusal finds its instrument."""
    sending = Sending()
    backlog(sending, 7)
    sending.now_ms = MINUTE + 60_000
    fold(sending.outbox, sending.now_ms)
    body = sending.waiting[0]
    assert [each.line_prefix for each in body.identities] == ["orders", "sales"]


def test_what_a_dead_process_left() -> None:
    """Lines of which no more than the metric's key is known are put together as well."""
    sending = Sending()
    for number in range(7):
        text = b"orders,shop=a count,delta=2 %d" % (MINUTE + number)
        left = Batch(text, (Identity("orders", "orders"),), MINUTE + number)
        sending.outbox.adopt(left, doubtful=False)
    fold(sending.outbox, MINUTE + 60_000)
    (body,) = sending.waiting
    assert body.text == b"orders,shop=a count,delta=14 %d" % (MINUTE + 6)
    assert (body.points, [each.key for each in body.identities]) == (7, ["orders"])


def test_a_short_backlog_stays() -> None:
    """Six cuts that wait, as after a restart of the endpoint, stay as they are."""
    sending = Sending()
    backlog(sending, 6)
    sending.now_ms = MINUTE + 90_000
    before = sending.waiting
    fold(sending.outbox, sending.now_ms)
    assert sending.waiting == before


def test_what_was_sent_stays() -> None:
    """What has been tried, and may be in doubt, keeps its bytes."""
    sending = Sending(KEEP)
    backlog(sending, 12)
    tried = sending.waiting[0]
    text = tried.text
    sending.now_ms = MINUTE + 180_000
    assert not sending.send()
    bodies = sending.waiting
    assert bodies[0] is tried
    assert tried.text == text
    assert [body.points for body in bodies] == [2, 10, 12]


def test_an_hour_takes_a_sixth() -> None:
    """An hour of 10 second intervals takes no more room than one of minutes."""
    sizes = []
    for seconds in (10, 60):
        sending = Sending(KEEP)
        backlog(sending, 3_300 // seconds, seconds)
        assert not sending.send()
        sizes.append(sum(body.size for body in sending.waiting))
    assert sizes[0] < sizes[1] * 1.5


@given(st.lists(st.integers(1, 70), min_size=7, max_size=40))
def test_nothing_is_lost(pauses: list[int]) -> None:
    """Whenever it was collected, no point and no count is lost, and none is twice."""
    sending = Sending()
    for seconds in pauses:
        sending.now_ms += seconds * 1_000
        sending.put("orders")
    before = sending.outbox.account()
    fold(sending.outbox, sending.now_ms)
    fold(sending.outbox, sending.now_ms + 60_000)
    assert sending.outbox.account() == before
    assert sum(total(sending).values()) == len(pauses)
    assert sending.send()
    assert sending.outbox.account().accepted == len(pauses)
