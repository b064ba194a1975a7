"""The entry to decorating, cheap to import."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Generic, Protocol, TypeVar, cast

from dtmetrics._decorate.hooks import CallHook, Switch

__all__ = ["AsyncBlock", "Ready", "decorate"]

T = TypeVar("T")
V = TypeVar("V")
V_co = TypeVar("V_co", covariant=True)


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
    """An awaitable that never waits."""

    __slots__ = ("_value",)

    def __init__(self, value: V) -> None:
        self._value = value

    def __await__(self) -> Generator[None, None, V]:
        yield from ()
        return self._value


class Block(Protocol[V_co]):
    """What a ``with`` statement takes."""

    def __enter__(self) -> V_co:
        """Begin."""

    def __exit__(
        self, kind: object, error: BaseException | None, trace: object, /
    ) -> None:
        """End, by *error* if there is one."""


class AsyncBlock:
    """Lets ``async with`` do what ``with`` does, without waiting."""

    __slots__ = ()

    def __aenter__(self: Block[V]) -> Ready[V]:
        return Ready(self.__enter__())

    def __aexit__(
        self: Block[object], kind: object, error: BaseException | None, trace: object
    ) -> Ready[None]:
        self.__exit__(kind, error, trace)
        return Ready(None)
