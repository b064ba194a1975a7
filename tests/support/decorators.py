"""Every decorator that records, by a name for the ids of tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dtmetrics._record.meter import Meter

Decorate = Callable[[Any], Any]

#: Makes a decorator with a meter. The arguments are those of functions with an ``a``.
DECORATORS: dict[str, Callable[[Meter], Decorate]] = {
    "timed": lambda meter: meter.timed,
    "timed with a name": lambda meter: meter.timed("t"),
    "timed with args": lambda meter: meter.timed("t", args=("a",)),
    "timed with conversion": lambda meter: meter.timed("t", args={"a": str}),
    "timed with result": lambda meter: meter.timed("t", result=lambda it: {"r": it}),
    "timed active": lambda meter: meter.timed("t", args=("a",), generator="active"),
    "counter": lambda meter: meter.counter("c"),
    "gauge": lambda meter: meter.gauge("g"),
    "context": lambda meter: meter.counter("c").registry.context(of="test"),
    "two": lambda meter: lambda it: meter.timed("t")(meter.counter("c")(it)),
}
