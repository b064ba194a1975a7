from __future__ import annotations

from typing import Any

import pytest

from dtmetrics._record.meter import Meter
from tests.support.recorder import Recorder, dimensions_of


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


def test_meter_dimensions_that_have_no_hash(recorder: Recorder) -> None:
    """A meter may be bound to values that cannot be the key of a cache."""
    meter = recorder.meters.get("shop").bind(a=[1, 2]).bind(b=3)
    meter.counter("c").inc()
    [point] = recorder.points()
    assert dimensions_of(point) == {"a": "[1, 2]", "b": "3"}


def test_names_are_global(recorder: Recorder) -> None:
    """The name of a meter is not part of a key: two meters share a series."""
    recorder.meters.get("a").counter("c").inc()
    recorder.meters.get("b").counter("c").inc()
    assert recorder.lines() == ["c count,delta=2"]


def test_kinds_share_what_is_one_key(recorder: Recorder) -> None:
    """A summary and a timer of one name share a series."""
    recorder.meter.summary("t", unit="s").record(1)
    recorder.meter.timed("t").record(2)
    assert recorder.lines() == ["t gauge,min=1,max=2,sum=3,count=2"]
