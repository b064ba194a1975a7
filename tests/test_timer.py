from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from dtmetrics._record.options import RecordingOptions
from dtmetrics._record.timer import Timer
from dtmetrics.errors import UnknownArgumentError
from tests.support.recorder import Recorder, dimensions_of
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


def test_arguments_and_results(timing: Timing) -> None:
    """A call may get dimensions from a converted argument and from its result."""

    @timing.timer(args={"n": lambda n: n * 10}, result=lambda result: {"r": result})
    def call(n: int) -> int:
        return n + 1

    assert call(1) == 2
    assert timing.took() == {"n=10,r=2": [1, 0, 0]}


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


# -- args= that names what the function lacks --------------------------------------------


def test_unknown_argument_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """An argument that a function lacks is logged once where it decorates, and left out."""
    recorder = Recorder()
    for _ in range(2):

        @recorder.meter.timed("fetch.duration", args=("regoin", "url"))
        def fetch(url: str, region: str) -> str:
            return url

    fetch("/", "eu")
    [record] = caplog.messages
    assert re.search(
        r"^dtmetrics: .*fetch has no argument 'regoin', which args= names for summary "
        r"'fetch.duration' \(defined at .*test_timer.py:\d+\); that dimension is left out$",
        record,
    )
    [point] = recorder.points()
    assert dimensions_of(point) == {"url": "/"}


@pytest.mark.parametrize(
    "kind", ["function", "coroutine", "generator", "class", "partial"]
)
def test_unknown_argument_is_an_error_if_strict(kind: str) -> None:
    """Under strict an argument that a callable lacks raises, for every kind of callable."""

    async def coroutine(region: str) -> None:
        """Do nothing."""

    def generator(region: str) -> Iterator[int]:
        yield 1

    class Service:
        def run(self, region: str) -> None:
            """Do nothing."""

        def stop(self) -> None:
            """Do nothing."""

    kinds: dict[str, Any] = {
        "function": lambda region: region,
        "coroutine": coroutine,
        "generator": generator,
        "class": Service,
        "partial": functools.partial(lambda region, x: region, x=1),
    }
    recorder = Recorder(strict=True)
    timed = recorder.meter.timed
    timed("a.b", args=("region",))(kinds[kind])
    with pytest.raises(UnknownArgumentError, match="has no argument 'regoin'"):
        timed("a.b", args=("region", "regoin"))(kinds[kind])


def test_unknown_argument_before_strict() -> None:
    """A start that is strict raises for a function that was decorated before."""
    recorder = Recorder()
    recorder.meter.timed("a.b", args=("regoin",))(lambda region: region)
    with pytest.raises(UnknownArgumentError):
        recorder.registry.start(RecordingOptions(strict=True), bool)


def test_any_argument_of_keywords() -> None:
    """A function that takes any keyword has every argument."""
    recorder = Recorder(strict=True)

    @recorder.meter.timed("a.b", args=("region",))
    def work(**options: str) -> None:
        """Do nothing."""

    work(region="eu")
    work()
    assert sorted(map(str, map(dimensions_of, recorder.points()))) == [
        "{'region': 'eu'}",
        "{}",
    ]


@pytest.mark.parametrize("name", ["value", "self", "amount", "seconds", "dimensions"])
def test_any_name_of_a_dimension(recorder: Recorder, name: str) -> None:
    """Dimensions of a timer may have any name, however they are given."""
    timer = recorder.meter.timed

    namespace: dict[str, Any] = {}
    exec(f"def work({name}): return {name}", namespace)
    timer("args", args=(name,))(namespace["work"])("x")
    timer("result", result=lambda result: {name: result})(lambda: "x")()
    with timer("block") as block:
        block.set(**{name: "x"})
    timer("bound").bind(**{name: "x"}).record(1)
    with timer("inner").bind(**{name: "x"}):
        pass
    assert [dimensions_of(point) for point in recorder.points()] == [{name: "x"}] * 5


def test_failures_of_callbacks_are_logged_with_class_and_line(
    recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    """A result= that raises is logged once, with the class of the error and its place."""
    work = recorder.meter.timed("a.b", result=lambda result: {"n": result.foo})(
        lambda: 1
    )
    work()
    work()
    recorder.points()
    [record] = caplog.messages
    assert re.search(
        r"args= or result= failed \(AttributeError at test_timer.py:\d+\)$", record
    )


def test_default_of_what_is_wrapped(timing: Timing) -> None:
    """A default that only the wrapped function has is a dimension of its wrapper."""

    def work(a: int = 1) -> int:
        return a

    @timing.timer(args={"a": None})
    @functools.wraps(work)
    def wrapper(*args: Any, **kwargs: Any) -> int:
        return work(*args, **kwargs)

    assert wrapper() + wrapper(2) == 3
    assert timing.took() == {"a=1": [1, 0, 0], "a=2": [1, 0, 0]}
