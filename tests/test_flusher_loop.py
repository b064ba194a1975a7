"""The flusher's loop by a plan: when it collects, sends and rests."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dtmetrics.exporters import ExportResult, Outcome
from tests.support.delivery_rig import ANSWERED, RETRY, Rig, nothing
from tests.support.platforms import needs_flock
from tests.support.recorder import MOMENT
from tests.support.spool_directory import SpoolDirectory


def test_collects_at_ends_of_intervals() -> None:
    """The loop collects at the ends of the wall clock's intervals.

    The rig's time is 20 s past a full minute.
    """
    rig = Rig(plan=(nothing, nothing, nothing), interval=60.0)
    assert rig.run() == [40.0, 60.0, 60.0, 60.0]
    assert rig.delivery.collector.flushes == 3


@pytest.mark.parametrize(
    ("interval", "chance", "phase"),
    [
        (60.0, 0.0, 0.0),
        (60.0, 0.25, 7.5),
        (10.0, 0.5, 2.5),
        (3_600.0, 0.5, 15.0),
        (0.25, 1.0, 0.125),
    ],
)
def test_fleet_sends_out_of_step(interval: float, chance: float, phase: float) -> None:
    """A fleet collects at once, and each process sends a part of half an interval later."""
    posted: list[float] = []

    def post() -> ExportResult:
        posted.append(rig.wall() % interval)
        return ANSWERED

    rig = Rig(post, plan=(nothing,) * 60, chance=lambda: chance, interval=interval)
    rig.inc()
    rig.run()
    assert posted == [pytest.approx(phase, abs=1e-5)]


def test_first_collection_of_a_process() -> None:
    """A process sends for the first time after 5 s, and then at the full minutes."""
    posted: list[float] = []

    def post() -> ExportResult:
        posted.append(rig.alarm.now - rig.alarm.start)
        return ANSWERED

    def record() -> None:
        rig.inc()

    rig = Rig(
        *[post] * 3,
        plan=(record,) * 5,
        chance=lambda: 0.5,
        interval=60.0,
        first_seconds=5.0,
    )
    rig.inc()
    rig.run()
    assert posted == [20.0, 55.0, 115.0]


def test_delay_after_idle_intervals() -> None:
    """An interval without any records leaves the delay of later ones as it is."""
    posted: list[float] = []

    def post() -> ExportResult:
        posted.append(rig.wall() % 60)
        return ANSWERED

    plan = (nothing, nothing, lambda: rig.inc(), nothing, nothing)
    rig = Rig(post, plan=plan, interval=60.0)
    rig.run()
    assert posted == [15.0]


def test_flush_is_not_delayed() -> None:
    """A flush in the middle of an interval collects and sends at once."""
    times: list[float] = []

    def post() -> ExportResult:
        times.append(rig.alarm.now)
        return ANSWERED

    def flush() -> None:
        rig.inc()
        rig.alarm.now -= 17.0
        assert rig.flusher.flush(5.0)

    rig = Rig(post, plan=(flush, nothing), interval=60.0)
    assert rig.run() == [40.0, 17.0, 60.0]
    assert times == [rig.alarm.start + 23.0]
    assert rig.exporter.batches[0].created_ms == MOMENT + 23_000


def test_collects_in_the_middle_of_sending() -> None:
    """Points are collected on time while an answer is waited for."""
    waits: list[float] = []

    def slow() -> ExportResult:
        for _ in range(4):
            rig.inc()
            rig.alarm.now += 15
            waits.append(rig.flusher.collect_if_due())
        return ANSWERED

    rig = Rig(slow, plan=(nothing, nothing), interval=60.0)
    rig.inc()
    rig.run()
    assert waits == pytest.approx([30.0, 15.0, 60.0, 45.0])
    ends = [MOMENT + 39_999, MOMENT + 99_999]
    assert [batch.created_ms for batch in rig.exporter.batches] == ends
    assert rig.exporter.lines == ["orders count,delta=1", "orders count,delta=3"]


@needs_flock
def test_idle_process_looks_for_the_dead(tmp_path: Path) -> None:
    """An idle process sends what dead processes leave within five minutes."""
    directory = SpoolDirectory(tmp_path)
    sent: list[int] = []

    def die() -> None:
        directory.dead(directory.batch("left gauge,1"))

    def look() -> None:
        directory.advance(60)
        sent.append(len(rig.exporter.batches))

    plan = (look, look, die, *[look] * 6)
    rig = Rig(plan=plan, interval=60.0, spool=directory.spool())
    rig.run()
    assert (sent[1], sent[-1]) == (0, 1)
    assert rig.outbox.account() == (1, 1, 0, {}, 0)


def test_nothing_is_due_without_a_thread() -> None:
    """Without a thread, or after its end, no collection is ever due."""
    rig = Rig()
    assert rig.flusher.collect_if_due() == math.inf
    rig = Rig(plan=(nothing,), interval=60.0)
    rig.run()
    assert rig.flusher.collect_if_due() == math.inf


def test_collected_by_another_thread_meanwhile() -> None:
    """Of two threads that find a collection due, the second one collects nothing."""
    rig = Rig(plan=(nothing,), interval=60.0)
    collect = rig.delivery.collector.collect
    waits: list[float] = []

    def late(*arguments: Any, **options: Any) -> bool:
        rig.delivery.collector.collect = collect  # type: ignore[method-assign]
        waits.append(rig.flusher.collect_if_due())
        return collect(*arguments, **options)

    rig.delivery.collector.collect = late  # type: ignore[method-assign]
    rig.inc()
    rig.run()
    assert waits == [60.0]
    assert rig.exporter.lines == ["orders count,delta=1"]
    assert rig.delivery.collector.flushes == 1


def test_no_loop_without_an_interval() -> None:
    """Without an interval the loop of the thread ends at once."""
    assert Rig().run() == []


def test_wall_clock_that_stands_still() -> None:
    """A wall clock that stands still stops neither collecting nor sending."""

    def freeze() -> None:
        rig.inc()
        rig.now_ms = round(MOMENT - (rig.alarm.now - rig.alarm.start) * 1000) + 35_000

    rig = Rig(plan=(freeze,) * 60, interval=60.0)
    rig.run()
    assert len(rig.exporter.batches) >= 15
    account = rig.outbox.account()
    assert account.accepted == account.collected
    assert all(abs(b.created_ms - MOMENT) <= 120_000 for b in rig.exporter.batches)
    assert sum(int(line.rpartition("=")[2]) for line in rig.exporter.lines) >= 58


@pytest.mark.parametrize("step", [7_200_000, -7_200_000, -30_000, 900_000])
def test_clock_that_is_set(step: int) -> None:
    """However the clock is set, each count arrives once, with a time near the clock's."""
    far: list[float] = []

    def post() -> ExportResult:
        far.append(rig.wall() - rig.exporter.batches[-1].created_ms / 1000)
        return ANSWERED

    def jump() -> None:
        rig.inc()
        rig.now_ms += step

    plan = (lambda: rig.inc(),) * 3 + (jump,) + (lambda: rig.inc(),) * 4
    rig = Rig(*[post] * 9, plan=plan, chance=lambda: 0.0, interval=60.0)
    rig.run()
    assert rig.flusher.flush(5.0)
    assert sum(int(line[-1]) for line in rig.exporter.lines) == 8
    assert rig.delivery.clock.steps == 1
    assert all(-2 <= age <= 60 for age in far)


def test_slow_export_delays_no_collection() -> None:
    """An export that takes 40 s is followed by a collection 5 s later, not 60."""

    def slow() -> ExportResult:
        rig.alarm.now += 40
        return ANSWERED

    rig = Rig(slow, plan=(nothing,) * 3, interval=60.0)
    rig.inc()
    assert rig.run() == [40.0, 15.0, 5.0, 60.0]


def test_wakes_to_retry() -> None:
    """Between two collections the loop retries when that is due, until nothing waits."""
    rig = Rig(RETRY, RETRY, ANSWERED, RETRY, plan=(nothing,) * 4, interval=60.0)
    rig.inc()
    rig.alarm.plan[3] = rig.inc
    rig.alarm.plan += [nothing] * 3
    assert rig.run()[:7] == [40.0, 15.0, 0.5, 1.0, 43.5, 15.0, 0.5]


def test_waits_for_retry_after() -> None:
    """After a pause of 7 s from Retry-After the loop retries a little later."""
    throttled = ExportResult(Outcome.RETRY, reason="status 429", retry_after=7.0)
    rig = Rig(throttled, plan=(nothing,) * 3, interval=60.0)
    rig.inc()
    assert rig.run() == [40.0, 15.0, 7.7, 37.3]
    assert rig.outbox.account().accepted == 1


def test_collects_while_the_endpoint_rests() -> None:
    """A long pause from Retry-After stops sending, not collecting.

    The backlog is sent after it, ten batches a second.
    """
    throttled = ExportResult(Outcome.RETRY, reason="status 429", retry_after=300.0)
    plan = (lambda: rig.inc(),) * 8 + (nothing,) * 6
    rig = Rig(throttled, plan=plan, interval=60.0)
    waits = rig.run()
    assert waits[:9] == [40.0, 15.0, 45.0, 60.0, 60.0, 60.0, 60.0, 45.0, 0.1]
    assert waits[9:13] == [0.1] * 4
    assert len(rig.exporter.batches) == 1 + 7
    assert rig.outbox.account() == (7, 7, 0, {}, 0)


@pytest.mark.parametrize("error", [MemoryError(), SystemExit(3), KeyboardInterrupt()])
def test_loop_survives_errors(error: BaseException, expects_errors: None) -> None:
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
    assert rig.outbox.account().waiting == 0


def test_broken_collection(expects_errors: None) -> None:
    """An error in the middle of collecting spoils one collection, and no later one."""
    rig = Rig(plan=(nothing,) * 2, interval=60.0)
    collect = rig.registry.collect
    calls: list[int] = []

    def broken(timestamp_ms: int, handover: Any) -> Iterator[list[Any]]:
        calls.append(1)
        if len(calls) == 1:
            raise MemoryError
        return collect(timestamp_ms, handover=handover)

    rig.registry.collect = broken  # type: ignore[method-assign]
    rig.inc()
    assert not rig.flusher.flush(1.0)
    rig.run()
    assert rig.exporter.lines == ["orders count,delta=1"]


@pytest.mark.parametrize("interval", [0.001, 60.0, 3_600.0])
def test_time_for_sending(interval: float) -> None:
    """However short the interval, an export gets 15 seconds."""
    rig = Rig(plan=(nothing,) * 60, interval=interval)
    rig.inc()
    rig.run()
    assert rig.exporter.timeouts == [pytest.approx(15.0)]


def test_time_for_the_last_sending() -> None:
    """Closing bounds the last export, whatever the interval."""
    rig = Rig(
        plan=(lambda: setattr(rig.sender, "give_up_at", rig.alarm.now + 3),),
        interval=0.001,
    )
    rig.inc()
    rig.run()
    assert rig.exporter.timeouts == [pytest.approx(3.0, abs=0.01)]


def test_error_while_it_waits(expects_errors: None) -> None:
    """An error while the loop waits, for want of memory for example, does not end it."""

    def out_of_memory() -> None:
        raise MemoryError

    rig = Rig(plan=(out_of_memory, nothing, nothing), interval=60.0)
    rig.inc()
    rig.run()
    assert rig.exporter.lines == ["orders count,delta=1"]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_what_was_drained_arrives(error: BaseException, expects_errors: None) -> None:
    """A callback that raises SystemExit costs its own value, and no other."""
    rig = Rig(plan=(nothing,) * 2, interval=60.0)

    @rig.meter.observe("pool.size")
    def size() -> float:
        raise error

    rig.inc()
    rig.run()
    assert rig.exporter.lines == ["orders count,delta=1"]
    assert rig.outbox.account() == (1, 1, 0, {}, 0)
