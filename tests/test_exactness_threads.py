"""Each value counts exactly once: threads and finalisers."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.recorder import Recorder
from tests.support.thread_load import Collector, in_threads

pytestmark = pytest.mark.usefixtures("switch_often")


rounds = pytest.mark.parametrize(
    "rounds", [2_000, pytest.param(100_000, marks=pytest.mark.slow)]
)


@rounds
def test_threads(rounds: int) -> None:
    """Values of threads count exactly once while another thread collects."""
    recorder = Recorder(max_series_per_metric=20)
    counter, summary = recorder.meter.counter("c"), recorder.meter.summary("s")
    gauge = recorder.meter.gauge("g")
    split = recorder.meter.summary(
        "split", percentiles=(0.5,), slo=(rounds // 2, rounds)
    )

    def work(thread: int) -> None:
        bound = counter.bind(thread=thread)
        for number in range(rounds):
            counter.inc()
            bound.inc(2)
            counter.inc(3, number=number % 30)
            summary.record(number)
            split.record(number)
            gauge.inc()
            gauge.dec(2)

    with Collector(recorder) as collector:
        in_threads(8, work)
    assert collector.totals["c"] == 8 * rounds * 6
    assert collector.totals["s"] == 8 * rounds * (rounds - 1) // 2
    assert collector.counts["s"] == collector.counts["split"] == 8 * rounds
    assert collector.totals["split.slo"] == 8 * (rounds // 2 + 1 + rounds)
    assert recorder.lines() == [f"g gauge,{-8 * rounds}"]
    assert recorder.registry.invalid_values.total() == {}


@pytest.mark.parametrize("threads", [50, pytest.param(200, marks=pytest.mark.slow)])
def test_short_lived_threads(recorder: Recorder, threads: int) -> None:
    """Values of a thread count after it has ended."""
    counter = recorder.meter.counter("c")

    def work(thread: int) -> None:
        for _ in range(10):
            counter.inc()
            counter.inc(1, thread=thread)

    with Collector(recorder) as collector:
        for _ in range(threads // 10):
            in_threads(10, work)
    assert collector.totals["c"] == threads * 20


def test_first_record_of_many_threads(recorder: Recorder) -> None:
    """A series that several threads record into first is made once."""
    for turn in range(50):
        counter = recorder.meter.counter(f"c{turn}")
        barrier = threading.Barrier(4)

        def work(
            _: int, counter: Any = counter, barrier: threading.Barrier = barrier
        ) -> None:
            barrier.wait(30)
            counter.inc()
            counter.inc(1, a=1)

        in_threads(4, work)
        assert recorder.lines() == [
            f"c{turn} count,delta=4",
            f"c{turn},a=1 count,delta=4",
        ]
    assert recorder.registry.series_count == 100


@rounds
def test_invalid_values_of_threads(recorder: Recorder, rounds: int) -> None:
    """Invalid values of threads are counted exactly."""
    gauge, counter = recorder.meter.gauge("g"), recorder.meter.counter("c")

    def work(_: int) -> None:
        for _ in range(rounds // 10):
            gauge.set(float("nan"))
            counter.inc(-1)

    with Collector(recorder):
        in_threads(4, work)
    count = 4 * (rounds // 10)
    assert recorder.registry.invalid_values.total() == {
        "not finite": count,
        "negative increment": count,
    }


class Finalised:
    """Records in its finaliser."""

    def __init__(self, record: Callable[[], object]) -> None:
        self.record = record
        self.cycle = self

    def __del__(self) -> None:
        self.record()


@pytest.mark.parametrize(
    "times", [3_000, pytest.param(100_000, marks=pytest.mark.slow)]
)
def test_finalisers(times: int) -> None:
    """A finaliser may record whenever garbage is collected."""
    recorder = Recorder(max_series_per_metric=50)
    counter = recorder.meter.counter("c")
    finalised = 0

    def record() -> None:
        nonlocal finalised
        finalised += 1
        counter.inc()
        counter.inc(1, new=finalised % 100)
        counter.inc(-1)

    before = gc.get_threshold()
    gc.set_threshold(5)
    try:
        with Collector(recorder) as collector:
            for number in range(times):
                Finalised(record)
                counter.inc()
                counter.inc(1, new=number % 100, old=[number % 3])
            # A call does nothing while another thread collects garbage.
            while finalised < times:
                gc.collect()
    finally:
        gc.set_threshold(*before)
    assert collector.totals["c"] == 4 * times
    assert recorder.registry.invalid_values.total() == {"negative increment": times}
