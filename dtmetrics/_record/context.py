"""Dimensions of the running context: of a request, a task, a thread."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

from dtmetrics._protocol.normalize import DIMENSION_KEY_LIMIT
from dtmetrics._record.dimensions import Pairs, cleaned

__all__ = ["AMBIENT", "ambient"]

#: What `ambient` added, the innermost last.
AMBIENT: ContextVar[Pairs] = ContextVar("dtmetrics.context", default=())


@contextmanager
def ambient(dimensions: Mapping[str, Any]) -> Iterator[None]:
    """Add *dimensions* to the running context."""
    # Texts now: what they are made of may change, and is not ours to keep.
    texts = (
        (key[:DIMENSION_KEY_LIMIT], cleaned(value)) for key, value in dimensions.items()
    )
    known = ((key, text) for key, text in texts if text is not None)
    token = AMBIENT.set((*AMBIENT.get(), *known))
    try:
        yield
    finally:
        # An asynchronous generator may end in another context, where this one's
        # dimensions do not hold anyway.
        with suppress(ValueError):
            AMBIENT.reset(token)
