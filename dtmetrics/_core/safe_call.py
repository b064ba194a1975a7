"""Calls into code that is not ours, whose errors must not spread."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

__all__ = ["call_safely"]

R = TypeVar("R")
D = TypeVar("D")


def call_safely(
    call: Callable[..., R],
    *args: object,
    default: D,
    on_error: Callable[[Exception], object] | None = None,
) -> R | D:
    """Return ``call(*args)``, or *default* if that raises an Exception.

    For what users pass in (the ``__str__`` of a value, a callback, an exporter) and for
    work that must survive any error. *on_error* is called with the error.
    ``KeyboardInterrupt``, ``SystemExit`` and ``GeneratorExit`` are not caught.

    Four places catch errors themselves and give the reason: the look-up of a series,
    the flusher's loop, an HTTP request and a database operation.

    >>> call_safely(int, "seven", default=0)
    0
    """
    try:
        return call(*args)
    except Exception as error:  # noqa: BLE001 -- the purpose of this function
        if on_error is not None:
            on_error(error)
        return default
