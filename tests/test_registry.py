from __future__ import annotations

import pytest

from tests.support.caller_values import INVALID
from tests.support.recorder import MOMENT, Recorder

# -- collecting ------------------------------------------------------------------------


def test_collects_in_chunks(recorder: Recorder) -> None:
    """A collection comes in chunks, between which no lock is held."""
    counter = recorder.meter.counter("c")
    for number in range(10):
        counter.inc(1, number=number)
    sizes = []
    for chunk in recorder.registry.collect(MOMENT, size=4):
        sizes.append(len(chunk.identities))
        assert counter.origin.family.lock.acquire(blocking=False)
        counter.origin.family.lock.release()
        counter.inc(1, late=True)
    assert sizes == [4, 4, 2]
    assert all(point.timestamp_ms == MOMENT for point in recorder.points())


def test_leaves_out_what_is_empty(recorder: Recorder) -> None:
    """Series without a value are left out of a chunk, and only those."""
    meter = recorder.meter
    for number in range(6):
        odd = number % 2
        meter.counter("c").inc(odd, n=number)
        meter.gauge("g").set(0 if odd else 10**400, n=number)
        meter.summary("s").record(0 if odd else "x", n=number)  # type: ignore[arg-type]
    assert recorder.lines() == [
        *(f"c,n={n} count,delta=1" for n in (1, 3, 5)),
        *(f"g,n={n} gauge,0" for n in (1, 3, 5)),
        *(f"s,n={n} gauge,min=0,max=0,sum=0,count=1" for n in (1, 3, 5)),
    ]


def test_list_of_a_counter_is_made_once(recorder: Recorder) -> None:
    """Two threads that add other amounts than 1 for the first time share one list."""
    counter = recorder.meter.counter("c")
    counter.inc()
    series = counter.find_series({})
    assert series is not None
    values = recorder.registry.make_list(series)
    values.append(4)
    assert recorder.registry.make_list(series) is values
    assert recorder.lines() == ["c count,delta=5"]


def test_prefix() -> None:
    """The prefix stands before every key, and is cleaned with it."""
    recorder = Recorder(prefix="my app")
    recorder.meter.counter("orders placed").inc()
    assert recorder.lines() == ["my_app.orders_placed count,delta=1"]


@pytest.mark.parametrize("prefix", [".", "..."])
def test_invalid_prefix(prefix: str) -> None:
    """A prefix without a valid character is ignored."""
    recorder = Recorder(prefix=prefix)
    recorder.meter.counter("c").inc()
    assert recorder.lines() == ["c count,delta=1"]


def test_collecting_survives_hostile_values(recorder: Recorder) -> None:
    """A hostile value is rejected alone: the values before and after it count."""
    for value, _ in INVALID:
        for record in (
            recorder.meter.counter("c").inc,
            recorder.meter.gauge("g").set,
            recorder.meter.gauge("g").inc,
            recorder.meter.gauge("g").dec,
            recorder.meter.summary("s").record,
        ):
            record(1)
            record(value)
    count = len(INVALID)
    assert recorder.lines() == [
        f"c count,delta={count}",
        "g gauge,1",
        f"s gauge,min=1,max=1,sum={count},count={count}",
    ]
    assert sum(recorder.registry.invalid_values.total().values()) == 5 * count


# -- forking ---------------------------------------------------------------------------


def test_reset_after_fork(recorder: Recorder) -> None:
    """A child keeps instruments and series, without the values of its parent."""
    counter, gauge = recorder.meter.counter("c"), recorder.meter.gauge("g")
    summary = recorder.meter.summary("s")
    counter.inc(5)
    counter.inc(5, a=1)
    gauge.set(5)
    gauge.inc(1, a=1)
    summary.record(5)
    recorder.registry.series_count += 1  # another thread was making one
    generation = recorder.registry.generation
    recorder.registry.reset_after_fork()
    assert recorder.registry.generation is not generation
    assert recorder.registry.series_count == 5
    assert recorder.lines() == []
    counter.inc()
    counter.inc(2, a=1)
    gauge.inc(3)
    summary.record(4)
    assert recorder.wakes == 2
    assert recorder.lines() == [
        "c count,delta=1",
        "c,a=1 count,delta=2",
        "g gauge,3",
        "s gauge,min=4,max=4,sum=4,count=1",
    ]


def test_enabled_twice(recorder: Recorder) -> None:
    """Of two threads that make the first record of a series at once, one enables it."""
    counter = recorder.meter.counter("c")
    counter.inc()
    [series] = recorder.registry.fast
    recorder.registry.enable(series, recorder.registry.generation)
    assert {*recorder.registry.fast} == {series}
    counter.inc()
    assert recorder.lines() == ["c count,delta=2"]
