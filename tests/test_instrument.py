from __future__ import annotations

import copy
import gc
import pickle
import sys
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from dtmetrics._record.instrument import _NOWHERE, Instrument, Origin
from tests.support.caller_values import Array, Lies, Raises
from tests.support.recorder import Recorder, dimensions_of

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
    """A handle shows its kind, name and dimensions of its own."""
    assert repr(recorder.meter.counter("a b")) == "<Counter 'a b'>"
    bound = recorder.meter.gauge("g", dimensions={"a": 1}).bind(b="x")
    assert repr(bound) == "<Gauge 'g', a=1, b='x'>"
    assert bound.name == "g"


def test_bind(recorder: Recorder, instrument: Any) -> None:
    """A bound handle adds its dimensions, and the later binding wins."""
    bound = instrument.bind(a=1, self=2).bind(a=3, **{"http.route": "/"})
    assert type(bound) is type(instrument)
    verb_of(bound)(5)
    verb_of(bound)(6, a=4)
    places = {(*dimensions_of(point).items(),) for point in recorder.points()}
    assert places == {
        (("a", "3"), ("http.route", "/"), ("self", "2")),
        (("a", "4"), ("http.route", "/"), ("self", "2")),
    }


def test_handles_share_a_series(recorder: Recorder, instrument: Any) -> None:
    """However its dimensions are given, a series is one."""
    verb_of(instrument.bind(a=1).bind(b=2))(1)
    verb_of(instrument.bind(b=2))(2, a=1)
    verb_of(instrument)(3, b=2, a=1)
    verb_of(instrument)(4, B="2", A="1")
    assert recorder.registry.series_count == 1
    assert total_of(recorder) == 10


def test_copies(recorder: Recorder, instrument: Any) -> None:
    """What holds a handle can be copied, and the copy records into the same series."""
    for handle in (instrument, *map(copy.copy, [instrument])):
        verb_of(handle)(1)
    [held] = copy.deepcopy([instrument])
    verb_of(held)(1)
    assert total_of(recorder) == 3


def test_pickle(instrument: Any) -> None:
    """A handle belongs to its process: pickling it fails, and says so."""
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(instrument)


def test_handles_are_not_left_to_the_collector(instrument: Any) -> None:
    """A bound handle that is let go is gone at once."""
    handle = instrument.bind(a=1)
    verb_of(handle)(1, b=2)
    gone = weakref.ref(handle)
    gc.disable()
    try:
        del handle
        assert gone() is None
    finally:
        gc.enable()


def test_a_million(recorder: Recorder, instrument: Any) -> None:
    """Recorded into a million times, a series holds its limit and one at most."""
    verb = verb_of(instrument)
    most = 0
    for _ in range(100):
        for _ in range(5_000):
            verb(1)
            verb(2)
        most = max(most, len(instrument._series.values))
    assert most <= instrument._series.limit + 1 <= 513
    assert total_of(recorder) == 1_500_000


def test_ones_need_no_list(recorder: Recorder) -> None:
    """A counter to which only ones are added holds no more than a number."""
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


def test_a_true_is_no_one(recorder: Recorder) -> None:
    """Whatever equals one without being it is added as what it is."""
    counter = recorder.meter.counter("c")
    for amount in (True, 1.0, Equal("1")):
        counter.inc(amount)  # type: ignore[arg-type]
    assert recorder.lines() == ["c count,delta=2"]
    assert recorder.registry.invalid_values.total() == {"not a number": 1}


# -- dimensions ---------------------------------------------------------------------------


def test_equal_values_of_different_types(recorder: Recorder, instrument: Any) -> None:
    """1, 1.0, True and "1" are equal, or look so; as dimensions they are texts."""
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
    """Of a value of a dimension only its text counts."""
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
    """Whatever a dimension is, the record counts, on one line."""
    for _ in range(3):
        verb_of(instrument)(2, a=value, b="x")
    [line] = recorder.lines()
    assert "b=x" in line
    assert len(line.splitlines()) == 1
    assert len(line) < 400
    assert _NOWHERE.values == []
    verb_of(instrument)(2, a=value, b="x")
    assert total_of(recorder) in (2, 8)


def test_hostile_keys(recorder: Recorder, instrument: Any) -> None:
    """A key may be an instance of a subclass of str that raises."""

    class Key(str):
        __slots__ = ()

        def __len__(self) -> int:
            raise RuntimeError("hostile")

    verb_of(instrument)(1, **{Key("a"): 1})
    verb_of(instrument)(1, **{"k" * 1_000_000: 1})
    assert len(recorder.points()) == 2
    assert _NOWHERE.values == []


def test_dimensions_of_a_mapping(recorder: Recorder) -> None:
    """What is given as a mapping may have keys that are no text."""
    counter = recorder.meter.counter("c", dimensions={1: "a", None: "b", "c": None})  # type: ignore[dict-item]
    counter.inc()
    counter.inc(2, d=1)
    assert recorder.lines() == ["c,_=a count,delta=1", "c,_=a,d=1 count,delta=2"]


def test_more_than_fifty(recorder: Recorder, instrument: Any) -> None:
    """Past 50 dimensions those of the call are kept, and the rest is counted."""
    bound = instrument.bind(**{f"bound{i}": i for i in range(30)})
    verb_of(bound)(1, **{f"call{i}": i for i in range(40)})
    [point] = recorder.points()
    names = dimensions_of(point)
    assert len(names) == 50
    assert sum(name.startswith("call") for name in names) == 40
    assert recorder.registry.invalid_values.total() == {"more than 50 dimensions": 20}


class Text:
    """An object of a caller's."""

    def __str__(self) -> str:
        return "text"


def test_keeps_no_objects(instrument: Any) -> None:
    """No object of a caller's is kept by recording with it."""
    value, key = Text(), type("Key", (str,), {})("key")
    gone = weakref.ref(value)
    gone_too = weakref.ref(key)
    verb_of(instrument)(1, a=value, **{key: 1})
    del value, key
    gc.collect()
    assert gone() is None
    assert gone_too() is None


@pytest.mark.parametrize(
    "pair",
    [("a", "x" * 100_000), ("a" * 100_000, "x"), ("a", 1 << 100_000)],
    ids=["value", "key", "integer"],
)
def test_keeps_no_megabytes(instrument: Any, pair: tuple[str, Any]) -> None:
    """Neither is a long text, by which a cache would grow without limit."""
    verb_of(instrument)(1, **dict([pair]))
    assert instrument._lookup.cache_info().currsize == 0
    verb_of(instrument)(1, a="short")
    assert instrument._lookup.cache_info().currsize == 1
    for number in range(2_000):
        verb_of(instrument)(1, a=number)
    assert instrument._lookup.cache_info().currsize == 1_024


def test_slots(instrument: Instrument) -> None:
    """A handle is small."""
    assert not hasattr(instrument, "__dict__")
    assert sys.getsizeof(instrument) < 120


def test_set_aside_in_the_middle(
    recorder: Recorder, instrument: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another thread sets aside in the middle of a record is not recorded."""
    answers = iter([True, False, False])
    monkeypatch.setattr(Origin, "admits", lambda origin: next(answers))
    verb_of(instrument)(1, a=1)
    assert list(answers) == []
    assert recorder.points() == []
    assert _NOWHERE.values == []
