from __future__ import annotations

import asyncio
import enum
import gc
import weakref
from collections import Counter as Tally
from collections.abc import AsyncIterator
from threading import Barrier
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._record.dimensions import (
    CONTEXT,
    NO_KEY,
    NO_TEXT,
    TOO_MANY,
    Pairs,
    merge,
)
from tests.support.caller_values import Lies, Raises
from tests.support.recorder import Recorder, dimensions_of
from tests.support.thread_load import in_threads


def merged(*layers: Pairs) -> tuple[dict[str, str], Tally[str]]:
    """Merge; return the dimensions, and counts of rejected pairs by reason."""
    rejected: Tally[str] = Tally()

    def reject(reason: str) -> None:
        rejected[reason] += 1

    pairs = merge(layers, reject)
    assert list(pairs) == sorted(pairs)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs), rejected


keys = st.sampled_from("abcde")
layers = st.lists(
    st.lists(st.tuples(keys, st.sampled_from(["1", "2", "", None])), max_size=5).map(
        tuple
    ),
    max_size=5,
)


@given(layers)
def test_precedence(layers: list[Pairs]) -> None:
    """The more specific value wins, within a layer the last; one without text removes its key."""
    expected: dict[str, Any] = {}
    for layer in layers:
        expected |= dict(layer)
    expected = {key: value for key, value in expected.items() if value}
    assert merged(*layers) == (expected, {})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1.0"),
        (enum.Enum("Colour", {"RED": "red"})["RED"], "red"),
        ("two\nlines\r\n", "two_lines_"),
        ("x" * 1_000_000, "x" * 250),
        (type("Text", (str,), {})("text"), "text"),
    ],
    ids=["float", "enum", "lines", "megabyte", "subclass"],
)
def test_text(value: Any, text: str) -> None:
    """A value of any class becomes a text on one line, cut to the endpoint's limit."""
    assert merged((("key", value),)) == ({"key": text}, {})
    assert type(merged((("key", value),))[0]["key"]) is str


@pytest.mark.parametrize("value", ["", None, bytearray()])
def test_no_text(value: Any) -> None:
    """A value without text is left out, and so is the more general one."""
    assert merged((("a", "default"),), (("a", value), ("b", "1"))) == ({"b": "1"}, {})


@pytest.mark.parametrize(
    "value", [Raises(), Lies(), 10**5000], ids=["raises", "lies", "endless"]
)
def test_hostile_text(value: Any) -> None:
    """A value whose conversion raises is rejected, and the more general one is used."""
    dimensions, rejected = merged((("a", "default"),), (("a", value), ("b", "1")))
    assert dimensions == {"a": "default", "b": "1"}
    assert rejected == {NO_TEXT: 1}


def test_collision_after_cleaning() -> None:
    """Keys that are equal after cleaning are one dimension, and the last value wins."""
    assert merged((("Tenant Name", 1), ("tenant_name", 2)))[0] == {"tenant_name": "2"}
    assert merged((("tenant_name", 2), ("Tenant Name", 1)))[0] == {"tenant_name": "1"}


@pytest.mark.parametrize(
    "key",
    ["", "...", None, Raises(), Lies()],
    ids=["", "dots", "none", "raises", "lies"],
)
def test_no_key(key: Any) -> None:
    """A pair with an invalid key is rejected alone."""
    assert merged(((key, "x"), ("a", "1"))) == ({"a": "1"}, {NO_KEY: 1})


@pytest.mark.parametrize("key", [7, type("Text", (str,), {})("_7"), b"_7"], ids=type)
def test_foreign_key(key: Any) -> None:
    """A key of another class is taken by its text."""
    dimensions, rejected = merged(((key, "x"),))
    assert list(dimensions.values()) == ["x"]
    assert {*map(type, dimensions)} == {str}
    assert not rejected


def test_too_many() -> None:
    """Of more than 50 dimensions the most specific are kept, and the others counted."""
    general = tuple((f"general{i}", i) for i in range(30))
    special = tuple((f"special{i}", i) for i in range(40))
    dimensions, rejected = merged(general, special)
    expected = [*special, *general[20:]]
    assert dimensions == {key: str(value) for key, value in expected}
    assert rejected == {TOO_MANY: 20}


def test_no_text_takes_no_room() -> None:
    """Dimensions without text do not count towards the limit of 50."""
    general = tuple((f"general{i}", i) for i in range(50))
    nothing = tuple((f"nothing{i}", None) for i in range(60))
    dimensions, rejected = merged(general, nothing)
    assert len(dimensions) == 50
    assert not rejected


# -- the running context ---------------------------------------------------------------


def test_context(recorder: Recorder) -> None:
    """The dimensions of a context are added to all that is recorded inside."""
    counter = recorder.meter.counter("c")
    counter.inc()
    with recorder.registry.context(tenant="acme", self=1):
        counter.inc(2)
        with recorder.registry.context(tenant=None, user="u"):
            counter.inc(3)
        counter.inc(4, tenant="own")
    counter.inc(5)
    assert recorder.lines() == [
        "c count,delta=6",
        "c,self=1,tenant=acme count,delta=2",
        "c,self=1,tenant=own count,delta=4",
        "c,self=1,user=u count,delta=3",
    ]


def test_context_precedence() -> None:
    """Call wins over bound, context, meter and default dimensions, in this order."""
    layers = ["default", "meter", "context", "bound", "call"]
    recorder = Recorder(dimensions={f"d{i}": "default" for i in range(5)})

    def of(layer: int) -> dict[str, str]:
        return {f"d{i}": layers[layer] for i in range(layer, 5)}

    meter = recorder.meters.get("m").bind(**of(1))
    defined = meter.counter("c", dimensions={"d3": "definition", "d9": "definition"})
    counter = defined.bind(**of(3))
    with recorder.registry.context(**of(2)):
        counter.inc(1, **of(4))
    [point] = recorder.points()
    wanted = {f"d{i}": layer for i, layer in enumerate(layers)}
    assert dimensions_of(point) == {**wanted, "d9": "definition"}


def test_context_in_threads(recorder: Recorder) -> None:
    """Each thread has its own context."""
    counter = recorder.meter.counter("c")
    barrier = Barrier(4)

    def work(number: int) -> None:
        with recorder.registry.context(thread=f"t{number}"):
            barrier.wait(30)
            counter.inc()
            barrier.wait(30)

    in_threads(4, work)
    assert recorder.lines() == [f"c,thread=t{i} count,delta=1" for i in range(4)]


def test_context_in_tasks(recorder: Recorder) -> None:
    """Each of interleaved tasks has its own context."""
    counter = recorder.meter.counter("c")

    async def work(name: str) -> None:
        with recorder.registry.context(task=name):
            for _ in range(3):
                await asyncio.sleep(0)
                counter.inc()

    async def main() -> None:
        await asyncio.gather(*(work(f"t{i}") for i in range(3)))
        counter.inc()

    asyncio.run(main())
    assert recorder.lines() == [
        "c count,delta=1",
        *(f"c,task=t{i} count,delta=3" for i in range(3)),
    ]


def test_context_ended_elsewhere(recorder: Recorder) -> None:
    """An asynchronous generator that is closed in another context raises nothing."""
    counter = recorder.meter.counter("c")

    async def numbers() -> AsyncIterator[int]:
        with recorder.registry.context(inside=True):
            counter.inc()
            yield 1

    async def main() -> None:
        generator = numbers()
        await asyncio.create_task(generator.__anext__())  # type: ignore[arg-type]
        counter.inc()
        await generator.aclose()  # type: ignore[attr-defined]
        counter.inc()

    asyncio.run(main())
    assert recorder.lines() == ["c count,delta=2", "c,inside=true count,delta=1"]


def test_context_survives_an_error(recorder: Recorder) -> None:
    """A context ends with its block, also if the block raises."""
    with pytest.raises(KeyError), recorder.registry.context(a=1):
        raise KeyError
    assert CONTEXT.get() == ()


def test_context_of_hostile_values(recorder: Recorder) -> None:
    """A value whose conversion raises makes no dimension, and the outer one is kept."""
    with recorder.registry.context(a="1"), recorder.registry.context(a=Raises(), b=2):
        recorder.meter.counter("c").inc()
    assert recorder.lines() == ["c,a=1,b=2 count,delta=1"]


def test_context_keeps_little(recorder: Recorder) -> None:
    """A context keeps no object of a caller, and cuts long texts."""

    class Text:
        def __str__(self) -> str:
            return "x" * 1_000_000

    text = Text()
    freed = weakref.ref(text)
    with recorder.registry.context(**{"text": text, "k" * 1_000_000: "x" * 1_000_000}):
        recorder.meter.counter("c").inc()
        assert max(len(part) for pair in CONTEXT.get() for part in pair) <= 250
    del text
    gc.collect()
    assert freed() is None
    [point] = recorder.points()
    assert dimensions_of(point) == {"k" * 100: "x" * 250, "text": "x" * 250}
