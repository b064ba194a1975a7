from __future__ import annotations

import gc
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator
from typing import Any

import pytest

from tests.support.call_recorder import collected
from tests.support.timer_clock import Clock, Timing


@pytest.fixture(params=["total", "active"])
def clock(request: pytest.FixtureRequest) -> Clock | None:
    """Both ways to time a generator."""
    return Clock() if request.param == "active" else None


class Boom(Exception):
    """An error that can be watched."""


class Argument:
    """A thing that can be watched."""


async def _afail(argument: Argument) -> None:
    raise Boom


def _fail(argument: Argument) -> None:
    raise Boom


def _gfail(argument: Argument) -> Iterator[int]:
    yield 1
    raise Boom


def _gthrown(argument: Argument) -> Generator[int, None, None]:
    yield 1


async def _agfail(argument: Argument) -> AsyncGenerator[int, None]:
    yield 1
    raise Boom


async def _agthrown(argument: Argument) -> AsyncGenerator[int, None]:
    yield 1


async def _athrow(items: AsyncGenerator[int, None]) -> None:
    await items.__anext__()
    await items.athrow(Boom())


def _throw(items: Generator[int, None, None]) -> None:
    next(items)
    items.throw(Boom())


def _stepped(waiting: Coroutine[Any, Any, Any]) -> None:
    # Not in an event loop, which makes cycles of its own.
    waiting.send(None)


@pytest.mark.parametrize(
    ("target", "use"),
    [
        (_fail, lambda made, it: made(it)),
        (_afail, lambda made, it: _stepped(made(it))),
        (_gfail, lambda made, it: list(made(it))),
        (_gthrown, lambda made, it: _throw(made(it))),
        (_agfail, lambda made, it: _stepped(collected(made(it)))),
        (_agthrown, lambda made, it: _stepped(_athrow(made(it)))),
    ],
    ids=lambda each: getattr(each, "__name__", "").lstrip("_"),
)
def test_nothing_is_kept_alive(
    target: Any, use: Callable[[Any, Argument], Any], clock: Clock | None
) -> None:
    """After a failed call neither error nor arguments wait for the garbage collector."""
    timing = Timing()
    mode = "active" if clock else "total"
    made = timing.timer(args={"argument": id}, generator=mode)(target)
    argument = Argument()
    watched = [weakref.ref(argument)]
    gc.collect()
    gc.disable()
    try:
        try:
            use(made, argument)
        except Boom as error:
            watched.append(weakref.ref(error))
        del argument
        assert [ref() for ref in watched] == [None, None]
    finally:
        gc.enable()
