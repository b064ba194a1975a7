"""Values that are measured from a moment on."""

from __future__ import annotations

from dtmetrics._process import since_begin
from dtmetrics._process.since_begin import TotalsSinceBegin, Utilization


def test_totals() -> None:
    """Totals count from the last begin, by their parts."""
    read = iter([{"a": 5.0, "b": 1.0}, {"a": 7.0, "b": 1.0}, {"a": 9.0, "b": 4.0}])
    totals = TotalsSinceBegin(lambda: next(read), "part")
    totals.begin()
    assert totals.observe() == [(2.0, {"part": "a"}), (0.0, {"part": "b"})]
    totals.begin()
    assert totals._base == {"a": 9.0, "b": 4.0}


def utilization(*seconds: float) -> tuple[Utilization, list[float]]:
    """Return one whose process has used these *seconds*, and its clock."""
    used, now = iter(seconds), [100.0]
    return Utilization(lambda: {"user": next(used)}, lambda: now[0]), now


def test_utilization(monkeypatch: object) -> None:
    """A share is that of all available CPUs, since the observation before."""
    share, now = utilization(50.0, 52.0, 55.0)
    cpus = since_begin.available_cpus()
    now[0] += 4.0
    assert share.observe() == [(0.5 / cpus, {"cpu.mode": "user"})]
    now[0] += 6.0
    assert share.observe() == [(0.5 / cpus, {"cpu.mode": "user"})]


def test_utilization_of_a_short_time() -> None:
    """Within a second nothing is observed, and the next observation covers that time."""
    share, now = utilization(50.0, 50.9, 51.0)
    now[0] += 0.9
    assert share.observe() == []
    now[0] += 1.1
    assert share.observe() == [
        (0.5 / since_begin.available_cpus(), {"cpu.mode": "user"})
    ]


def test_utilization_by_ticks() -> None:
    """A share is at most 1, also where CPU time is rounded up."""
    share, now = utilization(0.0, 1_000_000.0)
    now[0] += 1.0
    assert share.observe() == [(1.0, {"cpu.mode": "user"})]
