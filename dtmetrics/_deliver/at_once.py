"""Calls at the same time, each in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextvars import Context
from time import monotonic

from dtmetrics._deliver.flusher_thread import join_until

__all__ = ["at_once"]


def at_once(calls: Sequence[Callable[[float], bool]], seconds: float) -> bool:
    """Make all *calls* at once, each with the seconds that it may take.

    Return whether each returned True within *seconds*. A thread that takes longer is
    left behind. Where no thread can be started, as at the interpreter's exit, the calls
    are made one after the other, and each gets its share of the time.
    """
    end = monotonic() + seconds
    succeeded: list[bool] = []
    here: list[Callable[[float], bool]] = []
    threads: list[threading.Thread] = []
    for call in calls:
        thread = threading.Thread(
            target=lambda call=call: succeeded.append(call(seconds)),
            name="dtmetrics-sender",
            daemon=True,
        )
        try:
            # In an empty context, as the flusher's thread.
            Context().run(thread.start)
            threads.append(thread)
        except RuntimeError:
            here.append(call)
    for left, call in zip(range(len(here), 0, -1), here, strict=True):
        succeeded.append(call(max(0.0, end - monotonic()) / left))
    for thread in threads:
        join_until(thread, end, monotonic)
    return sum(succeeded) == len(calls)
