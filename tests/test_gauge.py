from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._record.number import LARGEST
from tests.support.caller_values import INVALID, NUMBERS, Index, Wraps, ids
from tests.support.recorder import Recorder

moves = st.floats(-1e300, 1e300) | st.integers(-(10**30), 10**30)
gauge_steps = st.lists(
    st.tuples(st.sampled_from(["set", "inc", "dec"]), moves)
    | st.tuples(st.sampled_from(["invalid", "number"]), st.integers(0, 10**6))
    | st.sampled_from([("fold", 0), ("drain", 0), ("remove", 0)]),
    max_size=40,
)


def running(low: int, high: int, now: int, key: str = "g") -> str:
    """Return the line of a gauge that blocks or calls have moved."""
    return f"{key} gauge,min={low},max={high},sum={now},count=1"


@given(gauge_steps, st.sampled_from([{}, {"a": 1}]))
def test_gauge_replays(steps: list[tuple[str, Any]], dimensions: Any) -> None:
    """Set, inc, dec and remove change a gauge as they would change a plain number."""
    recorder = Recorder()
    gauge = recorder.meter.gauge("g")
    level: int | float | None = None
    invalid = 0
    for step, value in [*steps, ("drain", 0)]:
        if step == "set":
            gauge.set(value, **dimensions)
            level = value
        elif step == "inc":  # from 0.0 an integer stays an integer, which is exact
            gauge.inc(value, **dimensions)
            level = (level or 0) + value
        elif step == "dec":
            gauge.dec(value, **dimensions)
            level = (level or 0) - value
        elif step == "number":
            number, plain = NUMBERS[value % len(NUMBERS)]
            gauge.set(number, **dimensions)
            gauge.dec(number, **dimensions)
            gauge.dec(number, **dimensions)
            level = plain - plain - plain
        elif step == "invalid":
            bad, _ = INVALID[value % len(INVALID)]
            # The size of an integer that is set is checked at the collection: see below.
            verbs = [gauge.inc, gauge.dec, gauge.set][: 2 + (type(bad) is not int)]
            for verb in verbs:
                verb(bad, **dimensions)
            invalid += len(verbs)
        elif step == "remove":
            gauge.find_series(dimensions).fold_if_free()  # which checks the moves
            gauge.remove(**dimensions)
            level = None
        elif step == "fold":
            gauge.find_series(dimensions).fold_if_free()
        else:
            shown = [point.payload[0] for point in recorder.points()]
            assert shown == ([] if level is None else [level])
            assert sum(recorder.registry.invalid_values.total().values()) == invalid


@pytest.mark.parametrize(("value", "reason"), INVALID, ids=ids(INVALID))
@pytest.mark.parametrize("moved", [False, True])
def test_gauge_keeps_the_last_valid_value(
    recorder: Recorder, value: Any, reason: str, moved: bool
) -> None:
    """An invalid value is rejected at once, and the value before stays."""
    gauge = recorder.meter.gauge("g")
    if moved:
        gauge.inc(1)
    gauge.set(5)
    gauge.set(value)
    if type(value) is not int or moved:
        assert recorder.lines() == ["g gauge,5"]
    else:  # the size of an integer is checked at the collection
        assert recorder.lines() == []
    assert recorder.registry.invalid_values.total() == {reason: 1}


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (2, 8),
        (2.5, 7.5),
        (True, 9),
        (Index(3), 7),
        (Wraps(5), 5),
        ("1", 10),
        (None, 10),
    ],
    ids=["int", "float", "bool", "index", "wraps", "text", "none"],
)
def test_gauge_dec(recorder: Recorder, amount: Any, shown: float) -> None:
    """Dec subtracts, also numbers whose class negates wrongly or not at all."""
    gauge = recorder.meter.gauge("g")
    gauge.set(10)
    gauge.dec(amount)
    assert recorder.points()[0].payload[0] == shown


def test_gauge_moves_from_beyond_a_double(recorder: Recorder) -> None:
    """An integer beyond a double is rejected once, also if moves follow its setting."""
    gauge = recorder.meter.gauge("g")
    gauge.set(10**400)
    gauge.inc(2)
    gauge.dec(10**400)
    for _ in range(2):
        assert recorder.lines() == ["g gauge,2"]
    assert recorder.registry.invalid_values.total() == {"not finite": 2}


def test_gauges_of_any_size(recorder: Recorder) -> None:
    """Gauges whose sum exceeds a double are sent, with extremes and without."""
    gauge = recorder.meter.gauge("g")
    for number, value in enumerate((LARGEST, LARGEST, 0.5)):
        gauge.set(value, n=number)
    assert [point.payload[0] for point in recorder.points()] == [LARGEST, LARGEST, 0.5]
    with gauge:
        assert recorder.lines()[0] == running(0, 1, 1)


def test_gauge_stays(recorder: Recorder) -> None:
    """A gauge is sent every interval until it is removed, and again after it is set."""
    gauge = recorder.meter.gauge("g")
    gauge.set(5)
    gauge.inc(1, a=1)
    for _ in range(3):
        assert recorder.lines() == ["g gauge,5", "g,a=1 gauge,1"]
    gauge.remove()
    assert recorder.lines() == ["g,a=1 gauge,1"]
    gauge.remove(a=1)
    gauge.remove(a=2)
    assert recorder.lines() == []
    gauge.set(6)
    gauge.inc(1, a=1)
    assert recorder.lines() == ["g gauge,6", "g,a=1 gauge,1"]


def test_gauge_removes_one_series() -> None:
    """Removing dimensions that were counted in the overflow series removes no series."""
    recorder = Recorder(max_series_per_metric=1)
    gauge = recorder.meter.gauge("g")
    gauge.set(1, a=1)
    gauge.set(2, a=2)
    gauge.remove(a=3)
    gauge.remove(a=2)
    assert recorder.lines() == ["g,a=1 gauge,1", "g,dtmetrics.overflow=true gauge,2"]


def test_gauge_removes_in_context(recorder: Recorder) -> None:
    """In a context the series with the context's dimensions is removed."""
    gauge = recorder.meter.gauge("g")
    gauge.set(1)
    with recorder.registry.context(a=1):
        gauge.set(2)
        gauge.remove()
    assert recorder.lines() == ["g gauge,1"]


def test_gauge_counts_running_calls(recorder: Recorder) -> None:
    """As a block and as a decorator a gauge shows how many calls are and were running."""
    gauge = recorder.meter.gauge("g")

    @gauge
    def depth(number: int) -> list[str]:
        return depth(number - 1) if number > 1 else recorder.lines()

    with gauge as entered:
        assert entered is gauge
        with gauge:
            assert recorder.lines() == [running(0, 2, 2)]
            assert depth(3) == [running(2, 5, 5)]
    assert recorder.lines() == [running(0, 5, 0)]
    for _ in range(3):
        depth.__wrapped__(1)  # type: ignore[attr-defined]
        assert recorder.lines() == [running(0, 0, 0)]
    with pytest.raises(RecursionError):
        depth(10**9)
    (line,) = recorder.lines()
    assert line.startswith("g gauge,min=0,max=")
    assert line.endswith(",sum=0,count=1")


def test_gauge_blocks_across_a_start(recorder: Recorder) -> None:
    """A block that began before recording did subtracts nothing below zero."""
    registry, gauge = recorder.registry, recorder.meter.gauge("g")
    registry.stop()

    @gauge
    def restart() -> None:
        registry.start(registry.generation.options, lambda: True)

    with gauge:
        registry.start(registry.generation.options, lambda: True)
    assert recorder.lines() == []
    with gauge:
        with gauge:
            restart()
            gauge.inc(0)
        assert recorder.lines() == ["g gauge,0"]
        with gauge:
            assert recorder.lines() == [running(0, 1, 1)]
    assert recorder.lines() == [running(0, 1, 0)]


def test_gauge_blocks_across_a_fork(recorder: Recorder) -> None:
    """A block that was entered before a fork subtracts nothing in the child."""
    gauge = recorder.meter.gauge("g")

    @gauge
    def fork() -> None:
        recorder.registry.reset_after_fork()
        gauge.inc(0)

    with gauge:
        fork()
        assert recorder.lines() == ["g gauge,0"]
    assert recorder.lines() == ["g gauge,0"]


def test_quarantined_gauge_decorates(recorder: Recorder) -> None:
    """A function runs as before while the gauge of its calls is quarantined."""
    gauge = recorder.meter.gauge("g")
    recorder.registry.quarantine("g", "rejected")

    @gauge
    def double(number: int) -> int:
        return 2 * number

    assert double(4) == 8
    assert recorder.lines() == []


def test_gauge_decorates_in_context(recorder: Recorder) -> None:
    """A call that ends in another context subtracts from the series that it added to."""
    gauge = recorder.meter.gauge("g")

    @gauge
    def numbers() -> Any:
        yield 1

    with recorder.registry.context(a=1):
        iterator = numbers()
        next(iterator)
    assert recorder.lines() == [running(0, 1, 1, "g,a=1")]
    assert list(iterator) == []
    assert recorder.lines() == [running(0, 1, 0, "g,a=1")]


run_steps = st.lists(
    st.tuples(
        st.sampled_from(["enter", "leave", "set", "inc", "fold", "drain", "fork"]),
        st.integers(-3, 9) | st.integers(-(10**30), 10**30) | st.floats(-1e308, 1e308),
    ),
    max_size=60,
)


class NaiveGauge:
    """What a gauge sends, by recomputing it from every level since the last time.

    Of what is set before the first move only the last is known.
    """

    def __init__(self) -> None:
        self.moved = False
        self.restart()

    def restart(self) -> None:
        self.levels: list[Any] = []
        self.runs = False

    def move(self, step: str, value: Any) -> None:
        now = self.levels[-1] if self.levels else None
        self.runs = self.runs or step == "enter"
        self.moved = self.moved or step != "set"
        if step == "leave":
            if now is not None and now >= 1:
                self.levels.append(now - 1)
            return
        if step != "set":
            value = (now or 0) + (1 if step == "enter" else value)
        if abs(value) <= LARGEST:
            # A move begins at 0, a setting where it sets.
            if now is None and step != "set":
                self.levels = [0]
            elif not self.moved:
                self.levels = []
            self.levels.append(value)

    def drain(self) -> list[tuple[Any, ...]]:
        if not self.levels:
            return []
        levels, self.levels = self.levels, self.levels[-1:]
        now = levels[-1]
        return [(min(levels), max(levels), now, 1) if self.runs else (now,)]


@given(run_steps)
def test_extremes(steps: list[tuple[str, Any]]) -> None:
    """The extremes are those of all levels since the last collection, however folded."""
    recorder = Recorder()
    gauge = recorder.meter.gauge("g")
    naive = NaiveGauge()
    for step, value in [*steps, ("drain", 0)]:
        if step == "enter":
            gauge.__enter__()
        elif step == "leave":
            gauge.__exit__()
        elif step in ("set", "inc"):
            getattr(gauge, step)(value)
        elif step == "fold":
            gauge.find_series({}).fold_if_free()
            continue
        elif step == "fork":
            recorder.registry.reset_after_fork()
            naive.restart()
            continue
        else:
            assert [tuple(p.payload) for p in recorder.points()] == naive.drain()
            continue
        naive.move(step, value)
