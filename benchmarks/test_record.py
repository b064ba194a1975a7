"""The cost of recording: one operation each.

Every benchmark runs once as a test; ``pytest benchmarks --benchmark-enable`` measures.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections.abc import Callable
from time import perf_counter
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tests.support.recorder import Recorder

N = 1_000


def _times(call: Callable[[], Any]) -> Callable[[], None]:
    """Return a function that repeats *call* N times: one is too short to measure."""

    def many() -> None:
        for _ in range(N):
            call()

    return many


def test_floor_of_a_method_call(benchmark: BenchmarkFixture) -> None:
    """The least that a record could cost: calling a method that does nothing."""

    class Empty:
        __slots__ = ()

        def inc(self) -> None:
            pass

    benchmark(_times(Empty().inc))


def test_counter_inc(benchmark: BenchmarkFixture, recorder: Recorder) -> None:
    """Count through a bound handle."""
    handle = recorder.meter.counter("c").bind(a="x", b="y")
    benchmark(_times(handle.inc))
    assert recorder.points()


def test_counter_inc_with_dimensions(
    benchmark: BenchmarkFixture, recorder: Recorder
) -> None:
    """Count with two dimensions given in the call."""
    handle = recorder.meter.counter("c")
    benchmark(_times(lambda: handle.inc(1, method="GET", status="200")))
    assert recorder.points()


def test_gauge_set(benchmark: BenchmarkFixture, recorder: Recorder) -> None:
    """Set a gauge."""
    handle = recorder.meter.gauge("g")
    benchmark(_times(lambda: handle.set(12)))
    assert recorder.points()


def test_summary_record(benchmark: BenchmarkFixture, recorder: Recorder) -> None:
    """Observe a value."""
    handle = recorder.meter.summary("s")
    benchmark(_times(lambda: handle.record(1.5)))
    assert recorder.points()


@pytest.mark.parametrize("option", ["slo", "percentiles", "slow"])
def test_summary_record_with_an_option(
    benchmark: BenchmarkFixture, recorder: Recorder, option: str
) -> None:
    """Observe values of which more than the summary is made."""
    options: dict[str, Any] = {
        "slo": (0.1, 0.5),
        "percentiles": (0.5, 0.95, 0.99),
        "slow": 1e9,
    }
    handle = recorder.meter.summary("s", **{option: options[option]})
    value = itertools.cycle(n * 0.618 % 1 for n in range(N)).__next__
    benchmark(_times(lambda: handle.record(value())))
    assert recorder.points()


def test_floor_of_two_clock_reads(benchmark: BenchmarkFixture) -> None:
    """The least that timing could cost."""
    benchmark(_times(lambda: perf_counter() - perf_counter()))


def test_timed_function(benchmark: BenchmarkFixture, recorder: Recorder) -> None:
    """Call a timed function that does nothing."""

    @recorder.meter.timed
    def nothing() -> None:
        pass

    benchmark(_times(nothing))
    assert recorder.points()


def test_timed_method(benchmark: BenchmarkFixture, recorder: Recorder) -> None:
    """Call a timed method that does nothing."""

    class Nothing:
        @recorder.meter.timed
        def do(self) -> None:
            pass

    one = Nothing()
    benchmark(_times(lambda: one.do()))  # noqa: PLW0108 -- binding is part of it
    assert recorder.points()


def test_timed_coroutine(benchmark: BenchmarkFixture, recorder: Recorder) -> None:
    """Await a timed coroutine that does nothing."""

    @recorder.meter.timed
    async def nothing() -> None:
        pass

    async def many() -> None:
        for _ in range(N):
            await nothing()

    benchmark(lambda: asyncio.run(many()))
    assert recorder.points()


@pytest.mark.parametrize("reused", [True, False], ids=["reused", "created each time"])
def test_timed_block(
    benchmark: BenchmarkFixture, recorder: Recorder, *, reused: bool
) -> None:
    """Time a block that does nothing."""
    timer = recorder.meter.timed("block")

    def block() -> None:
        with timer if reused else recorder.meter.timed("block"):
            pass

    benchmark(_times(block))
    assert recorder.points()


def test_floor_of_a_decorated_call(benchmark: BenchmarkFixture) -> None:
    """The least that a decorator costs: functools.wraps around a pass-through."""

    def nothing() -> None:
        pass

    @functools.wraps(nothing)
    def through(*args: Any, **kwargs: Any) -> None:
        return nothing(*args, **kwargs)

    benchmark(_times(through))


def test_timed_while_off(benchmark: BenchmarkFixture, recorder: Recorder) -> None:
    """Call a timed function while recording is off."""

    @recorder.meter.timed
    def nothing() -> None:
        pass

    recorder.registry.stop()
    benchmark(_times(nothing))
    assert not recorder.points()
