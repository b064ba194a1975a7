"""What slow= logs of an interval."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._core.level import OFF
from dtmetrics._protocol.line import identify
from dtmetrics._record import worst_sample
from dtmetrics._record.definition import Definition
from dtmetrics._record.worst_sample import WorstSample
from tests.support.caller_values import INVALID, NUMBERS
from tests.support.raising_signal import steps_of
from tests.support.recorder import Recorder

TEXT = "dtmetrics: summary 's' (defined at "


@pytest.fixture(autouse=True)
def _no_span(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave OpenTelemetry out, which other tests import."""
    monkeypatch.delitem(sys.modules, "opentelemetry.trace", raising=False)


def logged(recorder: Recorder, caplog: pytest.LogCaptureFixture) -> list[Any]:
    """Collect; return the log records."""
    caplog.clear()
    recorder.lines()
    return [*caplog.records]


def test_worst_of_an_interval(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    """The greatest value of an interval is logged once, with its dimensions."""
    slow = recorder.meter.summary("s", slow=1)
    for value in (2, 7.5, 3):
        slow.record(value, region="eu", table=f"t{value}")
    slow.record(0.5, region="us")
    [record] = logged(recorder, caplog)
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(TEXT)
    assert record.getMessage().endswith(
        ") recorded 7.5, above slow=1: s,region=eu,table=t7.5"
    )
    assert record.metric_key == "s"
    assert record.metric_value == 7.5
    assert record.metric_dimensions == {"region": "eu", "table": "t7.5"}
    assert not hasattr(record, "trace_id")
    assert logged(recorder, caplog) == []
    slow.record(2)
    [record] = logged(recorder, caplog)
    assert record.metric_value == 2


def test_no_worst(recorder: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    """A value that does not exceed it logs nothing."""
    slow = recorder.meter.summary("s", slow=1)
    for value in (0, 1, 1.0, -5):
        slow.record(value)
    assert logged(recorder, caplog) == []


def test_texts_are_bounded(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    """Dimensions are logged as they are sent: cut, and without control characters."""
    recorder.meter.summary("s", slow=1).record(2, text="a\nb" * 1_000)
    [record] = logged(recorder, caplog)
    assert len(record.metric_dimensions["text"]) <= 250
    assert "\n" not in record.getMessage()


def test_is_recorded(recorder: Recorder) -> None:
    """It records what a summary without it records, beside instruments without it."""
    summaries = [
        recorder.meter.summary("s"),
        recorder.meter.summary("s", slow=100),
        recorder.meter.summary("s", slow=100).bind(),
    ]
    for each in summaries * 200:
        each.record(1)
        each.record(2, a=1)
        with recorder.registry.context(b=2):
            each.record(3)
    assert recorder.lines() == [
        "s gauge,min=1,max=1,sum=600,count=600",
        "s,a=1 gauge,min=2,max=2,sum=1200,count=600",
        "s,b=2 gauge,min=3,max=3,sum=1800,count=600",
    ]


def test_timers(recorder: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    """Blocks, calls of all kinds and failures of a timer are compared with it."""
    timer = recorder.meter.timed("t", slow=-1)

    @timer
    def call() -> None: ...

    @timer
    async def coroutine() -> None: ...

    @recorder.meter.timed("t", args=("where",), slow=-1)
    def with_arguments(where: str) -> None: ...

    def block() -> None:
        with timer:
            pass

    def failing() -> None:
        with pytest.raises(LookupError), timer:
            raise LookupError

    steps: list[tuple[Any, dict[str, str]]] = [
        (call, {}),
        (lambda: asyncio.run(coroutine()), {}),
        (lambda: with_arguments("x"), {"where": "x"}),
        (block, {}),
        (failing, {"error.type": "LookupError"}),
        (lambda: timer.record(5), {}),
        (lambda: timer.bind(a=1).record(6), {"a": "1"}),
    ]
    for step, dimensions in steps * 3:
        step()
        [record] = logged(recorder, caplog)
        assert record.metric_key == "t"
        assert record.metric_dimensions == dimensions


def test_two_instruments(recorder: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    """Instruments with other thresholds log one record each; equal ones share it."""
    for slow in (1, 2, 1):
        recorder.meter.summary("s", slow=slow, unit=str(slow)).record(5 + slow)
    recorder.meter.summary("s", slow=9).record(5)
    found = logged(recorder, caplog)
    assert [record.metric_value for record in found] == [6, 7]


def test_off(recorder: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    """A disabled instrument logs nothing, and a call costs one look at it."""
    meter = recorder.meters.get("shop")
    timer = meter.timed("t", slow=-1)

    @timer
    def call() -> None: ...

    meter.set_level(OFF)
    call()
    call()
    assert timer.summary._generation is recorder.registry.generation.off
    meter.set_level("INFO")
    assert logged(recorder, caplog) == []
    call()
    assert len(logged(recorder, caplog)) == 1


def test_invalid_definition(caplog: pytest.LogCaptureFixture) -> None:
    """An instrument that records nothing logs no worst sample."""
    recorder = Recorder()
    recorder.meter.summary("dt.s", slow=1).record(2)
    assert logged(recorder, caplog) == []
    assert recorder.registry.collection.worst_samples._all == {}


def test_starts_and_forks(recorder: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    """What was recorded before a start, or in the parent, is not logged."""
    registry = recorder.registry
    slow = recorder.meter.summary("s", slow=1)
    slow.record(5)
    registry.reset_after_fork()
    assert logged(recorder, caplog) == []
    slow.record(5)
    registry.start(registry.generation.options, lambda: True)
    assert logged(recorder, caplog) == []
    slow.record(3)
    [record] = logged(recorder, caplog)
    assert record.metric_value == 3


def test_invalid_values(recorder: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    """A value that is rejected is not the worst; one of any type of number may be."""
    slow: Any = recorder.meter.summary("s", slow=-(10.0**300))
    for value, _ in INVALID:
        slow.record(value)
    found = logged(recorder, caplog)
    assert [record for record in found if hasattr(record, "metric_value")] == []
    for value, number in NUMBERS:
        slow.record(value)
        [record] = logged(recorder, caplog)
        assert record.metric_value == number
    slow.record(Decimal(3))
    assert logged(recorder, caplog)[0].metric_value == 3


def a_worst() -> WorstSample:
    """Return one that belongs to no instrument."""
    return WorstSample(Definition("s", "summary"), 1)


SERIES = identify("s", ())


@given(st.lists(st.lists(st.integers(0, 10**6), max_size=300), max_size=5))
def test_greatest(intervals: list[list[int]]) -> None:
    """The greatest value of each interval is found, in any order of values."""
    worst = a_worst()
    for values in intervals:
        for value in values:
            worst.add(value, SERIES)
        sample = worst.take()
        expected = max(values, default=0)
        assert (sample and sample.value) == (expected if expected > 1 else None)
        assert worst.values == []


def test_rising_values() -> None:
    """However many values exceed the one before, few samples wait."""
    worst = a_worst()
    for value in range(10_000):
        worst.add(value, SERIES)
        assert len(worst.values) <= 65
    sample = worst.take()
    assert sample is not None
    assert sample.value == 9_999


def test_raising_at_every_point() -> None:
    """Wherever a handler raises, a greater value counts later, and no lock stays locked."""
    number = 0
    interrupted = True
    while interrupted:
        number += 1
        worst = a_worst()
        for value in range(2, worst.limit + 2):
            worst.add(value, SERIES)

        def add_and_take(worst: WorstSample = worst) -> None:
            worst.add(100, SERIES)
            worst.take()

        interrupted = steps_of(add_and_take, number, worst_sample.__file__)
        assert worst.lock.acquire(timeout=1), f"locked at point {number}"
        worst.lock.release()
        worst.add(200, SERIES)
        sample = worst.take()
        assert sample is not None
        assert sample.value == 200
    assert number > 2


@pytest.mark.parametrize("rounds", [5, pytest.param(200, marks=pytest.mark.slow)])
def test_threads(rounds: int) -> None:
    """The greatest value of threads that record at once is found."""
    worst = a_worst()

    def add(first: int) -> None:
        for value in range(first, 3_000, 3):
            worst.add(value, SERIES)

    for _ in range(rounds):
        threads = [threading.Thread(target=add, args=(first,)) for first in range(3)]
        for thread in threads:
            thread.start()
        taken = []
        while any(thread.is_alive() for thread in threads):
            taken.append(worst.take())
        taken.append(worst.take())
        assert max(sample.value for sample in taken if sample) == 2_999


# -- OpenTelemetry ---------------------------------------------------------------------


def test_span(
    recorder: Recorder,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The record has the trace and the span in which the worst value was recorded."""
    trace = pytest.importorskip("opentelemetry.trace")
    provider = pytest.importorskip("opentelemetry.sdk.trace").TracerProvider()
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", trace)
    tracer = provider.get_tracer("tests")
    timer = recorder.meter.timed("t", slow=1)
    with tracer.start_as_current_span("outer"):
        timer.record(2)
        with tracer.start_as_current_span("inner") as span:
            timer.record(3)
        timer.record(2.5)
    [record] = logged(recorder, caplog)
    context = span.get_span_context()
    assert record.trace_id == f"{context.trace_id:032x}"
    assert record.span_id == f"{context.span_id:016x}"
    assert record.getMessage().endswith(
        f": t in trace {record.trace_id}, span {record.span_id}"
    )


@pytest.mark.parametrize("span", [None, SimpleNamespace(is_valid=False)])
def test_no_span(
    recorder: Recorder,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    span: Any,
) -> None:
    """Without an active span, and if looking for it fails, the record has none."""
    context = SimpleNamespace(get_span_context=lambda: span)
    trace = SimpleNamespace(get_current_span=lambda: context)
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", trace)
    recorder.meter.summary("s", slow=1).record(3)
    [record] = logged(recorder, caplog)
    assert not hasattr(record, "trace_id")
