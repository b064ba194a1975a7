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
from tests.support.call_recorder import CallLog, collected, logged
from tests.support.thread_load import in_threads
from tests.support.timer_clock import Timing


def test_function_that_returns() -> None:
    """A decorated function returns its result; the hook gets result and arguments."""
    decorated, log = logged(lambda a, b=0: a + b)
    assert decorated(1, b=2) == 3
    assert log.ended == [(1.0, 3, (1, 2), {})]


@pytest.mark.parametrize(
    "kind", [ValueError, KeyboardInterrupt, SystemExit, asyncio.CancelledError]
)
def test_function_that_fails(kind: type[BaseException]) -> None:
    """An error of a call is raised unchanged, and the hook gets it."""
    error = kind("x")

    def fails() -> None:
        raise error

    decorated, log = logged(fails)
    with pytest.raises(kind) as raised:
        decorated()
    assert raised.value is error
    assert error.__context__ is None
    assert error.__cause__ is None
    assert log.ended == [(1.0, kind, (), {})]


def test_wrong_arguments() -> None:
    """Wrong arguments raise the TypeError that the function raises, with its name."""

    def takes_one(one: int) -> None: ...

    decorated, _ = logged(takes_one)
    for call in (decorated, takes_one):
        with pytest.raises(TypeError, match=r"takes_one\(\) missing 1 required"):
            call()


def test_recursion() -> None:
    """The hook runs for each call of a recursive function, with a token of its own."""

    def down(n: int) -> int:
        return 0 if n == 0 else decorated(n - 1)  # type: ignore[no-any-return]

    decorated, log = logged(down)
    decorated(2)
    assert [(token, args) for token, _, args, _ in log.ended] == [
        (3.0, (0,)),
        (2.0, (1,)),
        (1.0, (2,)),
    ]


def test_hooks_are_switched_off() -> None:
    """While the switch is off, the hook does not run for any kind of callable."""

    def function() -> int:
        return 1

    async def coroutine() -> int:
        return 2

    def generator() -> Iterator[int]:
        yield 3

    async def agenerator() -> AsyncGenerator[int, None]:
        yield 4

    decorated, logs = zip(
        *(
            logged(each, recording=False)
            for each in (function, coroutine, generator, agenerator)
        ),
        strict=True,
    )
    assert decorated[0]() == 1
    assert asyncio.run(decorated[1]()) == 2
    assert list(decorated[2]()) == [3]
    assert asyncio.run(collected(decorated[3]())) == [4]
    assert [log.begun for log in logs] == [0, 0, 0, 0]


def test_coroutine_begins_with_its_first_step() -> None:
    """A coroutine begins with its first step, not with the call that creates it."""

    async def doubled(n: int) -> int:
        return 2 * n

    decorated, log = logged(doubled)
    waiting = decorated(2)
    assert inspect.iscoroutine(waiting)
    assert log.begun == 0
    assert asyncio.run(waiting) == 4
    assert log.ended == [(1.0, 4, (2,), {})]


def test_coroutine_that_is_cancelled() -> None:
    """Cancelling reaches the coroutine, and the hook gets it as a failure."""
    cleaned_up = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned_up.append(True)

    decorated, log = logged(waits)

    async def main() -> None:
        task = asyncio.create_task(decorated())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert cleaned_up == [True]
    assert log.ended == [(1.0, asyncio.CancelledError, (), {})]


async def unawaited() -> None:
    """Return."""


class Unawaited:
    async def __call__(self) -> None: ...


@pytest.mark.parametrize("target", [unawaited, Unawaited()], ids=["function", "object"])
def test_coroutine_that_is_not_awaited(target: Any) -> None:
    """The warning of the interpreter names the user's coroutine, once."""
    decorated, log = logged(target)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        decorated()
        gc.collect()
    assert len(caught) == 1
    name = getattr(target, "__qualname__", "Unawaited.__call__")
    assert f"{name!r} was never awaited" in str(caught[0].message)
    assert log.begun == 0


def test_interleaved_tasks(timing: Timing) -> None:
    """Tasks that interleave in one decorated coroutine are timed separately."""

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


def test_threads_share_a_decorator() -> None:
    """Threads in one decorated function get the tokens of their own calls."""
    log = CallLog()
    registry = Registry()
    registry.recording = True
    ends: list[tuple[float, Any]] = []
    log.begin = lambda: float(threading.get_ident())  # type: ignore[method-assign]
    log.end = lambda token, result, *_: ends.append((token, result))  # type: ignore[method-assign]
    all_inside = threading.Barrier(8)

    def work(depth: int) -> int:
        if depth:
            decorated(depth - 1)
        else:
            all_inside.wait(10)
        return threading.get_ident()

    decorated = decorate(work, lambda _: log, registry)
    in_threads(8, lambda _: decorated(5))
    assert len(ends) == 8 * 6
    assert all(token == result for token, result in ends)


def test_traceback_stays_readable() -> None:
    """A traceback has one more line for each decorator, and the same last line."""

    def fails() -> None:
        raise ValueError

    async def afails() -> None:
        raise ValueError

    for decorated in (logged(fails)[0], lambda: asyncio.run(logged(afails)[0]())):
        with pytest.raises(ValueError, match=r"^$") as raised:
            decorated()
        names = [each.name for each in traceback.extract_tb(raised.value.__traceback__)]
        assert names[-1] in ("fails", "afails")
        assert names.count("call") == 1
