from __future__ import annotations

import abc
import dataclasses
import enum
import functools
import types
import typing
from collections.abc import Iterator
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import pytest

from tests.support.decorated_callables import timed
from tests.support.recorder import Recorder

T = TypeVar("T")


def test_abstract_methods() -> None:
    """A decorated abstract method is abstract, in its class and in a subclass."""

    class Base(abc.ABC):
        @timed
        @abc.abstractmethod
        def method(self) -> None: ...

        @timed
        @abc.abstractmethod
        def items(self) -> Iterator[int]:
            yield 1

        @classmethod
        @timed
        @abc.abstractmethod
        def make(cls) -> None: ...

    class Child(timed(Base)):  # type: ignore[misc]
        pass

    for kind in (Base, Child):
        assert kind.__abstractmethods__ == {"method", "items", "make"}
        with pytest.raises(TypeError, match="abstract"):
            kind()


@typing.runtime_checkable
class HasMethod(Protocol):
    """A protocol with a decorated method."""

    @timed
    def method(self) -> Any: ...


def test_kinds_of_classes() -> None:
    """Enums, named tuples, data classes and protocols can have decorated methods."""

    class Color(enum.Enum):
        RED = 1

        @timed
        def method(self) -> Any:
            return self

        @timed
        def items(self) -> Iterator[Any]:
            yield self

    class Pair(NamedTuple):
        a: int

        @timed
        def method(self) -> Any:
            return self

    @dataclasses.dataclass(frozen=True, slots=True)
    class Data:
        a: int = 1

        @timed
        def method(self) -> Any:
            return self

        @timed
        def items(self) -> Iterator[Any]:
            yield self

    assert list(Color) == [Color.RED]
    for it in (Color.RED, Pair(1), Data()):
        assert it.method() is it
        assert isinstance(it, HasMethod)
    assert list(Color.RED.items()) == [Color.RED]
    assert list(Data().items()) == [Data()]


class Seal(type):
    """Forbid setting attributes."""

    def __setattr__(cls, name: str, value: Any) -> None:
        raise AttributeError(name)


def test_metaclass_that_forbids_setattr() -> None:
    """A class can have decorated methods if its metaclass forbids setting attributes."""

    class Sealed(metaclass=Seal):
        @timed
        def method(self) -> int:
            return 1

    assert Sealed().method() == 1


def test_whole_class_whose_metaclass_forbids_setattr(recorder: Recorder) -> None:
    """A class can be decorated as a whole if its metaclass forbids setting attributes."""

    @recorder.meter.timed("t")
    class Sealed(metaclass=Seal):
        def method(self) -> int:
            return 1

    assert Sealed().method() == 1
    assert len(recorder.points()) == 1


def test_metaclass_sees_functions() -> None:
    """A metaclass sees decorated methods as functions in the namespace."""
    seen: list[str] = []

    class Recording(type):
        def __new__(mcs, name: str, bases: Any, namespace: dict[str, Any]) -> Any:
            seen.extend(
                k for k, v in namespace.items() if isinstance(v, types.FunctionType)
            )
            return super().__new__(mcs, name, bases, namespace)

    class Recorded(metaclass=Recording):
        @timed
        def method(self) -> None: ...

        @timed
        def items(self) -> Iterator[int]:
            yield 1

    assert seen == ["method", "items"]
    assert list(Recorded().items()) == [1]


def test_whole_class_has_its_public_methods_decorated(recorder: Recorder) -> None:
    """Decorating a class decorates its public methods and nothing else in it."""

    class Batch(Generic[T]):
        kind = int
        size = staticmethod(len)

        class Inner:
            def method(self) -> int:
                return 1

        def __len__(self) -> int:
            return 2

        def _private(self) -> int:
            return 3

        @property
        def value(self) -> int:
            return 4

        @functools.singledispatchmethod
        def by_type(self, it: Any) -> int:
            return 6

        fixed = functools.partialmethod(by_type, 1)

    before = dict(vars(Batch))
    assert recorder.meter.counter("c")(Batch) is Batch
    assert dict(vars(Batch)) == before
    Batch.public = lambda self, it: it  # type: ignore[attr-defined]
    recorder.meter.counter("c")(Batch)
    it = Batch[int]()
    assert (it.kind(), it.size("ab"), it.Inner().method(), len(it)) == (0, 2, 1, 2)
    assert (it._private(), it.value, it.by_type(1)) == (3, 4, 6)
    assert recorder.points() == []
    assert it.public(7) == 7  # type: ignore[attr-defined]
    assert recorder.lines() == ["c count,delta=1"]
