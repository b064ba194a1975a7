"""A signal handler for the length of a block."""

from __future__ import annotations

import signal
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
