"""What tests of decorated calls share: a measure that writes down what it is told."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from dtmetrics._decorate.decorate import decorate
from dtmetrics._record.registry import Registry


class Log:
    """A measure that writes down what it is told."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.begun = 0

    def begin(self) -> float:
        self.begun += 1
        return float(self.begun)

    def end(self, token: Any, result: Any, args: Any, kwargs: Any) -> None:
        self.said.append((token, result, args, kwargs))

    def fail(self, token: Any, error: BaseException, args: Any, kwargs: Any) -> None:
        self.said.append((token, type(error), args, kwargs))


def around(target: Any, *, recording: bool = True, clock: Any = None) -> Any:
    """Return *target* with a log around it, and the log."""
    registry, log = Registry(), Log()
    registry.recording = recording
    return decorate(target, lambda _: log, registry, clock=clock), log


async def collected(items: AsyncGenerator[Any, None]) -> list[Any]:
    """Return all of *items*."""
    return [item async for item in items]
