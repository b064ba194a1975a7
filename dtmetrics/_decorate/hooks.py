"""What is done around one call.

State belongs to the call: ``begin`` returns a token that ``end`` or ``fail`` gets back,
so recursion, threads and interleaved tasks are right.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["Call", "CallHook", "Switch", "error_type"]

Call = Callable[..., Any]


class Switch(Protocol):
    """Whether hooks run at all; read before each call."""

    @property
    def recording(self) -> bool:
        """Whether a call is recorded now."""


class CallHook(Protocol):
    """What to do around one call.

    It may say as ``into`` where it records: a decorated class leaves those of its
    methods alone that already record there. And as ``wrap`` a function that makes the
    call itself, where a faster one is known than the three steps.
    """

    def begin(self) -> Any:
        """Return what ``end`` or ``fail`` will need."""

    def end(self, token: Any, result: Any, args: Any, kwargs: Any) -> None:
        """Take note that the call returned *result*."""

    def fail(self, token: Any, error: BaseException, args: Any, kwargs: Any) -> None:
        """Take note that the call raised *error*."""


def error_type(error: BaseException) -> str:
    """Return the class of *error* with its module; builtins without.

    >>> error_type(KeyError("x"))
    'KeyError'
    """
    kind = type(error)
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"
