"""The cost of a flush: warm series are drained, encoded and packed into batches."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from dtmetrics._deliver.batching import batches
from tests.support.recorder import MOMENT, Recorder


@pytest.mark.parametrize("times", [1, 2, 20])
@pytest.mark.parametrize("kind", ["counter", "summary"])
def test_flush(benchmark: BenchmarkFixture, kind: str, times: int) -> None:
    """Collect and encode 100,000 series, or 1,000 if nothing is measured."""
    series = 1_000 if benchmark.disabled else 100_000
    recorder = Recorder(max_series_per_metric=series, max_series=2 * series)
    made: Any = getattr(recorder.meter, kind)("requests")
    handles = [made.bind(route=f"/r/{n}", method="GET") for n in range(series)]

    def record() -> None:
        for n, handle in enumerate(handles):
            value = n + (0 if kind == "counter" else 0.123)
            for _ in range(times):
                (handle.inc if kind == "counter" else handle.record)(value)

    def flush() -> int:
        collected = batches(recorder.registry.collect(MOMENT), MOMENT)
        return sum(batch.points for batch in collected)

    points = benchmark.pedantic(flush, setup=record, rounds=5)
    assert points == series - (kind == "counter")  # a count of 0 is not sent
