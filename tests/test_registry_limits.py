from __future__ import annotations

import gc
import weakref
from collections import Counter as Tally

import pytest

from dtmetrics._record.invalid_values import TOO_MANY_KEYS
from dtmetrics._record.options import RecordingOptions
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
    """Beyond the limit of the process a new key has no room, and its values are invalid."""
    recorder = Recorder(max_series=3)
    for name in "ab":
        for number in range(3):
            recorder.meter.summary(name).record(number, number=number)
    recorder.meter.gauge("g").set(5)
    assert recorder.lines() == [
        "a,number=0 gauge,min=0,max=0,sum=0,count=1",
        "a,number=1 gauge,min=1,max=1,sum=1,count=1",
        "a,number=2 gauge,min=2,max=2,sum=2,count=1",
    ]
    assert recorder.registry.invalid_values.total() == {TOO_MANY_KEYS: 4}


def test_room_for_new_keys() -> None:
    """One key with many series leaves a tenth of the room to the first series of others."""
    recorder = Recorder(max_series=100)
    for number in range(500):
        recorder.meter.counter("many").inc(1, number=number)
        recorder.meter.counter(f"key{number}").inc(1, plan="free")
    assert recorder.registry.series_count == 100
    totals = Tally(point.identity.key for point in recorder.points())
    assert totals["many"] > 40
    assert len(totals) > 11
    invalid = recorder.registry.invalid_values.total()[TOO_MANY_KEYS]
    assert invalid == 500 - (len(totals) - 1)


def test_keys_are_bounded() -> None:
    """However many keys are recorded, only so many series and families are made."""
    recorder = Recorder(max_series=100)
    for number in range(60_000):
        recorder.meter.counter(f"user.{number}.hits").inc()
    assert recorder.registry.series_count == 100
    assert len(recorder.registry.catalog.all()) == 50_000
    assert recorder.registry.invalid_values.total() == {TOO_MANY_KEYS: 59_900}


def test_limit_is_described(caplog: pytest.LogCaptureFixture) -> None:
    """A limit that is reached is logged once, with what grew, and shown in the counts."""
    recorder = Recorder(max_series_per_metric=20)
    requests = recorder.meter.counter("requests")
    for number in range(100):
        requests.inc(1, user_id=f"u{number}", method="GET")
    description = (
        "reached its limit of 20 series; dimension user_id has the most values, "
        "such as 'u0', 'u1', 'u2'"
    )
    assert recorder.registry.capped() == {"requests": description}
    assert caplog.records == []
    for _ in range(3):
        recorder.points()
    [record] = caplog.messages
    assert record.startswith("dtmetrics: counter 'requests' (defined at ")
    assert record.endswith(f") has {description}")
    recorder.registry.start(RecordingOptions(), bool)
    assert recorder.registry.capped() == {}


def test_limit_of_keys_is_described(caplog: pytest.LogCaptureFixture) -> None:
    """Of the keys that have no room one is logged, and a hundred are in the counts."""
    recorder = Recorder(max_series=10)
    for number in range(300):
        recorder.meter.counter(f"key{number}").inc()
    capped = recorder.registry.capped()
    assert len(capped) == 100
    assert capped["key10"] == "no room: more metric keys than max_series (10)"
    recorder.points()
    [record] = caplog.messages
    assert record.startswith("dtmetrics: counter 'key10' (defined at ")
    assert record.endswith(
        ") has no room: more metric keys than max_series (10); neither has any other new key"
    )


@pytest.mark.parametrize("kind", ["counter", "gauge", "summary"])
def test_instruments_of_objects_are_bounded(recorder: Recorder, kind: str) -> None:
    """Defining an instrument for each object keeps a bounded number of them."""
    make = getattr(recorder.meter, kind)
    first = weakref.ref(make("connections", dimensions={"id": "first"}))
    for number in range(5_000):
        make("connections", dimensions={"id": str(number)})
    gc.collect()
    assert first() is None


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


def test_made_twice_at_once() -> None:
    """A series is made once, even if a signal handler makes it meanwhile."""
    interrupting = Interrupting(1)
    recorder = Recorder(max_series_per_metric=interrupting)
    counter = recorder.meter.counter("c")
    other = counter.bind()
    interrupting.action = other.inc  # type: ignore[attr-defined]
    counter.inc(2)
    other.inc(3)
    [line] = recorder.lines()
    assert line.endswith("count,delta=6")
    assert recorder.registry.series_count == 1
