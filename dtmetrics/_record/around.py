"""A block or a decorator: something done around a call, for every kind of callable.

What is done is a `Measure`. State belongs to the call: ``begin`` returns a token that
``end`` or ``fail`` gets back, so recursion, threads and interleaved tasks are right.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Generic, Protocol, TypeVar

from dtmetrics._record.registry import Registry

__all__ = ["Call", "Measure", "Ready", "decorate", "error_type"]

Call = Callable[..., Any]
V = TypeVar("V")


class Measure(Protocol):
    """What to do around one call.

    It may say as ``into`` where it records: a decorated class leaves those of its
    methods alone that already record there.
    """

    def begin(self) -> Any:
        """Return what ``end`` or ``fail`` will need."""

    def end(self, token: Any, result: Any, args: Any, kwargs: Any) -> None:
        """Take note that the call returned *result*."""

    def fail(self, token: Any, error: BaseException, args: Any, kwargs: Any) -> None:
        """Take note that the call raised *error*."""


def decorate(
    target: Any,
    measure_for: Callable[[Call], Measure],
    registry: Registry,
    *,
    clock: Callable[[], float] | None = None,
) -> Any:
    """Return *target* with a measure around each call.

    A class keeps its identity: the public methods that it defines are decorated.
    With a *clock*, time that a generator spends outside of itself is added to its
    token, which must then be a time of that clock.
    """
    # wrapt brings asyncio, inspect and importlib.metadata: 0.1 s that programs
    # without a decorated function need not wait for.
    from dtmetrics._record.decorator import Decorator  # noqa: PLC0415

    return Decorator(measure_for, registry, clock)(target)


def error_type(error: BaseException) -> str:
    """Return the class of *error* with its module; builtins without.

    >>> error_type(KeyError("x"))
    'KeyError'
    """
    kind = type(error)
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


class Ready(Generic[V]):
    """An awaitable that never waits; lets ``async with`` share code with ``with``."""

    __slots__ = ("_value",)

    def __init__(self, value: V) -> None:
        self._value = value

    def __await__(self) -> Generator[None, None, V]:
        yield from ()
        return self._value
