from __future__ import annotations

import gc
import sysconfig
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator
from types import FunctionType
from typing import Any

import pytest

from tests.support.call_recorder import collected
from tests.support.decorators import DECORATORS
from tests.support.garbage_collector import no_collector
from tests.support.recorder import Recorder
from tests.support.timer_clock import Clock, Timing


@pytest.fixture(autouse=True, scope="module")
def few_objects() -> Iterator[None]:
    """Leave objects of other tests out of collections, which take 0.5 s with them."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(params=["total", "active"])
def clock(request: pytest.FixtureRequest) -> Clock | None:
    """Return the clock for each of the two ways to time a generator."""
    return Clock() if request.param == "active" else None


#: In a free-threaded 3.13 functions become immortal with the first thread.
IMMORTAL = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


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
    with no_collector():
        try:
            use(decorated, argument)
        except Boom as error:
            references.append(weakref.ref(error))
        del argument
        assert [ref() for ref in references] == [None, None]


def _yields(items: list[Any]) -> Generator[Any, Any, None]:
    while items:
        yield items.pop()


def _receives(items: list[Any]) -> Generator[Any, Any, None]:
    while True:
        items.append(weakref.ref((yield)))


async def _ayields(items: list[Any]) -> AsyncGenerator[Any, Any]:
    while items:
        yield items.pop()


async def _areceives(items: list[Any]) -> AsyncGenerator[Any, Any]:
    while True:
        items.append(weakref.ref((yield)))


@pytest.mark.parametrize("target", [_yields, _ayields])
def test_suspended_generator_does_not_keep_what_it_yielded(
    target: Any, clock: Clock | None
) -> None:
    """What a generator has yielded is freed when the caller drops it."""
    mode = "active" if clock else "total"
    items = Timing().timer(generator=mode)(target)([Argument(), Argument()])
    for _ in range(2):
        reference = weakref.ref(_next_of(items))
        assert reference() is None


@pytest.mark.parametrize("target", [_receives, _areceives])
def test_suspended_generator_does_not_keep_what_it_was_sent(
    target: Any, clock: Clock | None
) -> None:
    """What was sent to a generator is freed when the generator drops it."""
    mode = "active" if clock else "total"
    sent: list[weakref.ref[Argument]] = []
    items = Timing().timer(generator=mode)(target)(sent)
    _next_of(items)
    for _ in range(2):
        _next_of(items, Argument())
    assert [reference() for reference in sent] == [None, None]


def _next_of(items: Any, sent: Any = None) -> Any:
    if not hasattr(items, "asend"):
        return items.send(sent)
    try:
        items.asend(sent).send(None)
    except StopIteration as stop:
        return stop.value


@pytest.mark.parametrize("kind", DECORATORS)
@pytest.mark.parametrize("target", [_fail, _afail, _gfail, _agfail])
def test_decorated_function_is_freed(kind: str, target: Any) -> None:
    """A decorated function is freed with its last reference, without a collection."""
    decorate = DECORATORS[kind](Recorder().meter)
    for name in ("local", "Owner.method"):
        function: Any = FunctionType(target.__code__, globals(), name, (1,))
        function.__qualname__ = name
        decorated = decorate(function)
        references = [weakref.ref(decorated)]
        if not IMMORTAL:
            references.append(weakref.ref(function))
        with no_collector():
            del function, decorated
            assert not any(ref() for ref in references)
