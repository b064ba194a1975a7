"""Gauges that several clients send as one series."""

from __future__ import annotations

import pytest

from dtmetrics.receiver.shared_gauges import SharedGauges
from dtmetrics.receiver.store import Store
from dtmetrics.receiver.verdict import check_lines


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ([(0, "a", 1), (60, "b", 2), (60, "a", 1)], [False, False, True]),
        # A program that is started again, twice.
        ([(0, "a", 1), (9, "b", 2), (19, "c", 3)], [False, False, False]),
        # The same value in all of them.
        ([(0, "a", 1), (9, "b", 1), (19, "a", 1)], [False, False, False]),
        # One after the other has ended.
        ([(0, "a", 1), (9, "b", 2), (999, "a", 3)], [False, False, False]),
        ([(0, "a", 1), (9, "a", 2), (19, "a", 3)], [False, False, False]),
    ],
    ids=["two", "restarted", "same value", "long ago", "one"],
)
def test_clients(sent: list[tuple[float, str, int]], expected: list[bool]) -> None:
    """A client that sends again after another one shares the series."""
    shared = SharedGauges()
    found = [shared.add("series", client, at, value) for at, client, value in sent]
    assert found == expected


def test_series() -> None:
    """Series of different dimensions are not shared."""
    shared = SharedGauges()
    for round_ in range(2):
        for client in "ab":
            assert not shared.add(client, client, 0.0, round_)


def test_many_clients() -> None:
    """It stores a limited number of clients for each series."""
    shared = SharedGauges()
    for number in range(1_000):
        shared.add("series", str(number), 0.0, number)
    assert len(shared._sent["series"]) == 64


@pytest.mark.parametrize(
    "line", ["a gauge,min={0},max={0},sum={0},count=1", "a count,delta={0}"]
)
def test_other_kinds(line: str) -> None:
    """Summaries and counters of several processes add up, without a warning."""
    store = Store()
    for number in range(6):
        verdict = check_lines(line.format(number).encode(), now_ms=0)
        store.add(verdict, "ab"[number % 2])
    assert not any("several processes" in each for each in store.snapshot()["warnings"])


def test_extremes() -> None:
    """A gauge that several processes send with extremes is reported as others are."""
    reported: list[str] = []
    store = Store(report=reported.append)
    for number in range(8):
        line = f"a gauge,min=0,max=9,sum={number},count=1"
        store.add(check_lines(line.encode(), now_ms=0), "ab"[number % 2])
    assert len(reported) == 1


def test_warned_once() -> None:
    """Each key is reported once, and counted."""
    reported: list[str] = []
    store = Store(report=reported.append)
    for number in range(8):
        store.add(check_lines(f"a {number}".encode(), now_ms=0), "ab"[number % 2])
        store.add(check_lines(f"b {number}".encode(), now_ms=0), "ab"[number % 2])
    assert len(reported) == 2
    assert store.stats()["warnings"] == 2
    assert store.snapshot()["warnings"] == reported
