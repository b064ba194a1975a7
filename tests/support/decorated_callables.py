"""Decorated callables of each kind, in a module, where pickle can find them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Iterator
from typing import Any

from tests.support.recorder import Recorder

# A function is pickled by its name in a module.
timed = Recorder().meter.timed


@timed
def function(a: int, /, b: str = "b", *, c: float = 1.5) -> dict[str, int]:
    """Map *b* to *a*."""
    return {b: a}


function.mark = "set from outside"  # type: ignore[attr-defined]


@timed
async def coroutine(a: int) -> int:
    """Return *a*."""
    return a


@timed
def generator(a: int) -> Iterator[int]:
    """Yield *a*."""
    yield a


@timed
async def agenerator(a: int) -> AsyncGenerator[int, None]:
    """Yield *a*, asynchronously."""
    yield a


def marked(function: Any) -> Any:
    """Set an attribute of *function*, as other decorators do."""
    function.mark = ["set by another decorator"]
    return function


class Methods:
    """One method of each kind."""

    @timed
    def function(self, a: int, *, b: int = 2) -> tuple[Any, ...]:
        """Return the arguments."""
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
    """A class that is decorated as a whole."""

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


def id_of(decorated: Any) -> str:
    """Return the name of *decorated* for the id of a test."""
    bound = "bound " if inspect.ismethod(decorated) else ""
    return bound + str(getattr(decorated, "__qualname__", type(decorated).__name__))
