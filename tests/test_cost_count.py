from __future__ import annotations

import os
from typing import Any

import pytest

from dtmetrics import MemoryExporter
from dtmetrics._deliver.cost import Cost, MetricCost
from dtmetrics._deliver.cost_count import CostCount
from dtmetrics._runtime.runtime import Runtime
from dtmetrics.exporters import ExportResult, Outcome
from tests.support.script import NO_COLLECTION, expect


def configured(runtime: Runtime, **settings: Any) -> Runtime:
    """Configure *runtime* without a thread; return it."""
    settings = {"exporter": MemoryExporter(), "interval": None, **settings}
    runtime.configure(enrich=False, **settings)
    return runtime


def test_before_the_first_collection(runtime: Runtime) -> None:
    """Before anything is collected there are series, and no points."""
    assert runtime.stats().cost == Cost()
    configured(runtime)
    runtime.get_meter().counter("c").inc()
    assert runtime.stats().cost == Cost({"c": MetricCost(1, 0.0)}, 1, 0.0, 0)


def test_points_of_the_last_collection(runtime: Runtime) -> None:
    """Each line of the last collection counts, by key, and nothing of earlier ones."""
    meter = configured(runtime).get_meter()
    meter.observe("observed")(lambda: [(1, {"a": 1}), (2, {"a": 2})])
    for a in range(3):
        meter.counter("c").inc(5, a=a)
        meter.summary("s").record(1.0, a=a)
        meter.summary("s").record(2.0, a=a)
    meter.gauge("g").set(1)
    assert runtime.flush()
    assert runtime.stats().cost == Cost(
        by_key={
            "c": MetricCost(3, 3.0),
            "g": MetricCost(1, 1.0),
            "observed": MetricCost(2, 2.0),
            "s": MetricCost(3, 3.0),
        },
        series=9,
        points_per_minute=9.0,
        points_per_month=9 * 43_800,
    )
    meter.counter("c").inc(1, a=0)
    assert runtime.flush()
    cost = runtime.stats().cost
    assert cost.by_key["c"] == MetricCost(3, 1.0)
    assert cost.by_key["s"] == MetricCost(3, 0.0)
    assert (cost.series, cost.points_per_minute) == (9, 4.0)


def test_self_metrics_count(runtime: Runtime) -> None:
    """The points of dtmetrics itself are points as well, each under its own key."""

    class Rejecting(MemoryExporter):
        def export(self, *_: object) -> ExportResult:
            return ExportResult(Outcome.REJECTED, reason="status 400")

    meter = configured(runtime, exporter=Rejecting(), metadata=False).get_meter()
    counter = meter.counter("c")
    counter.inc()
    runtime.flush()
    counter.inc("x")
    meter.summary("s").record("x")
    runtime.flush()
    by_key = runtime.stats().cost.by_key
    own = {key: by_key[key] for key in by_key if key.startswith("dtmetrics.")}
    assert own == {
        "dtmetrics.client.points.dropped": MetricCost(1, 1.0),
        "dtmetrics.client.values.invalid": MetricCost(1, 1.0),
    }


def test_prefix_of_two_metrics(runtime: Runtime) -> None:
    """Metrics that have one key, because a prefix shortens theirs, have one cost."""
    meter = configured(runtime, prefix="p" * 100).get_meter()
    for end in "ab":
        meter.counter("k" * 240 + end).inc()
    assert runtime.flush()
    [(key, cost)] = runtime.stats().cost.by_key.items()
    assert len(key) == 250
    assert cost == MetricCost(2, 2.0)


@pytest.mark.parametrize(
    ("interval", "points"), [(None, 2), (60.0, 2), (10.0, 12), (300.0, 0.4)]
)
def test_interval(interval: float | None, points: float) -> None:
    """Points a minute are those of a collection, times the collections in a minute."""
    assert CostCount(interval)._times * 2 == pytest.approx(points)


def test_interval_of_configure() -> None:
    """With an interval of 10 seconds, each point counts six times a minute."""
    program = """
        from dtmetrics import MemoryExporter, configure, counter, flush, stats
        configure(exporter=MemoryExporter(), interval=10)
        counter("c").inc()
        flush()
        print(stats().cost)
    """
    cost = Cost({"c": MetricCost(1, 6.0)}, 1, 6.0, 262_800)
    assert expect(NO_COLLECTION + _dedented(program)) == f"{cost}\n"


def _dedented(program: str) -> str:
    return "\n".join(line.strip() for line in program.splitlines())


def test_reconfigured(runtime: Runtime) -> None:
    """The points of the last collection stay known when the settings change."""
    meter = configured(runtime).get_meter()
    meter.counter("c").inc()
    runtime.configure(
        exporter=MemoryExporter(), interval=None, prefix="shop", force=True
    )
    assert runtime.stats().cost.by_key == {"c": MetricCost(0, 1.0)}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX")
def test_fork(runtime: Runtime) -> None:
    """A forked child has collected nothing."""
    configured(runtime).get_meter().counter("c").inc()
    assert runtime.flush()
    runtime._reset_after_fork()
    assert runtime.stats().cost.points_per_minute == 0.0


def test_interrupted_collection(runtime: Runtime) -> None:
    """A collection that an observer ends leaves the counts of the last complete one."""
    meter = configured(runtime).get_meter()
    meter.counter("c").inc()
    assert runtime.flush()
    interrupts = [KeyboardInterrupt()]

    @meter.observe("raises")
    def raises() -> float:
        if interrupts:
            raise interrupts.pop()
        return 1

    with pytest.raises(KeyboardInterrupt):
        runtime.flush()
    assert runtime.stats().cost.by_key["c"].points_per_minute == 1.0
    assert runtime.flush()
    assert runtime.stats().cost.by_key == {
        "c": MetricCost(1, 0.0),
        "raises": MetricCost(1, 1.0),
    }
