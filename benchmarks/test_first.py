"""The cost of the first record of a series, and of its first line."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tests.support.recorder import Recorder

N = 10_000


@pytest.mark.parametrize("bound", [True, False], ids=["bound", "in the call"])
def test_first_record(benchmark: BenchmarkFixture, *, bound: bool) -> None:
    """Make 10,000 series of one metric, with two dimensions."""

    def record(recorder: Recorder) -> None:
        handle = recorder.meter.counter("c")
        for n in range(N):
            if bound:
                handle.bind(route=n, method="GET").inc()
            else:
                handle.inc(1, route=n, method="GET")

    def new() -> tuple[tuple[Recorder], dict[str, object]]:
        return (Recorder(max_series_per_metric=N),), {}

    benchmark.pedantic(record, setup=new, rounds=5)


def test_first_flush(benchmark: BenchmarkFixture) -> None:
    """Collect and encode 10,000 series that have never been sent."""

    def flush(recorder: Recorder) -> None:
        assert len(recorder.lines()) == N

    def new() -> tuple[tuple[Recorder], dict[str, object]]:
        recorder = Recorder(max_series_per_metric=N)
        for n in range(N):
            recorder.meter.counter("c").inc(1, route=n, method="GET")
        return (recorder,), {}

    benchmark.pedantic(flush, setup=new, rounds=5)
