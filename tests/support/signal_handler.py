"""Signals to the process of a test, and a handler for the length of a block."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def handling(number: int, handler: Callable[[], object]) -> Iterator[None]:
    """Call *handler* for the signal in this block."""
    before = signal.signal(number, lambda *_: handler())
    try:
        yield
    finally:
        signal.signal(number, before)


def signal_until(done: threading.Event, number: int) -> None:
    """Send the signal to the main thread until *done* is set.

    Repeated, because a signal that arrives just before a wait does not end it.
    """
    main = threading.main_thread().ident
    assert main is not None
    while not done.wait(0.001):
        signal.pthread_kill(main, number)
