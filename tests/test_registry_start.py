from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dtmetrics._record.meters import Meters
from dtmetrics._record.options import RecordingOptions
from dtmetrics._record.registry import Registry
from tests.support.caller_values import Raises
from tests.support.recorder import MOMENT, Recorder


def test_off() -> None:
    """Before start() recording keeps nothing and raises nothing."""
    registry = Registry()
    meter = Meters(registry).root
    counter, gauge, summary = meter.counter("c"), meter.gauge("g"), meter.summary("s")
    with registry.context(a=1):
        counter.inc("x", b=Raises())  # type: ignore[arg-type]
        gauge.set(Raises())  # type: ignore[arg-type]
        gauge.dec(None)  # type: ignore[arg-type]
        gauge.remove(x=1)
        summary.record(1)
        with gauge, counter:
            pass
    assert list(registry.collect(MOMENT)) == []
    assert registry.series_count == 0
    assert registry.invalid_values.total() == {}


def test_bound_methods_from_before_start() -> None:
    """A bound method from before start() records after it."""
    recorder = Recorder()
    recorder.registry.stop()
    inc, put = recorder.meter.counter("c").inc, recorder.meter.gauge("g").set
    inc()
    put(1)
    recorder.registry.start(RecordingOptions(), lambda: True)
    inc(2)
    put(3)
    assert recorder.lines() == ["c count,delta=2", "g gauge,3"]


def test_stop(recorder: Recorder) -> None:
    """After stop() nothing is recorded, and earlier values can be collected."""
    counter = recorder.meter.counter("c")
    counter.inc(5)
    counter.inc(6, a=1)
    recorder.registry.stop()
    counter.inc(7)
    counter.inc(8, a=1)
    assert recorder.lines() == ["c count,delta=5", "c,a=1 count,delta=6"]


def test_restart(recorder: Recorder) -> None:
    """After a new start() old instruments record into new series, with new settings."""
    counter, gauge = recorder.meter.counter("c"), recorder.meter.gauge("g")
    counter.inc()
    counter.inc(1, a=1)
    gauge.set(1)
    gauge.inc("x")  # type: ignore[arg-type]
    recorder.registry.start(
        RecordingOptions(prefix="new", dimensions={"host": "h"}), lambda: True
    )
    assert recorder.registry.series_count == 0
    assert recorder.registry.invalid_values.total() == {}
    counter.inc(2)
    counter.inc(3, a=1)
    gauge.inc()
    assert recorder.lines() == [
        "new.c,a=1,host=h count,delta=3",
        "new.c,host=h count,delta=2",
        "new.g,host=h gauge,1",
    ]


def test_wakes_once(recorder: Recorder) -> None:
    """The first record calls wake, and no later one does."""
    assert recorder.wakes == 0
    for number in range(5):
        recorder.meter.counter("c").inc(1, number=number)
    assert recorder.wakes == 1


def test_wakes_until_it_works() -> None:
    """A wake that returns False or raises is called again by the next record."""
    answers: Iterator[Any] = iter([False, RuntimeError, True, AssertionError])

    def wake() -> bool:
        answer = next(answers)
        if answer not in (True, False):
            raise answer
        return bool(answer)

    recorder = Recorder()
    recorder.registry.start(RecordingOptions(), wake)
    counter = recorder.meter.counter("c")
    for _ in range(5):
        counter.inc()
    assert recorder.lines() == ["c count,delta=5"]
    assert next(answers) is AssertionError


def test_wakes_in_a_context() -> None:
    """Until wake returns True, the records of a context go into one series, too."""
    answers = iter([False, False, True])
    recorder = Recorder()
    recorder.registry.start(RecordingOptions(), lambda: next(answers))
    counter = recorder.meter.counter("c")
    with recorder.registry.context(a=1):
        for _ in range(5):
            counter.inc()
    assert recorder.lines() == ["c,a=1 count,delta=5"]
    assert [*answers] == []


def test_start_while_waking(recorder: Recorder) -> None:
    """A start() inside wake() has its own wake called by the next record."""
    woken: list[str] = []
    registry = recorder.registry

    def first() -> bool:
        woken.append("first")
        registry.start(RecordingOptions(), lambda: not woken.append("second"))  # type: ignore[func-returns-value]
        return True

    registry.start(RecordingOptions(), first)
    counter = recorder.meter.counter("c")
    counter.inc()
    counter.inc()
    assert woken == ["first", "second"]


def test_clear_while_waking(recorder: Recorder) -> None:
    """A series that is discarded during a record is not recorded into again."""
    registry = recorder.registry
    counter = recorder.meter.counter("c")

    def wake() -> bool:
        registry.clear()
        return True

    registry.start(RecordingOptions(), wake)
    counter.inc()  # discarded together with its series
    counter.inc()
    counter.inc()
    assert recorder.lines() == ["c count,delta=2"]


def test_start_while_making(recorder: Recorder) -> None:
    """A start during a look-up is noticed: the series has the new settings."""
    registry = recorder.registry

    class Restarts:
        done = False

        def __str__(self) -> str:
            if not Restarts.done:
                Restarts.done = True
                registry.start(
                    RecordingOptions(dimensions={"env": "new"}), lambda: True
                )
            return "x"

    registry.start(RecordingOptions(dimensions={"env": "old"}), lambda: True)
    counter = recorder.meter.counter("c").bind(a=Restarts())
    counter.inc()
    counter.inc()
    assert recorder.lines() == ["c,a=x,env=new count,delta=2"]
