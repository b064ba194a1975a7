"""What dtmetrics says, to the logger of its name.

A program that forks while another thread writes a line of its log leaves the buffer of
that file locked in the child, for ever (CPython 3.10 to 3.13): the next line hangs it.
So that it never is ours, a fork waits for it.
"""

from __future__ import annotations

import os
from threading import RLock, get_ident

from dtmetrics._core.safe_call import call_safely

__all__ = ["INFO", "info", "warning"]

#: The level of that name in logging.
INFO = 20

_WARNING = 30

# For how long a fork waits: a handler that hangs must not hang the program.
_HOLD_SECONDS = 1.0

# Re-entrant: a handler may be interrupted by a signal's, or fork itself.
_saying = RLock()
_held: dict[int, bool] = {}


def warning(text: str, *args: object) -> None:
    """Say what somebody should look at."""
    _say(_WARNING, text, *args)


def info(text: str, *args: object) -> None:
    """Say what somebody may like to know."""
    _say(INFO, text, *args)


def _say(level: int, text: str, *args: object) -> None:
    # 6 ms that a program without any trouble need not wait for. configure() loads it
    # as well, so a fork never meets the import.
    import logging  # noqa: PLC0415

    log = logging.getLogger("dtmetrics").log
    with _saying:
        # A filter of the application's may raise.
        call_safely(log, level, f"dtmetrics: {text}", *args, default=None)


def _hold() -> None:
    """Before a fork: wait until no other thread is saying anything."""
    _held[get_ident()] = _saying.acquire(timeout=_HOLD_SECONDS)


def _release() -> None:
    """After a fork, in the parent: go on."""
    if _held.pop(get_ident(), False):
        _saying.release()


def _reset_after_fork() -> None:
    """In a forked child: begin with a lock that no other thread can hold."""
    global _saying  # noqa: PLW0603 -- a lock is not freed by who does not hold it
    _saying = RLock()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_hold, after_in_parent=_release, after_in_child=_reset_after_fork
    )
