from __future__ import annotations

import asyncio
import gc
import inspect
import threading
import traceback
import warnings
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest

from dtmetrics._decorate.decorate import decorate
from dtmetrics._record.registry import Registry
from tests.support.call_recorder import Log, around, collected
from tests.support.timer_clock import Timing


def test_function_returns_and_is_told() -> None:
    """A call gives what it gave, and its measure gets result and arguments."""
    made, log = around(lambda a, b=0: a + b)
    assert made(1, b=2) == 3
    assert log.said == [(1.0, 3, (1,), {"b": 2})]


@pytest.mark.parametrize(
    "kind", [ValueError, KeyboardInterrupt, SystemExit, asyncio.CancelledError]
)
def test_function_that_fails(kind: type[BaseException]) -> None:
    """Whatever a call raises comes through as it is, and is told."""
    error = kind("x")

    def fails() -> None:
        raise error

    made, log = around(fails)
    with pytest.raises(kind) as raised:
        made()
    assert raised.value is error
    assert error.__context__ is None
    assert error.__cause__ is None
    assert log.said == [(1.0, kind, (), {})]


def test_wrong_arguments() -> None:
    """Wrong arguments are a TypeError that names the function, as before."""

    def takes_one(one: int) -> None: ...

    made, _ = around(takes_one)
    for call in (made, takes_one):
        with pytest.raises(TypeError, match=r"takes_one\(\) missing 1 required"):
            call()


def test_recursion_measures_each_call() -> None:
    """A call inside a call is another call."""

    def down(n: int) -> int:
        return 0 if n == 0 else made(n - 1)  # type: ignore[no-any-return]

    made, log = around(down)
    made(2)
    assert [(token, args) for token, _, args, _ in log.said] == [
        (3.0, (0,)),
        (2.0, (1,)),
        (1.0, (2,)),
    ]


def test_off_calls_go_straight_through() -> None:
    """Without recording no measure is asked, for no kind of callable."""

    def function() -> int:
        return 1

    async def coroutine() -> int:
        return 2

    def generator() -> Iterator[int]:
        yield 3

    async def agenerator() -> AsyncGenerator[int, None]:
        yield 4

    made, logs = zip(
        *(
            around(each, recording=False)
            for each in (function, coroutine, generator, agenerator)
        ),
        strict=True,
    )
    assert made[0]() == 1
    assert asyncio.run(made[1]()) == 2
    assert list(made[2]()) == [3]
    assert asyncio.run(collected(made[3]())) == [4]
    assert [log.begun for log in logs] == [0, 0, 0, 0]


def test_coroutine_is_measured_while_it_runs() -> None:
    """A coroutine begins with its first step, not with the call that makes it."""

    async def doubled(n: int) -> int:
        return 2 * n

    made, log = around(doubled)
    waiting = made(2)
    assert inspect.iscoroutine(waiting)
    assert log.begun == 0
    assert asyncio.run(waiting) == 4
    assert log.said == [(1.0, 4, (2,), {})]


def test_coroutine_that_is_cancelled() -> None:
    """Cancelling goes through to the coroutine, and is told like a failure."""
    cleaned = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)

    made, log = around(waits)

    async def main() -> None:
        task = asyncio.create_task(made())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert cleaned == [True]
    assert log.said == [(1.0, asyncio.CancelledError, (), {})]


async def forgotten() -> None:
    """Be called, and not awaited."""


class Forgotten:
    async def __call__(self) -> None: ...


@pytest.mark.parametrize("target", [forgotten, Forgotten()], ids=["function", "object"])
def test_coroutine_that_is_not_awaited(target: Any) -> None:
    """The interpreter's warning names what the user wrote, once."""
    made, log = around(target)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made()
        gc.collect()
    assert len(caught) == 1
    name = getattr(target, "__qualname__", "Forgotten.__call__")
    assert f"{name!r} was never awaited" in str(caught[0].message)
    assert log.begun == 0


def test_interleaved_tasks(timing: Timing) -> None:
    """Tasks that take turns in one decorated coroutine are timed each by itself."""

    @timing.timer()
    async def work(gate: asyncio.Event) -> None:
        await gate.wait()

    async def main() -> None:
        first, second = asyncio.Event(), asyncio.Event()
        one = asyncio.create_task(work(first))
        await asyncio.sleep(0)
        timing.pass_(1)
        two = asyncio.create_task(work(second))
        await asyncio.sleep(0)
        timing.pass_(1)
        first.set()
        await one
        timing.pass_(4)
        second.set()
        await two

    asyncio.run(main())
    assert timing.took() == {"": [2, 2, 5]}


@pytest.mark.parametrize("workers", [8])
def test_threads_share_a_decorator(workers: int) -> None:
    """Threads inside one decorated function do not disturb one another."""
    log = Log()
    registry = Registry()
    registry.recording = True
    ends: list[tuple[float, Any]] = []
    log.begin = lambda: float(threading.get_ident())  # type: ignore[method-assign]
    log.end = lambda token, result, *_: ends.append((token, result))  # type: ignore[method-assign]
    together = threading.Barrier(workers)

    def work(depth: int) -> int:
        if depth:
            made(depth - 1)
        else:
            together.wait(10)
        return threading.get_ident()

    made = decorate(work, lambda _: log, registry)
    threads = [threading.Thread(target=made, args=(5,)) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(ends) == workers * 6
    assert all(token == result for token, result in ends)


def test_traceback_stays_readable() -> None:
    """A traceback gains one line for each decorator, and ends where it ended."""

    def fails() -> None:
        raise ValueError

    async def afails() -> None:
        raise ValueError

    for made in (around(fails)[0], lambda: asyncio.run(around(afails)[0]())):
        with pytest.raises(ValueError, match=r"^$") as raised:
            made()
        names = [each.name for each in traceback.extract_tb(raised.value.__traceback__)]
        assert names[-1] in ("fails", "afails")
        assert names.count("call") == 1
