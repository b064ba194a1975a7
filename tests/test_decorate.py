from __future__ import annotations

import asyncio
import functools
import inspect
import sys
import unittest.mock
from collections.abc import Iterator
from typing import Any

import pytest
import wrapt

from dtmetrics._decorate.decorate import Ready
from dtmetrics._decorate.proxy import Decorated
from tests.support.call_recorder import logged
from tests.support.decorated_callables import (
    Methods,
    function,
    timed,
)
from tests.support.recorder import Recorder, level_of
from tests.support.script import expect
from tests.support.timer_clock import Timing


def test_ready_never_waits() -> None:
    """A Ready is awaited without the event loop, any number of times."""
    ready = Ready("value")

    async def twice() -> list[str]:
        return [await ready, await ready]

    with pytest.raises(StopIteration) as stop:
        twice().send(None)
    assert stop.value.value == ["value", "value"]
    assert asyncio.run(twice()) == ["value", "value"]


def test_not_callable() -> None:
    """Decorating something that is not callable raises a TypeError that names it."""
    with pytest.raises(TypeError, match="cannot decorate 3: it is not callable"):
        logged(3)


def test_first_decoration_loads_wrapt() -> None:
    """The first decoration loads wrapt (0.1 s); instruments and blocks do not."""
    loaded = expect(
        """
        import sys
        from dtmetrics import counter, timed
        handle = counter("jobs.run")
        with timed("block.duration"), handle:
            print("wrapt" in sys.modules)
        timed(len)
        print("wrapt" in sys.modules)
        """
    )
    assert loaded.split() == ["False", "True"]


def test_methods_are_bound() -> None:
    """Each kind of method gets its object or its class as its first argument."""
    it = Methods()
    assert it.function(1) == (it, 1, 2)
    assert asyncio.run(it.coroutine(1)) == (it, 1)  # type: ignore[arg-type]
    assert list(it.generator(1)) == [(it, 1)]
    assert asyncio.run(anext(it.agenerator(1))) == (it, 1)  # type: ignore[arg-type]
    for owner in (it, Methods):
        assert owner.above_class(1) == owner.below_class(1) == (Methods, 1)
        assert owner.above_static(1) == owner.below_static(1) == 1
    assert it.below_property is it.below_cached is it
    assert it.above_lru(1) == it.below_lru(1) == (it, 1)
    assert Methods.above_lru.cache_info().currsize == 1  # type: ignore[attr-defined]
    assert Methods.function(it, 1) == (it, 1, 2)
    assert list(Methods.generator(it, 1)) == [(it, 1)]


def test_method_is_bound_by_the_interpreter() -> None:
    """A decorated method is a plain function in its class, which makes calls fast."""
    assert type(vars(Methods)["function"]) is type(lambda: None)
    assert type(vars(Methods)["coroutine"]) is type(lambda: None)
    assert type(vars(Methods)["generator"]) is Decorated


def test_subclasses_and_super() -> None:
    """A decorated method can be inherited, overridden and called by super()."""

    class Child(Methods):
        def function(self, a: int, *, b: int = 5) -> tuple[Any, ...]:
            return "child", *super().function(a, b=b)

        @classmethod
        def below_class(cls, a: int) -> tuple[Any, ...]:
            return "child", *super().below_class(a)

        def generator(self, a: int) -> Iterator[Any]:
            yield "child"
            yield from super().generator(a)

    child = Child()
    assert child.function(1) == ("child", child, 1, 5)
    assert Child.below_class(1) == ("child", Child, 1)
    assert list(child.generator(1)) == ["child", (child, 1)]


@wrapt.decorator
def foreign(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    """Return the instance as well, as decorators of wrapt can."""
    return instance, wrapped(*args, **kwargs)


def test_with_other_decorators_of_wrapt() -> None:
    """Decorators of wrapt, above and below, get the instance they are bound to."""
    timing = Timing()

    class Both:
        @timing.timer("a")
        @foreign
        def below(self, a: int) -> int:
            return a

        @foreign
        @timing.timer("b")
        def above(self, a: int) -> int:
            return a

    it = Both()
    assert it.below(1) == it.above(1) == (it, 1)  # type: ignore[comparison-overlap]
    assert len(timing.recorder.payloads()) == 2


def test_callable_descriptors() -> None:
    """A callable descriptor keeps its own binding and learns its name."""

    class Descriptor:
        name = ""

        def __set_name__(self, owner: type, name: str) -> None:
            self.name = name

        def __get__(self, instance: Any, owner: type) -> Any:
            return self if instance is None else lambda a: (self.name, instance, a)

        def __call__(self, *args: Any) -> Any:
            return args

    class Value(Descriptor):
        def __get__(self, instance: Any, owner: type) -> Any:
            return 1

    class Owner:
        method = timed(Descriptor())
        value = timed(Value())
        plain = timed(len)
        bound = timed([1, 2].count)
        part = staticmethod(timed(functools.partial(int, "7")))

    it = Owner()
    assert it.method(3) == ("method", it, 3)
    assert Owner.method(3) == (3,)
    assert it.value == 1  # type: ignore[comparison-overlap]
    assert it.plain("ab") == 2
    assert it.bound(1) == 1
    assert it.part() == 7


def test_wrapping_a_decorated_function() -> None:
    """A decorated function below functools.wraps or in a partial is still timed."""
    timing = Timing()

    @timing.timer()
    def inner(a: int, b: int) -> int:
        return a - b

    @functools.wraps(inner)
    def outer(*args: Any) -> Any:
        return inner(*args)

    assert inspect.signature(outer) == inspect.signature(inner)
    assert outer.__name__ == "inner"
    assert outer(3, 1) == functools.partial(inner, 3)(1) == 2
    assert timing.took() == {"": [2, 0, 0]}


def test_stacked_decorators() -> None:
    """A timer, a counter and a gauge on one function each record each call."""
    recorder = Recorder()
    meter = recorder.meter

    class Stacked:
        @meter.timed("t")
        @meter.counter("c")
        @meter.gauge("g")
        def method(self, a: int) -> int:
            """Return the argument."""
            return a

        @meter.timed("t")
        @meter.counter("c")
        @meter.gauge("g")
        async def coroutine(self, a: int) -> int:
            return a

    @meter.timed("t")
    @meter.counter("c")
    @meter.gauge("g")
    def items(a: int) -> Iterator[int]:
        yield a

    assert Stacked().method(1) == 1
    assert asyncio.run(Stacked().coroutine(1)) == 1
    assert list(items(1)) == [1]
    assert str(inspect.signature(Stacked.method)) == "(self, a: 'int') -> 'int'"
    assert inspect.iscoroutinefunction(Stacked.coroutine)
    assert inspect.isgeneratorfunction(items)
    assert inspect.getdoc(Stacked.method) == "Return the argument."
    payloads = {key: payload for (key, _), payload in recorder.payloads().items()}
    assert payloads["t"].count == payloads["c"].delta == 3  # type: ignore[union-attr]
    assert level_of(payloads["g"]) == 0


def test_mocks() -> None:
    """A mock can patch a decorated function or method, and restores it."""
    before = vars(Methods)["function"], vars(Methods)["generator"], function
    here = sys.modules[__name__]
    with (
        unittest.mock.patch.object(Methods, "function", autospec=True) as method,
        unittest.mock.patch.object(Methods, "generator", return_value=[1]),
        unittest.mock.patch.object(here, "function", autospec=True) as patched,
    ):
        it = Methods()
        it.function(1, b=2)
        method.assert_called_once_with(it, 1, b=2)
        assert it.generator(1) == [1]
        here.function(1)
        patched.assert_called_once_with(1)
        with pytest.raises(TypeError):
            here.function()
    after = vars(Methods)["function"], vars(Methods)["generator"], here.function
    assert all(a is b for a, b in zip(before, after, strict=True))


def test_mock_as_a_target() -> None:
    """A mock, which has all attributes, can be decorated."""
    decorated = timed(unittest.mock.Mock(return_value=3))
    assert decorated() == 3
    awaited = timed(unittest.mock.AsyncMock(return_value=3))
    assert asyncio.run(awaited()) == 3
