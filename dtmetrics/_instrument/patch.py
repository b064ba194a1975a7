"""Methods of another library's classes: wrapped, and restored."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from threading import Lock
from types import FunctionType
from typing import Any, NamedTuple

from dtmetrics._instrument.http_client import ClientInstruments

__all__ = ["Patches", "Target"]

Method = Callable[..., Any]


class Target(NamedTuple):
    """A method, and the function that makes the recording one from it."""

    owner: type
    name: str
    wrap: Callable[[ClientInstruments, Method], Method]


class _Patch(NamedTuple):
    target: Target
    original: object
    wrapper: Method


class Patches:
    """The methods of one library, wrapped at most once."""

    def __init__(self, *targets: Target) -> None:
        self._targets = targets
        self._lock = Lock()
        self._instruments: ClientInstruments | None = None
        self._patches: list[_Patch] = []

    def apply(self, make: Callable[[], ClientInstruments]) -> None:
        """Wrap the methods, with the instruments from *make*; unless they are."""
        with self._lock:
            if self._instruments is not None:
                return
            instruments = self._instruments = make()
            for target in self._targets:
                original = vars(target.owner)[target.name]
                wrapper = target.wrap(instruments, _function(original))
                # Not the attributes: other libraries recognise their wrappers by them.
                update_wrapper(wrapper, original, updated=())
                setattr(target.owner, target.name, wrapper)
                self._patches.append(_Patch(target, original, wrapper))

    def remove(self) -> None:
        """Restore the methods.

        Where another library has wrapped our wrapper meanwhile, ours stays, and from
        now on only passes on.
        """
        with self._lock:
            if self._instruments is None:
                return
            self._instruments.active = False
            self._instruments = None
            for (owner, name, _), original, wrapper in self._patches:
                if vars(owner)[name] is wrapper:
                    setattr(owner, name, original)
            self._patches.clear()


def _function(method: Any) -> Method:  # noqa: ANN401 -- any descriptor or callable
    """Return *method* as a function whose first argument is the object."""
    # Not isinstance: wrapt's wrappers claim to be functions, but bind first.
    if type(method) is FunctionType:
        return method

    def call(self: object, *args: object, **kwargs: object) -> object:
        # The mocks of unittest.mock do not bind at all.
        binds = hasattr(method, "__get__")
        bound = method.__get__(self, type(self)) if binds else method
        return bound(*args, **kwargs)

    return call
