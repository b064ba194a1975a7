"""What a summary with percentiles and thresholds sends, against values kept whole."""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._protocol.point import CountDelta, GaugeSummary, GaugeValue
from dtmetrics._record.number import LARGEST
from tests.support.caller_values import INVALID, NUMBERS
from tests.support.recorder import Recorder

pytest.importorskip("fastdigest")

FRACTIONS = (0.01, 0.5, 0.95, 0.99, 0.999)
THRESHOLDS = (-5, 0, 0.1, 7, 10**18)

finite = st.integers(-(10**30), 10**30) | st.floats(-1e300, 1e300)
steps = st.lists(
    finite
    | st.sampled_from(["fold", "drain"])
    | st.tuples(st.sampled_from(["invalid", "number"]), st.integers(0, 999)),
    max_size=80,
)


def sent(recorder: Recorder) -> dict[str, Any]:
    """Collect; return payloads by key, of thresholds by key and threshold."""
    return {
        key if not pairs else f"{key} {dict(pairs)['le']}": payload
        for (key, pairs), payload in recorder.payloads().items()
    }


def wanted_counts(values: Sequence[Any]) -> dict[str, CountDelta]:
    """Return what must be sent of *values* for each threshold."""
    counts = {limit: sum(value <= limit for value in values) for limit in THRESHOLDS}
    return {
        f"s.slo {text}": CountDelta(count)
        for text, count in zip(
            ("-5", "0", "0.1", "7", "1.0e+18"), counts.values(), strict=True
        )
        if count
    }


@given(steps)
def test_sends_what_was_recorded(steps: list[Any]) -> None:
    """Counts are exact and percentiles within the extremes, however values are folded."""
    recorder = Recorder()
    summary = recorder.meter.summary("s", percentiles=FRACTIONS, slo=THRESHOLDS)
    values: list[Any] = []
    invalid = 0
    for step in [*steps, "drain"]:
        if step == "fold":
            summary.find_series({}).fold_if_free()
        elif step == "drain":
            found = sent(recorder)
            counts = {key: found.pop(key) for key in [*found] if "slo" in key}
            assert counts == wanted_counts(values)
            total = found.pop("s", None)
            assert ((total and total.count) or 0) == len(values)
            if total:
                estimates = [payload.value for payload in found.values()]
                assert len(estimates) == len(FRACTIONS)
                for lesser, greater in pairwise(estimates):
                    assert lesser <= greater + abs(greater) * 1e-9
                assert total.min <= estimates[0] <= estimates[-1] <= total.max
                assert (total.min, total.max) == (min(values), max(values))
            assert found == {} or total
            values = []
        elif isinstance(step, tuple):
            kind, place = step
            table: list[Any] = NUMBERS if kind == "number" else INVALID
            value, meaning = table[place % len(table)]
            summary.record(value)
            if kind == "number":
                values.append(meaning)
            else:
                invalid += 1
        else:
            summary.record(step)
            values.append(step)
    assert sum(recorder.registry.invalid_values.total().values()) == invalid


def lognormal(randoms: random.Random) -> float:
    """Return a value as latencies are."""
    return randoms.lognormvariate(-3, 1)


def bimodal(randoms: random.Random) -> float:
    """Return a value near one of two."""
    if randoms.random() < 0.93:
        return randoms.gauss(0.005, 0.0005)
    return randoms.gauss(2, 0.1)


def decades(randoms: random.Random) -> float:
    """Return a value of any magnitude."""
    return 10 ** randoms.uniform(-9, 9)


def mostly_zero(randoms: random.Random) -> float:
    """Return zero, or a negative value."""
    return 0.0 if randoms.random() < 0.6 else randoms.gauss(-5, 3)


def whole(randoms: random.Random) -> int:
    """Return a small integer."""
    return randoms.randrange(50)


@pytest.mark.parametrize("limit", [7, 64, 512])
@pytest.mark.parametrize("value", [lognormal, bimodal, decades, mostly_zero, whole])
@pytest.mark.parametrize("ascending", [False, True])
def test_accuracy(
    value: Callable[[random.Random], float], limit: int, ascending: bool
) -> None:
    """The rank of an estimate is wrong by 0.5 % of the values, from p95 on by 0.1 %."""
    randoms = random.Random(5)
    values = [value(randoms) for _ in range(20_000)]
    if ascending:
        values.sort()
    recorder = Recorder()
    summary = recorder.meter.summary("s", percentiles=FRACTIONS)
    summary.find_series({}).limit = limit  # type: ignore[union-attr]
    for each in values:
        summary.record(each)
    found = sent(recorder)
    values.sort()
    for fraction, key in zip(
        FRACTIONS, ["p1", "p50", "p95", "p99", "p99_9"], strict=True
    ):
        estimate = found[f"s.{key}"].value
        rank = fraction * len(values)
        rounding = abs(estimate) * 1e-9
        least = bisect_left(values, estimate - rounding)
        most = bisect_right(values, estimate + rounding)
        wrong = max(least - rank, rank - most, 0)
        allowed = 0.001 if fraction >= 0.95 else 0.005
        # Between two values no rank is more right than the other.
        assert wrong <= allowed * len(values) + 1, (key, estimate, wrong)


def test_constant() -> None:
    """All percentiles of one number are that number."""
    recorder = Recorder()
    summary = recorder.meter.summary("s", percentiles=FRACTIONS)
    for _ in range(5_000):
        summary.record(0.1)
    assert {payload.value for key, payload in sent(recorder).items() if key != "s"} == {
        0.1
    }


def test_widest_values() -> None:
    """Between the largest and the least double a percentile is a finite number."""
    recorder = Recorder()
    summary = recorder.meter.summary("s", percentiles=FRACTIONS)
    for _ in range(3):
        summary.record(-1.7e308)
        summary.record(LARGEST)
        found = sent(recorder)
        assert all(
            -1.7e308 <= payload.value <= LARGEST
            for key, payload in found.items()
            if key != "s"
        )


def test_sum_beyond_a_double() -> None:
    """A value whose sum would exceed a double counts nowhere."""
    recorder = Recorder()
    summary = recorder.meter.summary("s", slo=[0, 1.79e308, LARGEST])
    for value in (LARGEST, LARGEST, -1, "x"):
        summary.record(value)  # type: ignore[arg-type]
    assert sent(recorder) == {
        "s": GaugeSummary(-1, LARGEST, LARGEST - 1, 2),
        "s.slo 0": CountDelta(1),
        "s.slo 1.79e+308": CountDelta(1),
        f"s.slo {float(LARGEST)!r}": CountDelta(2),
    }
    summary.record("x")  # type: ignore[arg-type]
    assert sent(recorder) == {}


def test_only_with_values() -> None:
    """An interval without a value sends none, and a threshold without one sends no zero."""
    recorder = Recorder()
    summary = recorder.meter.summary("s", percentiles=[0.5], slo=[1, 2])
    assert recorder.lines() == []
    summary.record(1.5, region="eu")
    assert recorder.lines() == [
        "s,region=eu gauge,min=1.5,max=1.5,sum=1.5,count=1",
        "s.p50,region=eu gauge,1.5",
        "s.slo,le=2,region=eu count,delta=1",
    ]
    assert recorder.lines() == []


def test_percentiles_alone() -> None:
    """Percentiles are gauges of their own."""
    recorder = Recorder()
    recorder.meter.timed("t", percentiles=[0.5]).record(2)
    assert sent(recorder)["t.p50"] == GaugeValue(2)


def test_many_series() -> None:
    """However many series there are, a fold has enough values to be worth it."""
    recorder = Recorder(max_series=10**7)
    recorder.registry.series_count = 10**6
    plain = recorder.meter.summary("plain").find_series({})
    split = recorder.meter.summary("s", slo=[1]).find_series({})
    assert plain is not None
    assert split is not None
    assert plain.limit < split.limit == 64
