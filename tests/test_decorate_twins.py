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
    """Return a decorator, one of each kind."""
    return request.param(recorder.meter)


def outcome(call: Callable[[], Any]) -> Any:
    """Return what *call* returns, or the attributes of the error that it raises."""
    try:
        return call()
    except BaseException as error:
        return type(error), error.args, repr(error.__cause__), repr(error.__context__)


def returns(a: Any, **more: Any) -> Any:
    """Return the arguments; raise *a* if it is an error."""
    if isinstance(a, BaseException):
        raise a
    return a, more


async def waits(a: Any, **more: Any) -> Any:
    """Return the arguments after a pause; raise *a* if it is an error."""
    await asyncio.sleep(0)
    return returns(a, **more)


def yields(a: Any, **more: Any) -> Iterator[Any]:
    """Yield the arguments; raise *a* if it is an error."""
    yield 1
    yield returns(a, **more)


async def ayields(a: Any, **more: Any) -> AsyncGenerator[Any, None]:
    """Yield the arguments after a pause; raise *a* if it is an error."""
    yield await waits(a, **more)


def as_object(function: Any) -> Any:
    """Return an object that calls *function* when it is called."""
    return type("Object", (), {"__call__": staticmethod(function)})()


RUNS: list[tuple[Any, Callable[[Any], Any]]] = [
    (returns, lambda returned: returned),
    (waits, asyncio.run),
    (yields, list),
    (ayields, lambda items: asyncio.run(collected(items))),
]
ARGUMENTS: list[Any] = [
    1,
    None,
    KeyError("k"),
    StopIteration(1),
    StopAsyncIteration(1),
    GeneratorExit(),
    asyncio.CancelledError("c"),
]
# Names that a wrapper may use for its own parameters and variables.
KEYWORDS = dict.fromkeys(["self", "args", "kwargs", "func", "wrapped", "instance", "clock"])  # fmt: skip


@pytest.mark.parametrize(("target", "run"), RUNS, ids=lambda it: getattr(it, "__name__", ""))  # fmt: skip
@pytest.mark.parametrize("form", [lambda it: it, functools.partial, as_object], ids=["function", "partial", "object"])  # fmt: skip
def test_behaves_as_its_twin(decorate: Decorate, target: Any, run: Any, form: Any) -> None:  # fmt: skip
    """A decorated callable has the results, errors, causes and contexts of its twin."""
    plain, decorated = form(target), decorate(form(target))
    for argument in ARGUMENTS:
        for more in ({}, KEYWORDS):
            result = outcome(lambda a=argument, more=more: run(decorated(a, **more)))
            assert result == outcome(
                lambda a=argument, more=more: run(plain(a, **more))
            )
    assert outcome(lambda: run(decorated())) == outcome(lambda: run(plain()))


@pytest.mark.parametrize(("target", "run"), RUNS, ids=lambda it: getattr(it, "__name__", ""))  # fmt: skip
@pytest.mark.parametrize("form", [lambda it: it, functools.partial], ids=["function", "partial"])  # fmt: skip
def test_looks_as_its_twin(decorate: Decorate, target: Any, run: Any, form: Any) -> None:  # fmt: skip
    """A decorated callable is equal to its twin, and looks the same to inspect."""
    plain = form(target)
    decorated = decorate(plain)
    for examine in (
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
        assert examine(decorated) == examine(plain), examine
    assert decorated == plain
    assert isinstance(decorated, type(plain))


def test_context_managers_below(decorate: Decorate) -> None:
    """A decorated context manager enters, catches and decorates as its twin."""
    _compare_managers(
        lambda of: decorate(contextlib.contextmanager(of)),
        lambda of: decorate(contextlib.asynccontextmanager(of)),
    )


def test_context_managers_above(decorate: Decorate) -> None:
    """A context manager of a decorated generator function behaves as its twin."""
    _compare_managers(
        lambda of: contextlib.contextmanager(decorate(of)),
        lambda of: contextlib.asynccontextmanager(decorate(of)),
    )


def _compare_managers(manager: Decorate, amanager: Decorate) -> None:
    events: list[Any] = []

    def catches(a: int) -> Iterator[int]:
        """Log what happens."""
        try:
            yield a
        except KeyError as error:
            events.append(error.args)
        finally:
            events.append("left")

    async def acatches(a: int) -> AsyncGenerator[int, None]:
        for item in catches(a):
            try:
                yield item
            except KeyError as error:
                events.append(error.args)

    def use(manager: Decorate, amanager: Decorate) -> list[Any]:
        events.clear()
        decorated, adecorated = manager(catches), amanager(acatches)
        events.append(
            (decorated.__name__, decorated.__doc__, str(inspect.signature(decorated)))
        )
        events.append(inspect.isgeneratorfunction(decorated))
        events.append(decorated(1)(lambda: "inside")())
        for error in (None, KeyError("k"), ValueError("v"), StopIteration("s"), RuntimeError("r")):  # fmt: skip
            events.append(outcome(lambda error=error: _within(decorated(1), error)))
            events.append(outcome(lambda error=error: asyncio.run(_awithin(adecorated(1), error))))  # fmt: skip
        return events.copy()

    plain = use(contextlib.contextmanager, contextlib.asynccontextmanager)
    assert use(manager, amanager) == plain


def _within(manager: Any, error: BaseException | None) -> Any:
    with manager as entered:
        if error:
            raise error
    return entered


async def _awithin(manager: Any, error: BaseException | None) -> Any:
    async with manager as entered:
        if error:
            raise error
    return entered


def test_dispatch_and_caches(decorate: Decorate) -> None:
    """Generic functions and caches work above and below a decorator."""

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
    """Bound decorated methods are equal, have equal hashes, and allow WeakMethod."""
    it = Methods()
    for name in ("function", "coroutine", "generator", "agenerator"):
        bound = getattr(it, name)
        assert bound == getattr(it, name)
        assert bound != getattr(Methods(), name)
        assert hash(bound) == hash(getattr(it, name))
        assert weakref.WeakMethod(bound)() == bound


def test_spawned_process() -> None:
    """A spawned process receives decorated functions and methods by their names."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(function, (1,), {"b": "x"}) == {"x": 1}
        _, *rest = pool.apply(Methods().function, (1,))
        assert rest == [1, 2]
        pool.close()
        pool.join()
