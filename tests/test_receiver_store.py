from __future__ import annotations

import json

import pytest

from dtmetrics.receiver.store import SeriesView, Store
from dtmetrics.receiver.verdict import check_lines
from tests.support.timer_clock import Clock

#: When each test begins.
NOW = 1_700_000_000.0


def add(store: Store, *lines: str) -> None:
    """Add *lines* as one request."""
    store.add(check_lines("\n".join(lines).encode(), now_ms=0))


def only(store: Store) -> SeriesView:
    """Return the only series in *store*."""
    (view,) = store.snapshot()["series"]
    return view


def test_adds_up() -> None:
    """The points of a series are summed up in one entry."""
    store = Store(clock=Clock(NOW))
    add(store, "a,b=c 3", "a,b=c gauge,min=1,max=4,sum=5,count=2", "a,b=c 2.5")
    assert only(store) == {
        "key": "a",
        "kind": "gauge",
        "instrument": "gauge",
        "dimensions": {"b": "c"},
        "points": 3,
        "count": 4,
        "sum": 10.5,
        "min": 1,
        "max": 4,
        "last": 2.5,
        "metadata": {},
    }


def test_counters_stay_integers() -> None:
    """Counts of any size are exact."""
    store = Store(clock=Clock(NOW))
    add(store, "a count,delta=9007199254740993", "a count,delta=1")
    view = only(store)
    assert (view["sum"], view["kind"]) == (9007199254740994, "count")
    assert type(view["sum"]) is int


def test_series_identity() -> None:
    """Key, kind and dimensions identify a series; the order of dimensions does not."""
    store = Store(clock=Clock(NOW))
    add(store, "b 1", "a,x=1,y=2 1", "a,y=2,x=1 1", "a,x=1 1", "a count,delta=1")
    add(store, "a count,1", "a 1")
    series = store.snapshot()["series"]
    listed = [(view["key"], view["kind"], view["points"]) for view in series]
    assert listed == [
        ("a", "count", 1),
        ("a", "gauge", 1),
        ("a", "gauge", 1),
        ("a", "gauge", 2),
        ("a", "total", 1),
        ("b", "gauge", 1),
    ]


def test_empty_summary() -> None:
    """A summary without observations does not change the minimum."""
    store = Store(clock=Clock(NOW))
    add(store, "a 5", "a gauge,min=0,max=0,sum=0,count=0", "a 7")
    view = only(store)
    assert (view["min"], view["count"], view["points"]) == (5, 2, 3)


def test_metadata() -> None:
    """A series has the first metadata of its key."""
    store = Store(clock=Clock(NOW))
    add(store, "a 1", "#a gauge dt.meta.unit=s", "#a gauge dt.meta.unit=ms")
    assert only(store)["metadata"] == {"dt.meta.unit": "s"}


def test_metadata_is_bounded() -> None:
    """The metadata of the last 10,000 keys is stored."""
    store = Store(clock=Clock(NOW))
    add(store, *(f"#a{number} gauge dt.meta.unit=s" for number in range(10_001)))
    add(store, "a0 1", "a10000 1")
    has_metadata = {
        view["key"]: bool(view["metadata"]) for view in store.snapshot()["series"]
    }
    assert has_metadata == {"a0": False, "a10000": True}


def test_numbers_out_of_range() -> None:
    """A sum beyond a double's range is null, and the snapshot is valid JSON."""
    store = Store(clock=Clock(NOW))
    huge = "1" + "0" * 308
    add(store, f"a {huge}", f"a {huge}", "a 1.5", "a 1e308", "a -1e308")
    add(store, "b 1e308", "b 1e308", f"c {huge}", f"c {huge}")
    series = store.snapshot()["series"]
    assert [view["sum"] for view in series] == [None, None, None]
    assert [float(view["max"] or 0) for view in series] == [1e308, 1e308, 1e308]
    json.dumps(store.snapshot(), allow_nan=False)


def test_expires_by_time() -> None:
    """Points, series and errors older than the limit are dropped."""
    clock = Clock(NOW)
    store = Store(clock=clock, seconds=60.0)
    add(store, "a 1", "b 1", "broken")
    clock.now += 59.0
    add(store, "a 2")
    assert len(store.snapshot()["series"]) == 2
    clock.now += 1.0
    assert (only(store)["key"], only(store)["points"], only(store)["min"]) == (
        "a",
        1,
        2,
    )
    assert store.snapshot()["rejected"] == []
    clock.now += 59.0
    assert store.snapshot() == {"series": [], "rejected": [], "warnings": []}


def test_expires_by_lines() -> None:
    """Beyond the limit of lines, the oldest are dropped."""
    store = Store(clock=Clock(NOW), lines=10)
    add(store, *(f"a{number} {number}" for number in range(25)))
    stored = {view["key"] for view in store.snapshot()["series"]}
    assert stored == {f"a{number}" for number in range(15, 25)}


def test_expires_by_characters() -> None:
    """Long lines count as many short ones, so that memory is bounded."""
    store = Store(clock=Clock(NOW), characters=10_000)
    long = ",".join(f"d{number}={'x' * 200}" for number in range(10))
    add(store, *(f"a{number},{long} 1" for number in range(50)))
    assert 1 <= len(store.snapshot()["series"]) <= 5
    add(store, *["b 1"] * 90)
    assert only(store)["points"] == 90


def test_expired_points_have_no_size() -> None:
    """Expired points no longer count, so that the store never stays full."""
    clock = Clock(NOW)
    store = Store(clock=clock, seconds=1.0, characters=2_000)
    for _ in range(100):
        add(store, "a,b=c 1", "d 2", "a,b=c 3")
        assert len(store.snapshot()["series"]) == 2
        clock.now += 2.0
        assert store.snapshot()["series"] == []


def test_rejected_lines() -> None:
    """The latest 100 rejected lines are stored with their reasons."""
    clock = Clock(NOW)
    store = Store(clock=clock)
    add(store, "a 1", "b")
    assert store.snapshot()["rejected"] == [
        {"at_ms": 1_700_000_000_000, "line": 2, "error": "unexpected end of input"}
    ]
    add(store, *["b"] * 500)
    assert [report["line"] for report in store.snapshot()["rejected"]] == [
        *range(401, 501)
    ]


def test_stats() -> None:
    """The counts cover everything since the start, expired or not."""
    store = Store(clock=Clock(NOW), lines=1)
    add(store, "a 1", "b", "c count,delta=1", "#a gauge dt.meta.unit=s")
    add(store, "a 1")
    store.count_rejected_request()
    assert store.stats() == {
        "requests": 3,
        "requests_rejected": 1,
        "accepted": 4,
        "rejected": 1,
        "warnings": 1,
    }


def test_warnings() -> None:
    """Each text of a warning is stored once, and the last 1,000 of them."""
    store = Store()
    add(store, *["a count,delta=1"] * 3)
    add(store, "a.count gauge,1")
    assert store.snapshot()["warnings"] == [
        "metric key 'a' changed to 'a.count'",
        "metric key 'a.count' changed to 'a.count.gauge'",
    ]
    add(store, *[f"k{number} count,delta=1" for number in range(1_100)])
    warnings = store.snapshot()["warnings"]
    assert len(warnings) == 1_000
    assert warnings[-1] == "metric key 'k1099' changed to 'k1099.count'"


@pytest.mark.parametrize(
    ("unit", "line", "instrument"),
    [
        ("s", "a count,delta=1", "counter"),
        ("s", "a 1", "gauge"),
        ("EUR", "a gauge,min=1,max=1,sum=1,count=1", "summary"),
        ("s", "a gauge,min=1,max=1,sum=1,count=1", "timer"),
        ("{call}", "a gauge,min=0,max=4,sum=1,count=1", "gauge"),
        ("s", "a gauge,min=0,max=4,sum=1,count=2", "timer"),
    ],
)
def test_instrument_of_a_series(unit: str, line: str, instrument: str) -> None:
    """The form of a line and its unit name the instrument that recorded it."""
    store = Store(clock=Clock(NOW))
    kind = "count" if "count,delta" in line else "gauge"
    add(store, f"#a {kind} dt.meta.unit={unit}", line)
    assert only(store)["instrument"] == instrument


def test_gauge_with_extremes() -> None:
    """A gauge that has had extremes beside its value stays a gauge, also while it rests."""
    store = Store(clock=Clock(NOW))
    add(store, "a gauge,min=0,max=4,sum=1,count=1")
    add(store, "a gauge,min=1,max=1,sum=1,count=1")
    view = only(store)
    assert (view["instrument"], view["last"], view["max"]) == ("gauge", 1, 4)
