"""Decorated callables whose hook logs each call."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from dtmetrics._decorate.decorate import decorate
from dtmetrics._record.registry import Registry


class CallLog:
    """A hook that logs the calls that end, and counts those that begin.

    The token of a call is its number, from 1.0 on.
    """

    def __init__(self) -> None:
        #: Token, result or class of the error, args and kwargs of each call.
        self.ended: list[tuple[float, Any, Any, Any]] = []
        self.begun = 0

    def begin(self) -> float:
        self.begun += 1
        return float(self.begun)

    def end(self, token: Any, result: Any, args: Any, kwargs: Any) -> None:
        self.ended.append((token, result, args, kwargs))

    def fail(self, token: Any, error: BaseException, args: Any, kwargs: Any) -> None:
        self.ended.append((token, type(error), args, kwargs))


class ClockedLog(CallLog):
    """The same; the seconds that a generator is suspended are added to its token."""

    def __init__(self, clock: Any) -> None:
        super().__init__()
        self._clock = clock

    def pause(self, token: float) -> float:
        return token - self._clock()

    def unpause(self, token: float) -> float:
        return token + self._clock()


def logged(target: Any, *, recording: bool = True, clock: Any = None) -> Any:
    """Return *target*, decorated with a hook that logs, and the log.

    With a *clock*, the token grows while a generator is suspended.
    """
    registry, log = Registry(), ClockedLog(clock) if clock else CallLog()
    registry.recording = recording
    return decorate(target, lambda _: log, registry), log


async def collected(items: AsyncGenerator[Any, None]) -> list[Any]:
    """Return all *items*."""
    return [item async for item in items]
