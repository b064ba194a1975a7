"""What the sender does after each outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from dtmetrics._deliver.batch_state import MOST_SPLITS
from dtmetrics.exporters import Batch, ExportResult
from tests.support.delivery_rig import (
    ANSWERED,
    INDETERMINATE,
    MALFORMED,
    REJECTED,
    RETRY,
    TOO_LARGE,
    Sending,
)
from tests.support.platforms import needs_flock
from tests.support.spool_directory import SpoolDirectory

PROBE = "dtmetrics.client.probe,dt.metrics.source=dtmetrics"


def keys(batches: Iterable[Batch]) -> list[str]:
    """Return the keys of each request."""
    return [
        " ".join(line.split(" ")[0] for line in batch.text.decode().split("\n"))
        for batch in batches
    ]


# -- indeterminate ------------------------------------------------------------------


def test_probe_before_the_second_attempt() -> None:
    """After an unknown outcome a probe must be answered before anything else is sent.

    Then the same bytes are sent once more.
    """
    sending = Sending(INDETERMINATE, INDETERMINATE, RETRY)
    sending.put("a")
    sending.put("b")
    for _ in range(3):
        assert not sending.send()
    assert sending.send()
    assert keys(sending.exporter.batches) == ["a", PROBE, PROBE, PROBE, "a", "b"]
    assert sending.outbox.account() == (2, 2, 0, {}, 0)
    assert sending.exporter.batches[0] is sending.exporter.batches[4]


@pytest.mark.parametrize("step", [ANSWERED, REJECTED, MALFORMED, TOO_LARGE])
def test_any_answer_to_a_probe_will_do(step: ExportResult) -> None:
    """An endpoint that rejects the probe answers again all the same."""
    sending = Sending(INDETERMINATE, step)
    sending.put()
    assert not sending.send()
    assert sending.send()
    assert len(sending.exporter.batches) == 3


def test_indeterminate_twice() -> None:
    """A second unknown outcome drops the batch, and a probe goes before the rest."""
    sending = Sending(INDETERMINATE, ANSWERED, INDETERMINATE)
    sending.put("a")
    sending.put("b")
    assert not sending.send()
    assert not sending.send()
    assert sending.send()
    assert keys(sending.exporter.batches) == ["a", PROBE, "a", PROBE, "b"]
    assert sending.outbox.account() == (2, 1, 0, {"indeterminate": 1}, 0)


def test_at_most_once() -> None:
    """With ``resend=False`` an indeterminate batch is dropped and counted instead."""
    sending = Sending(INDETERMINATE, resend=False)
    sending.put("a")
    sending.put("b")
    assert not sending.send()
    assert sending.send()
    assert keys(sending.exporter.batches) == ["a", PROBE, "b"]
    assert sending.outbox.account() == (2, 1, 0, {"indeterminate": 1}, 0)


def test_a_failure_uses_up_no_second_attempt() -> None:
    """A second attempt that was certainly not taken may be repeated."""
    sending = Sending(INDETERMINATE, ANSWERED, RETRY)
    sending.put("a")
    for _ in range(2):
        assert not sending.send()
    assert sending.send()
    assert keys(sending.exporter.batches) == ["a", PROBE, "a", "a"]


# -- halves -------------------------------------------------------------------------


def accept_only(
    sending: Sending, accepted: Callable[[Batch], bool], otherwise: ExportResult
) -> None:
    """Let the exporter answer *accepted* batches, and return *otherwise* for others."""
    export = sending.exporter.export

    def decide(batch: Batch, timeout: float) -> ExportResult:
        export(batch, timeout)
        return ANSWERED if accepted(batch) else otherwise

    sending.exporter.export = decide  # type: ignore[method-assign]


def numbered(count: int) -> list[str]:
    """Return so many keys, k0 to the last."""
    return [f"k{n}" for n in range(count)]


def test_too_large() -> None:
    """A batch that is too large is sent in parts, each line once, in its order."""
    sending = Sending()
    accept_only(sending, lambda batch: batch.points <= 3, TOO_LARGE)
    sending.put(*numbered(10))
    assert sending.send()
    assert sending.outbox.account() == (10, 10, 0, {}, 0)
    accepted = [batch for batch in sending.exporter.batches if batch.points <= 3]
    assert " ".join(keys(accepted)).split() == numbered(10)


@pytest.mark.parametrize("place", [0, 1, 499, 500, 700, 998, 999])
def test_one_bad_line_among_a_thousand(place: int) -> None:
    """Halving finds one bad line among 1,000 with at most 21 requests."""
    sending = Sending()
    names = [f"k{n:03}" for n in range(1_000)]
    bad = names[place].encode()
    accept_only(sending, lambda batch: bad not in batch.text, MALFORMED)
    sending.put(*names)
    assert sending.send()
    assert sending.outbox.account() == (1_000, 999, 0, {"malformed": 1}, 0)
    assert len(sending.exporter.batches) <= 21


@pytest.mark.parametrize("bad", [range(4), range(0, 1_000, 125), range(996, 1_000)])
def test_several_bad_lines(bad: range) -> None:
    """Bad lines, scattered or four in a row, cost no good line."""
    sending = Sending()
    names = [f"k{n:03}" for n in range(1_000)]
    texts = [names[n].encode() for n in bad]
    accept_only(
        sending, lambda batch: not any(text in batch.text for text in texts), MALFORMED
    )
    sending.put(*names)
    assert sending.send()
    dropped = {"malformed": len(bad)}
    assert sending.outbox.account() == (1_000, 1_000 - len(bad), 0, dropped, 0)


@pytest.mark.parametrize(
    ("result", "reason"), [(TOO_LARGE, "too large"), (MALFORMED, "malformed")]
)
def test_nothing_is_accepted(result: ExportResult, reason: str) -> None:
    """An endpoint that takes nothing costs few requests, and then one for each batch."""
    sending = Sending()
    answers = [False]
    accept_only(sending, lambda batch: answers[0], result)
    sending.put(*numbered(1_000))
    assert sending.send()
    # The requests until the limit, and one for each part that was left by then.
    assert MOST_SPLITS <= len(sending.exporter.batches) <= 2 * MOST_SPLITS
    for _ in range(10):
        sending.put(*numbered(1_000))
    sending.exporter.batches.clear()
    assert sending.send()
    assert len(sending.exporter.batches) == 10
    assert sending.outbox.account() == (11_000, 0, 0, {reason: 11_000}, 0)
    answers[0] = True
    sending.put(*numbered(1_000))
    assert sending.send()
    assert sending.outbox.account().accepted == 1_000


def test_halving_again_after_an_answer() -> None:
    """One answer is enough for the next bad line to be searched for again."""
    sending = Sending(*[MALFORMED] * MOST_SPLITS)
    for _ in range(MOST_SPLITS):
        sending.put()
    sending.put("good")
    assert sending.send()
    accept_only(sending, lambda batch: b"k3" not in batch.text, MALFORMED)
    sending.put(*numbered(8))
    assert sending.send()
    assert sending.outbox.account().dropped == {"malformed": MOST_SPLITS + 1}


# -- after an outage ---------------------------------------------------------------


def collect(sending: Sending, *names: str) -> None:
    """Put a batch for each name in the outbox, a minute after the last time."""
    sending.now_ms += 60_000
    for name in names:
        sending.put(name)


def test_newest_first_after_an_outage() -> None:
    """The last two collections go first, so dashboards show the present; then the past."""
    sending = Sending(RETRY)
    collect(sending, "a1", "a2")
    assert not sending.send()
    for number in "bcde":
        collect(sending, f"{number}1", f"{number}2")
    assert sending.send()
    order = "a1 a1 d1 d2 e1 e2 a2 b1 b2 c1 c2"
    assert " ".join(keys(sending.exporter.batches)) == order


def test_paced_after_an_outage() -> None:
    """The thread sends ten batches a second of a backlog; a flush sends all at once."""
    sending = Sending(RETRY)
    for name in "abcdef":
        collect(sending, name)
    assert not sending.send(99.0, paced=True)
    for left in (5, 4, 3):
        assert not sending.send(99.0, paced=True)
        assert sending.outbox.account().waiting == left
        assert sending.pause == pytest.approx(0.1)
        sending.now += sending.pause
    assert sending.send()
    assert sending.sender.backoff.retry_at == 0.0
    for name in "gh":
        collect(sending, name)
    assert sending.send(99.0, paced=True)


@needs_flock
def test_paced_after_a_death(tmp_path: Path) -> None:
    """What dead processes left in the spool is paced like the backlog of an outage."""
    directory = SpoolDirectory(tmp_path)
    directory.dead(*(directory.batch(f"k{n} gauge,1") for n in range(4)))
    sending = Sending(spool=directory.spool())
    for left in (3, 2, 1):
        assert not sending.send(99.0, paced=True)
        assert sending.outbox.account().waiting == left
        assert sending.pause == pytest.approx(0.1)
        sending.now += sending.pause
    assert sending.send(99.0, paced=True)
    assert sending.sender.backoff.retry_at == 0.0
    sending.sender.close()


def test_what_waits_is_compressed() -> None:
    """A batch that has to wait is compressed; the bytes that are sent stay the same."""
    sending = Sending(RETRY)
    sending.put(*(f"orders.of.customer.{n:03}" for n in range(500)))
    (batch,) = sending.waiting
    text, size = batch.text, batch.size
    assert not sending.send()
    assert batch.size < size / 3
    assert sending.send()
    assert sending.exporter.batches[-1].text == text


# -- a clock that was ahead ---------------------------------------------------------


def test_restamps_what_lies_ahead() -> None:
    """Lines of a clock that was hours ahead are sent with the present time."""
    sending = Sending(RETRY)
    sending.now_ms += 2 * 3_600_000
    sending.put("a", "b")
    assert not sending.send()
    sending.now_ms -= 2 * 3_600_000
    assert sending.send()
    last = sending.exporter.batches[-1]
    assert last.text.decode() == "\n".join(
        f"{key} count,delta=1 {sending.now_ms}" for key in "ab"
    )
    assert sending.sender.restamped == 2
    assert sending.outbox.account() == (2, 2, 0, {}, 0)


def test_restamped_batches_have_times_of_their_own() -> None:
    """Batches of several collections that are restamped together never share a time."""
    sending = Sending(RETRY)
    sending.now_ms += 2 * 3_600_000
    for _ in range(3):
        sending.put("orders")
    assert not sending.send()
    sending.now_ms -= 2 * 3_600_000
    assert sending.send()
    texts = [batch.text.decode() for batch in sending.exporter.batches[1:]]
    assert texts == [f"orders count,delta=1 {sending.now_ms + n}" for n in range(3)]
