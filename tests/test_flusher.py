"""The flusher in the caller's thread: flushing, re-entrance, forks."""

from __future__ import annotations

import signal
import threading

import pytest

from dtmetrics.exporters import ExportResult, LineMessage, Outcome
from tests.support.delivery_rig import ANSWERED, INDETERMINATE, RETRY, Rig, nothing
from tests.support.endpoint import PATIENCE
from tests.support.recorder import MOMENT
from tests.support.signal_handler import handling

# -- flush: the caller's thread --------------------------------------------------------


def test_flush() -> None:
    """A flush collects and sends, and returns True once all was answered."""
    rig = Rig()
    rig.inc()
    assert rig.flusher.flush(5.0)
    assert rig.exporter.lines == ["orders count,delta=1"]
    assert rig.outbox.account() == (1, 1, 0, {}, 0)
    assert rig.delivery.collector.flushes == 1


def test_flush_of_nothing() -> None:
    """With nothing recorded nothing is sent, and nothing waits."""
    rig = Rig()
    assert rig.flusher.flush(5.0)
    assert rig.exporter.batches == []


@pytest.mark.parametrize("step", [RETRY, INDETERMINATE])
def test_flush_of_a_retried_batch(step: ExportResult) -> None:
    """A batch that was not taken waits, keeps its time, and is sent by a later flush."""
    rig = Rig(step)
    rig.inc()
    assert not rig.flusher.flush(5.0)
    assert rig.outbox.account().waiting == 1
    rig.now_ms += 60_000
    rig.inc()
    assert rig.flusher.flush(5.0)
    sent = [b.text.decode() for b in rig.exporter.batches if b.points]
    assert sent == [
        f"orders count,delta=1 {MOMENT}",
        f"orders count,delta=1 {MOMENT}",
        f"orders count,delta=1 {MOMENT + 60_000}",
    ]
    assert rig.outbox.account() == (2, 2, 0, {}, 0)


@pytest.mark.parametrize("timeout", [0.0, -5.0, float("nan"), 1e300, float("inf")])
def test_odd_timeouts(timeout: float) -> None:
    """Any number is a timeout; with one that is over a flush collects, and sends nothing."""
    rig = Rig()
    rig.inc()
    done = rig.flusher.flush(timeout)
    assert done == (timeout > 0)
    assert rig.outbox.account().collected == 1


def asked_to_wait(seconds: float | None) -> ExportResult:
    """Return the result of a request after which the endpoint wants a pause."""
    return ExportResult(Outcome.THROTTLED, reason="status 429", retry_after=seconds)


def test_flush_before_the_time_that_was_named() -> None:
    """Until a Retry-After is over a flush sends nothing, and what it collected waits."""
    rig = Rig(asked_to_wait(7.0))
    rig.inc()
    assert not rig.flusher.flush(5.0)
    rig.now_ms += 1_000
    rig.inc()
    assert not rig.flusher.flush(5.0)
    assert len(rig.exporter.batches) == 1
    assert rig.outbox.account().waiting == 2
    rig.now_ms += 6_000
    assert rig.flusher.flush(5.0)
    assert rig.outbox.account().accepted == 2


def test_flush_waits_for_the_time_that_was_named() -> None:
    """A flush whose timeout is longer than a Retry-After waits for it, and then sends."""
    rig = Rig(asked_to_wait(2.0), plan=(nothing,))
    rig.inc()
    assert not rig.flusher.flush(5.0)
    assert rig.flusher.flush(5.0)
    assert rig.alarm.waits == [2.0]
    assert rig.outbox.account().accepted == 1


@pytest.mark.parametrize("step", [RETRY, INDETERMINATE, asked_to_wait(None)])
def test_flush_during_a_backoff(step: ExportResult) -> None:
    """A flush sends at once, whatever the backoff, where the endpoint named no time."""
    rig = Rig(step)
    rig.inc()
    assert not rig.flusher.flush(5.0)
    assert rig.sender.backoff.retry_at > rig.monotonic()
    assert rig.flusher.flush(5.0)


def test_flush_of_nothing_before_the_time_that_was_named() -> None:
    """A flush returns True before the end of a Retry-After if nothing waits."""
    rig = Rig(asked_to_wait(7.0))
    rig.inc()
    assert not rig.flusher.flush(5.0)
    rig.outbox.reset_after_fork()
    assert rig.flusher.flush(5.0)


# -- re-entrance -----------------------------------------------------------------------


def test_flush_in_a_callback() -> None:
    """A flush inside an observer's callback returns False at once, and so does closing."""
    rig = Rig()
    inside: list[bool] = []

    @rig.meter.observe("pool.size")
    def size() -> float:
        inside.append(rig.flusher.flush(PATIENCE))
        inside.append(rig.flusher.close(PATIENCE))
        return 1

    assert rig.flusher.flush(5.0)
    assert inside == [False, False]
    assert rig.exporter.lines == ["pool.size gauge,1"]


def test_flush_in_an_exporter() -> None:
    """A flush inside an export returns False at once."""
    inside: list[bool] = []

    def again() -> ExportResult:
        inside.append(rig.flusher.flush(PATIENCE))
        return ANSWERED

    rig = Rig(again)
    rig.inc()
    assert rig.flusher.flush(5.0)
    assert inside == [False]


def test_flush_in_a_signal_handler() -> None:
    """A flush in a signal handler that interrupts a flush returns False at once."""
    inside: list[bool] = []

    def handle() -> None:
        inside.append(rig.flusher.flush(PATIENCE))
        inside.append(rig.outbox.account().waiting == 1)

    def interrupted() -> ExportResult:
        signal.raise_signal(signal.SIGTERM)
        return ANSWERED

    rig = Rig(interrupted)
    rig.inc()
    with handling(signal.SIGTERM, handle):
        assert rig.flusher.flush(5.0)
    assert inside == [False, True]


def test_account_while_its_thread_changes_it() -> None:
    """The account that a handler reads inside the outbox adds up."""
    rig = Rig()
    rig.inc()
    rig.flusher.flush(0.0)
    with rig.outbox._lock:
        assert rig.outbox.account() == (1, 0, 0, {}, 1)


def test_two_flushes() -> None:
    """A flush beside another waits its turn, and its result covers what it collected."""
    inside, go = threading.Event(), threading.Event()

    def slow() -> ExportResult:
        inside.set()
        assert go.wait(PATIENCE)
        return ANSWERED

    rig = Rig(slow)
    rig.inc()
    results: list[bool] = []
    first = threading.Thread(target=lambda: results.append(rig.flusher.flush(PATIENCE)))
    first.start()
    assert inside.wait(PATIENCE)
    rig.inc("late")
    assert not rig.flusher.flush(0.05)
    assert rig.outbox.account() == (2, 0, 0, {}, 2)  # collected, all the same
    second = threading.Thread(
        target=lambda: results.append(rig.flusher.flush(PATIENCE))
    )
    second.start()
    go.set()
    first.join(PATIENCE)
    second.join(PATIENCE)
    assert results == [True, True]
    assert rig.outbox.account() == (2, 2, 0, {}, 0)


# -- fork ------------------------------------------------------------------------------


def test_fork_starts_anew() -> None:
    """A child has no thread, nothing that waits and no failure: those are the parent's."""
    warned = ExportResult(Outcome.ANSWERED, warnings=[LineMessage(0, "changed")])
    rig = Rig(warned, RETRY, interval=3_600.0)
    rig.inc()
    assert rig.flusher.flush(5.0)
    assert rig.destination.feedback.warnings == {"orders": "changed"}
    rig.inc()
    assert not rig.flusher.flush(5.0)
    thread = rig.thread
    rig.flusher._thread.stop.set()  # a real fork leaves the thread behind
    rig.fork()
    assert rig.thread is None
    assert rig.outbox.account() == (0, 0, 0, {}, 0)
    assert (rig.delivery.collector.flushes, rig.sender.log.last_error) == (0, "")
    assert rig.destination.feedback.warnings == {}
    rig.inc()
    assert rig.thread not in (None, thread)
    assert rig.flusher.close(5.0)
    assert rig.outbox.account() == (1, 1, 0, {}, 0)


@pytest.mark.parametrize("lock", ["collecting", "sending"])
def test_fork_while_it_works(lock: str) -> None:
    """A lock that the parent's threads held at the fork does not stop the child."""
    rig = Rig()
    collecting = rig.delivery.collector._lock
    held = collecting if lock == "collecting" else rig.sender._lock
    with held.acquire(1.0) as acquired:
        assert acquired
        rig.fork()
        rig.inc()
        results: list[bool] = []
        child = threading.Thread(target=lambda: results.append(rig.flusher.flush(5.0)))
        child.start()
        child.join(PATIENCE)
        assert results == [True]
    assert rig.flusher.flush(5.0)


def test_fork_in_a_callback() -> None:
    """A callback that forks leaves what is being collected to the parent."""
    rig = Rig()

    @rig.meter.observe("pool.size")
    def size() -> float:
        rig.fork()
        return 1

    rig.inc()
    assert not rig.flusher.flush(5.0)
    assert rig.outbox.account() == (0, 0, 0, {}, 0)


def test_fork_in_an_export() -> None:
    """An export that forks counts nothing in the child: the answer is the parent's."""

    def fork() -> ExportResult:
        rig.fork()
        return ANSWERED

    rig = Rig(fork)
    rig.inc()
    rig.flusher.flush(5.0)
    assert rig.outbox.account() == (0, 0, 0, {}, 0)
    rig.inc()
    assert rig.flusher.flush(5.0)
    assert rig.outbox.account() == (1, 1, 0, {}, 0)
