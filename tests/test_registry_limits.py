from __future__ import annotations

import pytest

from tests.support.recorder import Recorder


class Interrupting(int):
    """A limit that calls ``action`` when it is first compared."""

    done = False

    def __gt__(self, other: object) -> bool:
        if not self.done:
            self.done = True
            self.action()
        return int(self) > int(other)  # type: ignore[call-overload, no-any-return]


def test_limit_per_metric() -> None:
    """Values beyond the limit of a key are recorded in its overflow series."""
    recorder = Recorder(max_series_per_metric=2, dimensions={"host": "h"})
    counter = recorder.meter.counter("c")
    for number in range(10):
        counter.inc(number, number=number)
    recorder.meter.counter("other").inc(1, number=1)
    assert recorder.lines() == [
        "c,dtmetrics.overflow=true,host=h count,delta=44",
        "c,host=h,number=1 count,delta=1",
        "other,host=h,number=1 count,delta=1",
    ]


def test_limit_per_process() -> None:
    """Beyond the limit of the process each key has an overflow series."""
    recorder = Recorder(max_series=3)
    for name in "ab":
        for number in range(3):
            recorder.meter.summary(name).record(number, number=number)
    recorder.meter.gauge("g").set(5)
    assert recorder.lines() == [
        "a,number=0 gauge,min=0,max=0,sum=0,count=1",
        "a,number=1 gauge,min=1,max=1,sum=1,count=1",
        "a,number=2 gauge,min=2,max=2,sum=2,count=1",
        "b,dtmetrics.overflow=true gauge,min=0,max=2,sum=3,count=3",
        "g,dtmetrics.overflow=true gauge,5",
    ]


def test_earlier_series_at_the_limit() -> None:
    """A series that was made below the limit stays, whatever is recorded later."""
    recorder = Recorder(max_series_per_metric=1)
    counter = recorder.meter.counter("c")
    counter.inc(1, a=1)
    counter.inc(1, a=2)
    recorder.meter.bind(a=1).counter("c").inc()
    counter.inc(1, a=1)
    assert recorder.lines() == [
        "c,a=1 count,delta=3",
        "c,dtmetrics.overflow=true count,delta=1",
    ]


def test_overflow_by_hand() -> None:
    """A caller who records the overflow dimension shares the overflow series."""
    recorder = Recorder(max_series_per_metric=1)
    counter = recorder.meter.counter("c")
    counter.inc(1, **{"dtmetrics.overflow": True})
    counter.inc(1, a=1)
    counter.inc(1, a=2)
    assert recorder.lines() == [
        "c,a=1 count,delta=1",
        "c,dtmetrics.overflow=true count,delta=2",
    ]


def test_series_count() -> None:
    """Series are counted, and a removed one makes room."""
    recorder = Recorder(max_series_per_metric=2)
    gauge = recorder.meter.gauge("g")
    for number in range(4):
        gauge.set(number, number=number)
    assert recorder.registry.series_count == 3
    gauge.remove(number=0)
    assert recorder.registry.series_count == 2
    gauge.set(9, number=9)
    assert recorder.registry.series_count == 3
    assert "g,number=9 gauge,9" in recorder.lines()
    recorder.registry.clear()
    assert recorder.registry.series_count == 0


@pytest.mark.parametrize("limit", [1, 0])
def test_made_twice_at_once(limit: int) -> None:
    """A series is made once, even if a signal handler makes it meanwhile."""
    interrupting = Interrupting(limit)
    recorder = Recorder(max_series_per_metric=interrupting)
    counter = recorder.meter.counter("c")
    other = counter.bind()
    interrupting.action = other.inc  # type: ignore[attr-defined]
    counter.inc(2)
    other.inc(3)
    [line] = recorder.lines()
    assert line.endswith("count,delta=6")
    assert recorder.registry.series_count == 1
