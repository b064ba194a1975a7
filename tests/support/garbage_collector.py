"""Code that frees its objects without the garbage collector."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_collector() -> Iterator[None]:
    """Keep the garbage collector off, after it has freed what is left of other tests."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
