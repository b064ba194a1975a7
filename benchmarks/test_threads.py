"""The cost of recording when many threads record into one counter."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tests.support.recorder import Recorder

N = 20_000


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_threads_on_one_counter(
    benchmark: BenchmarkFixture, recorder: Recorder, threads: int
) -> None:
    """Count to the same sum from a growing number of threads."""
    handle = recorder.meter.counter("c").bind(a="x", b="y")

    def work(times: int) -> None:
        for _ in range(times):
            handle.inc()

    with ThreadPoolExecutor(threads) as pool:
        benchmark(lambda: [*pool.map(work, [N // threads] * threads)])
    assert recorder.points()
