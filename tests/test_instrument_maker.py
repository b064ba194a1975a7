from __future__ import annotations

import enum
import logging
from typing import Any

import pytest

from tests.support.caller_values import Raises
from tests.support.recorder import Recorder

KINDS = ["counter", "gauge", "summary"]


@pytest.mark.parametrize("kind", KINDS)
def test_same_definition_same_instrument(recorder: Recorder, kind: str) -> None:
    """Equal definitions, as of a module that is loaded twice, make one instrument."""
    make = getattr(recorder.meter, kind)
    options = {"level": logging.DEBUG, "dimensions": {"a": 1, "b": "x", "c": None}}
    assert make("name", **options) is make("name", **options)
    assert make("name") is make("name")
    assert make("name") is not make("name", level=logging.DEBUG)
    assert make("name") is make("name", level=logging.INFO)
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


@pytest.mark.parametrize("kind", [*KINDS, "observe"])
def test_bare_decorator(recorder: Recorder, kind: str) -> None:
    """Decorating without a name raises at once, and shows how to write it."""
    with pytest.raises(TypeError, match="must be called with a name") as caught:
        getattr(recorder.meter, kind)(len)
    assert f'@{kind}("a.name")' in str(caught.value)


@pytest.mark.parametrize("kind", [*KINDS, "timed", "observe"])
@pytest.mark.parametrize("level", ["DEBUG", "debug", logging.DEBUG])
def test_level(kind: str, level: Any) -> None:
    """The level of an instrument is a name or a number, as that of configure() is."""
    for lowest, count in ((logging.DEBUG, 1), (logging.INFO, 0)):
        recorder = Recorder(level=lowest)
        made = getattr(recorder.meter, kind)("name", level=level)
        use = {"counter": "inc", "gauge": "set", "observe": "__call__"}
        value = (lambda: 1) if kind == "observe" else 1
        getattr(made, use.get(kind, "record"))(value)
        assert len(recorder.lines()) == count


@pytest.mark.parametrize("kind", [*KINDS, "timed", "observe"])
@pytest.mark.parametrize(
    ("level", "error"),
    [("VERBOSE", ValueError), ("", ValueError), (None, TypeError), (10.5, TypeError)],
)
def test_wrong_level(
    recorder: Recorder, kind: str, level: Any, error: type[Exception]
) -> None:
    """A level that does not exist raises in the definition, not when it is compared."""
    with pytest.raises(error) as caught:
        getattr(recorder.meter, kind)("name", level=level)
    text = f"level must be a logging level name or an int, got {level!r}"
    assert str(caught.value) == text
