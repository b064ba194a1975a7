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

refusals = st.lists(
    st.tuples(
        st.sampled_from([ORDERS, ORDERS._replace(site="shop.py:9")]),
        st.sampled_from(REASONS),
        st.integers(1, 200),
    ),
    max_size=12,
)


@given(refusals)
def test_counts(refused: list[tuple[Definition, str, int]]) -> None:
    """Every refusal is counted by its reason, whoever it was, at any number."""
    counted: Counter[str] = Counter()
    made = InvalidValues()
    for definition, reason, times in refused:
        for _ in range(times):
            made.add(definition, reason)
        counted[reason] += times
        assert made.total() == counted


def test_total_is_a_copy() -> None:
    """Whoever changes an answer changes no count."""
    made = InvalidValues()
    made.add(ORDERS, "not finite")
    made.total()["not finite"] = 5
    assert made.total() == {"not finite": 1}


def test_reports_each_once(caplog: pytest.LogCaptureFixture) -> None:
    """A report names each instrument and reason that it has not named before."""
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
        "dtmetrics: refused a value of counter 'orders' (defined at shop.py:3): a",
        "dtmetrics: refused a value of counter 'sales' (defined at shop.py:9): a",
        "dtmetrics: refused a value of counter 'orders' (defined at shop.py:3): b",
    ]


def test_forgets(caplog: pytest.LogCaptureFixture) -> None:
    """A new start and a child count from zero; what was said is not said again."""
    made = InvalidValues()
    made.add(ORDERS, "a")
    made.report()
    made.clear()
    assert made.total() == {}
    made.add(ORDERS, "a")
    made.report()
    assert made.total() == {"a": 1}
    assert len(caplog.messages) == 1


def test_refusals_are_counted_and_said_once(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    """Every refusal counts; it is said once per metric and reason, at a collection."""
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


def test_refusals_are_not_logged_by_recording(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    """RecordingOptions never logs."""
    caplog.set_level(logging.DEBUG)
    for _ in range(1_000):
        recorder.meter.gauge("g").set("x", **{"a" * 300: Raises()})  # type: ignore[arg-type]
    assert caplog.messages == []


def test_refusals_after_fork(recorder: Recorder) -> None:
    """A child begins to count refusals anew."""
    recorder.meter.gauge("g").set("x")  # type: ignore[arg-type]
    recorder.registry.reset_after_fork()
    assert recorder.registry.invalid_values.total() == {}
    recorder.meter.gauge("g").set("x")  # type: ignore[arg-type]
    assert recorder.registry.invalid_values.total() == {"not a number": 1}
