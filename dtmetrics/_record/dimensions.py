"""Dimensions from several layers, made into one cleaned set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from dtmetrics._core.safe_call import call_safely
from dtmetrics._protocol.normalize import (
    DIMENSIONS_LIMIT,
    clean_dimension_value,
    text_of,
)
from dtmetrics._protocol.point import Dimensions

__all__ = ["NO_KEY", "NO_TEXT", "TOO_MANY", "CleanKey", "Pairs", "cleaned", "merge"]

#: What a caller gave: not cleaned, keys perhaps twice.
Pairs = tuple[tuple[str, Any], ...]

CleanKey = Callable[[str], str | None]

NO_KEY = "dimension without a valid key"
NO_TEXT = "dimension without text"
TOO_MANY = "more than 50 dimensions"


def merge(
    layers: Sequence[Pairs],
    clean_key: CleanKey,
    refuse: Callable[[str], object],
) -> Dimensions:
    """Return *layers*, the most general first, as one sorted set of dimensions.

    Of two that have one cleaned key, the more specific wins, and within a layer
    the later. Past the endpoint's 50 the most specific are kept. One without text
    (empty or None) is left out, and so is the more general one that it hides; one
    that raises when asked for its text is refused, and hides nothing.
    """
    merged: dict[str, str] = {}
    room = DIMENSIONS_LIMIT
    for key, value in _most_specific_first(layers):
        name = _name(key, clean_key)
        if name is None:
            refuse(NO_KEY)
            continue
        if name in merged:
            continue
        text = cleaned(value)
        if text is None:
            refuse(NO_TEXT)
        elif not text:
            merged[name] = text
        elif not room:
            refuse(TOO_MANY)
        else:
            room -= 1
            merged[name] = text
    return tuple(sorted(pair for pair in merged.items() if pair[1]))


def cleaned(value: Any) -> str | None:
    """Return *value* as the text of a dimension; None where asking for it raises."""
    text = call_safely(text_of, value, default=None)
    return None if text is None else clean_dimension_value(text)


def _name(key: Any, clean_key: CleanKey) -> str | None:
    # Keywords may be instances of a subclass of str, and keys of a mapping anything.
    text = key if type(key) is str else call_safely(text_of, key, default=None)
    return None if text is None else clean_key(text)


def _most_specific_first(layers: Sequence[Pairs]) -> Iterable[tuple[str, Any]]:
    for layer in reversed(layers):
        yield from reversed(layer)
