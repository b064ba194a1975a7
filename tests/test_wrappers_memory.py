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
    """Return the clock for each of the two ways to time a generator."""
    return Clock() if request.param == "active" else None


class Boom(Exception):
    """An error that can have a weak reference."""


class Argument:
    """An argument that can have a weak reference."""


async def _afail(argument: Argument) -> None:
    raise Boom


def _fail(argument: Argument) -> None:
    raise Boom


def _gfail(argument: Argument) -> Iterator[int]:
    yield 1
    raise Boom


def _gthrow(argument: Argument) -> Generator[int, None, None]:
    yield 1


async def _agfail(argument: Argument) -> AsyncGenerator[int, None]:
    yield 1
    raise Boom


async def _agthrow(argument: Argument) -> AsyncGenerator[int, None]:
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
        (_fail, lambda decorated, it: decorated(it)),
        (_afail, lambda decorated, it: _stepped(decorated(it))),
        (_gfail, lambda decorated, it: list(decorated(it))),
        (_gthrow, lambda decorated, it: _throw(decorated(it))),
        (_agfail, lambda decorated, it: _stepped(collected(decorated(it)))),
        (_agthrow, lambda decorated, it: _stepped(_athrow(decorated(it)))),
    ],
    ids=lambda each: getattr(each, "__name__", "").lstrip("_"),
)
def test_failed_call_frees_its_objects(
    target: Any, use: Callable[[Any, Argument], Any], clock: Clock | None
) -> None:
    """After a failed call its error and arguments are freed without a collection."""
    timing = Timing()
    mode = "active" if clock else "total"
    decorated = timing.timer(args={"argument": id}, generator=mode)(target)
    argument = Argument()
    references = [weakref.ref(argument)]
    gc.collect()
    gc.disable()
    try:
        try:
            use(decorated, argument)
        except Boom as error:
            references.append(weakref.ref(error))
        del argument
        assert [ref() for ref in references] == [None, None]
    finally:
        gc.enable()
