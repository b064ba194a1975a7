from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
from collections.abc import Iterator
from typing import Any

import pytest
import wrapt
from wrapt.wrappers import ObjectProxy as PythonProxy

from tests.support.decorators import DECORATORS, Decorate
from tests.support.recorder import Recorder
from tests.support.timer_clock import Timing


@pytest.fixture(params=DECORATORS.values(), ids=DECORATORS)
def decorate(request: pytest.FixtureRequest, recorder: Recorder) -> Any:
    """Return a decorator, one of each kind."""
    return request.param(recorder.meter)


#: Without it __wrapped__ is always what the decorator has wrapped.
HAS_EXTENSION = not issubclass(wrapt.ObjectProxy, PythonProxy)

KINDS = [
    inspect.isfunction,
    inspect.iscoroutinefunction,
    asyncio.iscoroutinefunction,
    inspect.isgeneratorfunction,
    inspect.isasyncgenfunction,
    inspect.isroutine,
    inspect.ismethod,
    callable,
]


def sync(a: int = 1, **more: Any) -> Any:
    """Be a function."""
    return a


async def coroutine(a: int = 1, **more: Any) -> Any:
    """Be a coroutine function."""
    return a


def generator(a: int = 1, **more: Any) -> Iterator[Any]:
    """Be a generator function."""
    yield a


async def async_generator(a: int = 1, **more: Any) -> Any:
    """Be an asynchronous generator function."""
    yield a


FUNCTIONS = [sync, coroutine, generator, async_generator]


@pytest.mark.parametrize("inner", FUNCTIONS)
@pytest.mark.parametrize("outer", FUNCTIONS)
@pytest.mark.filterwarnings("ignore:.*asyncio.iscoroutinefunction:DeprecationWarning")
def test_wraps_above_keeps_the_kind(decorate: Decorate, outer: Any, inner: Any) -> None:
    """A decorated wrapper is of its own kind, whatever function it wraps."""

    def copy_of(function: Any) -> Any:
        return type(sync)(function.__code__, globals(), "wrapper", (1,))

    plain = functools.wraps(inner)(copy_of(outer))
    decorated = functools.wraps(inner)(decorate(copy_of(outer)))
    below = decorate(functools.wraps(inner)(copy_of(outer)))
    for each in (decorated, below):
        for kind in KINDS:
            assert kind(each) == kind(plain), kind
        assert inspect.signature(each) == inspect.signature(inner)
        assert inspect.unwrap(each) is inner
        assert (each.__name__, each.__doc__) == (inner.__name__, inner.__doc__)
        assert each.__code__ is plain.__code__
    assert decorated.__dict__ == plain.__dict__
    if HAS_EXTENSION:
        assert decorated.__wrapped__ is inner


def test_async_wrapper_of_a_function_runs(decorate: Decorate) -> None:
    """A decorated coroutine function that wraps a function is awaited, and the reverse."""

    def in_thread(function: Any) -> Any:
        @functools.wraps(function)
        @decorate
        async def wrapper(*args: Any) -> Any:
            return await asyncio.to_thread(function, *args)

        return wrapper

    def run(function: Any) -> Any:
        @functools.wraps(function)
        @decorate
        def wrapper(*args: Any) -> Any:
            return asyncio.run(function(*args))

        return wrapper

    assert asyncio.run(in_thread(sync)(3)) == 3
    assert run(coroutine)(3) == 3


def test_method_wrapped_by_wraps() -> None:
    """A wrapper of a decorated method has nothing of the decorator but __wrapped__."""
    timing = Timing()

    class Owner:
        @timing.timer()
        async def method(self) -> int:
            return 1

    @functools.wraps(Owner.method)
    def outer(self: Owner) -> str:
        return "outer"

    assert not inspect.iscoroutinefunction(outer)
    assert vars(outer) == {"__wrapped__": Owner.method}
    assert outer(Owner()) == "outer"
    assert timing.took() == {}


def test_update_wrapper_of_a_method() -> None:
    """functools.update_wrapper() on a decorated method changes what it shows, not what it does."""
    timing = Timing()

    class Owner:
        @timing.timer()
        def method(self) -> int:
            return 1

    functools.update_wrapper(Owner.method, coroutine)
    assert not inspect.iscoroutinefunction(Owner.method)
    assert Owner.method.__wrapped__ is coroutine  # type: ignore[attr-defined]
    assert Owner().method() == 1
    assert timing.took() == {"": [1, 0, 0]}


def test_wraps_above_a_context_manager() -> None:
    """A context manager whose __wrapped__ another decorator has set is timed itself."""
    timing = Timing()

    def other() -> str:
        """Be documented."""
        return "never called"

    @timing.timer()
    @functools.wraps(other)
    @contextlib.contextmanager
    def manager() -> Iterator[int]:
        timing.pass_(1)
        yield 1

    with manager() as entered:
        assert entered == 1
    assert (manager.__doc__, inspect.unwrap(manager)) == ("Be documented.", other)
    assert timing.took() == {"": [1, 1, 1]}


def test_attributes_cannot_be_set_where_they_could_not_before() -> None:
    """functools.wraps() above a decorated builtin function raises as it does without."""
    for builtin in ([].append, Timing().timer()([].append)):
        with pytest.raises(AttributeError):
            functools.wraps(sync)(builtin)


def test_class_decorated_again_after_wraps(recorder: Recorder) -> None:
    """A whole class skips a method that records into the same instrument below wraps()."""
    counted = recorder.meter.counter("c")

    class Owner:
        @functools.wraps(sync)
        @counted
        def method(self) -> int:
            return 1

        @functools.wraps(sync)
        @recorder.meter.timed("t")
        @counted
        def stacked(self) -> int:
            return 1

    counted(Owner)
    assert Owner().method() == Owner().stacked() == 1
    assert "c count,delta=2" in recorder.lines()


def test_decorator_above_a_decorated_wrapper(recorder: Recorder) -> None:
    """A decorator above functools.wraps() has what it decorates as its __wrapped__."""
    counted = recorder.meter.counter("c")
    middle = functools.wraps(sync)(counted(lambda a: a))
    top = counted(middle)
    assert top.__wrapped__ is middle
    assert inspect.unwrap(top) is sync
