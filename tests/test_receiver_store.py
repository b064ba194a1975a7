from __future__ import annotations

import json

from dtmetrics.receiver.judge import judge
from dtmetrics.receiver.store import SeriesView, Store


class Clock:
    """A clock that stands still until it is set."""

    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def take(store: Store, *lines: str) -> None:
    """Let *lines* arrive in one body."""
    store.take(judge("\n".join(lines).encode(), now_ms=0))


def only(store: Store) -> SeriesView:
    """Return the one series there is."""
    (view,) = store.snapshot()["series"]
    return view


def test_adds_up() -> None:
    """The points of a series add up to one entry."""
    store = Store(clock=Clock())
    take(store, "a,b=c 3", "a,b=c gauge,min=1,max=4,sum=5,count=2", "a,b=c 2.5")
    assert only(store) == {
        "key": "a",
        "kind": "gauge",
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
    """Counts are exact, whatever their size."""
    store = Store(clock=Clock())
    take(store, "a count,delta=9007199254740993", "a count,delta=1")
    view = only(store)
    assert (view["sum"], view["kind"]) == (9007199254740994, "count")
    assert type(view["sum"]) is int


def test_what_makes_a_series() -> None:
    """Key, kind and dimensions make a series; the order of dimensions does not."""
    store = Store(clock=Clock())
    take(store, "b 1", "a,x=1,y=2 1", "a,y=2,x=1 1", "a,x=1 1", "a count,delta=1")
    take(store, "a count,1", "a 1")
    series = store.snapshot()["series"]
    named = [(view["key"], view["kind"], view["points"]) for view in series]
    assert named == [
        ("a", "count", 1),
        ("a", "gauge", 1),
        ("a", "gauge", 1),
        ("a", "gauge", 2),
        ("a", "total", 1),
        ("b", "gauge", 1),
    ]


def test_empty_summary() -> None:
    """A summary of nothing changes no minimum."""
    store = Store(clock=Clock())
    take(store, "a 5", "a gauge,min=0,max=0,sum=0,count=0", "a 7")
    view = only(store)
    assert (view["min"], view["count"], view["points"]) == (5, 2, 3)


def test_metadata() -> None:
    """What a key means is shown with it, as it was first said."""
    store = Store(clock=Clock())
    take(store, "a 1", "#a gauge dt.meta.unit=s", "#a gauge dt.meta.unit=ms")
    assert only(store)["metadata"] == {"dt.meta.unit": "s"}


def test_metadata_is_bounded() -> None:
    """Metadata of ever new keys does not fill the memory."""
    store = Store(clock=Clock())
    take(store, *(f"#a{number} gauge dt.meta.unit=s" for number in range(10_001)))
    take(store, "a9999 1", "a10000 1")
    known = {view["key"]: bool(view["metadata"]) for view in store.snapshot()["series"]}
    assert known == {"a9999": True, "a10000": False}


def test_numbers_out_of_range() -> None:
    """A sum that no double can hold is null, and the snapshot is still JSON."""
    store = Store(clock=Clock())
    huge = "1" + "0" * 308
    take(store, f"a {huge}", f"a {huge}", "a 1.5", "a 1e308", "a -1e308")
    take(store, "b 1e308", "b 1e308", f"c {huge}", f"c {huge}")
    series = store.snapshot()["series"]
    assert [view["sum"] for view in series] == [None, None, None]
    assert [float(view["max"] or 0) for view in series] == [1e308, 1e308, 1e308]
    json.dumps(store.snapshot(), allow_nan=False)


def test_forgets_by_time() -> None:
    """What is older than the limit is gone, points, series and errors."""
    clock = Clock()
    store = Store(clock=clock, keep=60.0)
    take(store, "a 1", "b 1", "broken")
    clock.now += 59.0
    take(store, "a 2")
    assert len(store.snapshot()["series"]) == 2
    clock.now += 1.0
    assert (only(store)["key"], only(store)["points"], only(store)["min"]) == (
        "a",
        1,
        2,
    )
    assert store.snapshot()["invalid"] == []
    clock.now += 59.0
    assert store.snapshot() == {"series": [], "invalid": [], "warnings": []}


def test_forgets_by_lines() -> None:
    """Past the number of lines, the oldest go first."""
    store = Store(clock=Clock(), lines=10)
    take(store, *(f"a{number} {number}" for number in range(25)))
    kept = {view["key"] for view in store.snapshot()["series"]}
    assert kept == {f"a{number}" for number in range(15, 25)}


def test_forgets_by_characters() -> None:
    """Long lines take the room of many, so that memory stays bounded."""
    store = Store(clock=Clock(), characters=10_000)
    long = ",".join(f"d{number}={'x' * 200}" for number in range(10))
    take(store, *(f"a{number},{long} 1" for number in range(50)))
    assert 1 <= len(store.snapshot()["series"]) <= 5
    take(store, *["b 1"] * 90)
    assert only(store)["points"] == 90


def test_gives_all_room_back() -> None:
    """What was forgotten weighs nothing: the store never fills up for good."""
    clock = Clock()
    store = Store(clock=clock, keep=1.0, characters=2_000)
    for _ in range(100):
        take(store, "a,b=c 1", "d 2", "a,b=c 3")
        assert len(store.snapshot()["series"]) == 2
        clock.now += 2.0
        assert store.snapshot()["series"] == []


def test_errors_are_kept() -> None:
    """The latest refused lines are shown with their reason, a bounded number."""
    clock = Clock()
    store = Store(clock=clock)
    take(store, "a 1", "b")
    assert store.snapshot()["invalid"] == [
        {"at_ms": 1_700_000_000_000, "line": 2, "error": "unexpected end of input"}
    ]
    take(store, *["b"] * 500)
    assert [note["line"] for note in store.snapshot()["invalid"]] == [*range(401, 501)]


def test_stats() -> None:
    """The counts are of everything since the start, kept or not."""
    store = Store(clock=Clock(), lines=1)
    take(store, "a 1", "b", "c count,delta=1", "#a gauge dt.meta.unit=s")
    take(store, "a 1")
    store.refuse()
    assert store.stats() == {
        "requests": 3,
        "requests_refused": 1,
        "accepted": 4,
        "invalid": 1,
        "warnings": 1,
    }


def test_warnings() -> None:
    """What was remarked on accepted lines is kept, each text once, and not without end."""
    store = Store()
    take(store, *["a count,delta=1"] * 3)
    take(store, "a.count gauge,1")
    assert store.snapshot()["warnings"] == [
        "metric key 'a' changed to 'a.count'",
        "metric key 'a.count' changed to 'a.count.gauge'",
    ]
    take(store, *[f"k{number} count,delta=1" for number in range(1_100)])
    assert len(store.snapshot()["warnings"]) == 1_000
