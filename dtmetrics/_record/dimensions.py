"""Dimensions from several layers, made into one cleaned set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from dtmetrics._record.guard import attempt
from dtmetrics._wire.names import (
    DIMENSIONS_LIMIT,
    Remembered,
    clean_dimension_value,
    text_of,
)
from dtmetrics._wire.point import Dimensions

__all__ = ["NO_TEXT", "TOO_MANY", "Pairs", "merge"]

#: What a caller gave: not cleaned, keys perhaps twice.
Pairs = tuple[tuple[str, Any], ...]

NO_TEXT = "dimension without text"
TOO_MANY = "more than 50 dimensions"


def merge(
    layers: Sequence[Pairs],
    clean_key: Remembered,
    refuse: Callable[[str], None],
) -> Dimensions:
    """Return *layers*, the most general first, as one sorted set of dimensions.

    Of two that have one cleaned key, the more specific wins, and within a layer
    the later. Past the endpoint's 50 the most specific are kept. One whose value
    has no text (it is empty, None, or its ``__str__`` raises) is left out.
    """
    merged: dict[str, str] = {}
    for key, value in _most_specific_first(layers):
        name = clean_key(key)
        if name is None or name in merged:
            continue
        text = attempt(text_of, value, default=None)
        if text is None:
            refuse(NO_TEXT)
        elif len(merged) == DIMENSIONS_LIMIT:
            refuse(TOO_MANY)
        else:
            merged[name] = clean_dimension_value(text)
    return tuple(sorted(pair for pair in merged.items() if pair[1]))


def _most_specific_first(layers: Sequence[Pairs]) -> Iterable[tuple[str, Any]]:
    for layer in reversed(layers):
        yield from reversed(layer)
