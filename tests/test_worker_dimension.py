"""The dimension of the worker, in the series of gauges."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from dtmetrics._record import worker_number as numbers
from dtmetrics._record.options import Numbered, RecordingOptions
from dtmetrics._runtime.runtime import Runtime
from dtmetrics.exporters import MemoryExporter
from tests.support.recorder import Recorder

ALL, NONE = Numbered.ALL, Numbered.NONE


@pytest.fixture(autouse=True)
def _own_file(own_tempdir: Path) -> None:
    """Use numbers of the test's own."""
    numbers._take_number.cache_clear()


def record(recorder: Recorder, **dimensions: Any) -> None:
    """Record into each kind of instrument."""
    recorder.meter.counter("c").inc(**dimensions)
    recorder.meter.gauge("g").set(1, **dimensions)
    recorder.meter.summary("s").record(1, **dimensions)


def test_gauges_alone() -> None:
    """Gauges and observed gauges have the number; counters and summaries do not."""
    recorder = Recorder(numbered=ALL)
    record(recorder)
    recorder.meter.observe("o")(lambda: 5)
    recorder.meter.observe("p", kind="counter")(iter([1, 3]).__next__)
    recorder.lines()
    recorder.meter.counter("c").inc()
    assert recorder.lines() == [
        "c count,delta=1",
        "g,dtmetrics.worker=0 gauge,1",
        "o,dtmetrics.worker=0 gauge,5",
        "p count,delta=2",
    ]


@pytest.mark.parametrize("numbered", [NONE, Numbered.CHILDREN])
def test_not_in_a_single_process(numbered: Numbered) -> None:
    """Without siblings, and where it is switched off, no gauge has a number."""
    recorder = Recorder(numbered=numbered)
    record(recorder)
    assert "g gauge,1" in recorder.lines()


def test_same_in_workers() -> None:
    """A gauge whose value is the same in all workers has no number, however it is made."""
    recorder = Recorder(numbered=ALL)
    meter = recorder.meter
    meter.gauge("g", per_worker=False).set(1)
    meter.gauge("g", per_worker=False, dimensions={"queue": "a"}).bind(tier=1).set(2)
    meter.bind(pool="b").gauge("g", per_worker=False).inc(3)
    meter.observe("o", per_worker=False)(lambda: 4)
    meter.observe("p", per_worker=False)(lambda: [(5, {"queue": "a"})])
    meter.gauge("q").set(6)
    assert recorder.lines() == [
        "g gauge,1",
        "g,pool=b gauge,3",
        "g,queue=a,tier=1 gauge,2",
        "o gauge,4",
        "p,queue=a gauge,5",
        "q,dtmetrics.worker=0 gauge,6",
    ]


def test_decorators_and_blocks() -> None:
    """A gauge that decorates a function is one of each worker, or the same in all."""
    recorder = Recorder(numbered=ALL)
    found = []

    @recorder.meter.gauge("own")
    @recorder.meter.gauge("shared", per_worker=False)
    def work() -> None:
        found.extend(recorder.lines())

    work()
    with recorder.meter.gauge("block"):
        found.extend(recorder.lines())
    assert found == [
        "own,dtmetrics.worker=0 gauge,min=0,max=1,sum=1,count=1",
        "shared gauge,min=0,max=1,sum=1,count=1",
        "block,dtmetrics.worker=0 gauge,min=0,max=1,sum=1,count=1",
        "own,dtmetrics.worker=0 gauge,min=0,max=1,sum=0,count=1",
        "shared gauge,min=0,max=1,sum=0,count=1",
    ]


def test_pickled() -> None:
    """A pickled gauge whose value is the same in all workers stays one."""
    runtime = Runtime()
    kept = runtime.get_meter("").gauge("g", per_worker=False)
    restored, arguments = kept.__reduce__()[:2]
    assert restored(runtime.get_meter(""), *arguments[1:]) is kept
    assert pickle.loads(pickle.dumps(arguments[3])) == (("dtmetrics.worker", None),)


@pytest.mark.parametrize("where", ["configured", "of the call", "removed"])
def test_of_the_program(where: str) -> None:
    """A value that the program gives the dimension wins over the number."""
    given = None if where == "removed" else "mine"
    dimensions = {"dtmetrics.worker": given}
    of_call = {} if where == "configured" else dimensions
    recorder = Recorder(numbered=ALL, dimensions={} if of_call else dimensions)
    recorder.meter.gauge("g").set(1, **of_call)
    expected = "g gauge,1" if given is None else "g,dtmetrics.worker=mine gauge,1"
    assert recorder.lines() == [expected]


def test_limit_of_dimensions() -> None:
    """Beyond 50 dimensions the number is left out, which is counted."""
    recorder = Recorder(numbered=ALL, dimensions={"service": "shop"})
    for count in (48, 49):
        many = {f"key{number}": count for number in range(count)}
        recorder.meter.gauge("g").set(count, **many)
    first, second = recorder.lines()
    assert ("dtmetrics.worker=0" in first) + ("dtmetrics.worker=0" in second) == 1
    assert all("service=shop" in line for line in (first, second))
    assert recorder.registry.invalid_values.total() == {"more than 50 dimensions": 1}


def test_overflow() -> None:
    """What exceeds a limit is also kept apart by worker, if it is a gauge."""
    recorder = Recorder(numbered=ALL, max_series_per_metric=1)
    for number in range(3):
        record(recorder, user=number)
    overflow = [line for line in recorder.lines() if "overflow" in line]
    assert overflow == [
        "c,dtmetrics.overflow=true count,delta=2",
        "g,dtmetrics.overflow=true,dtmetrics.worker=0 gauge,1",
        "s,dtmetrics.overflow=true gauge,min=1,max=1,sum=2,count=2",
    ]


def test_overflow_with_all_dimensions() -> None:
    """The series of what exceeds a limit has no number beside 50 dimensions."""
    defaults = {f"key{number}": number for number in range(60)}
    recorder = Recorder(numbered=ALL, max_series_per_metric=1, dimensions=defaults)
    for number in range(2):
        recorder.meter.gauge("g").set(1, user=number)
    [line] = [line for line in recorder.lines() if "overflow" in line]
    assert line.count("=") == 50
    assert "dtmetrics.worker" not in line


def test_removed() -> None:
    """``remove()`` ends the series with the number."""
    recorder = Recorder(numbered=ALL)
    record(recorder, user=1)
    recorder.meter.gauge("g").remove(user=1)
    assert not any(line.startswith("g") for line in recorder.lines())


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        (NONE, ALL, "shop.g,dtmetrics.worker=0 gauge,1"),
        (ALL, NONE, "shop.g gauge,1"),
        (ALL, ALL, "shop.g,dtmetrics.worker=0 gauge,1"),
    ],
)
def test_other_options(before: Numbered, after: Numbered, line: str) -> None:
    """The value of a gauge moves to the series of the new options, with all others."""
    recorder = Recorder(numbered=before)
    own, same = recorder.meter.gauge("g"), recorder.meter.gauge("h", per_worker=False)
    own.set(1)
    same.set(2)
    recorder.registry.restart(RecordingOptions(prefix="shop", numbered=after))
    assert recorder.lines() == [line, "shop.h gauge,2"]


def test_after_a_fork() -> None:
    """A child drops the gauges of its parent, and keeps the number of its own apart."""
    recorder = Recorder(numbered=Numbered.CHILDREN)
    record(recorder)
    recorder.meter.gauge("same", per_worker=False).set(1)
    handle = recorder.meter.gauge("g").bind(user=1)
    handle.set(1)
    recorder.registry.reset_after_fork()
    assert recorder.lines() == []
    record(recorder)
    recorder.meter.gauge("same", per_worker=False).set(1)
    handle.set(2)
    assert recorder.lines() == [
        "c count,delta=1",
        "g,dtmetrics.worker=0 gauge,1",
        "g,dtmetrics.worker=0,user=1 gauge,2",
        "s gauge,min=1,max=1,sum=1,count=1",
        "same gauge,1",
    ]
    assert recorder.registry.series_count == 5


def test_switched_off_after_a_fork() -> None:
    """A child has no number where it is switched off; its series stay in place."""
    recorder = Recorder(numbered=NONE)
    record(recorder)
    recorder.registry.reset_after_fork()
    assert recorder.registry.series_count == 3
    record(recorder)
    assert "g gauge,1" in recorder.lines()


def test_running_calls_over_a_fork() -> None:
    """A call that began before a fork does not count in the child when it ends."""
    recorder = Recorder(numbered=Numbered.CHILDREN)

    @recorder.meter.gauge("g")
    def work() -> None:
        recorder.registry.reset_after_fork()

    work()
    assert recorder.lines() == []


def test_without_a_number(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker for which there is no number logs that once, and records without it."""
    monkeypatch.setattr(numbers, "_MAX_WORKERS", 0)
    recorder = Recorder(numbered=ALL, max_series_per_metric=1)
    for number in range(2):
        recorder.meter.gauge("g").set(1, user=number)
    assert recorder.lines() == ["g,dtmetrics.overflow=true gauge,1", "g,user=0 gauge,1"]
    recorder.lines()
    reported = [text for text in caplog.messages if "this worker has no number" in text]
    assert len(reported) == 1


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({}, "g,dt.metrics.source=dtmetrics gauge,1"),
        (
            {"worker_dimension": True},
            "g,dt.metrics.source=dtmetrics,dtmetrics.worker=0 gauge,1",
        ),
        ({"worker_dimension": False}, "g,dt.metrics.source=dtmetrics gauge,1"),
    ],
)
def test_setting(settings: dict[str, Any], line: str) -> None:
    """A single process has a number only where the setting is True."""
    exporter, runtime = MemoryExporter(), Runtime()
    runtime.configure(exporter=exporter, interval=None, **settings)
    try:
        runtime.get_meter("").gauge("g").set(1)
        runtime.flush()
    finally:
        runtime.shutdown()
    assert line in [each.rpartition(" ")[0] for each in exporter.lines]
