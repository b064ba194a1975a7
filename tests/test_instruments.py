from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import sys
import tracemalloc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from dtmetrics._record.instrument import _UNKNOWN, Instrument
from dtmetrics._record.origin import DISABLED
from tests.support.caller_values import Array, Lies, Raises
from tests.support.garbage_collector import no_collector
from tests.support.recorder import Recorder, dimensions_of


def test_counter_block(recorder: Recorder) -> None:
    """A block counts each pass, with the error.type of one that failed."""
    counter = recorder.meter.counter("c")
    with counter as entered:
        assert entered is counter
    with pytest.raises(KeyError), counter:
        raise KeyError
    assert recorder.lines() == [
        "c count,delta=1",
        "c,error.type=KeyError count,delta=1",
    ]


def test_counter_decorates(recorder: Recorder) -> None:
    """A decorated function counts each call, with the error.type of one that failed."""

    @recorder.meter.counter("c")
    def half(number: int) -> float:
        return number / 2

    assert half(4) == 2
    with pytest.raises(TypeError):
        half("x")  # type: ignore[arg-type]
    assert recorder.lines() == [
        "c count,delta=1",
        "c,error.type=TypeError count,delta=1",
    ]


def test_summary(recorder: Recorder) -> None:
    """A summary sends minimum, maximum, sum and count of each interval."""
    summary = recorder.meter.summary("s")
    for value in (3, 1.5, 2):
        summary.record(value)
    assert recorder.lines() == ["s gauge,min=1.5,max=3,sum=6.5,count=3"]
    assert recorder.lines() == []


@pytest.mark.parametrize("kind", ["counter", "gauge"])
def test_async_block(recorder: Recorder, kind: str) -> None:
    """``async with`` records as ``with`` does, failures included."""
    used = getattr(recorder.meter, kind)("name")

    async def run() -> None:
        async with used as entered:
            assert entered is used
        async with used:
            raise LookupError

    with pytest.raises(LookupError):
        asyncio.run(run())
    assert (
        recorder.lines()
        == {
            "counter": [
                "name count,delta=1",
                "name,error.type=LookupError count,delta=1",
            ],
            "gauge": ["name gauge,min=0,max=1,sum=0,count=1"],
        }[kind]
    )


def test_off(recorder: Recorder) -> None:
    """While recording is off no verb records."""
    meter = recorder.meter
    counter, gauge, summary = meter.counter("c"), meter.gauge("g"), meter.summary("s")
    settings = recorder.registry.generation.options
    recorder.registry.stop()
    for dimensions in ({}, {"a": 1}):
        counter.inc(**dimensions)
        gauge.set(1, **dimensions)
        gauge.inc(**dimensions)
        gauge.dec(2.5, **dimensions)
        gauge.remove(**dimensions)
        summary.record(1, **dimensions)
    recorder.registry.start(settings, lambda: True)
    assert recorder.lines() == []


KINDS = ["counter", "gauge", "summary"]


def verb_of(instrument: Any) -> Callable[..., None]:
    """Return the method that records."""
    for name in ("inc", "record"):
        if hasattr(instrument, name):
            return getattr(instrument, name)  # type: ignore[no-any-return]
    raise AssertionError(instrument)


def total_of(recorder: Recorder) -> Any:
    """Collect one point; return its total."""
    [point] = recorder.points()
    return getattr(point.payload, "sum", point.payload[0])


@pytest.fixture(params=KINDS)
def instrument(request: pytest.FixtureRequest, recorder: Recorder) -> Any:
    """Return an instrument of each kind."""
    return getattr(recorder.meter, request.param)("name")


def test_repr(recorder: Recorder) -> None:
    """An instrument shows its kind, its name and its bound dimensions."""
    assert repr(recorder.meter.counter("a b")) == "<Counter 'a b'>"
    bound = recorder.meter.gauge("g", dimensions={"a": 1}).bind(b="x")
    assert repr(bound) == "<Gauge 'g', a=1, b='x'>"
    assert bound.name == "g"


def test_bind(recorder: Recorder, instrument: Any) -> None:
    """A bound instrument adds its dimensions; of two bindings the later wins."""
    bound = instrument.bind(a=1, self=2).bind(a=3, **{"http.route": "/"})
    assert type(bound) is type(instrument)
    verb_of(bound)(5)
    verb_of(bound)(6, a=4)
    places = {(*dimensions_of(point).items(),) for point in recorder.points()}
    assert places == {
        (("a", "3"), ("http.route", "/"), ("self", "2")),
        (("a", "4"), ("http.route", "/"), ("self", "2")),
    }


def test_instruments_share_a_series(recorder: Recorder, instrument: Any) -> None:
    """Equal dimensions make one series, whether they are bound or in the call."""
    verb_of(instrument.bind(a=1).bind(b=2))(1)
    verb_of(instrument.bind(b=2))(2, a=1)
    verb_of(instrument)(3, b=2, a=1)
    verb_of(instrument)(4, B="2", A="1")
    assert recorder.registry.series_count == 1
    assert total_of(recorder) == 10


def test_copies(recorder: Recorder, instrument: Any) -> None:
    """An object that has an instrument can be copied; both record into one series."""
    for each in (instrument, *map(copy.copy, [instrument])):
        verb_of(each)(1)
    [copied] = copy.deepcopy([instrument])
    verb_of(copied)(1)
    assert total_of(recorder) == 3


def test_pickle(instrument: Any) -> None:
    """Pickling an instrument raises, because it belongs to its process."""
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(instrument)


def test_freed_without_the_garbage_collector(instrument: Any) -> None:
    """An instrument with all that it has bound is freed with the last reference to it."""
    outer = type(instrument)(instrument.origin, (("outer", 1),))
    verb_of(outer.bind(a=1))(1, b=2)
    freed = weakref.ref(outer), weakref.ref(outer.bind(a=1))
    with no_collector():
        del outer
        assert [reference() for reference in freed] == [None, None]


def test_bound_in_place(recorder: Recorder, instrument: Any) -> None:
    """Binding equal dimensions again returns the same instrument, and keeps 2,048 at most."""
    assert instrument.bind(a=1) is instrument.bind(a=1)
    assert instrument.bind(a=1) is not instrument.bind(a=True)
    first = instrument.bind(a=0)
    for number in range(3_000):
        verb_of(instrument.bind(a=number))(1)
    assert instrument.bind(a=0) is not first
    verb_of(first)(1)
    verb_of(instrument.bind(a=0))(1)
    [point] = [each for each in recorder.points() if dimensions_of(each) == {"a": "0"}]
    assert getattr(point.payload, "sum", point.payload[0]) in (1, 3)


def test_bound_to_objects(instrument: Any) -> None:
    """Binding to objects of a caller's class keeps none of them beyond the instrument."""
    value = Text()
    freed = weakref.ref(value)
    bound = instrument.bind(a=value)
    del value
    assert freed() is not None
    del bound
    gc.collect()
    assert freed() is None


def test_ones_need_no_list(recorder: Recorder) -> None:
    """A counter to which only ones are added makes no list."""
    counter = recorder.meter.counter("c")
    for _ in range(10_000):
        counter.inc()
        counter.inc(1)
    assert counter._series.values is None
    assert recorder.lines() == ["c count,delta=20000"]
    assert recorder.lines() == []
    counter.inc(0.5)
    counter.inc()
    assert recorder.lines() == ["c count,delta=1.5"]


def test_equal_to_one(recorder: Recorder) -> None:
    """An amount that equals 1 but is another object is checked as any other."""
    counter = recorder.meter.counter("c")
    for amount in (True, 1.0, Equal("1")):
        counter.inc(amount)  # type: ignore[arg-type]
    assert recorder.lines() == ["c count,delta=2"]
    assert recorder.registry.invalid_values.total() == {"not a number": 1}


# -- dimensions ---------------------------------------------------------------------------


def test_equal_values_of_different_types(recorder: Recorder, instrument: Any) -> None:
    """Dimensions are compared by their texts: 1, True and 1.0 make three series."""
    verb = verb_of(instrument)
    for _ in range(2):
        for value in (1, 1.0, True, "1", "true", None, 0, False):
            verb(1, a=value)
    totals = {
        dimensions_of(point).get("a"): getattr(point.payload, "sum", point.payload[0])
        for point in recorder.points()
    }
    assert totals == {"1": 4, "1.0": 2, "true": 4, None: 2, "0": 2, "false": 2}


class Equal:
    """Equal to everything, with the hash of "eu"."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return hash("eu")

    def __str__(self) -> str:
        return self.text


def test_values_that_claim_to_be_equal(recorder: Recorder, instrument: Any) -> None:
    """Two dimension values with different texts make two series, even if they are equal."""
    for value in ("eu", Equal("us"), Equal("eu"), "eu", Equal("us")):
        verb_of(instrument)(1, a=value)
    assert sorted(dimensions_of(p)["a"] for p in recorder.points()) == [
        "eu",
        "us",
    ]


HOSTILE = {
    "raises": Raises(),
    "lies": Lies(),
    "unhashable": [1],
    "array": Array(),
    "endless": 10**5000,
    "megabyte": "x" * 1_000_000,
    "lines": "a\nb 1\nc",
}


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_hostile_values(recorder: Recorder, instrument: Any, value: Any) -> None:
    """A record with a hostile dimension value is counted, on one line."""
    for _ in range(3):
        verb_of(instrument)(2, a=value, b="x")
    [line] = recorder.lines()
    assert "b=x" in line
    assert len(line.splitlines()) == 1
    assert len(line) < 400
    assert _UNKNOWN.values == DISABLED.values == []
    verb_of(instrument)(2, a=value, b="x")
    assert total_of(recorder) in (2, 8)


def test_hostile_keys(recorder: Recorder, instrument: Any) -> None:
    """A record counts even if a key is of a subclass of str that raises, or is huge."""

    class Key(str):
        __slots__ = ()

        def __len__(self) -> int:
            raise RuntimeError("hostile")

    verb_of(instrument)(1, **{Key("a"): 1})
    verb_of(instrument)(1, **{"k" * 1_000_000: 1})
    assert len(recorder.points()) == 2
    assert _UNKNOWN.values == DISABLED.values == []


def test_dimensions_of_a_mapping(recorder: Recorder) -> None:
    """A mapping of dimensions may have keys that are not texts."""
    counter = recorder.meter.counter("c", dimensions={1: "a", None: "b", "c": None})  # type: ignore[dict-item]
    counter.inc()
    counter.inc(2, d=1)
    assert recorder.lines() == ["c,_=a count,delta=1", "c,_=a,d=1 count,delta=2"]


class Text:
    """A class of a caller."""

    def __str__(self) -> str:
        return "text"


def test_keeps_no_objects(instrument: Any) -> None:
    """Recording keeps no reference to an object of a caller's class."""
    value, key = Text(), type("Key", (str,), {})("key")
    freed = weakref.ref(value), weakref.ref(key)
    verb_of(instrument)(1, a=value, **{key: 1})
    del value, key
    gc.collect()
    assert [reference() for reference in freed] == [None, None]


@pytest.mark.parametrize(
    "pair",
    [("a", "x" * 100_000), ("a" * 100_000, "x"), ("a", 1 << 100_000)],
    ids=["value", "key", "integer"],
)
def test_keeps_no_megabytes(instrument: Any, pair: tuple[str, Any]) -> None:
    """Long texts and integers are not kept, and a cache has at most 2,048 entries."""
    verb_of(instrument)(1, a="short")
    tracemalloc.start()
    try:
        for _ in range(3):
            verb_of(instrument)(1, **dict([pair]))
        assert tracemalloc.get_traced_memory()[0] < 20_000
    finally:
        tracemalloc.stop()
    for number in range(3_000):
        verb_of(instrument)(1, a=number)
    assert instrument._cache.cache_info().currsize == 2_048


def test_slots(instrument: Instrument) -> None:
    """An instrument has no __dict__ and takes at most 120 bytes."""
    assert not hasattr(instrument, "__dict__")
    assert sys.getsizeof(instrument) <= 120


def test_quarantined_during_a_record(recorder: Recorder, instrument: Any) -> None:
    """A value whose dimension quarantines the instrument is not recorded."""

    class Quarantines:
        def __str__(self) -> str:
            recorder.registry.quarantine("name", "rejected")
            return "text"

    verb_of(instrument)(1, a=1)
    verb_of(instrument)(1, a=Quarantines())
    for dimensions in ({}, {"a": 1}, {"a": Quarantines()}):
        verb_of(instrument)(1, **dimensions)
    assert [line for line in recorder.lines() if "text" not in line] == []
    recorder.registry.quarantine("name", "rejected")
    assert recorder.lines() == []
    assert _UNKNOWN.values == DISABLED.values == []


def test_reject(recorder: Recorder, instrument: Any) -> None:
    """A value that code rejects for an instrument is counted by its reason."""
    instrument.reject("unreadable")
    instrument.bind(a=1).reject("unreadable")
    assert recorder.registry.invalid_values.total() == {"unreadable": 2}


def test_any_dimension_name(recorder: Recorder, instrument: Any) -> None:
    """Every name can be a dimension, also those of other parameters."""
    names = ["self", "dimensions", "context", "reason"]
    verb_of(instrument.bind(**dict.fromkeys([*names, "amount", "value"], 1)))(1)
    verb_of(instrument)(1, **dict.fromkeys(names, 2))
    assert [sorted(dimensions_of(point)) for point in recorder.points()] == [
        sorted([*names, "amount", "value"]),
        sorted(names),
    ]


@pytest.mark.parametrize(
    ("kind", "verb", "name"),
    [
        ("counter", "inc", "amount"),
        ("gauge", "set", "value"),
        ("gauge", "inc", "amount"),
        ("gauge", "dec", "amount"),
        ("summary", "record", "value"),
    ],
)
def test_number_by_its_name(
    recorder: Recorder, kind: str, verb: str, name: str
) -> None:
    """The recorded number may be passed by name, as other libraries have it."""
    instrument = getattr(recorder.meter, kind)("name")
    getattr(instrument, verb)(**{name: 5, "region": "eu"})
    [point] = recorder.points()
    assert dimensions_of(point) == {"region": "eu"}
    assert abs(getattr(point.payload, "sum", point.payload[0])) == 5
