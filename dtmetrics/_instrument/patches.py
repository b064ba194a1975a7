"""Methods of a library that an integration wraps, and restores."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from threading import Lock
from types import FunctionType
from typing import Any, Generic, Protocol, TypeVar

from dtmetrics._record.meter import Meter

__all__ = ["Method", "Patches", "Target"]

Method = Callable[..., Any]


class Recorder(Protocol):
    """What the wrappers of one library record with."""

    #: False once uninstrumented: another library may still call the wrappers.
    active: bool


R = TypeVar("R", bound=Recorder)
#: A class, the name of its method, and the function that makes the recording method.
Target = tuple[type, str, Callable[[R, Method], Method]]


class Patches(Generic[R]):
    """The methods of one library, wrapped at most once, and restored.

    *make* makes what the wrappers record with, of a meter and the options.
    """

    def __init__(self, make: Callable[..., R], *targets: Target[R]) -> None:
        self._make = make
        self._targets = targets
        self._lock = Lock()
        self._recorder: R | None = None
        self._patches: list[tuple[type, str, object, Method]] = []

    def apply(self, meter: Meter, **options: Any) -> None:  # noqa: ANN401 -- those of *make*
        """Wrap the methods, unless they are; *options* are those of *make*."""
        with self._lock:
            if self._recorder is not None:
                return
            recorder = self._recorder = self._make(meter, **options)
            for owner, name, make in self._targets:
                original = vars(owner)[name]
                wrapper = make(recorder, _function(original))
                # Not the attributes: other libraries recognise their wrappers by them.
                update_wrapper(wrapper, original, updated=())
                setattr(owner, name, wrapper)
                self._patches.append((owner, name, original, wrapper))

    def remove(self) -> None:
        """Restore the methods.

        Where another library has wrapped a wrapper meanwhile, it stays, and from now on
        only passes on.
        """
        with self._lock:
            if self._recorder is not None:
                self._recorder.active = False
                self._recorder = None
            for owner, name, original, wrapper in self._patches:
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
