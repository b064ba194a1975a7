"""Methods of another library's classes: wrapped, and given back."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from threading import Lock
from types import FunctionType
from typing import Any, NamedTuple

from dtmetrics._instrument.client import Calls

__all__ = ["Patches", "Target"]

Method = Callable[..., Any]


class Target(NamedTuple):
    """A method, and what makes of it one that measures."""

    owner: type
    name: str
    around: Callable[[Calls, Method], Method]


class Patches:
    """What is wrapped of one library: at most once, whoever asks for it how often."""

    def __init__(self, *targets: Target) -> None:
        self._targets = targets
        self._lock = Lock()
        self._calls: Calls | None = None
        self._wrapped: list[tuple[Target, Any, Method]] = []

    def put(self, make: Callable[[], Calls]) -> None:
        """Let what *make* returns measure, unless something does."""
        with self._lock:
            if self._calls is not None:
                return
            calls = self._calls = make()
            for target in self._targets:
                found = vars(target.owner)[target.name]
                # Without its attributes: by those other libraries know their own.
                wrapper = target.around(calls, _function(found))
                update_wrapper(wrapper, found, updated=())
                setattr(target.owner, target.name, wrapper)
                self._wrapped.append((target, found, wrapper))

    def remove(self) -> None:
        """Give back what was there.

        A wrapper around which somebody has put another one meanwhile stays, and from
        now on only passes on.
        """
        with self._lock:
            if self._calls is None:
                return
            self._calls.active = False
            self._calls = None
            for target, found, wrapper in self._wrapped:
                if vars(target.owner)[target.name] is wrapper:
                    setattr(target.owner, target.name, found)
            self._wrapped.clear()


def _function(found: Any) -> Method:
    """Return *found* as what takes its object first: wrapt's wrappers do not."""
    if type(found) is FunctionType:  # they say that they are one
        return found

    def call(self: object, *args: Any, **kwargs: Any) -> Any:
        # Those of unittest.mock bind to nothing.
        bound = found.__get__(self, type(self)) if hasattr(found, "__get__") else found
        return bound(*args, **kwargs)

    return call
