"""A block or a decorator: something done around a call, for every kind of callable."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

from dtmetrics._decorate.hooks import Call, CallHook, Switch

__all__ = ["Ready", "decorate"]

V = TypeVar("V")


def decorate(
    target: Any,
    measure_for: Callable[[Call], CallHook],
    switch: Switch,
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
    from dtmetrics._decorate.decorator import Decorator  # noqa: PLC0415

    return Decorator(measure_for, switch, clock)(target)


class Ready(Generic[V]):
    """An awaitable that never waits; lets ``async with`` share code with ``with``."""

    __slots__ = ("_value",)

    def __init__(self, value: V) -> None:
        self._value = value

    def __await__(self) -> Generator[None, None, V]:
        yield from ()
        return self._value
