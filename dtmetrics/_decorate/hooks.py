"""The hook that runs around each call of a decorated callable.

State belongs to the call: ``end`` or ``fail`` gets the token that ``begin`` returned.
So recursive calls, threads and interleaved tasks cannot mix up their state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

__all__ = [
    "Args",
    "Body",
    "Call",
    "CallHook",
    "Kwargs",
    "OneHook",
    "Switch",
    "Token",
    "class_name",
    "error_type",
    "shown_module",
]

Call = Callable[..., Any]
#: What ``begin`` returned; only the hook knows its type.
Token = Any
Args = tuple[Any, ...]
Kwargs = dict[str, Any]


class Switch(Protocol):
    """Turns hooks on and off; read before each call."""

    @property
    def recording(self) -> bool:
        """Whether hooks run now."""

    @property
    def travels(self) -> bool:
        """Whether it must be part of the pickle of what it switches."""


class Body(NamedTuple):
    """The source of a function that is called instead of a target.

    ``$call`` stands for the call of the target, ``$args`` and ``$kwargs`` for its
    arguments. Local names begin with an underscore.
    """

    source: str
    #: What its other names refer to.
    state: dict[str, Any]


class CallHook(Protocol):
    """Runs around each call of one target.

    A hook may have more attributes. ``into`` is compared with that of other hooks:
    a decorated class skips the methods whose hook has an equal one. ``body``, unless
    None, is called with the names of the parameters that hold one argument each; it
    returns a `Body` that is faster than the three steps below, or None. ``pause`` and
    ``unpause`` are called with the token when a generator is suspended and when it goes
    on, and return the token to go on with.
    """

    def begin(self) -> Token:
        """Return what ``end`` or ``fail`` will need."""

    def end(self, token: Token, result: object, args: Args, kwargs: Kwargs) -> None:
        """Handle a call that returned *result*."""

    def fail(
        self, token: Token, error: BaseException, args: Args, kwargs: Kwargs
    ) -> None:
        """Handle a call that raised *error*."""


class OneHook:
    """Returns the same hook for every target; it can be pickled if the hook can."""

    def __init__(self, hook: CallHook) -> None:
        self._hook = hook

    def __call__(self, target: Call) -> CallHook:
        """Return the hook."""
        return self._hook


def error_type(error: BaseException) -> str:
    """Return the name of the class of *error*, with its module unless it is a builtin.

    >>> error_type(KeyError("x"))
    'KeyError'
    """
    return class_name(type(error))


def class_name(kind: type) -> str:
    """Return the name of a class, with its module unless it is a builtin."""
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{shown_module(kind.__module__)}.{kind.__qualname__}"


def shown_module(name: str) -> str:
    """Return *name*, or ``__main__`` for what multiprocessing calls it in a child.

    Parents and spawned children then record into the same series.

    >>> shown_module("__mp_main__"), shown_module("shop")
    ('__main__', 'shop')
    """
    return "__main__" if name == "__mp_main__" else name
