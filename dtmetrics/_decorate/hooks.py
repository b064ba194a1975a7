"""The hook that runs around each call of a decorated callable.

State belongs to the call: ``end`` or ``fail`` gets the token that ``begin`` returned.
So recursive calls, threads and interleaved tasks cannot mix up their state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["Args", "Call", "CallHook", "Kwargs", "Switch", "Token", "error_type"]

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


class CallHook(Protocol):
    """Runs around each call of one target.

    A hook may have more attributes. ``into`` is compared with that of other hooks:
    a decorated class skips the methods whose hook has an equal one. ``wrap``, unless
    None, is called with a function or a coroutine function and ``awaited``; it returns
    a wrapper that is faster than the three steps below, or None. ``pause`` and
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


def error_type(error: BaseException) -> str:
    """Return the name of the class of *error*, with its module unless it is a builtin.

    >>> error_type(KeyError("x"))
    'KeyError'
    """
    kind = type(error)
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"
