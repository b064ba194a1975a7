"""Dimensions: layers of them merged into one set, and what a cache may keep."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum

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
    "CACHED_SETS",
    "NO_KEY",
    "NO_TEXT",
    "PLAIN_TYPES",
    "TOO_MANY",
    "WITHOUT_TEXT",
    "NotCacheable",
    "Pairs",
    "as_plain",
    "as_texts",
    "dimensions_in",
    "merge",
    "require_cacheable",
]

#: As callers pass them: not cleaned, and a key may occur twice.
Pairs = tuple[tuple[str, object], ...]

NO_KEY = "dimension without a valid key"
NO_TEXT = "dimension without text"
TOO_MANY = f"more than {DIMENSIONS_LIMIT} dimensions"

#: How many sets of dimensions a cache of them holds: more than a metric may have series
#: by default, because a set that is not cached costs 7 us.
CACHED_SETS = 2_048


class NotCacheable(Exception):  # noqa: N818 -- leaves lru_cache, is not an error
    """Raised by what a cache calls, so that the cache keeps nothing."""


#: The types of values that are equal if they look equal: no code of a caller runs.
PLAIN_TYPES = frozenset((str, int, float, bool, type(None)))


class _WithoutText:
    """Stands for a value that cannot be converted, where the value is not kept."""

    def __str__(self) -> str:
        raise TypeError("a value without text")


WITHOUT_TEXT = _WithoutText()


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


def require_cacheable(dimensions: Mapping[str, object]) -> None:
    """Raise NotCacheable unless a cache may keep *dimensions*.

    It keeps no object of a caller's class, because that may change, and holds memory;
    a member of an enum does neither. Long texts and integers are not kept either.
    """
    for key, value in dimensions.items():
        if not (_is_cacheable(key) and _is_cacheable(value)):
            raise NotCacheable


def as_texts(
    dimensions: Mapping[str, object], *, otherwise: object = None
) -> dict[str, object]:
    """Return *dimensions* with a text for each part that a cache cannot keep.

    A pair whose conversion raises has the value *otherwise*, or is left out if that is
    None.
    """
    texts: dict[str, object] = {}
    for key, value in dimensions.items():
        if _is_cacheable(key) and _is_cacheable(value):
            texts[key] = value
            continue
        name = ""
        try:
            # Of a subclass of str: makes a plain one.
            name = "".join((key[:DIMENSION_KEY_LIMIT],))
            text = value if _is_cacheable(value) else text_of(value)[:VALUE_LIMIT]
        except Exception:  # noqa: BLE001 -- it may raise what it wants
            if otherwise is not None:
                texts[name] = otherwise
            continue
        texts[name] = text
    return texts


def as_plain(pairs: Pairs) -> Pairs:
    """Return *pairs* for a pickle: each key once, and only plain values and texts.

    Of pairs with the same key the last stays. A pair whose conversion raises is left
    out.
    """
    plain: dict[str, object] = {}
    for key, value in pairs:
        text = call_safely(text_of, key, default=None)
        if type(value) not in PLAIN_TYPES:
            value = call_safely(text_of, value, default=WITHOUT_TEXT)  # noqa: PLW2901
        if text is not None and value is not WITHOUT_TEXT:
            plain.pop(text, None)  # so that it is the last
            plain[text] = value
    return tuple(plain.items())


def _is_cacheable(part: object) -> bool:
    if type(part) is str:
        return len(part) <= VALUE_LIMIT
    if type(part) is int:
        return part.bit_length() <= VALUE_LIMIT
    if part is None or part is WITHOUT_TEXT or type(part) in (bool, float):
        return True
    return isinstance(part, Enum) and _is_cacheable(part._value_)


def _clean_key(key: object) -> str | None:
    # A keyword may be of a subclass of str, and the key of a mapping any object.
    text = key if type(key) is str else call_safely(text_of, key, default=None)
    return None if text is None else clean_dimension_key(text)


def _clean_text(value: object) -> str | None:
    """Return *value* as the text of a dimension; None if converting it raises."""
    text = value if type(value) is str else call_safely(text_of, value, default=None)
    return None if text is None else clean_dimension_value(text)


def dimensions_in(prefix: str) -> dict[str, str]:
    """Return the dimensions in *prefix*, the part of a line before its values.

    >>> dimensions_in("orders,region=eu")
    {'region': 'eu'}
    """
    if '"' not in prefix and "\\" not in prefix:
        pairs = (part.partition("=") for part in prefix.split(",")[1:])
        return {key: value for key, _, value in pairs}
    # 3 ms, and 20 us for each series.
    from dtmetrics._protocol.parse import ParsedPoint, parse  # noqa: PLC0415

    point = parse(f"{prefix} 1")
    return dict(point.dimensions) if isinstance(point, ParsedPoint) else {}
