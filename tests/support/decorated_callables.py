"""Decorated things of every kind, in a module, as pickle wants them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Iterator
from typing import Any

from tests.support.recorder import Recorder

# What is pickled by name has to be in a module.
timed = Recorder().meter.timed


@timed
def function(a: int, /, b: str = "b", *, c: float = 1.5) -> dict[str, int]:
    """Say what it does."""
    return {b: a}


function.mark = "set from outside"  # type: ignore[attr-defined]


@timed
async def coroutine(a: int) -> int:
    """Be awaited."""
    return a


@timed
def generator(a: int) -> Iterator[int]:
    """Give one item."""
    yield a


@timed
async def agenerator(a: int) -> AsyncGenerator[int, None]:
    """Give one item, in time."""
    yield a


def marked(function: Any) -> Any:
    """Write something on *function*, as decorators of others do."""
    function.mark = ["by another decorator"]
    return function


class Methods:
    """One method of each kind."""

    @timed
    def function(self, a: int, *, b: int = 2) -> tuple[Any, ...]:
        """Say what it does."""
        return self, a, b

    @timed
    async def coroutine(self, a: int) -> tuple[Any, ...]:
        return self, a

    @timed
    def generator(self, a: int) -> Iterator[Any]:
        yield self, a

    @timed
    async def agenerator(self, a: int) -> AsyncGenerator[Any, None]:
        yield self, a

    @timed
    @classmethod
    def above_class(cls, a: int) -> tuple[Any, ...]:
        return cls, a

    @classmethod
    @timed
    def below_class(cls, a: int) -> tuple[Any, ...]:
        return cls, a

    @timed
    @staticmethod
    def above_static(a: int) -> int:
        return a

    @staticmethod
    @timed
    def below_static(a: int) -> int:
        return a

    @property
    @timed
    def below_property(self) -> Any:
        return self

    @functools.cached_property
    @timed
    def below_cached(self) -> Any:
        return self

    @timed
    @functools.lru_cache(8)  # noqa: B019 -- on purpose
    def above_lru(self, a: int) -> tuple[Any, ...]:
        return self, a

    @functools.lru_cache(8)  # noqa: B019 -- on purpose
    @timed
    def below_lru(self, a: int) -> tuple[Any, ...]:
        return self, a

    @timed
    @marked
    def below_mark(self) -> None: ...

    @marked
    @timed
    def above_mark(self) -> None: ...


@timed
class Whole:
    """A class as a target."""

    def method(self) -> int:
        return 1


KINDS = [function, coroutine, generator, agenerator]
METHODS = [
    Methods.function,
    Methods.coroutine,
    Methods.generator,
    Methods.agenerator,
    Methods().function,
    Methods().coroutine,
    Methods().generator,
    Methods().agenerator,
]


def named(made: Any) -> str:
    """Return what a test with *made* is called."""
    bound = "bound " if inspect.ismethod(made) else ""
    return bound + str(getattr(made, "__qualname__", type(made).__name__))
