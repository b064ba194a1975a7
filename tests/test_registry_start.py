from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dtmetrics._record.meter import Meters
from dtmetrics._record.options import RecordingOptions
from dtmetrics._record.registry import Registry
from tests.support.caller_values import Raises
from tests.support.recorder import MOMENT, Recorder


def test_off() -> None:
    """Before start() nothing is kept and nothing raises, whatever is recorded."""
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


def test_methods_grabbed_before_start() -> None:
    """A bound method that was grabbed before start() records after it."""
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
    """After stop() nothing is recorded, and what was can be collected."""
    counter = recorder.meter.counter("c")
    counter.inc(5)
    counter.inc(6, a=1)
    recorder.registry.stop()
    counter.inc(7)
    counter.inc(8, a=1)
    assert recorder.lines() == ["c count,delta=5", "c,a=1 count,delta=6"]


def test_restart(recorder: Recorder) -> None:
    """After a new start() old handles record, into new series with new settings."""
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
    """The first record wakes whoever collects; no other does."""
    assert recorder.wakes == 0
    for number in range(5):
        recorder.meter.counter("c").inc(1, number=number)
    assert recorder.wakes == 1


def test_wakes_until_it_works() -> None:
    """One that could not be woken, or raised, is asked again; nothing is lost."""
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


def test_start_while_waking(recorder: Recorder) -> None:
    """A start() in the middle of a record's waking is not taken for awake."""
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


def test_clear_while_wiring(recorder: Recorder) -> None:
    """A series that is let go while a handle gets at it is not recorded into again."""
    registry = recorder.registry
    counter = recorder.meter.counter("c")

    def wake() -> bool:
        registry.clear()
        return True

    registry.start(RecordingOptions(), wake)
    counter.inc()  # lost: it was let go together with its series
    counter.inc()
    counter.inc()
    assert recorder.lines() == ["c count,delta=2"]


def test_start_while_making(recorder: Recorder) -> None:
    """A handle that was looking when settings changed does not keep the old ones."""
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
