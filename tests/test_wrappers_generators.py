from __future__ import annotations

import asyncio
import gc
import inspect
import sys
import threading
import types
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from typing import Any

import pytest

from tests.support.call_recorder import around
from tests.support.timer_clock import Clock, Timing


@pytest.fixture(params=["total", "active"])
def clock(request: pytest.FixtureRequest) -> Clock | None:
    """Both ways to time a generator."""
    return Clock() if request.param == "active" else None


def test_generator_ends() -> None:
    """A generator is told once: its return value, or its failure."""

    def two(fail: bool) -> Generator[int, None, str]:
        yield 1
        if fail:
            raise LookupError
        return "done"

    made, log = around(two)
    assert list(made(fail=False)) == [1]
    with pytest.raises(LookupError):
        list(made(fail=True))
    assert [result for _, result, _, _ in log.said] == ["done", LookupError]


def test_generator_never_started(clock: Clock | None) -> None:
    """A generator that nobody asked for an item is not measured."""

    def items() -> Iterator[int]:
        yield 1

    async def aitems() -> AsyncGenerator[int, None]:
        yield 1

    made, log = around(items, clock=clock)
    made().close()
    made()
    amade, alog = around(aitems, clock=clock)
    asyncio.run(amade().aclose())
    amade()
    gc.collect()
    assert log.begun == alog.begun == 0


def test_generator_given_up(clock: Clock | None) -> None:
    """Who iterates may have had enough: closed or dropped, it has not failed."""

    def items() -> Iterator[int]:
        yield 1
        yield 2

    made, log = around(items, clock=clock)
    closed = made()
    next(closed)
    closed.close()
    next(made())
    gc.collect()
    assert [result for _, result, _, _ in log.said] == [None, None]


def test_generator_times(timing: Timing) -> None:
    """By "total" a generator lasts from first to last step, by "active" inside it."""

    def items() -> Iterator[int]:
        timing.pass_(1)
        yield 1
        timing.pass_(2)

    for mode in ("total", "active"):
        for _ in timing.timer(generator=mode)(items)():
            timing.pass_(10)
        assert timing.took() == {"": [1, 13, 13] if mode == "total" else [1, 3, 3]}


def test_active_time_of_a_generator_that_is_closed(timing: Timing) -> None:
    """Time outside is not counted either before a throw or a close."""

    def items() -> Iterator[int]:
        try:
            timing.pass_(1)
            yield 1
        except LookupError:
            timing.pass_(2)
            yield 2
        finally:
            timing.pass_(4)

    going = timing.timer(generator="active")(items)()
    next(going)
    timing.pass_(10)
    going.throw(LookupError)  # type: ignore[attr-defined]
    timing.pass_(10)
    going.close()  # type: ignore[attr-defined]
    assert timing.took() == {"": [1, 7, 7]}


def test_async_generator_times(timing: Timing) -> None:
    """The same holds for asynchronous generators."""

    async def items() -> AsyncGenerator[int, None]:
        timing.pass_(1)
        yield 1
        timing.pass_(2)

    async def consume(made: Callable[[], AsyncGenerator[int, None]]) -> None:
        async for _ in made():
            timing.pass_(10)

    for mode in ("total", "active"):
        asyncio.run(consume(timing.timer(generator=mode)(items)))
        assert timing.took() == {"": [1, 13, 13] if mode == "total" else [1, 3, 3]}


def test_generators_interleaved_between_threads(timing: Timing) -> None:
    """Generators of one function may be advanced in turn, by any thread."""

    @timing.timer()
    def items(n: int) -> Iterator[int]:
        yield from range(n)

    def in_thread(call: Callable[[], Any]) -> None:
        thread = threading.Thread(target=call)
        thread.start()
        thread.join(10)

    one, two = items(1), items(1)
    in_thread(lambda: next(one))
    timing.pass_(1)
    next(two)
    timing.pass_(1)
    in_thread(lambda: list(one))
    timing.pass_(4)
    in_thread(lambda: list(two))
    assert timing.took() == {"": [2, 2, 5]}


def test_generator_keeps_its_name(clock: Clock | None) -> None:
    """A generator has the name of its function."""

    def items() -> Iterator[int]:
        yield 1

    async def aitems() -> AsyncGenerator[int, None]:
        yield 1

    made = around(items, clock=clock)[0]()
    amade = around(aitems, clock=clock)[0]()
    assert (made.__name__, made.__qualname__) == (items.__name__, items.__qualname__)
    assert amade.__qualname__ == aitems.__qualname__
    assert isinstance(made, types.GeneratorType)
    assert inspect.isasyncgen(amade)


def test_generator_based_coroutine(clock: Clock | None) -> None:
    """What types.coroutine made awaitable stays so; other generators do not get it."""

    @types.coroutine
    def waits(n: int) -> Generator[None, None, int]:
        yield
        return n

    def items() -> Iterator[None]:
        yield

    made, log = around(waits, clock=clock)

    async def main() -> int:
        return await made(3)  # type: ignore[no-any-return]

    assert asyncio.run(main()) == 3
    assert log.said == [(1.0, 3, (3,), {})]
    assert inspect.isawaitable(made(1))
    assert not inspect.isawaitable(around(items, clock=clock)[0]())


def test_async_generator_left_to_the_event_loop(
    clock: Clock | None, capfd: pytest.CaptureFixture[str]
) -> None:
    """The loop closes what was left open without complaint, as before."""
    cleaned = []

    async def items() -> AsyncGenerator[int, None]:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    made, log = around(items, clock=clock)
    kept = []

    async def main(keep: bool) -> None:
        going = made()
        async for _ in going:
            break
        if keep:
            kept.append(going)
        del going
        for _ in range(5):
            await asyncio.sleep(0)

    asyncio.run(main(keep=True))
    asyncio.run(main(keep=False))
    assert cleaned == [True, True]
    assert [result for _, result, _, _ in log.said] == [None, None]
    assert capfd.readouterr().err == ""
    assert sys.get_asyncgen_hooks() == (None, None)
