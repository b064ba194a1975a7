from __future__ import annotations

import enum
import logging
from typing import Any

import pytest

from dtmetrics._record.meter import Meter
from tests.support.caller_values import Raises
from tests.support.recorder import Recorder, dimensions_of

KINDS = ["counter", "gauge", "summary"]


def test_same_name_same_meter(recorder: Recorder) -> None:
    """One name has one meter; without a name it is the root."""
    meters = recorder.meters
    assert meters.get("shop.cart") is meters.get("shop.cart")
    assert meters.get("shop") is not meters.get("shop.cart")
    assert meters.get() is meters.get("") is meters.root
    assert repr(meters.get("shop")) == "<Meter 'shop'>"


@pytest.mark.parametrize("name", [None, 5, ["a"]], ids=repr)
def test_name_of_a_meter(recorder: Recorder, name: Any) -> None:
    """The name of a meter must be a text, as that of a logger."""
    with pytest.raises(TypeError, match="name of a meter"):
        recorder.meters.get(name)


@pytest.mark.parametrize("kind", KINDS)
def test_same_definition_same_instrument(recorder: Recorder, kind: str) -> None:
    """Equal definitions, as of a module that is loaded twice, make one instrument."""
    make = getattr(recorder.meter, kind)
    options = {"level": logging.DEBUG, "dimensions": {"a": 1, "b": "x", "c": None}}
    assert make("name", **options) is make("name", **options)
    assert make("name") is make("name")
    assert make("name") is not make("name", level=logging.DEBUG)
    assert make("name") is not make("other")
    assert make("name") is not getattr(recorder.meters.get("m"), kind)("name")


def test_equal_dimensions_of_other_types(recorder: Recorder) -> None:
    """Dimensions 1, True and 1.0 make different instruments."""
    for value in (1, True, 1.0, 1, "1"):
        recorder.meter.counter("c", dimensions={"a": value}).inc()
    assert recorder.lines() == [
        "c,a=1 count,delta=3",
        "c,a=1.0 count,delta=1",
        "c,a=true count,delta=1",
    ]


@pytest.mark.parametrize(
    "value", [[1], Raises(), enum.Enum("E", "A")["A"]], ids=["list", "raises", "enum"]
)
def test_dimensions_of_any_kind(recorder: Recorder, value: Any) -> None:
    """The dimensions of a definition may have values of any class, even without a hash."""
    for _ in range(2):
        recorder.meter.counter("c", dimensions={"a": value, "b": 2}).inc()
    [line] = recorder.lines()
    assert line.endswith("b=2 count,delta=2")


def test_name_of_a_subclass(recorder: Recorder) -> None:
    """A name of a subclass of str is taken by its text."""

    class Name(str):
        __slots__ = ()
        __hash__ = None  # type: ignore[assignment]

    counter = recorder.meter.counter(Name("a b"))
    counter.inc()
    recorder.meter.counter("a b").inc()
    assert type(counter.name) is str
    assert recorder.lines() == ["a_b count,delta=2"]


def test_meter_dimensions(recorder: Recorder) -> None:
    """The dimensions of a meter are added to all that its instruments record."""
    meter = recorder.meters.get("shop").bind(a=1, self=2).bind(a=3)
    assert isinstance(meter, Meter)
    assert meter.name == "shop"
    meter.counter("c").inc()
    meter.observe("o")(lambda: 5)
    with meter.timed("t"):
        pass
    points = recorder.points()
    assert len(points) == 3
    assert all(dimensions_of(point) == {"a": "3", "self": "2"} for point in points)


def test_names_are_global(recorder: Recorder) -> None:
    """The name of a meter is not part of a key: two meters share a series."""
    recorder.meters.get("a").counter("c").inc()
    recorder.meters.get("b").counter("c").inc()
    assert recorder.lines() == ["c count,delta=2"]


@pytest.mark.parametrize("kind", [*KINDS, "observe"])
def test_bare_decorator(recorder: Recorder, kind: str) -> None:
    """Decorating without a name raises at once, and shows how to write it."""
    with pytest.raises(TypeError, match="must be called with a name") as caught:
        getattr(recorder.meter, kind)(len)
    assert f'@{kind}("a.name")' in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", ["INFO", None, 10.5])
def test_wrong_level(recorder: Recorder, kind: str, level: Any) -> None:
    """A level that is not an int raises in the definition, not when it is compared."""
    with pytest.raises(
        TypeError, match="level must be an int, as logging.INFO is, got"
    ):
        getattr(recorder.meter, kind)("name", level=level)


def test_kinds_share_what_is_one_key(recorder: Recorder) -> None:
    """A summary and a timer of one name share a series."""
    recorder.meter.summary("t", unit="s").record(1)
    recorder.meter.timed("t").record(2)
    assert recorder.lines() == ["t gauge,min=1,max=2,sum=3,count=2"]
