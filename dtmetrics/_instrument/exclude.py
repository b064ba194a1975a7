"""Paths and routes that are not recorded."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, cast

__all__ = ["Pattern", "matcher"]

#: A text, in which ``*`` matches anything, or an expression that is searched for.
Pattern = str | re.Pattern[str]


def matcher(
    exclude: Pattern | Iterable[Pattern],
) -> Callable[[str], object] | None:
    """Return what tells whether a path or a route is excluded; None if none is."""
    alone = isinstance(exclude, str) or not isinstance(exclude, Iterable)
    patterns: list[Any] = [exclude] if alone else [*cast("Iterable[Any]", exclude)]
    if not all(isinstance(each, str | re.Pattern) for each in patterns):
        raise TypeError(
            "exclude must be a text, a compiled expression or a list of these, "
            f"got {exclude!r}"
        )
    texts = [each for each in patterns if isinstance(each, str)]
    searches = [each.search for each in patterns if not isinstance(each, str)]
    if texts:
        whole = "|".join(".*".join(map(re.escape, text.split("*"))) for text in texts)
        searches.append(re.compile(whole, re.DOTALL).fullmatch)
    if len(searches) < 2:
        return searches[0] if searches else None
    return lambda text: any(search(text) for search in searches)
