"""What a sender does after each outcome; see also test_sender.py."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from dtmetrics.exporters import Batch, ExportResult, LineMessage, Outcome
from tests.support.delivery_rig import (
    ANSWERED,
    DROP,
    KEEP,
    MISCONFIGURED,
    TOO_LARGE,
    UNKNOWN,
    UNREAD,
    Sending,
)
from tests.support.recorder import MOMENT
from tests.support.spool_directory import SpoolDirectory

PROBE = "dtmetrics.client.probe,dt.metrics.source=dtmetrics"


def keys(bodies: Iterable[Batch]) -> list[str]:
    """Return which keys came in which request."""
    return [
        " ".join(line.split(" ")[0] for line in body.text.decode().split("\n"))
        for body in bodies
    ]


# -- in doubt -----------------------------------------------------------------------


def test_asks_before_it_sends_again() -> None:
    """After an answer that never came a harmless line asks whether one comes now.

    Nothing else is put at risk meanwhile; then the same bytes are sent once more.
    """
    sending = Sending(UNKNOWN, UNKNOWN, KEEP)
    sending.put("a")
    sending.put("b")
    for _ in range(3):
        assert not sending.send()
    assert sending.send()
    assert keys(sending.exporter.bodies) == ["a", PROBE, PROBE, PROBE, "a", "b"]
    assert sending.outbox.account() == (2, 2, 0, {}, 0)
    assert sending.exporter.bodies[0] is sending.exporter.bodies[4]


@pytest.mark.parametrize("step", [ANSWERED, DROP, UNREAD, TOO_LARGE])
def test_any_answer_will_do(step: ExportResult) -> None:
    """An endpoint that refuses the harmless line answers again all the same."""
    sending = Sending(UNKNOWN, step)
    sending.put()
    assert not sending.send()
    assert sending.send()
    assert len(sending.exporter.bodies) == 3


def test_in_doubt_twice() -> None:
    """A second doubt drops the body, and again a harmless line goes before the rest."""
    sending = Sending(UNKNOWN, ANSWERED, UNKNOWN)
    sending.put("a")
    sending.put("b")
    assert not sending.send()
    assert not sending.send()
    assert sending.send()
    assert keys(sending.exporter.bodies) == ["a", PROBE, "a", PROBE, "b"]
    assert sending.outbox.account() == (2, 1, 0, {"outcome unknown": 1}, 0)


def test_at_most_once() -> None:
    """Who cannot bear double counts has what is in doubt dropped instead, and counted."""
    sending = Sending(UNKNOWN, resend=False)
    sending.put("a")
    sending.put("b")
    assert not sending.send()
    assert sending.send()
    assert keys(sending.exporter.bodies) == ["a", PROBE, "b"]
    assert sending.outbox.account() == (2, 1, 0, {"outcome unknown": 1}, 0)


def test_not_even_sent_is_no_doubt() -> None:
    """What certainly was not taken after a doubt still has its second chance."""
    sending = Sending(UNKNOWN, ANSWERED, KEEP)
    sending.put("a")
    for _ in range(2):
        assert not sending.send()
    assert sending.send()
    assert keys(sending.exporter.bodies) == ["a", PROBE, "a", "a"]


# -- in parts -----------------------------------------------------------------------


def only(
    allowed: Callable[[Batch], bool], refused: ExportResult
) -> Callable[..., None]:
    """Let a sending's exporter answer *refused* to what is not allowed."""

    def script(sending: Sending) -> None:
        export = sending.exporter.export

        def answer(body: Batch, timeout: float) -> ExportResult:
            export(body, timeout)
            return ANSWERED if allowed(body) else refused

        sending.exporter.export = answer  # type: ignore[method-assign]

    return script


def test_too_large() -> None:
    """What is too large goes out in parts, each line once, in its order."""
    sending = Sending()
    only(lambda body: body.points <= 3, TOO_LARGE)(sending)
    sending.put(*(f"k{n}" for n in range(10)))
    assert sending.send()
    assert sending.outbox.account() == (10, 10, 0, {}, 0)
    taken = [body for body in sending.exporter.bodies if body.points <= 3]
    assert " ".join(keys(taken)) == " ".join(f"k{n}" for n in range(10))


def test_learns_what_is_too_large() -> None:
    """What was too large is not asked for again; an hour later a bit more is."""
    sending = Sending()
    # Up to six of eight lines are taken.
    names = [f"key.{n}".ljust(20_000, "x") for n in range(8)]
    only(lambda body: body.points <= 6, TOO_LARGE)(sending)
    for _ in range(3):
        sending.put(*names)
        assert sending.send()
    asked = [body.points for body in sending.exporter.bodies]
    assert asked == [8, 4, 4, 4, 4, 4, 4]
    sending.now += 2 * 3_600
    sending.put(*names)
    assert sending.send()
    assert [body.points for body in sending.exporter.bodies[7:]] == [8, 4, 4]
    assert sending.outbox.account() == (32, 32, 0, {}, 0)


def test_believes_no_tiny_limit() -> None:
    """A proxy that once took nothing, however small, is not obeyed for days."""
    sending = Sending(UNKNOWN, TOO_LARGE, *[TOO_LARGE] * 15)
    sending.put(*(f"k{n}" for n in range(8)))
    assert not sending.send()
    assert sending.send()
    assert sending.outbox.account().dropped == {"too large": 8}
    sending.put(*(f"k{n}" for n in range(8)))
    assert sending.send()
    assert sending.exporter.bodies[-1].points == 8


def test_one_line_too_large() -> None:
    """A single line that is too large is dropped, counted, and costs nobody else."""
    sending = Sending()
    only(lambda body: b"k3" not in body.text, TOO_LARGE)(sending)
    sending.put(*(f"k{n}" for n in range(8)))
    assert sending.send()
    assert sending.outbox.account() == (8, 7, 0, {"too large": 1}, 0)


def test_one_line_makes_it_unreadable() -> None:
    """One line that makes a thousand refused unread is found by halving, and dropped."""
    sending = Sending()
    only(lambda body: b"k700 " not in body.text, UNREAD)(sending)
    sending.put(*(f"k{n}" for n in range(1_000)))
    assert sending.send()
    assert sending.outbox.account() == (1_000, 999, 0, {"refused unread": 1}, 0)
    assert len(sending.exporter.bodies) <= 32


def test_everything_is_unreadable() -> None:
    """The search ends after 32 refusals; what was not taken by then is dropped."""
    sending = Sending()
    only(lambda body: b"k1" not in body.text, UNREAD)(sending)
    sending.put(*(f"k{n}" for n in range(1_000)))
    sending.put("good")
    assert sending.send()
    account = sending.outbox.account()
    assert account.accepted + account.dropped["refused unread"] == 1_001
    refused = [body for body in sending.exporter.bodies if b"k1" in body.text]
    assert len(refused) > 32
    assert keys(sending.exporter.bodies)[-1] == "good"


# -- after an outage ---------------------------------------------------------------


def cut(sending: Sending, *names: str) -> None:
    """Collect these, a minute after the last time."""
    sending.now_ms += 60_000
    for name in names:
        sending.put(name)


def test_newest_first_after_an_outage() -> None:
    """The last two cuts come first, so that dashboards show the present; then the past."""
    sending = Sending(KEEP)
    cut(sending, "a1", "a2")
    assert not sending.send()
    for number in "bcde":
        cut(sending, f"{number}1", f"{number}2")
    assert sending.send()
    order = "a1 a1 d1 d2 e1 e2 a2 b1 b2 c1 c2"
    assert " ".join(keys(sending.exporter.bodies)) == order


def test_paced_after_an_outage() -> None:
    """Ten bodies a second, of what has waited; a flush by hand is in a hurry."""
    sending = Sending(KEEP)
    for name in "abcdef":
        cut(sending, name)
    assert not sending.sender.send(99.0, hurry=False)
    for left in (5, 4, 3):
        assert not sending.sender.send(99.0, hurry=False)
        assert sending.outbox.account().waiting == left
        assert sending.pause == pytest.approx(0.1)
        sending.now += sending.pause
    assert sending.send()
    assert sending.sender.retry_at == 0.0
    for name in "gh":
        cut(sending, name)
    assert sending.sender.send(99.0, hurry=False)


def test_paced_after_a_death(tmp_path: Path) -> None:
    """What dead processes have left is as much as an outage leaves, and paced as well."""
    directory = SpoolDirectory(tmp_path)
    directory.dead(*(directory.batch(f"k{n} gauge,1") for n in range(4)))
    sending = Sending(spool=directory.spool())
    for left in (3, 2, 1):
        assert not sending.sender.send(99.0, hurry=False)
        assert sending.outbox.account().waiting == left
        assert sending.pause == pytest.approx(0.1)
        sending.now += sending.pause
    assert sending.sender.send(99.0, hurry=False)
    assert sending.sender.retry_at == 0.0
    sending.sender.close()


def test_what_waits_takes_less_room() -> None:
    """What has to wait is compressed; what is sent then are the same bytes."""
    sending = Sending(KEEP)
    sending.put(*(f"orders.of.customer.{n:03}" for n in range(500)))
    (body,) = sending.waiting
    text, size = body.text, body.size
    assert not sending.send()
    assert body.size < size / 3
    assert sending.send()
    assert sending.exporter.bodies[-1].text == text


# -- coalesced points ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("rejected", "named", "points"),
    [(0, (), 0), (1, (1,), 5), (2, (1,), 7), (2, (), 7), (3, (2,), 10), (9, (), 10)],
)
def test_weights(rejected: int, named: tuple[int, ...], points: int) -> None:
    """A refused line that stands for several points rejects as many."""
    notes = [LineMessage(line, "bad") for line in named]
    sending = Sending(ExportResult(Outcome.ANSWERED, rejected, rejected_lines=notes))
    sending.put("a", "b", "c")
    (old,) = sending.waiting
    new = Batch(old.text, old.identities, MOMENT, (2, 5, 3))
    sending.outbox.replace([old], [new])
    sending.outbox._collected = 10  # as if those had been collected one by one
    assert sending.send()
    assert sending.outbox.account() == (10, 10 - points, points, {}, 0)


@pytest.mark.parametrize("step", [KEEP, MISCONFIGURED])
def test_says_what_an_outage_cost(
    step: ExportResult, caplog: pytest.LogCaptureFixture
) -> None:
    """One line says that it is down, one that it is back and what was lost meanwhile."""
    sending = Sending(step, step, step)
    sending.put("a", "b")
    assert not sending.send()
    sending.now_ms += 56 * 60_000
    sending.put("c")
    assert not sending.send()
    assert not sending.send()
    assert sending.send()
    assert [record.getMessage() for record in caplog.records] == [
        f"dtmetrics: cannot deliver, will go on trying: {step.reason}",
        "dtmetrics: delivering again; data points lost meanwhile: 2 too old",
    ]


def test_puts_the_time_right() -> None:
    """What a clock wrote that was hours ahead is sent with the time that it is now."""
    sending = Sending(KEEP)
    sending.now_ms += 2 * 3_600_000
    sending.put("a", "b")
    assert not sending.send()
    sending.now_ms -= 2 * 3_600_000
    assert sending.send()
    last = sending.exporter.bodies[-1]
    assert last.text.decode() == "\n".join(
        f"{key} count,delta=1 {sending.now_ms}" for key in "ab"
    )
    assert sending.sender.restamped == 2
    assert sending.outbox.account() == (2, 2, 0, {}, 0)


def test_puts_the_time_right_one_by_one() -> None:
    """Bodies of several cuts are sent at once then, and still have a time each."""
    sending = Sending(KEEP)
    sending.now_ms += 2 * 3_600_000
    for _ in range(3):
        sending.put("orders")
    assert not sending.send()
    sending.now_ms -= 2 * 3_600_000
    assert sending.send()
    texts = [body.text.decode() for body in sending.exporter.bodies[1:]]
    assert texts == [f"orders count,delta=1 {sending.now_ms + n}" for n in range(3)]
