from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from types import FunctionType
from typing import Any

import pytest

from tests.support.decorators import DECORATORS, Decorate
from tests.support.recorder import Recorder


@pytest.fixture(params=DECORATORS.values(), ids=DECORATORS)
def decorate(request: pytest.FixtureRequest, recorder: Recorder) -> Any:
    """Return a decorator, one of each kind."""
    return request.param(recorder.meter)


class Base:
    """What the classes below inherit."""

    def method(self, a: int) -> Any:
        return a

    async def coroutine(self, a: int) -> Any:
        return a

    def generator(self, a: int) -> Iterator[Any]:
        yield a

    async def agenerator(self, a: int) -> AsyncGenerator[Any, None]:
        yield a

    @classmethod
    def make(cls, a: int) -> Any:
        return a

    @property
    def value(self) -> Any:
        return 1


def made_anew(owner: type, bases: tuple[type, ...]) -> Any:
    """Return a new class with the attributes of *owner*, as attrs makes one with slots.

    super() gets the new class by the cells of the methods.
    """
    names = {name: it for name, it in vars(owner).items() if name not in ("__dict__", "__weakref__")}  # fmt: skip
    anew: Any = type(owner.__name__, bases, names)
    for member in names.values():
        function = getattr(member, "__func__", getattr(member, "fget", member))
        for cell in getattr(function, "__closure__", None) or ():
            if cell.cell_contents is owner:
                cell.cell_contents = anew
    return anew


def test_super_in_a_class_that_is_made_anew(decorate: Decorate) -> None:
    """super() works in the decorated methods of a class that attrs makes anew."""

    class Sub(Base):
        @decorate
        def method(self, a: int) -> Any:
            return "sub", super().method(a)

        @decorate
        async def coroutine(self, a: int) -> Any:
            return "sub", await super().coroutine(a)

        @decorate
        def generator(self, a: int) -> Iterator[Any]:
            yield from super().generator(a)

        @decorate
        async def agenerator(self, a: int) -> AsyncGenerator[Any, None]:
            async for item in super().agenerator(a):
                yield item

        @classmethod
        @decorate
        def make(cls, a: int) -> Any:
            return "sub", super().make(a)

        @property
        @decorate
        def value(self) -> Any:
            return "sub", super().value

    it = made_anew(Sub, (Base,))()
    with pytest.raises(StopIteration, match="'sub', 1"):
        it.coroutine(1).send(None)
    with pytest.raises(StopIteration, match="1"):
        it.agenerator(1).asend(None).send(None)
    assert it.method(1) == it.make(1) == it.value == ("sub", 1)
    assert list(it.generator(1)) == [1]


def with_slots(define: Callable[[type], Any], decorate: Decorate) -> Any:
    """Return a class that *define* makes anew, whose decorated method uses super()."""

    @define
    class Sub(Base):
        number: int = 1

        @decorate
        def method(self, a: int) -> Any:
            return self.number, super().method(a)

    return Sub


def test_attrs(decorate: Decorate) -> None:
    """super() works in the decorated methods of an attrs class, which has slots."""
    attrs = pytest.importorskip("attrs")
    assert with_slots(attrs.define, decorate)().method(2) == (1, 2)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="as without the decorator")
def test_dataclass_with_slots(decorate: Decorate) -> None:
    """super() works in the decorated methods of a data class with slots."""
    define = dataclasses.dataclass(slots=True)
    assert with_slots(define, decorate)().method(2) == (1, 2)


def test_same_object_in_a_class(decorate: Decorate) -> None:
    """A decorated function in the body of a class is what the class has by its name."""

    def plain(self: Any, a: int) -> int:
        return a

    outside = decorate(plain)
    objects: list[Any] = []

    class Owner:
        inside = outside

        @decorate
        def method(self, a: int) -> int:
            return a

        @decorate
        def generator(self, a: int) -> Iterator[int]:
            yield a

        alias = method
        objects.extend([inside, method, generator])

    assert objects == [Owner.inside, Owner.method, Owner.generator]
    assert Owner.inside is outside
    assert Owner.method is Owner.alias is vars(Owner)["method"] is objects[1]
    assert Owner.generator is vars(Owner)["generator"] is objects[2]
    assert Owner().inside(1) == Owner().method(1) == 1


def test_method_is_a_function(decorate: Decorate) -> None:
    """A decorated method is a function with the globals and the closure cell of its own."""

    class Owner:
        @decorate
        def method(self, a: int, *args: int, b: int = 1, **more: int) -> Any:
            return __class__  # type: ignore[name-defined]

        @decorate
        def without(self, a: int) -> int:
            return a

    assert type(Owner.method) is FunctionType
    assert Owner.method.__globals__ is globals()
    assert "__class__" in Owner.method.__code__.co_freevars
    assert "__class__" not in Owner.without.__code__.co_freevars
    assert Owner().method(1) is Owner


def test_method_named_class(decorate: Decorate) -> None:
    """A method may be called __class__, and an object with such a method be decorated."""

    class Owner:
        @decorate
        def __class__(self) -> str:  # type: ignore[override]
            return "method"

        def __call__(self, a: int) -> int:
            return a

    it: Any = Owner()
    assert it.__class__() == "method"
    assert decorate(it)(1) == 1


def test_special_methods_and_their_names(decorate: Decorate) -> None:
    """Special methods work if they were functions of any name, decorated outside."""

    @decorate
    def make(cls: Any, a: int) -> Any:
        return object.__new__(cls)

    @decorate
    def length(self: Any) -> int:
        return 3

    subclasses: list[type] = []

    @decorate
    def register(cls: Any) -> None:
        subclasses.append(cls)

    class Owner:
        __new__ = make
        __len__ = length
        __init_subclass__ = register

    class Child(Owner):
        pass

    assert len(Child(1)) == 3  # type: ignore[call-arg]
    assert subclasses == [Child]


def test_class_and_static_methods_keep_their_attributes(decorate: Decorate) -> None:
    """A decorated class method keeps what other decorators have set on it."""

    class Owner:
        @classmethod
        def make(cls, a: int) -> int:
            return a

        make.__dict__["mark"] = 1
        make = decorate(make)

    assert vars(Owner)["make"].__dict__["mark"] == 1
    assert Owner.make(2) == 2


def test_functools_in_a_class(decorate: Decorate) -> None:
    """cached_property, partialmethod and total_ordering accept decorated methods."""

    @functools.total_ordering
    class Owner:
        @functools.cached_property
        @decorate
        def cached(self) -> Any:
            return object()

        @decorate
        def method(self, a: int, b: int = 2) -> tuple[int, int]:
            return a, b

        one = functools.partialmethod(method, 1)

        @decorate
        def __lt__(self, a: object) -> bool:
            return False

        @decorate
        def __eq__(self, a: object) -> bool:
            return True

        __hash__ = object.__hash__

    it = Owner()
    assert it.cached is it.cached
    assert it.one(b=3) == (1, 3)
    assert it >= Owner()
