from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.decorated_callables import timed
from tests.support.recorder import Recorder


def test_implied_static_and_class_methods() -> None:
    """Decorated functions that are static or class methods by their names still are."""
    subclasses = []

    class Base:
        @timed
        def __new__(cls, number: int = 1) -> Any:
            self = super().__new__(cls)
            self.number = number  # type: ignore[attr-defined]
            return self

        @timed
        def __init_subclass__(cls, **options: Any) -> None:
            super().__init_subclass__()
            subclasses.append((cls.__name__, options))

        @timed
        def __class_getitem__(cls, item: Any) -> Any:
            return cls.__name__, item

    class Child(Base, mark=1):
        def __new__(cls, number: int = 2) -> Any:
            return super().__new__(cls, number + 1)

    assert subclasses == [("Child", {"mark": 1})]
    assert (Base[int], Child[3]) == (("Base", int), ("Child", 3))  # type: ignore[misc]
    assert (Base(5).number, Child().number) == (5, 3)
    assert copy.copy(Base(7)).number == 7
    assert Base().__new__(Base).number == 1
    assert type(vars(Base)["__new__"]) is staticmethod


def test_special_methods(recorder: Recorder) -> None:
    """Special methods, which the interpreter looks up in the class, can be decorated."""
    counted = recorder.meter.counter("c")

    class Special:
        @counted
        def __init__(self, number: int) -> None:
            self.number = number

        @counted
        def __call__(self, more: int) -> int:
            return self.number + more

        @counted
        def __eq__(self, other: object) -> bool:
            return bool(self.number == other.number)

        @counted
        def __hash__(self) -> int:
            return hash(self.number)

        @counted
        def __iter__(self) -> Iterator[int]:
            yield self.number

        @counted
        def __exit__(self, *_: object) -> bool:
            return True

        def __enter__(self) -> None: ...

    one = Special(1)
    assert (one(1), one == Special(1), hash(one)) == (2, True, 1)
    assert list(one) == [1]
    with one:
        raise LookupError
    [point] = recorder.points()
    # Two instances were made; each of the five other methods was called once.
    assert point.payload[0] == 2 + 5


def test_slots_and_attributes_of_an_instance() -> None:
    """A class with __slots__ can have decorated methods; an instance can shadow one."""

    class Slots:
        __slots__ = ("number",)

        def __init__(self) -> None:
            self.number = 1

        @timed
        def method(self) -> int:
            return self.number

        @timed
        def items(self) -> Iterator[int]:
            yield self.number

    class Open(Slots):
        pass

    assert (Slots().method(), list(Slots().items())) == (1, [1])
    with pytest.raises(AttributeError):
        Slots().other = 1  # type: ignore[attr-defined]
    it: Any = Open()
    it.method, it.items = 2, 3
    assert (it.method, it.items) == (2, 3)


def test_set_on_an_existing_class() -> None:
    """A decorated function set on a class or an instance later is bound as usual."""

    class Late:
        pass

    def function(self: Any, a: int) -> Any:
        return self, a

    def items(self: Any, a: int) -> Iterator[Any]:
        yield self, a

    kind: Any = Late
    kind.method, kind.items = timed(function), timed(items)
    kind.of_class = classmethod(timed(function))
    kind.static = staticmethod(timed(function))
    it = kind()
    it.bound = timed(it.method)
    assert it.method(1) == it.bound(1) == (it, 1)
    assert list(it.items(2)) == [(it, 2)]
    assert it.of_class(3) == (Late, 3)
    assert it.static(4, 5) == (4, 5)


def test_partial_and_dispatching_methods() -> None:
    """Partial and dispatching methods can be made of decorated functions."""

    class Partial:
        @timed
        def method(self, a: int, b: int) -> tuple[Any, ...]:
            return self, a, b

        @timed
        def items(self, a: int) -> Iterator[Any]:
            yield self, a

        one = functools.partialmethod(method, 1)
        some = functools.partialmethod(items, 2)

        @functools.singledispatchmethod
        @timed
        def by_type(self, it: Any) -> str:
            return "object"

        @by_type.register
        @timed
        def _(self, it: int) -> str:
            return "int"

    it = Partial()
    assert it.one(2) == (it, 1, 2)
    assert list(it.some()) == [(it, 2)]
    assert (it.by_type("a"), it.by_type(1)) == ("object", "int")
