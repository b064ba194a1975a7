from __future__ import annotations

import pytest

from dtmetrics import MemoryExporter
from dtmetrics._deliver.budget import Budget
from dtmetrics._deliver.cost import Cost, MetricCost
from dtmetrics._runtime.runtime import Runtime

HOUR = 3_600.0


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands still."""
    return Clock()


def cost(points: float) -> Cost:
    """Return the cost of *points* a minute, of one metric."""
    return Cost({"c": MetricCost(1, points)}, points_per_minute=points)


def test_each_level_once(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """It warns when 80 % and when 100 % are reached, and drops nothing."""
    budget = Budget(1_000, clock)
    for points in (799.9, 800, 850, 999, 1_000, 5_000):
        budget.check(cost(points))
    assert caplog.messages == [
        f"dtmetrics: {points} data points a minute are {percent} % of the budget of "
        "1000; nothing is dropped; the most expensive metrics are "
        f"c (1 series, {points} points a minute)"
        for points, percent in [(800, 80), (1000, 100)]
    ]


def test_both_at_once(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """A cost that begins beyond the budget is logged once, also when it falls."""
    budget = Budget(100, clock)
    for points in (250, 90, 250):
        budget.check(cost(points))
    [message] = caplog.messages
    assert "250 data points a minute are 250 % of the budget of 100;" in message


def test_again_after_an_hour(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """The same level is logged again when an hour has passed, and not before."""
    budget = Budget(100, clock)
    for clock.now in (0.0, 60.0, HOUR - 1, HOUR, HOUR + 60.0, 2 * HOUR):
        budget.check(cost(90))
    assert len(caplog.messages) == 3
    budget.check(cost(100))
    assert len(caplog.messages) == 4


def test_most_expensive(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """The warning names the five metrics with the most points."""
    by_key = {f"m{points}": MetricCost(2 * points, points) for points in range(10)}
    Budget(10, clock).check(Cost(by_key, points_per_minute=45.0))
    [message] = caplog.messages
    assert message.endswith(
        " are m9 (18 series, 9 points a minute), m8 (16 series, 8 points a minute), "
        "m7 (14 series, 7 points a minute), m6 (12 series, 6 points a minute), "
        "m5 (10 series, 5 points a minute)"
    )


def test_of_configure(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    """Each collection is compared with the budget, and all its points are sent."""
    exporter = MemoryExporter()
    settings = {"exporter": exporter, "interval": None, "enrich": False}
    runtime.configure(budget=5, **settings)
    counter = runtime.get_meter().counter("c")
    for count in (3, 4, 6):
        for a in range(count):
            counter.inc(1, a=a)
        assert runtime.flush()
    assert len(exporter.lines) == 3 + 4 + 6
    assert [text[:30] for text in caplog.messages] == [
        "dtmetrics: 4 data points a min",
        "dtmetrics: 6 data points a min",
    ]


def test_reconfigured(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    """What was logged for a budget is not logged again when other settings change."""
    settings = {"exporter": MemoryExporter(), "interval": None, "enrich": False}
    runtime.configure(budget=5, **settings)
    counter = runtime.get_meter().counter("c")

    def logged() -> int:
        caplog.clear()
        for a in range(9):
            counter.inc(1, a=a)
        assert runtime.flush()
        return len(caplog.messages)

    assert logged() == 1
    runtime.configure(budget=5, prefix="p", force=True, **settings)
    assert logged() == 0
    runtime.configure(budget=6, force=True, **settings)
    assert logged() == 1
    runtime.configure(force=True, **settings)
    assert logged() == 0
