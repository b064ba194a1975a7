"""Dimensions: layers of them merged into one set, and those of the running context."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar

from dtmetrics._core.safe_call import call_safely
from dtmetrics._protocol.normalize import (
    DIMENSION_KEY_LIMIT,
    DIMENSIONS_LIMIT,
    VALUE_LIMIT,
    clean_dimension_key,
    clean_dimension_value,
    text_of,
)
from dtmetrics._protocol.point import Dimensions

__all__ = [
    "CONTEXT",
    "NO_KEY",
    "NO_TEXT",
    "TOO_MANY",
    "Pairs",
    "context_of",
    "is_cacheable",
    "merge",
]

#: As callers pass them: not cleaned, and a key may occur twice.
Pairs = tuple[tuple[str, object], ...]

NO_KEY = "dimension without a valid key"
NO_TEXT = "dimension without text"
TOO_MANY = f"more than {DIMENSIONS_LIMIT} dimensions"

#: The dimensions of the running context, the innermost last.
CONTEXT: ContextVar[Pairs] = ContextVar("dtmetrics.context", default=())


def merge(layers: Sequence[Pairs], reject: Callable[[str], object]) -> Dimensions:
    """Return *layers*, the most general first, as one cleaned and sorted set.

    Of pairs with the same cleaned key the most specific wins; within a layer, the last.
    A value without text (empty or None) removes its key. A pair is rejected if its key
    is invalid, if its value raises when it is converted to text (a more general value
    is then used), or if 50 more specific ones fill the endpoint's limit.
    """
    merged: dict[str, str] = {}
    room = DIMENSIONS_LIMIT
    for layer in reversed(layers):
        for key, value in reversed(layer):
            clean_key = _clean_key(key)
            if clean_key is None:
                reject(NO_KEY)
                continue
            if clean_key in merged:
                continue
            text = _clean_text(value)
            if text is None:
                reject(NO_TEXT)
            elif not text:
                merged[clean_key] = text
            elif not room:
                reject(TOO_MANY)
            else:
                room -= 1
                merged[clean_key] = text
    return tuple(sorted(pair for pair in merged.items() if pair[1]))


@contextmanager
def context_of(dimensions: Mapping[str, object]) -> Iterator[None]:
    """Add *dimensions* to the running context."""
    # As texts, because the objects may change and must not be kept alive.
    texts = (
        (key[:DIMENSION_KEY_LIMIT], _clean_text(value))
        for key, value in dimensions.items()
    )
    valid = ((key, text) for key, text in texts if text is not None)
    token = CONTEXT.set((*CONTEXT.get(), *valid))
    try:
        yield
    finally:
        # An asynchronous generator may end in another context. These dimensions do not
        # apply there, so there is nothing to undo.
        with suppress(ValueError):
            CONTEXT.reset(token)


def is_cacheable(part: object) -> bool:
    """Return whether *part* may be kept in a cache: not an object of a caller's class.

    Long texts and integers are not cached either, to bound the memory of a cache.
    """
    if type(part) is str:
        return len(part) <= VALUE_LIMIT
    if type(part) is int:
        return part.bit_length() <= VALUE_LIMIT
    return part is None or type(part) in (bool, float)


def _clean_key(key: object) -> str | None:
    # A keyword may be of a subclass of str, and the key of a mapping any object.
    text = key if type(key) is str else call_safely(text_of, key, default=None)
    return None if text is None else clean_dimension_key(text)


def _clean_text(value: object) -> str | None:
    """Return *value* as the text of a dimension; None if converting it raises."""
    text = value if type(value) is str else call_safely(text_of, value, default=None)
    return None if text is None else clean_dimension_value(text)
