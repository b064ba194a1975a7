"""Counter and summary series that are idle for an hour are forgotten, and lose nothing."""

from __future__ import annotations

import gc
import os
from collections import Counter as Tally
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._record import series as series_module
from dtmetrics._record.handover import Handover
from dtmetrics._record.invalid_values import TOO_MANY_KEYS
from dtmetrics._record.options import RecordingOptions
from dtmetrics._record.series import CounterSeries
from tests.support.clocked_recorder import HOUR, Clocked
from tests.support.raising_signal import steps_of
from tests.support.recorder import MOMENT, Recorder
from tests.support.thread_load import Collector, in_threads

RECORD = os.path.dirname(series_module.__file__)


@pytest.fixture
def recorder() -> Clocked:
    """Return a recorder whose clock stands still."""
    return Clocked()


def test_forgotten_after_an_hour(recorder: Clocked) -> None:
    """A series is forgotten an hour after the collection that sent its last value."""
    counter, summary = recorder.meter.counter("c"), recorder.meter.summary("s")
    counter.inc(2, a=1)
    summary.record(1.5)
    assert len(recorder.lines()) == 2
    for _ in range(59):
        recorder.now += 60.0
        assert recorder.lines() == []
        assert recorder.registry.series_count == 2
    recorder.now = HOUR
    assert recorder.lines() == []
    assert recorder.registry.series_count == 0
    assert counter.origin.family.series == summary.origin.family.series == {}


def test_recorded_again(recorder: Clocked) -> None:
    """What is recorded into a forgotten series is sent as before, in whichever way."""
    counter, bound = recorder.meter.counter("c"), recorder.meter.counter("c").bind(b=1)
    timed = recorder.meter.timed("t")(lambda: None)

    def record() -> None:
        counter.inc()
        counter.inc(2, a=1)
        bound.inc(3)
        with recorder.registry.context(tenant="x"):
            counter.inc(4)
        timed()

    record()
    first = recorder.pass_hour()
    assert len(first) == 5
    assert recorder.registry.series_count == 0
    record()
    again = recorder.lines()
    assert [line for line in again if line[0] == "c"] == [
        line for line in first if line[0] == "c"
    ]
    assert recorder.registry.series_count == 5


def test_recorded_in_time(recorder: Clocked) -> None:
    """A record within the hour begins a new one."""
    counter = recorder.meter.counter("c")
    counter.inc()
    for _ in range(4):
        recorder.lines()
        recorder.now += HOUR - 1
        recorder.lines()
        counter.inc()
    assert recorder.registry.series_count == 1
    assert recorder.lines() == ["c count,delta=1"]


def test_gauges_stay(recorder: Clocked) -> None:
    """A gauge keeps its value, and a gauge without a value its series."""
    gauge = recorder.meter.gauge("g")
    gauge.set(5)
    gauge.set(10**400, a=1)
    assert recorder.pass_hour() == ["g gauge,5"] * 3
    assert recorder.registry.series_count == 2


def test_observed_counter_stays(recorder: Clocked) -> None:
    """The series of an observed counter stays while its total increases."""
    total = 0
    recorder.meter.observe("c", kind="counter")(lambda: total)
    recorder.lines()
    sent = set()
    for _ in range(3):
        total += 1
        [point] = recorder.points()
        sent.add(point.identity)
        recorder.now += HOUR
    assert len(sent) == 1
    recorder.pass_hour()
    assert recorder.registry.series_count == 0
    total += 1
    assert recorder.lines() == ["c count,delta=1"]


def test_late_record(recorder: Clocked) -> None:
    """What a thread records into a series that it looked up before is sent."""
    counter, summary = recorder.meter.counter("c"), recorder.meter.summary("s")
    counter.inc()
    summary.record(1.0)
    found, observed = counter.find_series({}), summary.find_series({})
    assert found is not None
    assert observed is not None
    recorder.pass_hour()
    next(found.ones)
    observed.values.append(2.0)
    counter.inc()
    assert recorder.lines() == [
        "c count,delta=1",
        "c count,delta=1",
        "s gauge,min=2,max=2,sum=2,count=1",
    ]
    assert recorder.registry.series_count == 1


def test_overflow_finds_room(recorder: Clocked) -> None:
    """When series are forgotten, those in the overflow series get series of their own."""
    recorder = Clocked(max_series_per_metric=2)
    counter = recorder.meter.counter("c")
    for a in range(4):
        counter.inc(1, a=a)
    assert "c" in recorder.registry.capped()
    recorder.lines()
    for seconds in (60.0, HOUR):
        recorder.now += seconds
        counter.inc(1, a=3)
        assert recorder.lines() == ["c,dtmetrics.overflow=true count,delta=1"]
    assert recorder.registry.capped() == {}
    assert recorder.registry.series_count == 0
    counter.inc(1, a=3)
    counter.inc(1, a=0)
    assert recorder.lines() == ["c,a=0 count,delta=1", "c,a=3 count,delta=1"]
    counter.inc(1, a=7)
    assert "such as '3', '0'" in recorder.registry.capped()["c"]


def test_overflow_without_room(recorder: Clocked) -> None:
    """The overflow series stays while there is no room, and that of a gauge always."""
    recorder = Clocked(max_series_per_metric=1)
    counter, gauge = recorder.meter.counter("c"), recorder.meter.gauge("g")
    recorder.meter.counter("other").inc()
    for _ in range(3):
        for a in range(2):
            counter.inc(1, a=a)
            gauge.set(7, a=a)
        assert "c,dtmetrics.overflow=true count,delta=1" in recorder.lines()
        assert {*recorder.registry.capped()} == {"c", "g"}
        recorder.now += HOUR
    recorder.pass_hour()
    assert {*recorder.registry.capped()} == {"g"}
    assert recorder.registry.series_count == 2


def test_new_key_finds_room(recorder: Clocked) -> None:
    """A key that had no room records as soon as series are forgotten."""
    recorder = Clocked(max_series=1)
    recorder.meter.counter("first").inc()
    second, bound = recorder.meter.counter("second"), recorder.meter.counter("c").bind()
    for _ in range(2):
        second.inc()
        bound.inc(a=1)
    assert recorder.registry.invalid_values.total() == {TOO_MANY_KEYS: 4}
    recorder.pass_hour()
    assert recorder.registry.capped() == {}
    second.inc()
    bound.inc(a=1)
    assert recorder.lines() == ["second count,delta=1"]
    assert recorder.registry.invalid_values.total() == {TOO_MANY_KEYS: 5}


def test_removed_meanwhile(recorder: Clocked) -> None:
    """A series that has left its family, or been replaced, is not forgotten again."""
    counter = recorder.meter.counter("c")
    counter.inc()
    recorder.lines()
    recorder.lines()
    before = counter.find_series({})
    assert before is not None
    recorder.registry.restart(RecordingOptions(strict=True))
    counter.inc()
    recorder.registry.collection.forget(counter.origin.family, [before])
    assert recorder.registry.series_count == 1
    assert recorder.lines() == ["c count,delta=1"]


def test_fork(recorder: Clocked) -> None:
    """In a forked child the hour begins anew."""
    counter = recorder.meter.counter("c")
    counter.inc()
    recorder.lines()
    recorder.lines()
    recorder.now = HOUR
    recorder.registry.reset_after_fork()
    recorder.lines()
    assert recorder.registry.series_count == 1
    recorder.now = 2 * HOUR
    recorder.lines()
    assert recorder.registry.series_count == 0
    counter.inc()
    assert recorder.lines() == ["c count,delta=1"]


# -- exactness -------------------------------------------------------------------------

steps = st.lists(
    st.one_of(
        st.tuples(st.just("inc"), st.integers(0, 4)),
        st.tuples(
            st.just("collect"),
            st.sampled_from([0, 1, 60, 299, 300, 1800, 3599, 3600, 7200]),
        ),
    ),
    max_size=60,
)


@given(steps)
def test_against_a_model(actions: list[tuple[str, int]]) -> None:
    """Totals are exact, and what is forgotten is what a naive model forgets."""
    recorder = Clocked()
    counter = recorder.meter.counter("c")
    waiting: Tally[str] = Tally()
    # By the label sets that exist: the place of the collection that sent the last value.
    last_sent: dict[str, float] = {}
    windows: list[tuple[int, float]] = []  # by which collection they began, and when
    for place, (action, number) in enumerate(actions):
        if action == "inc":
            counter.inc(number + 1, a=number)
            waiting[str(number)] += number + 1
            last_sent[str(number)] = inf
            continue
        recorder.now += number
        sent = Tally(
            {
                dict(dimensions)["a"]: payload[0]
                for (_, dimensions), payload in recorder.payloads().items()
            }
        )
        assert sent == waiting
        last_sent.update(dict.fromkeys(sent, place))
        waiting.clear()
        if not windows or recorder.now - windows[-1][1] >= HOUR / 12:
            # It counts as idle from the first window on in which it sent nothing.
            last_sent = {
                label: last
                for label, last in last_sent.items()
                if not any(
                    last <= first and begun <= recorder.now - HOUR
                    for first, begun in windows
                )
            }
            windows.append((place, recorder.now))
        assert {
            series.line_prefix.rpartition("=")[2]
            for series in counter.origin.family.all_series()
        } == {*last_sent}
        assert recorder.registry.series_count == len(last_sent)


@pytest.mark.usefixtures("switch_often")
@pytest.mark.parametrize(
    "rounds", [5_000, pytest.param(50_000, marks=pytest.mark.slow)]
)
def test_threads(rounds: int) -> None:
    """Values of threads count once while each collection forgets what has none."""
    recorder = Clocked(idle_seconds=0.0, max_series_per_metric=900)
    counter, summary = recorder.meter.counter("c"), recorder.meter.summary("s")
    forgotten = 0
    forget = recorder.registry.collection.forget

    def forget_and_count(family: Any, all_series: Any) -> None:
        nonlocal forgotten
        forgotten += len(all_series)
        recorder.now += 0.05  # the minute of late records is 1,200 collections
        forget(family, all_series)

    recorder.registry.collection.forget = forget_and_count  # type: ignore[method-assign]

    def work(thread: int) -> None:
        bound = counter.bind(thread=thread)
        for number in range(rounds):
            counter.inc()
            bound.inc(2)
            counter.inc(3, number=number % 1_000)
            summary.record(number, number=number // 40)

    with Collector(recorder) as collector:
        in_threads(6, work)
    assert collector.totals["c"] == 6 * rounds * 6
    assert collector.totals["s"] == 6 * rounds * (rounds - 1) // 2
    assert collector.counts["s"] == 6 * rounds
    assert forgotten > 0


def total_of(handover: Handover) -> Tally[str]:
    """Return what the points of *handover* add up to, by key."""
    total: Tally[str] = Tally()
    for chunk in handover.waiting():
        for point in chunk.each():
            payload = point.payload
            total[point.identity.key] += int(payload[-1])  # of a summary the count
    return total


def test_raising_at_every_point() -> None:
    """Wherever a handler raises while series are forgotten, nothing is lost."""
    point_number = 0
    interrupted = True
    while interrupted:
        point_number += 1
        recorder = Clocked(max_series_per_metric=2)
        counter, summary = recorder.meter.counter("c"), recorder.meter.summary("s")
        handover = Handover()

        def collect(recorder: Recorder = recorder, handover: Any = handover) -> None:
            [*handover.waiting()]  # as each flush does before it collects
            [*recorder.registry.collect(MOMENT, 1, handover)]

        def record(counter: Any = counter, summary: Any = summary) -> None:
            for a in range(3):
                counter.inc(1, a=a)
                summary.record(1.0, a=a)

        record()
        collect()
        for recorder.now in (60.0, HOUR):
            counter.inc(1, a=2)
            collect()
        recorder.now += 60.0
        interrupted = steps_of(collect, point_number, RECORD)
        for _ in range(2):
            record()
            collect()
            recorder.now += 120.0
        assert total_of(handover) == {"c": 11, "s": 9}, point_number
        families = counter.origin.family, summary.origin.family
        count = sum(len(family.series) for family in families)
        assert recorder.registry.series_count == count, point_number
    assert point_number > 50


# -- memory ----------------------------------------------------------------------------


def live_series() -> int:
    """Return how many series of counters there are in this process."""
    gc.collect()
    return sum(type(each) is CounterSeries for each in gc.get_objects())


@pytest.mark.parametrize(
    "sets", [10_000, pytest.param(400_000, marks=pytest.mark.slow)]
)
def test_memory_is_bounded(sets: int) -> None:
    """However many label sets there are, memory holds the series of the last hour."""
    before = live_series()
    recorder = Clocked(max_series=500)
    counter, handles = recorder.meter.counter("c"), recorder.meter.counter("d")
    total = 0
    for number in range(sets):
        counter.inc(1, user=number)
        handles.bind(user=number).inc()
        if number % 50 == 49:
            total += sum(int(point.payload[0]) for point in recorder.points())
            recorder.now += 1800.0
            assert recorder.registry.series_count <= 500
    total += sum(int(point.payload[0]) for point in recorder.points())
    assert total == 2 * sets
    # In two caches of 2,048, and in the list for contexts.
    assert live_series() - before <= 500 + 2 * 2_048 + 2_000
    assert recorder.registry.capped() == {}


def test_caches_let_go(recorder: Clocked) -> None:
    """An instrument that finds one forgotten series in its cache empties the cache."""
    counter = recorder.meter.counter("c")
    for a in range(1_000):
        counter.inc(1, a=a)
    before = live_series()
    recorder.pass_hour()
    recorder.now += 120.0
    recorder.lines()
    counter.inc(1, a=0)
    recorder.registry.read_contexts()  # empties a list of bounded length
    assert before - live_series() == 999
