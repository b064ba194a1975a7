from __future__ import annotations

import asyncio
import contextlib
import math
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtmetrics._record.timer import Timer
from tests.recorder import Recorder
from tests.timing import Timing


@pytest.fixture
def timing() -> Timing:
    """Return timers by a clock of their own."""
    return Timing()


# -- blocks --------------------------------------------------------------------------


def test_block(timing: Timing) -> None:
    """A block takes what passes inside it, and tells so while it runs and after."""
    with timing.timer() as t:
        timing.pass_(2)
        assert t.elapsed == 2
        timing.pass_(1)
    timing.pass_(10)
    assert t.elapsed == 3
    assert timing.took() == {"": [1, 3, 3]}


def test_block_sets_dimensions(timing: Timing) -> None:
    """What is decided inside becomes dimensions; the last word counts."""
    with timing.timer() as t:
        t.set(kind="page", size=1)
        t.set(kind="image")
        timing.pass_(1)
    assert timing.took() == {"kind=image,size=1": [1, 1, 1]}


def test_block_cancels(timing: Timing) -> None:
    """A cancelled block records nothing, however it ends, and still says its time."""
    with timing.timer() as t:
        timing.pass_(1)
        t.cancel()
    with contextlib.suppress(KeyError), timing.timer() as failed:
        failed.cancel()
        raise KeyError
    assert t.elapsed == 1
    assert timing.took() == {}


def test_elapsed_of_a_block_not_entered(timing: Timing) -> None:
    """A block that was never entered took no time."""
    assert timing.timer()().elapsed == 0


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), KeyboardInterrupt(), SystemExit(1), asyncio.CancelledError()],
    ids=lambda error: type(error).__name__,
)
def test_block_fails(timing: Timing, error: BaseException) -> None:
    """Whatever leaves a block is recorded with its class, and goes on."""
    raised = None
    try:
        with timing.timer():
            timing.pass_(1)
            raise error
    except BaseException as caught:
        raised = caught
    assert raised is error
    name = type(error).__name__
    full = f"asyncio.exceptions.{name}" if name == "CancelledError" else name
    assert timing.took() == {f"error.type={full}": [1, 1, 1]}


def test_what_is_set_inside_outweighs_the_failure(timing: Timing) -> None:
    """A block may say itself how it failed."""
    with contextlib.suppress(ValueError), timing.timer() as t:
        t.set(**{"error.type": "timeout"})
        raise ValueError
    assert [*timing.took()] == ["error.type=timeout"]


def test_block_in_a_generator_that_is_given_up(timing: Timing) -> None:
    """That a consumer has had enough is no failure."""

    def items() -> Iterator[int]:
        with timing.timer():
            yield 1

    next(iterator := items())
    iterator.close()  # type: ignore[attr-defined]
    assert timing.took() == {"": [1, 0, 0]}


def test_async_block(timing: Timing) -> None:
    """``async with`` does the same, failures included."""

    async def run() -> None:
        async with timing.timer() as t:
            t.set(a=1)
            timing.pass_(1)
            await asyncio.sleep(0)
        async with timing.timer()() as t:
            timing.pass_(2)
        with contextlib.suppress(KeyError):
            async with timing.timer():
                raise KeyError

    asyncio.run(run())
    assert timing.took() == {"a=1": [1, 1, 1], "": [1, 2, 2], "error.type=KeyError": [1, 0, 0]}  # fmt: skip


# -- a kept timer, entered by many -----------------------------------------------------


def test_kept_timer_inside_itself(timing: Timing) -> None:
    """A kept timer may be entered again inside, in the same frame and in another."""
    kept = timing.timer()

    def inner() -> None:
        with kept:
            timing.pass_(1)

    with kept as outer:
        with kept as middle:
            inner()
            timing.pass_(1)
        middle.set(late=1)
        timing.pass_(1)
    assert (outer.elapsed, middle.elapsed) == (3, 2)
    assert timing.took() == {"": [3, 1, 3]}


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30))
def test_kept_timer_in_interleaved_frames(order: list[int]) -> None:
    """However blocks of one timer are interleaved, each ends its own."""
    timing = Timing()
    kept = timing.timer()

    def block(number: int) -> Iterator[float]:
        with kept as t:
            t.set(number=number)
            while True:
                yield t.elapsed

    running: dict[int, tuple[Any, float]] = {}
    expected: dict[str, list[float]] = {}
    for number in [*order, *range(4)]:
        timing.pass_(1)
        if number in running and number in (0, 2):
            blocks, began = running.pop(number)
            took = timing.clock.now - began
            assert next(blocks) == took
            blocks.close()
            some = expected.setdefault(f"number={number}", [0, math.inf, 0])
            some[:] = [some[0] + 1, min(some[1], took), max(some[2], took)]
        elif number not in running:
            running[number] = block(number), timing.clock.now
            next(running[number][0])
    assert timing.took() == expected


def test_kept_timer_in_tasks(timing: Timing) -> None:
    """Tasks that interleave in one kept timer are each timed by themselves."""
    kept = timing.timer()

    async def task(number: int, go: asyncio.Event, done: asyncio.Event) -> None:
        async with kept as t:
            t.set(number=number)
            await go.wait()
        done.set()

    async def run() -> None:
        events = [(asyncio.Event(), asyncio.Event()) for _ in range(3)]
        tasks = [asyncio.create_task(task(n, *pair)) for n, pair in enumerate(events)]
        await asyncio.sleep(0)
        for go, done in (events[1], events[0], events[2]):
            timing.pass_(1)
            go.set()
            await done.wait()
        await asyncio.gather(*tasks)

    asyncio.run(run())
    took = {
        f"number={number}": [1, end, end] for number, end in [(0, 2), (1, 1), (2, 3)]
    }
    assert timing.took() == took


def test_kept_timer_in_threads() -> None:
    """Threads share a kept timer, and none ends the block of another."""
    recorder = Recorder()
    kept = recorder.meter.timed("t")
    meet = threading.Barrier(4)

    def work(number: int) -> None:
        for _ in range(50):
            with kept as t:
                t.set(number=number)
                meet.wait(20)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = {dims: payload[3] for (_, dims), payload in recorder.payloads().items()}  # type: ignore[misc]
    assert counts == {frozenset({("number", str(n))}): 50 for n in range(4)}


def test_kept_timer_on_an_exit_stack(timing: Timing) -> None:
    """What enters for others leaves in another frame: the youngest block ends."""
    kept = timing.timer()
    with contextlib.ExitStack() as stack:
        stack.enter_context(kept)
        timing.pass_(1)
        stack.enter_context(kept())
        timing.pass_(1)
    assert timing.took() == {"": [2, 1, 2]}


def test_left_more_often_than_entered(timing: Timing) -> None:
    """To leave a timer that nobody entered does nothing."""
    timing.timer().__exit__(None, None, None)
    assert timing.took() == {}


# -- decorators ------------------------------------------------------------------------


def test_record_and_bind(timing: Timing) -> None:
    """Durations from elsewhere are recorded as they are, with the handle's dimensions."""
    kept = timing.timer("t.duration")
    kept.bind(region="eu").record(1.5, tier=1)
    assert timing.took() == {"region=eu,tier=1": [1, 1.5, 1.5]}
    assert kept.name == "t.duration"
    assert repr(kept.bind(a=1)) == "<Timer 't.duration', a=1>"


def test_arguments_become_dimensions(timing: Timing) -> None:
    """Named arguments become dimensions however they are given; None is none."""

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
    """What is returned may say dimensions; of a failure there is no result."""

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
    """A callable of args= or result= that fails costs its dimension, and is counted."""

    @timing.timer(**options)
    def call(n: int) -> int:
        return n

    assert call(1) == 1
    assert timing.took() == {"": [1, 0, 0]}
    assert timing.recorder.registry.refusals.total() == {"args= or result= failed": 1}


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
    """A failure says its class, unless errors= or ignore= say it is none."""

    @timing.timer(**options)
    def call() -> None:
        raise KeyError

    for _ in range(2):
        with pytest.raises(KeyError):
            call()
    assert timing.took() == {dimensions: [2, 0, 0]}


@pytest.mark.parametrize("options", [{"ignore": (1,)}, {"ignore": "ValueError"}])
def test_bad_ignore(timing: Timing, options: dict[str, Any]) -> None:
    """What cannot be ignored is a TypeError where it is written, not when a call fails."""
    with pytest.raises(TypeError):
        timing.timer(**options)


def test_bad_generator(timing: Timing) -> None:
    """A generator is timed over its whole life or while it is active; nothing else."""
    with pytest.raises(ValueError, match='"total" or "active", not'):
        timing.timer(generator="half")


def test_class_names_its_methods(recorder: Recorder) -> None:
    """A decorated class times each of its public methods, under the name of each."""
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
