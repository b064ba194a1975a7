"""The entry to decorating, cheap to import."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar, cast

from dtmetrics._decorate.hooks import CallHook, Switch

__all__ = ["Ready", "decorate"]

T = TypeVar("T")
V = TypeVar("V")


def decorate(
    target: T,
    hook_for: Callable[[Callable[..., Any]], CallHook],
    switch: Switch,
) -> T:
    """Return *target* with a hook around each call.

    *hook_for* makes the hook of a callable; while *switch* is off, hooks do not run.
    The result has the type, signature and behaviour of *target*. A class is returned
    itself, after each public method that it defines has been decorated.

    Raises TypeError if *target* is not callable.
    """
    # wrapt imports asyncio, inspect and importlib.metadata. They take 0.1 s, which a
    # program without decorated functions does not pay.
    from dtmetrics._decorate.proxy import Decorator  # noqa: PLC0415

    return cast("T", Decorator(hook_for, switch)(target))


class Ready(Generic[V]):
    """An awaitable that never waits; lets ``async with`` share code with ``with``."""

    __slots__ = ("_value",)

    def __init__(self, value: V) -> None:
        self._value = value

    def __await__(self) -> Generator[None, None, V]:
        yield from ()
        return self._value
