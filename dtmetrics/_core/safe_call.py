"""Foreign code, kept from doing harm: where errors end that are not ours.

Three places cannot use it and say why: the look-up of a series, the flusher's loop, and
an operation on a database.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["call_safely"]

R = TypeVar("R")
D = TypeVar("D")


def call_safely(
    call: Callable[..., R],
    *args: Any,
    default: D,
    on_error: Callable[[Exception], object] | None = None,
) -> R | D:
    """Return ``call(*args)``, or *default* where it raises.

    For what users hand us (a value's ``__str__``, a callback, an exporter) and for
    the flusher's loop, which has to outlive every error. ``KeyboardInterrupt`` and
    ``SystemExit`` pass: they are not ours to stop.
    """
    try:
        return call(*args)
    except Exception as error:  # noqa: BLE001 -- the reason for this function
        if on_error is not None:
            on_error(error)
        return default
