from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from dtmetrics._record.timer import Timer
from tests.support.recorder import Recorder
from tests.support.timer_clock import Timing


def test_record_and_bind(timing: Timing) -> None:
    """A duration that was measured elsewhere is recorded with the bound dimensions."""
    timer = timing.timer("t.duration")
    timer.bind(region="eu").record(1.5, tier=1)
    assert timing.took() == {"region=eu,tier=1": [1, 1.5, 1.5]}
    assert timer.name == "t.duration"
    assert repr(timer.bind(a=1)) == "<Timer 't.duration', a=1>"


def test_arguments_become_dimensions(timing: Timing) -> None:
    """Named arguments become dimensions, by position or keyword; None does not."""

    @timing.timer(args={"a": None, "size": None, "rest": len, "kind": None})
    def call(a: int, size: int = 5, *rest: int, kind: str | None = None) -> None: ...

    call(1)
    call(1, 2, 3, 4, kind="x")
    call(size=7, a=2)
    assert timing.took() == {
        "a=1,rest=0,size=5": [1, 0, 0],
        "a=1,kind=x,rest=2,size=2": [1, 0, 0],
        "a=2,rest=0,size=7": [1, 0, 0],
    }


def test_result_becomes_dimensions(timing: Timing) -> None:
    """A result is made into dimensions; a call that raises has none."""

    @timing.timer(args={"n": None}, result=lambda status: {"status": status})
    def call(n: int) -> int:
        return 200 // n

    call(1)
    with pytest.raises(ZeroDivisionError):
        call(0)
    assert timing.took() == {
        "n=1,status=200": [1, 0, 0],
        "error.type=ZeroDivisionError,n=0": [1, 0, 0],
    }


def bad(_: Any) -> Mapping[str, Any]:
    """Fail, as a user's callable may."""
    raise RuntimeError("private")


@pytest.mark.parametrize("options", [{"args": {"n": bad}}, {"result": bad}, {"result": len}])  # fmt: skip
def test_callables_that_fail(timing: Timing, options: dict[str, Any]) -> None:
    """A callable of args= or result= that raises is counted, and makes no dimension."""

    @timing.timer(**options)
    def call(n: int) -> int:
        return n

    assert call(1) == 1
    assert timing.took() == {"": [1, 0, 0]}
    assert timing.recorder.registry.invalid_values.total() == {
        "args= or result= failed": 1
    }


@pytest.mark.parametrize(
    ("options", "dimensions"),
    [
        ({}, "error.type=KeyError"),
        ({"errors": False}, ""),
        ({"ignore": (LookupError,)}, ""),
        ({"ignore": LookupError}, ""),
        ({"ignore": [ValueError]}, "error.type=KeyError"),
    ],
    ids=str,
)
def test_which_errors_are_errors(
    timing: Timing, options: dict[str, Any], dimensions: str
) -> None:
    """A failure has error.type, unless errors= is false or ignore= has its class."""

    @timing.timer(**options)
    def call() -> None:
        raise KeyError

    for _ in range(2):
        with pytest.raises(KeyError):
            call()
    assert timing.took() == {dimensions: [2, 0, 0]}


@pytest.mark.parametrize("options", [{"ignore": (1,)}, {"ignore": "ValueError"}])
def test_bad_ignore(timing: Timing, options: dict[str, Any]) -> None:
    """An invalid ignore= raises when the timer is made, not when a call fails."""
    with pytest.raises(TypeError):
        timing.timer(**options)


def test_bad_generator(timing: Timing) -> None:
    """The argument generator= must be one of its two texts."""
    with pytest.raises(ValueError, match=r'must be "total" or "active", got .half.'):
        timing.timer(generator="half")


def test_class_names_its_methods(recorder: Recorder) -> None:
    """A decorated class times each of its public methods, with its name."""
    timed: Timer = recorder.meter.timed("t")

    @timed
    class Service:
        def one(self) -> int:
            return 1

        @classmethod
        def two(cls) -> int:
            return 2

        @staticmethod
        def three() -> int:
            return 3

        def _private(self) -> int:
            return 4

    class Child(Service):
        def mine(self) -> int:
            return 5

    it = Child()
    assert (it.one(), it.two(), it.three(), it._private(), it.mine()) == (1, 2, 3, 4, 5)
    here = f"{__name__}.test_class_names_its_methods.<locals>.Service."
    names = {dict(dims)["code.function.name"] for _, dims in recorder.payloads()}
    assert names == {here + name for name in ("one", "two", "three")}
