from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.caller_values import INVALID, NUMBERS, Index, Wraps, ids
from tests.support.recorder import Recorder

moves = st.floats(-1e300, 1e300) | st.integers(-(10**30), 10**30)
gauge_steps = st.lists(
    st.tuples(st.sampled_from(["set", "inc", "dec"]), moves)
    | st.tuples(st.sampled_from(["invalid", "number"]), st.integers(0, 10**6))
    | st.sampled_from([("fold", 0), ("drain", 0), ("remove", 0)]),
    max_size=40,
)


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
    """As a block and as a decorator a gauge shows how many calls are running."""
    gauge = recorder.meter.gauge("g")

    @gauge
    def depth(number: int) -> list[str]:
        return depth(number - 1) if number > 1 else recorder.lines()

    with gauge as entered:
        assert entered is gauge
        with gauge:
            assert recorder.lines() == ["g gauge,2"]
            assert depth(3) == ["g gauge,5"]
    assert recorder.lines() == ["g gauge,0"]
    with pytest.raises(RecursionError):
        depth(10**9)
    assert recorder.lines() == ["g gauge,0"]


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
            assert recorder.lines() == ["g gauge,1"]
    assert recorder.lines() == ["g gauge,0"]


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
        running = numbers()
        next(running)
    assert recorder.lines() == ["g,a=1 gauge,1"]
    assert list(running) == []
    assert recorder.lines() == ["g,a=1 gauge,0"]
