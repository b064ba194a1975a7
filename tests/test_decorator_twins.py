from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import multiprocessing
import weakref
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

import pytest

from tests.support.call_recorder import collected
from tests.support.decorated_callables import Methods, function
from tests.support.recorder import Recorder

Decorate = Callable[[Any], Any]

DECORATORS: dict[str, Callable[[Any], Decorate]] = {
    "timed": lambda meter: meter.timed,
    "timed with a name": lambda meter: meter.timed("t"),
    "timed with options": lambda meter: meter.timed("t", args=("a",), generator="active"),
    "counter": lambda meter: meter.counter("c"),
    "gauge": lambda meter: meter.gauge("g"),
    "two timers": lambda meter: lambda it: meter.timed("t")(meter.timed("u")(it)),
}  # fmt: skip


@pytest.fixture(params=DECORATORS.values(), ids=DECORATORS)
def decorate(request: pytest.FixtureRequest, recorder: Recorder) -> Any:
    """Return a decorator of each kind."""
    return request.param(recorder.meter)


def outcome(call: Callable[[], Any]) -> Any:
    """Return what *call* gives, or all that can be seen of what it raises."""
    try:
        return call()
    except BaseException as error:
        return type(error), error.args, repr(error.__cause__), repr(error.__context__)


def plain(a: Any, **more: Any) -> Any:
    """Return the arguments, or raise the one that is an error."""
    if isinstance(a, BaseException):
        raise a
    return a, more


async def waits(a: Any, **more: Any) -> Any:
    """Do so in time."""
    await asyncio.sleep(0)
    return plain(a, **more)


def yields(a: Any, **more: Any) -> Iterator[Any]:
    """Do so as an item."""
    yield 1
    yield plain(a, **more)


async def ayields(a: Any, **more: Any) -> AsyncGenerator[Any, None]:
    """Do so as an item, in time."""
    yield await waits(a, **more)


def as_object(called: Any) -> Any:
    """Return an object that is called as *called* is."""
    return type("Object", (), {"__call__": staticmethod(called)})()


RUNS: list[tuple[Any, Callable[[Any], Any]]] = [
    (plain, lambda given: given),
    (waits, asyncio.run),
    (yields, list),
    (ayields, lambda given: asyncio.run(collected(given))),
]
GIVEN: list[Any] = [
    1,
    None,
    KeyError("k"),
    StopIteration(1),
    StopAsyncIteration(1),
    GeneratorExit(),
    asyncio.CancelledError("c"),
]
# What a wrapper may call its own parameters and variables.
NAMES = dict.fromkeys(["self", "args", "kwargs", "func", "wrapped", "instance", "clock"])  # fmt: skip


@pytest.mark.parametrize(("target", "run"), RUNS, ids=lambda it: getattr(it, "__name__", ""))  # fmt: skip
@pytest.mark.parametrize("made_of", [lambda it: it, functools.partial, as_object], ids=["function", "partial", "object"])  # fmt: skip
def test_behaves_as_its_twin(decorate: Decorate, target: Any, run: Any, made_of: Any) -> None:  # fmt: skip
    """Decorated or not: the same results, errors, causes and contexts."""
    bare, made = made_of(target), decorate(made_of(target))
    for given in GIVEN:
        for more in ({}, NAMES):
            ours = outcome(lambda a=given, more=more: run(made(a, **more)))
            assert ours == outcome(lambda a=given, more=more: run(bare(a, **more)))
    assert outcome(lambda: run(made())) == outcome(lambda: run(bare()))


@pytest.mark.parametrize(("target", "run"), RUNS, ids=lambda it: getattr(it, "__name__", ""))  # fmt: skip
@pytest.mark.parametrize("made_of", [lambda it: it, functools.partial], ids=["function", "partial"])  # fmt: skip
def test_looks_as_its_twin(decorate: Decorate, target: Any, run: Any, made_of: Any) -> None:  # fmt: skip
    """Decorated or not: the same answers of inspect, the same hash, and equal."""
    bare = made_of(target)
    made = decorate(bare)
    for question in (
        inspect.signature,
        inspect.iscoroutinefunction,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
        inspect.isfunction,
        inspect.isbuiltin,
        inspect.isclass,
        inspect.getdoc,
        callable,
        hash,
        bool,
    ):
        assert question(made) == question(bare), question
    assert made == bare
    assert isinstance(made, type(bare))


def test_context_managers_below(decorate: Decorate) -> None:
    """A decorated context manager enters, catches and is a decorator as before."""
    _compare_managers(
        lambda of: decorate(contextlib.contextmanager(of)),
        lambda of: decorate(contextlib.asynccontextmanager(of)),
    )


def test_context_managers_above(decorate: Decorate) -> None:
    """So does one made of a decorated generator."""
    _compare_managers(
        lambda of: contextlib.contextmanager(decorate(of)),
        lambda of: contextlib.asynccontextmanager(decorate(of)),
    )


def _compare_managers(manager: Decorate, amanager: Decorate) -> None:
    said: list[Any] = []

    def catches(a: int) -> Iterator[int]:
        """Say what happens."""
        try:
            yield a
        except KeyError as error:
            said.append(error.args)
        finally:
            said.append("left")

    async def acatches(a: int) -> AsyncGenerator[int, None]:
        for item in catches(a):
            try:
                yield item
            except KeyError as error:
                said.append(error.args)

    def use(manager: Decorate, amanager: Decorate) -> list[Any]:
        said.clear()
        made, amade = manager(catches), amanager(acatches)
        said.append((made.__name__, made.__doc__, str(inspect.signature(made))))
        said.append(inspect.isgeneratorfunction(made))
        said.append(made(1)(lambda: "inside")())
        for error in (None, KeyError("k"), ValueError("v"), StopIteration("s"), RuntimeError("r")):  # fmt: skip
            said.append(outcome(lambda error=error: _within(made(1), error)))
            said.append(outcome(lambda error=error: asyncio.run(_awithin(amade(1), error))))  # fmt: skip
        return said.copy()

    bare = use(contextlib.contextmanager, contextlib.asynccontextmanager)
    assert use(manager, amanager) == bare


def _within(manager: Any, error: BaseException | None) -> Any:
    with manager as given:
        if error:
            raise error
    return given


async def _awithin(manager: Any, error: BaseException | None) -> Any:
    async with manager as given:
        if error:
            raise error
    return given


def test_dispatch_and_caches(decorate: Decorate) -> None:
    """Generic functions and caches stand above and below."""

    @functools.singledispatch
    @decorate
    def above(it: Any) -> str:
        return "object"

    below = decorate(functools.singledispatch(lambda it: "object"))
    for generic in (above, below):
        generic.register(int)(decorate(lambda it: "int"))
        assert (generic("a"), generic(1)) == ("object", "int")
    for cached in (functools.cache(decorate(str)), decorate(functools.cache(hex))):
        assert cached(1) == cached(1)
        assert cached.cache_info().hits == 1


def test_weak_methods() -> None:
    """A bound method equals itself, has its hash, and can be referred to weakly."""
    it = Methods()
    for name in ("function", "coroutine", "generator", "agenerator"):
        bound = getattr(it, name)
        assert bound == getattr(it, name)
        assert bound != getattr(Methods(), name)
        assert hash(bound) == hash(getattr(it, name))
        assert weakref.WeakMethod(bound)() == bound


def test_spawned_process() -> None:
    """A process that starts anew gets decorated functions and methods by name."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(function, (1,), {"b": "x"}) == {"x": 1}
        _, *rest = pool.apply(Methods().function, (1,))
        assert rest == [1, 2]
        pool.close()
        pool.join()
