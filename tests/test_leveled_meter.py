from __future__ import annotations

import logging
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dtmetrics
from dtmetrics._core.level import OFF
from dtmetrics._record.meters import Meters
from dtmetrics._record.options import RecordingOptions
from dtmetrics._record.registry import Registry
from tests.support.recorder import Recorder
from tests.support.thread_load import Collector, in_threads

names = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(".".join)
levels = st.sampled_from([0, 1, 10, 15, 20, 30, 40, 50])
changes = st.lists(st.tuples(st.just("") | names, levels), max_size=20)


@given(changes, st.dictionaries(names, levels, max_size=4), st.lists(names))
def test_as_logging(
    changed: list[tuple[str, int]], configured: dict[str, int], others: list[str]
) -> None:
    """After any changes of levels, meters are enabled as loggers of the same names are."""
    root: Any = logging.RootLogger(logging.INFO)
    manager = root.manager = logging.Manager(root)  # whose cache a change clears
    recorder = Recorder(levels=configured)
    for name, level in configured.items():
        manager.getLogger(name).setLevel(level)
    for name, level in changed:
        recorder.meters.get(name).set_level(level)
        logger = manager.getLogger(name) if name else manager.root
        logger.setLevel(level)
        for each in {name, *configured, *others}:
            meter = recorder.meters.get(each)
            logger = manager.getLogger(each) if each else manager.root
            assert meter.level == logger.level
            for asked in (1, 10, 15, 20, 30, 50):
                assert meter.is_enabled_for(asked) is logger.isEnabledFor(asked)


@given(changes)
def test_as_a_configuration(changed: list[tuple[str, int]]) -> None:
    """Levels that are set at run time record what the same levels of options do."""
    scopes = ["", "a", "a.b", "a.b.c", "b", "c.a"]
    flipped, started = Recorder(), Recorder()
    for name, level in changed:
        flipped.meters.get(name).set_level(level)
    last = dict(changed)
    started.registry.start(
        RecordingOptions(level=last.pop("", logging.INFO), levels=last), lambda: True
    )
    for recorder in (flipped, started):
        for scope in scopes:
            for level in (1, 10, 20, 30, OFF):
                counter = recorder.meters.get(scope).counter("c", level=level)
                counter.inc(1, scope=scope, level=level)
    assert flipped.lines() == started.lines()


def test_flips(recorder: Recorder) -> None:
    """What is recorded while a meter is off is not sent; what was recorded before is."""
    meter = recorder.meters.get("shop")
    counter, summary, timer = meter.counter("c"), meter.summary("s"), meter.timed("t")
    decorated = meter.counter("calls")(lambda: None)
    timed = meter.timed("timed")(lambda: None)
    for on in (True, False, True):
        meter.set_level("INFO" if on else "OFF")
        counter.inc()
        counter.inc(2, region="eu")
        summary.record(1)
        timer.record(1)
        decorated()
        timed()
        with timer:
            pass
    found = recorder.payloads()
    assert found[("c", frozenset())] == (2,)
    assert found[("c", frozenset({("region", "eu")}))] == (4,)
    assert found[("s", frozenset())] == (1, 1, 2, 2)
    assert found[("calls", frozenset())] == (2,)
    counts: list[Any] = [found[key, frozenset()] for key in ("t", "timed")]
    assert [each.count for each in counts] == [4, 2]


def test_parts_of_a_key(recorder: Recorder) -> None:
    """Of two meters that record into one series, one that is off records nothing."""
    on, off = recorder.meters.get("on"), recorder.meters.get("off")
    for _ in range(2):
        for meter in (on, off):
            meter.counter("c").inc()
            with recorder.registry.context(tenant="a"):
                meter.counter("c").inc()
    off.set_level(OFF)
    for _ in range(3):
        for meter in (on, off):
            meter.counter("c").inc()
            with recorder.registry.context(tenant="a"):
                meter.counter("c").inc()
    assert recorder.lines() == ["c count,delta=7", "c,tenant=a count,delta=7"]
    off.set_level("NOTSET")
    off.counter("c").inc()
    on.counter("c").inc()
    assert recorder.lines() == ["c count,delta=2"]


def test_gauges(recorder: Recorder) -> None:
    """A gauge that is off is not sent, keeps up to date, and is sent when it is on."""
    meter = recorder.meters.get("shop")
    depth, active = meter.gauge("depth"), meter.gauge("active")
    depth.set(3)
    depth.set(4, queue="mail")
    with active:
        meter.set_level(OFF)
        assert recorder.lines() == []
    depth.inc()
    depth.set(5, queue="new")
    meter.set_level("INFO")
    now = ["active gauge,min=0,max=1,sum=0,count=1", "depth gauge,4"]
    now += ["depth,queue=mail gauge,4"]
    assert recorder.lines() == now
    depth.set(6, queue="new")
    now[0] = "active gauge,min=0,max=0,sum=0,count=1"
    assert recorder.lines() == [*now, "depth,queue=new gauge,6"]


def test_extremes_while_off(recorder: Recorder) -> None:
    """The extremes of an interval in which a gauge is off are not those of a later one."""
    meter = recorder.meters.get("shop")
    active = meter.gauge("active")
    with active:
        meter.set_level(OFF)
        with active, active:
            pass
        assert recorder.lines() == []
        meter.set_level("INFO")
        assert recorder.lines() == ["active gauge,min=1,max=1,sum=1,count=1"]


def test_a_gauge_of_two_meters(recorder: Recorder) -> None:
    """A gauge is sent as long as one of its instruments is enabled."""
    first, second = recorder.meters.get("a"), recorder.meters.get("b")
    first.gauge("depth").set(1)
    first.set_level(OFF)
    second.gauge("depth").set(2)
    assert recorder.lines() == ["depth gauge,2"]
    second.set_level(OFF)
    assert recorder.lines() == []
    first.set_level("NOTSET")
    first.gauge("depth").set(3)
    assert recorder.lines() == ["depth gauge,3"]


def test_a_gauge_that_is_off_at_a_restart(recorder: Recorder) -> None:
    """Options that change while a gauge is off leave its value for when it is on."""
    meter = recorder.meters.get("shop")
    meter.gauge("depth").set(3)
    meter.set_level(OFF)
    recorder.registry.restart(RecordingOptions(prefix="x"))
    assert recorder.lines() == []
    meter.set_level("NOTSET")
    assert recorder.lines() == ["x.depth gauge,3"]


def test_configuration_after_a_change(recorder: Recorder) -> None:
    """Later options win where they change a level, and leave other levels alone."""
    one, other = recorder.meters.get("one"), recorder.meters.get("other")
    for apply in (
        recorder.registry.restart,
        lambda options: recorder.registry.start(options, lambda: True),
    ):
        recorder.registry.restart(RecordingOptions())
        one.set_level(10)
        other.set_level(10)
        recorder.meter.set_level(30)
        apply(RecordingOptions(levels={"one": 40}, prefix="x"))
        assert (one.level, other.level, recorder.meter.level) == (40, 10, 30)
        recorder.registry.restart(RecordingOptions(level=40))
        assert (one.level, other.level, recorder.meter.level) == (0, 10, 40)


def test_before_configure() -> None:
    """A level may be set before the start, and nothing is enabled until then."""
    registry = Registry()
    meter = Meters(registry).get("shop")
    meter.set_level("DEBUG")
    assert not meter.is_enabled_for("CRITICAL")
    registry.start(RecordingOptions(), lambda: True)
    assert meter.is_enabled_for("DEBUG")
    assert not meter.is_enabled_for("OFF")
    assert not meter.is_enabled_for(9)


def test_after_a_fork(recorder: Recorder) -> None:
    """A forked child goes on with the levels of its parent."""
    meter = recorder.meters.get("shop")
    meter.set_level("DEBUG")
    recorder.registry.reset_after_fork()
    assert meter.is_enabled_for("DEBUG")


@pytest.mark.parametrize(
    ("level", "error"), [("LOUD", ValueError), (None, TypeError), (True, TypeError)]
)
def test_invalid(recorder: Recorder, level: Any, error: type[Exception]) -> None:
    """An invalid level raises, and changes nothing."""
    with pytest.raises(error, match="level must be a logging level name or an int"):
        recorder.meter.set_level(level)
    with pytest.raises(error, match="level must be a logging level name or an int"):
        recorder.meter.is_enabled_for(level)
    assert recorder.meter.level == logging.INFO


def test_front_door() -> None:
    """``set_level()`` sets the level of the meter of that name."""
    meter = dtmetrics.get_meter("test.front_door")
    dtmetrics.set_level("test.front_door", dtmetrics.ERROR)
    assert meter.level == logging.ERROR
    dtmetrics.set_level("test.front_door", dtmetrics.NOTSET)
    assert meter.level == dtmetrics.NOTSET
    with pytest.raises(TypeError, match="the name of a meter must be a str"):
        dtmetrics.set_level(None, "INFO")  # type: ignore[arg-type]


def test_totals_while_levels_flip(recorder: Recorder) -> None:
    """A record within one level counts if that is on; another meter loses nothing."""
    flipped, steady = recorder.meters.get("flipped"), recorder.meters.get("steady")
    calls, threads = 3_000, 3
    ended = threading.Event()
    state = [0, True]  # how many changes have begun or ended, and whether it is on
    sure = [0] * threads
    unsure = [0] * threads

    def flip() -> None:
        while not ended.is_set():
            state[0] += 1
            state[1] = not state[1]
            flipped.set_level("INFO" if state[1] else "OFF")
            state[0] += 1

    def work(number: int) -> None:
        mine, shared = flipped.counter("mine"), flipped.counter("shared")
        kept, by_call = steady.counter("shared"), steady.counter("calls")
        for call in range(calls):
            changed, on = state
            mine.inc()
            if changed % 2 or changed != state[0]:
                unsure[number] += 1
            elif on:
                sure[number] += 1
            shared.inc(2**32)
            kept.inc()
            by_call.inc(1, call=call % 7)

    with Collector(recorder) as collector:
        flipper = threading.Thread(target=flip)
        flipper.start()
        try:
            in_threads(threads, work)
        finally:
            ended.set()
            flipper.join()
    total = collector.totals.get("mine", 0)
    assert sum(sure) <= total <= sum(sure) + sum(unsure)
    assert collector.totals["shared"] % 2**32 == threads * calls
    assert collector.totals["calls"] == threads * calls
