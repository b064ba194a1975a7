"""A gauge with ``ttl=`` forgets the series that were neither set nor moved for so long."""

from __future__ import annotations

import os
import pickle
import re
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dtmetrics
from dtmetrics._record import series as series_module
from dtmetrics._record.gauge_series import Folded, GaugeSeries
from dtmetrics._record.handover import Handover
from dtmetrics._record.options import RecordingOptions
from tests.support.clocked_recorder import Clocked
from tests.support.raising_signal import steps_of
from tests.support.recorder import MOMENT
from tests.support.thread_load import Collector, in_threads

RECORD = os.path.dirname(series_module.__file__)
TTL = 300.0


@pytest.fixture
def recorder() -> Clocked:
    """Return a recorder whose clock stands still."""
    return Clocked()


def sent(recorder: Clocked, minutes: int) -> list[str]:
    """Collect once a minute; return the lines, of a running gauge without extremes."""
    lines = []
    for _ in range(minutes):
        lines += recorder.lines()
        recorder.now += 60.0
    return [re.sub(r"min=.*,sum=(-?\d+),count=1$", r"\1", line) for line in lines]


def test_forgotten(recorder: Clocked) -> None:
    """It is sent until the ttl has passed since the collection that sent its last change."""
    gauge = recorder.meter.gauge("g", ttl=TTL)
    gauge.set(7)
    assert sent(recorder, 10) == ["g gauge,7"] * 5
    assert recorder.registry.series_count == 0
    gauge.set(7)
    assert sent(recorder, 10) == ["g gauge,7"] * 5


def test_without_a_ttl(recorder: Clocked) -> None:
    """A gauge without a ttl stays, beside one of the same key that has one."""
    recorder.meter.gauge("g").set(1, a=1)
    recorder.meter.gauge("g", ttl=TTL).set(2, a=2)
    assert sent(recorder, 12) == [
        *(["g,a=1 gauge,1", "g,a=2 gauge,2"] * 5),
        *(["g,a=1 gauge,1"] * 7),
    ]


@pytest.mark.parametrize(
    "touch",
    [
        lambda gauge: gauge.set(0),
        lambda gauge: gauge.inc(0),
        lambda gauge: [gauge.inc(), gauge.dec()],
        lambda gauge: gauge.__enter__().__exit__(None, None, None),
        lambda gauge: [gauge.inc(0) for _ in range(2_000)],
    ],
    ids=["set", "inc", "inc and dec", "block", "folds"],
)
def test_touched(recorder: Clocked, touch: Any) -> None:
    """Each record begins the ttl anew, also one that leaves the value as it was."""
    gauge = recorder.meter.gauge("g", ttl=TTL)
    gauge.set(0)
    for _ in range(4):
        assert sent(recorder, 4) == ["g gauge,0"] * 4
        touch(gauge)
    assert sent(recorder, 10) == ["g gauge,0"] * 5


def test_not_touched(recorder: Clocked) -> None:
    """A value that is invalid, and a look at the counts, do not begin it anew."""
    gauge = recorder.meter.gauge("g", ttl=TTL)
    gauge.set(5)
    lines = []
    for _ in range(10):
        lines += recorder.lines()
        recorder.registry.check_values()  # as stats() does
        gauge.set(nan)
        recorder.now += 60.0
    assert lines == ["g gauge,5"] * 5


def test_removed(recorder: Clocked) -> None:
    """A series that is removed before its ttl has passed is sent no more."""
    gauge = recorder.meter.gauge("g", ttl=TTL)
    gauge.set(5)
    assert sent(recorder, 2) == ["g gauge,5"] * 2
    gauge.remove()
    assert sent(recorder, 10) == []
    assert recorder.registry.series_count == 0


def test_removed_after_a_touch(recorder: Clocked) -> None:
    """A series that moved just in time, and is removed then, is sent no more."""
    gauge = recorder.meter.gauge("g", ttl=TTL)
    gauge.set(5)
    assert sent(recorder, 5) == ["g gauge,5"] * 5
    gauge.set(6)
    assert recorder.lines() == ["g gauge,6"]
    gauge.remove()
    assert recorder.lines() == []


def test_without_a_value(recorder: Clocked) -> None:
    """A series that has no value yet is forgotten as well."""
    gauge = recorder.meter.gauge("g", ttl=TTL)
    gauge.__exit__(None, None, None)
    assert recorder.registry.series_count == 1
    assert sent(recorder, 10) == []
    assert recorder.registry.series_count == 0


def test_ttl_below_the_interval(recorder: Clocked) -> None:
    """Each change is sent once if the ttl is shorter than the interval."""
    gauge = recorder.meter.gauge("g", ttl=0.001)
    lines = []
    for value in (1, None, 2, None, None, 3, 4):
        if value is not None:
            gauge.inc(value)
        lines += sent(recorder, 1)
    assert lines == ["g gauge,1", "g gauge,2", "g gauge,3", "g gauge,7"]


def test_first_move_between_two_collections(recorder: Clocked) -> None:
    """The first value of a series that is as old as its ttl is sent."""
    gauge = recorder.meter.gauge("g", ttl=TTL)
    gauge.__exit__(None, None, None)
    assert sent(recorder, 5) == []
    gauge.inc(3)
    assert sent(recorder, 1) == ["g gauge,3"]


def test_late_records(recorder: Clocked) -> None:
    """What a thread records into a series that it looked up before is sent."""
    gauge = recorder.meter.gauge("g", ttl=TTL, dimensions={"a": 1})
    gauge.set(5)
    series = gauge.find_series({})
    assert series is not None
    sent(recorder, 6)
    assert recorder.registry.series_count == 0
    series.move(2)
    assert recorder.lines() == ["g,a=1 gauge,2"]
    gauge.inc()
    series.move(4)
    assert recorder.lines() == ["g,a=1 gauge,7"]
    recorder.registry.stop()
    series.move(1)
    assert recorder.lines() == ["g,a=1 gauge,7"]
    assert series.values == []


def test_call_that_outlasts_it(recorder: Clocked) -> None:
    """The end of a call whose gauge was forgotten changes nothing."""
    gauge = recorder.meter.gauge("g", ttl=TTL)

    @gauge
    def short() -> list[str]:
        return sent(recorder, 1)

    @gauge
    def long() -> None:
        assert sent(recorder, 10) == ["g gauge,1"] * 5
        assert short() == ["g gauge,1"]

    long()
    assert sent(recorder, 10) == ["g gauge,0"] * 5


def test_block_that_outlasts_it(recorder: Clocked) -> None:
    """The end of a block whose gauge was forgotten makes no negative value."""
    with recorder.meter.gauge("g", ttl=TTL):
        assert sent(recorder, 10) == ["g gauge,1"] * 5
    assert sent(recorder, 2) == []


def test_fork(recorder: Clocked) -> None:
    """A forked child sends no value of its parent, and forgets its series in time."""
    gauge = recorder.meter.gauge("g", ttl=TTL)
    gauge.set(5)
    sent(recorder, 4)
    recorder.registry.reset_after_fork()
    assert sent(recorder, 4) == []
    assert recorder.registry.series_count == 1
    sent(recorder, 2)
    assert recorder.registry.series_count == 0
    gauge.set(6)
    assert sent(recorder, 10) == ["g gauge,6"] * 5


def test_other_options(recorder: Clocked) -> None:
    """When the options change, the value is kept, and its ttl begins anew."""
    gauge = recorder.meter.gauge("g", ttl=TTL)
    gauge.set(5)
    assert sent(recorder, 4) == ["g gauge,5"] * 4
    recorder.registry.restart(RecordingOptions(prefix="shop"))
    assert sent(recorder, 10) == ["shop.g gauge,5"] * 5
    assert recorder.registry.series_count == 0


def test_taken_over_from_a_disabled_meter(recorder: Clocked) -> None:
    """The ttl is that of the instrument that decides whether the series is sent."""
    recorder.meters.get("off").gauge("g").set(1)
    recorder.registry.set_level("off", 50)
    gauge = recorder.meters.get("on").gauge("g", ttl=TTL)
    gauge.set(2)
    assert sent(recorder, 4) == ["g gauge,2"] * 4
    gauge.set(2)
    assert sent(recorder, 10) == ["g gauge,2"] * 5


def test_renamed_by_a_rule() -> None:
    """The ttl holds for a key to which a rule renames the gauge, and for no other gauge."""
    recorder = Clocked(rules=[{"key": "g", "rename": "other"}])
    recorder.meter.gauge("stays").set(1)
    recorder.meter.gauge("g", ttl=TTL).set(2)
    lines = sent(recorder, 10)
    assert lines.count("stays gauge,1") == 10
    assert lines.count("other gauge,2") == 5
    assert len(lines) == 15


def test_overflow(recorder: Clocked) -> None:
    """Forgotten series make room, and the overflow series is one of them."""
    recorder = Clocked(max_series_per_metric=2)
    gauge = recorder.meter.gauge("g", ttl=TTL)
    for a in range(4):
        gauge.set(a, a=a)
    assert len(recorder.lines()) == 3
    assert "g" in recorder.registry.capped()
    sent(recorder, 6)
    assert recorder.registry.capped() == {}
    gauge.set(3, a=3)
    assert recorder.lines() == ["g,a=3 gauge,3"]


def test_overflow_in_use(recorder: Clocked) -> None:
    """The overflow series of a gauge stays while it moves, because it may be a sum."""
    recorder = Clocked(max_series_per_metric=1)
    gauge = recorder.meter.gauge("g", ttl=TTL)
    gauge.set(1, a=1)
    gauge.inc(a=2)
    for _ in range(2):
        sent(recorder, 4)
        gauge.inc(a=2)
    assert recorder.lines() == ["g,dtmetrics.overflow=true gauge,3"]
    assert "g" in recorder.registry.capped()
    gauge.set(3, a=3)
    assert "g,a=3 gauge,3" in recorder.lines()


def test_overflow_alone_is_idle(recorder: Clocked) -> None:
    """An overflow series that is idle is forgotten while the series beside it stay."""
    recorder = Clocked(max_series_per_metric=2)
    gauge = recorder.meter.gauge("g", ttl=TTL)
    for a in range(3):
        gauge.set(a, a=a)
    for _ in range(3):
        gauge.set(0, a=0)
        recorder.now += 200.0
        recorder.lines()
    assert recorder.registry.capped() == {}
    assert recorder.lines() == ["g,a=0 gauge,0"]


def test_definition(recorder: Clocked) -> None:
    """Equal definitions are one gauge; another ttl makes another one."""
    gauge = recorder.meter.gauge
    assert gauge("g", ttl=300) is gauge("g", ttl=300.0)
    assert gauge("g", ttl=300) is not gauge("g")
    assert gauge("g", ttl=300) is not gauge("g", ttl=301)
    assert gauge("g", ttl=None) is gauge("g")


def test_pickled() -> None:
    """A pickle has the ttl; that of a gauge without one is read by earlier versions."""
    made = dtmetrics.gauge("pickled.gauge", ttl=2)
    assert pickle.loads(pickle.dumps(made)) is made
    assert pickle.loads(pickle.dumps(made.origin)).definition.ttl == 2.0
    _, definition, *_ = dtmetrics.gauge("pickled.gauge").origin.reduced()
    assert len(definition) == 5


@pytest.mark.parametrize(
    ("ttl", "error", "message"),
    [
        (0, ValueError, "ttl must be a number of seconds above 0, got 0"),
        (-1.5, ValueError, "ttl must be a number of seconds above 0, got -1.5"),
        (nan, ValueError, "ttl must be a number of seconds above 0, got nan"),
        (inf, ValueError, "ttl must be a number of seconds above 0, got inf"),
        (10**400, ValueError, "ttl must be a number of seconds above 0, got "),
        ("300", TypeError, "ttl must be a number of seconds, got '300'"),
        (True, TypeError, "ttl must be a number of seconds, got True"),
    ],
    ids=["zero", "negative", "nan", "inf", "huge", "text", "bool"],
)
def test_invalid(recorder: Clocked, ttl: Any, error: Any, message: str) -> None:
    """A ttl that is not a finite number above 0 raises where the gauge is defined."""
    with pytest.raises(error) as raised:
        recorder.meter.gauge("g", ttl=ttl)
    assert str(raised.value).startswith(message)


# -- exactness -------------------------------------------------------------------------

steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["set", "inc", "remove"]), st.integers(0, 3)),
        st.tuples(st.just("collect"), st.sampled_from([0, 1, 60, 299, 300, 601])),
    ),
    max_size=60,
)


@given(steps)
def test_against_a_model(actions: list[tuple[str, int]]) -> None:
    """Each collection sends what a naive model has not forgotten."""
    recorder = Clocked()
    gauge = recorder.meter.gauge("g", ttl=TTL)
    levels: dict[int, int] = {}
    noticed: dict[int, float] = {}  # when a collection sent the last change
    for action, number in actions:
        if action == "remove":
            gauge.remove(a=number)
            levels.pop(number, None)
        elif action != "collect":
            (gauge.set if action == "set" else gauge.inc)(number + 1, a=number)
            before = 0 if action == "set" else levels.get(number, 0)
            levels[number] = before + number + 1
            noticed[number] = inf
        else:
            recorder.now += number
            for a in [*levels]:
                if recorder.now - noticed[a] >= TTL:
                    del levels[a]
                elif noticed[a] == inf:
                    noticed[a] = recorder.now
            assert recorder.lines() == [
                f"g,a={a} gauge,{levels[a]}" for a in sorted(levels)
            ]
            assert recorder.registry.series_count == len(levels)


class CountingForgotten:
    """Adds up the levels of the gauges that *recorder* forgets."""

    def __init__(self, recorder: Clocked) -> None:
        self.total = self.series = 0
        self._recorder = recorder
        self._forget = recorder.registry.collection.forget
        recorder.registry.collection.forget = self.forget  # type: ignore[method-assign]

    def forget(self, family: Any, all_series: Any) -> None:
        left = [
            self._recorder.registry.collection._idle._levels[series][0]
            for series in all_series
        ]
        self._forget(family, all_series)
        for series, level in zip(all_series, left, strict=True):
            if series.discarded:
                self.series += 1
                self.total += 0 if level is None else int(level.value)
        self._recorder.now += 0.05  # the minute of late moves is 1,200 collections


@pytest.mark.usefixtures("switch_often")
@pytest.mark.parametrize(
    "rounds", [5_000, pytest.param(50_000, marks=pytest.mark.slow)]
)
def test_threads(rounds: int) -> None:
    """Each move counts once while each collection forgets what has not moved."""
    recorder = Clocked()
    forgotten = CountingForgotten(recorder)
    gauge = recorder.meter.gauge("moved", ttl=1e-9)
    last = recorder.meter.gauge("last", ttl=1e-9)
    seen: dict[str, str] = {}

    def work(thread: int) -> None:
        for number in range(rounds):
            gauge.inc(1, a=number % 500)
        last.set(thread, thread=thread)

    class Watching(Collector):
        def collect(self) -> None:
            recorder.now += 1e-6
            for line in recorder.lines():
                prefix, _, value = line.partition(" ")
                seen[prefix] = value

    with Watching(recorder) as collector:
        in_threads(6, work)
    collector.collect()  # late moves
    families = gauge.origin.family, last.origin.family
    left = 0
    for series in families[0].all_series():
        [point] = [each for each in series.values if isinstance(each, Folded)]
        left += int(point.value)
    own = sum(range(6))
    assert {f"last,thread={n}": f"gauge,{n}" for n in range(6)}.items() <= seen.items()
    of_last = own - sum(
        int(series.values[0].value)
        for series in families[1].all_series()
        if isinstance(series, GaugeSeries) and series.values
    )
    assert forgotten.total - of_last + left == 6 * rounds
    assert forgotten.series > 0


def test_raising_at_every_point() -> None:
    """Wherever a handler raises while gauges are forgotten, later records are sent."""
    point_number = 0
    interrupted = True
    while interrupted:
        point_number += 1
        recorder = Clocked()
        gauge = recorder.meter.gauge("g", ttl=TTL)
        handover = Handover()

        def collect(recorder: Clocked = recorder, handover: Any = handover) -> None:
            [*handover.waiting()]  # as each flush does before it collects
            [*recorder.registry.collect(MOMENT, 1, handover)]

        for a in range(2):
            gauge.set(5, a=a)
        collect()
        recorder.now = TTL
        interrupted = steps_of(collect, point_number, RECORD)
        gauge.set(7, a=0)
        gauge.inc(a=1)
        recorder.now += 61.0
        collect()
        first, second = recorder.lines()
        assert first == "g,a=0 gauge,7", point_number
        assert second in ("g,a=1 gauge,1", "g,a=1 gauge,6"), point_number
        assert recorder.registry.series_count == 2, point_number
    assert point_number > 30
