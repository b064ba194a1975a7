from __future__ import annotations

from typing import Any

from dtmetrics._protocol.line import encode
from dtmetrics._record.gauge import Gauge
from dtmetrics._record.gauge_series import ENTER, LEAVE, GaugeSeries
from dtmetrics._record.meters import Meters
from dtmetrics._record.options import RecordingOptions
from dtmetrics._record.registry import Registry

OTHER = RecordingOptions(prefix="shop")


class Recording:
    """A registry that records, and whose options tests change."""

    def __init__(self, **options: Any) -> None:
        self.now = 0.0
        self.registry = Registry(clock=lambda: self.now)
        self.meter = Meters(self.registry).root
        self.registry.start(RecordingOptions(**options), bool)

    def lines(self) -> list[str]:
        """Return the lines of a collection, without timestamps."""
        found = [encode(points) for points in self.registry.collect(0)]
        return [line.removesuffix(" 0") for lines in found for line in lines]


def gauge_and_series(recording: Recording) -> tuple[Gauge, GaugeSeries]:
    """Return a gauge that is 1, and the series that a thread has looked up."""
    gauge = recording.meter.gauge("depth")
    gauge.inc()
    series = gauge.find_series({})
    assert series is not None
    return gauge, series


def test_late_counts() -> None:
    """What a thread adds to a series that it looked up before is sent, with its line."""
    recording = Recording()
    counter, summary = recording.meter.counter("c"), recording.meter.summary("s")
    counter.inc(2)
    summary.record(1.0)
    found, observed = counter.find_series({}), summary.find_series({})
    assert found is not None
    assert observed is not None
    recording.registry.restart(OTHER)
    assert recording.registry.make_list(found) == [2]
    recording.registry.make_list(found).append(3)
    observed.values.append(2.0)
    counter.inc(7)
    assert recording.lines() == [
        "c count,delta=5",
        "s gauge,min=1,max=2,sum=3,count=2",
        "shop.c count,delta=7",
    ]
    next(found.ones)
    assert recording.lines() == ["c count,delta=1"]


def test_forgotten_after_a_minute() -> None:
    """Replaced series are collected for a minute, and once after it."""
    recording = Recording()
    counter = recording.meter.counter("c")
    counter.inc()
    gauge_and_series(recording)
    series = counter.find_series({})
    assert series is not None
    recording.registry.restart(OTHER)
    for recording.now in (59.0, 61.0):
        assert len(recording.registry.collection.retired.groups) == 2
        next(series.ones)
        assert "c count,delta=" in recording.lines()[0]
    assert recording.registry.collection.retired.groups == []
    next(series.ones)
    assert recording.lines() == ["shop.depth gauge,1"]


def test_late_moves() -> None:
    """A late move of a gauge reaches the new series, before those that came since."""
    recording = Recording()
    gauge, series = gauge_and_series(recording)
    recording.registry.restart(OTHER)
    gauge.set(10)
    series.move(5)
    assert recording.lines() == ["shop.depth gauge,10"]
    # After a collection its place is behind what was folded.
    gauge.inc()
    series.move(5)
    assert recording.lines() == ["shop.depth gauge,16"]


def test_late_fold() -> None:
    """A thread that was about to fold a series as it was replaced does not undo moves."""
    recording = Recording()
    gauge, series = gauge_and_series(recording)
    gauge.inc(99)
    recording.registry.restart(OTHER)
    series.move(1)
    series.fold_if_free()
    gauge.inc(10)
    assert recording.lines() == ["shop.depth gauge,111"]


def test_late_beginning_of_a_block() -> None:
    """A block whose beginning comes late, after its end, leaves the gauge as it was."""
    recording = Recording()
    gauge, series = gauge_and_series(recording)
    gauge.dec()
    recording.registry.restart(OTHER)
    gauge.inc(LEAVE)
    assert recording.lines() == ["shop.depth gauge,0"]
    series.move(ENTER)
    series.move(ENTER)
    assert recording.lines() == ["shop.depth gauge,min=0,max=1,sum=1,count=1"]


def test_extremes_before_a_restart() -> None:
    """The extremes of the interval in which the options change are those of both series."""
    recording = Recording()
    gauge = recording.meter.gauge("depth")
    with gauge:
        with gauge, gauge:
            pass
        recording.registry.restart(OTHER)
        assert recording.lines() == ["shop.depth gauge,min=0,max=3,sum=1,count=1"]
    assert recording.lines() == ["shop.depth gauge,min=0,max=1,sum=0,count=1"]


def test_first_move_is_late() -> None:
    """A gauge whose first move comes late gets its new series then."""
    recording = Recording()
    series = recording.meter.gauge("depth").find_series({})
    assert series is not None
    recording.registry.restart(OTHER)
    assert recording.lines() == []
    series.move(3)
    assert recording.lines() == ["shop.depth gauge,3"]


def test_no_successor() -> None:
    """A late move of a gauge that is disabled, or has no room, changes nothing."""
    for options in (RecordingOptions(level=50), RecordingOptions(max_series=1)):
        recording = Recording()
        other = recording.meter.gauge("a")
        other.set(1)
        gauge, series = gauge_and_series(recording)
        recording.registry.restart(options)
        series.move(1)
        gauge.inc()
        assert recording.lines() in ([], ["a gauge,1"])
        assert series.values == []


def test_foreign_amounts() -> None:
    """Late moves may be of any type: they are checked as others are."""

    class Equal:
        def __eq__(self, other: object) -> bool:
            raise ValueError

        __hash__ = None  # type: ignore[assignment]

    recording = Recording()
    gauge, series = gauge_and_series(recording)
    gauge.dec()
    recording.registry.restart(OTHER)
    gauge.inc(LEAVE)
    recording.lines()
    series.move(Equal())  # type: ignore[arg-type]
    series.move(2)
    assert recording.lines() == ["shop.depth gauge,2"]
    assert recording.registry.invalid_values.total() == {"not a number": 1}


def test_gauge_of_an_observer() -> None:
    """The series of an observed gauge has no value that could move."""
    recording = Recording()
    recording.meter.observe("size")(lambda: 3)
    assert recording.lines() == ["size gauge,3"]
    recording.registry.restart(OTHER)
    assert recording.lines() == ["shop.size gauge,3"]


def test_fork() -> None:
    """A forked child has nothing of what its parent replaced."""
    recording = Recording()
    _, series = gauge_and_series(recording)
    recording.registry.restart(OTHER)
    series.move(1)
    recording.registry.reset_after_fork()
    assert recording.lines() == []


def test_start() -> None:
    """A start forgets what was replaced."""
    recording = Recording()
    _, series = gauge_and_series(recording)
    recording.registry.restart(OTHER)
    series.move(1)
    recording.registry.start(RecordingOptions(), bool)
    assert recording.lines() == []


def test_platform_dimensions() -> None:
    """A gauge gets the new defaults and platform dimensions in place of the old ones."""
    recording = Recording(dimensions={"a": 1, "b": 2}, enrichment={"host": "x"})
    recording.meter.gauge("depth").set(1, b=3, c='"', host="mine")
    recording.registry.restart(
        RecordingOptions(dimensions={"a": 7, "b": 8}, enrichment={"pod": "y"})
    )
    assert recording.lines() == ['depth,a=7,b=3,c="\\"",pod=y gauge,1']
