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

from tests.support.call_recorder import logged
from tests.support.timer_clock import Clock, Timing


@pytest.fixture(params=["total", "active"])
def clock(request: pytest.FixtureRequest) -> Clock | None:
    """Return the clock for each of the two ways to time a generator."""
    return Clock() if request.param == "active" else None


def test_generator_ends() -> None:
    """The hook gets the end of a generator once: its return value or its error."""

    def two(fail: bool) -> Generator[int, None, str]:
        yield 1
        if fail:
            raise LookupError
        return "done"

    decorated, log = logged(two)
    assert list(decorated(fail=False)) == [1]
    with pytest.raises(LookupError):
        list(decorated(fail=True))
    assert [result for _, result, _, _ in log.ended] == ["done", LookupError]


def test_generator_never_started(clock: Clock | None) -> None:
    """The hook does not run for a generator that never took a step."""

    def items() -> Iterator[int]:
        yield 1

    async def aitems() -> AsyncGenerator[int, None]:
        yield 1

    decorated, log = logged(items, clock=clock)
    decorated().close()
    decorated()
    adecorated, alog = logged(aitems, clock=clock)
    asyncio.run(adecorated().aclose())
    adecorated()
    gc.collect()
    assert log.begun == alog.begun == 0


def test_generator_that_is_not_exhausted(clock: Clock | None) -> None:
    """A generator that is closed or deleted before its end has not failed."""

    def items() -> Iterator[int]:
        yield 1
        yield 2

    decorated, log = logged(items, clock=clock)
    closed = decorated()
    next(closed)
    closed.close()
    next(decorated())
    gc.collect()
    assert [result for _, result, _, _ in log.ended] == [None, None]


def test_generator_times(timing: Timing) -> None:
    """Total time is from the first to the last step; active time leaves pauses out."""

    def items() -> Iterator[int]:
        timing.pass_(1)
        yield 1
        timing.pass_(2)

    for mode in ("total", "active"):
        for _ in timing.timer(generator=mode)(items)():
            timing.pass_(10)
        assert timing.took() == {"": [1, 13, 13] if mode == "total" else [1, 3, 3]}


def test_active_time_of_a_generator_that_is_closed(timing: Timing) -> None:
    """Active time leaves out the pauses before a throw and before a close."""

    def items() -> Iterator[int]:
        try:
            timing.pass_(1)
            yield 1
        except LookupError:
            timing.pass_(2)
            yield 2
        finally:
            timing.pass_(4)

    generator = timing.timer(generator="active")(items)()
    next(generator)
    timing.pass_(10)
    generator.throw(LookupError)  # type: ignore[attr-defined]
    timing.pass_(10)
    generator.close()  # type: ignore[attr-defined]
    assert timing.took() == {"": [1, 7, 7]}


def test_async_generator_times(timing: Timing) -> None:
    """Total and active time of an asynchronous generator are as of a plain one."""

    async def items() -> AsyncGenerator[int, None]:
        timing.pass_(1)
        yield 1
        timing.pass_(2)

    async def consume(decorated: Callable[[], AsyncGenerator[int, None]]) -> None:
        async for _ in decorated():
            timing.pass_(10)

    for mode in ("total", "active"):
        asyncio.run(consume(timing.timer(generator=mode)(items)))
        assert timing.took() == {"": [1, 13, 13] if mode == "total" else [1, 3, 3]}


def test_generators_interleaved_between_threads(timing: Timing) -> None:
    """Generators of one function can be advanced in turn, each by any thread."""

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
    """A generator of a decorated function has the name of the function."""

    def items() -> Iterator[int]:
        yield 1

    async def aitems() -> AsyncGenerator[int, None]:
        yield 1

    decorated = logged(items, clock=clock)[0]()
    adecorated = logged(aitems, clock=clock)[0]()
    assert (decorated.__name__, decorated.__qualname__) == (
        items.__name__,
        items.__qualname__,
    )
    assert adecorated.__qualname__ == aitems.__qualname__
    assert isinstance(decorated, types.GeneratorType)
    assert inspect.isasyncgen(adecorated)


def test_generator_based_coroutine(clock: Clock | None) -> None:
    """A generator can be awaited if ``types.coroutine`` made it so, and only then."""

    @types.coroutine
    def waits(n: int) -> Generator[None, None, int]:
        yield
        return n

    def items() -> Iterator[None]:
        yield

    decorated, log = logged(waits, clock=clock)

    async def main() -> int:
        return await decorated(3)  # type: ignore[no-any-return]

    assert asyncio.run(main()) == 3
    assert log.ended == [(1.0, 3, (3,), {})]
    assert inspect.isawaitable(decorated(1))
    assert not inspect.isawaitable(logged(items, clock=clock)[0]())


def test_async_generator_closed_by_the_event_loop(
    clock: Clock | None, capfd: pytest.CaptureFixture[str]
) -> None:
    """The event loop closes an open asynchronous generator without a warning."""
    cleaned_up = []

    async def items() -> AsyncGenerator[int, None]:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            cleaned_up.append(True)

    decorated, log = logged(items, clock=clock)
    references = []

    async def main(keep: bool) -> None:
        generator = decorated()
        async for _ in generator:
            break
        if keep:
            references.append(generator)
        del generator
        for _ in range(5):
            await asyncio.sleep(0)

    asyncio.run(main(keep=True))
    asyncio.run(main(keep=False))
    assert cleaned_up == [True, True]
    assert [result for _, result, _, _ in log.ended] == [None, None]
    assert capfd.readouterr().err == ""
    assert sys.get_asyncgen_hooks() == (None, None)
