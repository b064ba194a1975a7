from __future__ import annotations

import logging
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._record.definition import Definition
from dtmetrics._record.invalid_values import InvalidValues
from tests.support.caller_values import Raises
from tests.support.recorder import Recorder

ORDERS = Definition("orders", "counter", site="shop.py:3")
REASONS = ["not a number", "not finite", "negative increment"]

values = st.lists(
    st.tuples(
        st.sampled_from([ORDERS, ORDERS._replace(site="shop.py:9")]),
        st.sampled_from(REASONS),
        st.integers(1, 200),
    ),
    max_size=12,
)


@given(values)
def test_counts(invalid: list[tuple[Definition, str, int]]) -> None:
    """Every invalid value is counted by its reason, for all instruments together."""
    counted: Counter[str] = Counter()
    made = InvalidValues()
    for definition, reason, times in invalid:
        for _ in range(times):
            made.add(definition, reason)
        counted[reason] += times
        assert made.total() == counted


def test_reports_each_once(caplog: pytest.LogCaptureFixture) -> None:
    """A report logs each instrument and reason once."""
    made = InvalidValues()
    other = ORDERS._replace(name="sales", site="shop.py:9")
    for definition, reason in [(ORDERS, "a"), (ORDERS, "a"), (other, "a")]:
        made.add(definition, reason)
    assert caplog.messages == []
    made.report()
    made.report()
    made.add(ORDERS, "b")
    made.add(ORDERS, "a")
    made.report()
    assert caplog.messages == [
        "dtmetrics: ignored an invalid value of counter 'orders' (defined at shop.py:3): a",
        "dtmetrics: ignored an invalid value of counter 'sales' (defined at shop.py:9): a",
        "dtmetrics: ignored an invalid value of counter 'orders' (defined at shop.py:3): b",
    ]


def test_clear(caplog: pytest.LogCaptureFixture) -> None:
    """Cleared counts begin at zero; what was logged is not logged again."""
    made = InvalidValues()
    made.add(ORDERS, "a")
    made.report()
    made.clear()
    assert made.total() == {}
    made.add(ORDERS, "a")
    made.report()
    assert made.total() == {"a": 1}
    assert len(caplog.messages) == 1


def test_each_value_is_counted(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    """Every invalid value is counted; the first of a kind is logged at a collection."""
    counter, gauge = recorder.meter.counter("c"), recorder.meter.gauge("g")
    for _ in range(3):
        for _ in range(500):
            counter.inc(-1)
            counter.inc("x")  # type: ignore[arg-type]
            gauge.set(float("nan"))
        seen = len(caplog.messages)
        assert recorder.lines() == []
    assert seen == 3
    assert recorder.registry.invalid_values.total() == {
        "negative increment": 1_500,
        "not a number": 1_500,
        "not finite": 1_500,
    }
    assert len(caplog.messages) == 3
    assert all("test_invalid_values.py" in message for message in caplog.messages)


def test_values_are_checked_before_a_collection(recorder: Recorder) -> None:
    """A check counts the values that wait for the next collection, once, and keeps the others."""
    counter, gauge = recorder.meter.counter("c"), recorder.meter.gauge("g")
    moved, summary = recorder.meter.gauge("moved"), recorder.meter.summary("s")
    for amount in (2, -1):
        counter.inc(amount)
    gauge.set(10**400)
    moved.inc(3)
    summary.record(1)
    summary.record("x")  # type: ignore[arg-type]
    invalid = {"negative increment": 1, "not finite": 1, "not a number": 1}
    for _ in range(2):
        recorder.registry.check_values()
        assert recorder.registry.invalid_values.total() == invalid
    assert recorder.lines() == [
        "c count,delta=2",
        "moved gauge,3",
        "s gauge,min=1,max=1,sum=1,count=1",
    ]
    assert recorder.registry.invalid_values.total() == invalid


def test_recording_logs_nothing(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    """Recording an invalid value logs nothing."""
    caplog.set_level(logging.DEBUG)
    for _ in range(1_000):
        recorder.meter.gauge("g").set("x", **{"a" * 300: Raises()})  # type: ignore[arg-type]
    assert caplog.messages == []
