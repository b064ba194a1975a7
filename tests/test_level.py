from __future__ import annotations

import asyncio
import logging
from typing import Any, get_args

import pytest

from dtmetrics._core.level import LEVELS, OFF, Level, level_number
from tests.support.recorder import Recorder
from tests.support.script import expect


def test_levels_are_those_of_logging() -> None:
    """Each name but OFF has the number that logging gives it; the type lists all names."""
    numbers = {name: getattr(logging, name) for name in LEVELS if name != "OFF"}
    assert {**numbers, "OFF": OFF} == LEVELS
    assert get_args(get_args(Level)[1]) == tuple(LEVELS)


@pytest.mark.parametrize(
    ("level", "number"),
    [
        ("DEBUG", 10),
        (" warning\n", 30),
        ("FATAL", 50),
        ("off", OFF),
        ("NOTSET", 0),
        (35, 35),
        ("15", 15),
        ("0", 0),
        (-1, -1),
    ],
)
def test_level_number(level: Any, number: int) -> None:
    """A level is a number, the name of one in any case, or a number as text."""
    assert level_number(level) == number


@pytest.mark.parametrize(
    "level",
    ["LOUD", "", "1.5", "-1", "²", "9" * 5_000, 1.5, None, True, b"INFO", []],
    ids=range(11),
)
def test_not_a_level(level: Any) -> None:
    """Any other value has no number."""
    assert level_number(level) is None


def test_added_level() -> None:
    """A name that the program has added to logging is a level."""
    source = """
    import logging
    from dtmetrics import counter
    logging.addLevelName(5, "TRACE")
    print(counter("a", level="trace").origin.source.level)
    """
    assert expect("\n".join(map(str.strip, source.splitlines()))) == "5\n"


def test_common_names_do_not_import_logging() -> None:
    """A level with one of logging's five names costs no import of logging."""
    source = """
    import sys
    from dtmetrics import counter
    counter("a", level="DEBUG")
    print("logging" in sys.modules)
    """
    assert expect("\n".join(map(str.strip, source.splitlines()))) == "False\n"


@pytest.mark.parametrize(
    "options",
    [
        {"level": OFF},
        {"levels": {"shop": OFF}},
        {"level": OFF, "levels": {"acme": 10}},
        {"level": OFF, "levels": {"": 10}},
    ],
    ids=range(4),
)
def test_off(options: dict[str, Any]) -> None:
    """At the level OFF nothing records, however high the level of an instrument is."""
    recorder = Recorder(**options)
    meter = recorder.meters.get("shop.db")
    for level in ("DEBUG", "CRITICAL", 10**30, "OFF"):
        meter.counter("orders", level=level).inc()
    assert recorder.points() == []


def test_off_instruments() -> None:
    """An instrument of the level OFF never records, however low the level is."""
    recorder = Recorder(level=-1)
    meter: Any = recorder.meter
    meter.counter("c", level="OFF").inc()
    meter.gauge("g", level="off").set(1)
    meter.summary("s", level="OFF").record(1)
    meter.observe("o", level="OFF")(lambda: 1)
    with meter.timed("block", level="OFF"):
        pass

    @meter.timed(level="OFF")
    def add(one: int, other: int) -> int:
        return one + other

    @meter.timed("with.result", level="OFF", result=lambda total: {"total": total})
    async def slow(number: int) -> int:
        return number

    assert add(1, 2) == 3
    assert asyncio.run(slow(4)) == 4
    assert recorder.points() == []
    meter.counter("c").inc()
    assert len(recorder.points()) == 1
