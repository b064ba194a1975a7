from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dtmetrics._deliver.exporter import ExportResult, Outcome
from tests.rig import ANSWERED, KEEP, Rig, nothing


def test_rhythm() -> None:
    """The first flush is spread over the interval; from then on it keeps its rhythm."""
    rig = Rig(plan=(nothing, nothing, nothing), chance=lambda: 0.25, interval=60.0)
    assert rig.run() == [15.0, 60.0, 60.0, 60.0]
    assert rig.flusher.flushes == 3


def test_slow_flush_keeps_the_rhythm() -> None:
    """A flush that takes 40 s is followed by one 20 s later, not 60."""

    def slow() -> ExportResult:
        rig.alarm.now += 40
        return ANSWERED

    rig = Rig(slow, plan=(nothing, nothing), interval=60.0)
    rig.inc()
    assert rig.run() == [30.0, 20.0, 60.0]


def test_sleeping_machine() -> None:
    """Intervals that were slept over are left out: one flush follows, not many."""

    def sleep() -> None:
        rig.alarm.now += 1_000

    rig = Rig(plan=(sleep, nothing, nothing), interval=60.0)
    assert rig.run() == [30.0, 20.0, 60.0, 60.0]
    assert rig.flusher.flushes == 3


def test_wakes_to_try_again() -> None:
    """Between two intervals it tries again when that is due, until nothing waits."""
    rig = Rig(KEEP, KEEP, ANSWERED, KEEP, plan=(nothing,) * 4, interval=60.0)
    rig.inc()
    rig.alarm.plan[2] = rig.inc
    rig.alarm.plan += [rig.inc, nothing]
    assert rig.run()[:4] == [30.0, 0.5, 1.0, 58.5]


def test_rests_as_long_as_asked() -> None:
    """Asked for a pause of 7 s it wakes a little after them, and tries."""
    asked = ExportResult(Outcome.KEEP, reason="status 429", retry_after=7.0)
    rig = Rig(asked, plan=(nothing, nothing), interval=60.0)
    rig.inc()
    assert rig.run() == [30.0, 7.7, 52.3]
    assert rig.flusher.account().accepted == 1


def test_collects_while_the_endpoint_rests() -> None:
    """A long pause that was asked for stops sending, not collecting.

    What has waited goes out after it, ten bodies a second.
    """
    asked = ExportResult(Outcome.KEEP, reason="status 429", retry_after=300.0)
    plan = (lambda: rig.inc(),) * 6 + (nothing,) * 6
    rig = Rig(asked, plan=plan, interval=60.0)
    waits = rig.run()
    assert waits[:7] == [30.0, 60.0, 60.0, 60.0, 60.0, 60.0, 30.0]
    assert waits[7:12] == [0.1] * 5
    assert len(rig.exporter.bodies) == 1 + 6
    assert rig.flusher.account() == (6, 6, 0, {}, 0)


@pytest.mark.parametrize("error", [MemoryError(), SystemExit(3), KeyboardInterrupt()])
def test_loop_outlives(error: BaseException, expects_errors: None) -> None:
    """Nothing that a callback or an exporter raises ends the thread."""
    rig = Rig(error, plan=(nothing,) * 4, interval=60.0)
    steps: list[BaseException] = [error]

    @rig.meter.observe("pool.size")
    def size() -> float:
        if steps:
            raise steps.pop()
        return 1

    rig.run()
    assert rig.exporter.lines[-1] == "pool.size gauge,1"
    assert rig.flusher.account().waiting == 0


def test_broken_collection(expects_errors: None) -> None:
    """An error in the middle of collecting is one interval's, and no more."""
    rig = Rig(plan=(nothing,) * 2, interval=60.0)
    collect = rig.registry.collect
    calls: list[int] = []

    def broken(timestamp_ms: int, size: int = 250) -> Iterator[list[Any]]:
        calls.append(1)
        if len(calls) == 1:
            raise MemoryError
        return collect(timestamp_ms, size)

    rig.registry.collect = broken  # type: ignore[method-assign]
    rig.inc()
    assert not rig.flusher.flush(1.0)
    rig.run()
    assert rig.exporter.lines == ["orders count,delta=1"]


@pytest.mark.parametrize("interval", [0.001, 60.0, 3_600.0])
def test_patience(interval: float) -> None:
    """However short the interval, an answer is waited for as long as ever."""
    rig = Rig(plan=(nothing,), interval=interval)
    rig.inc()
    rig.flusher._run(interval)
    assert rig.exporter.timeouts == [pytest.approx(15.0)]


def test_patience_of_a_closing() -> None:
    """Whoever closes decides how long is waited, whatever the interval."""
    rig = Rig(
        plan=(lambda: setattr(rig.flusher._sender, "give_up_at", rig.alarm.now + 3),),
        interval=0.001,
    )
    rig.inc()
    rig.flusher._run(0.001)
    assert rig.exporter.timeouts == [pytest.approx(3.0)]
