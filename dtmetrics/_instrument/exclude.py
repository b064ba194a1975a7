"""Which paths and routes are not measured."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, cast

__all__ = ["Pattern", "excluding"]

#: A text, in which ``*`` stands for anything, or an expression that is searched for.
Pattern = str | re.Pattern[str]


def excluding(
    patterns: Pattern | Iterable[Pattern],
) -> Callable[[str], object] | None:
    """Return what says whether a path or a route is excluded; None: none is."""
    several = isinstance(patterns, Iterable) and not isinstance(patterns, str)
    given: list[Any] = [*cast("Iterable[Any]", patterns)] if several else [patterns]
    if not all(isinstance(each, str | re.Pattern) for each in given):
        raise TypeError("exclude is no text, compiled expression or list of these")
    texts = [text for text in given if isinstance(text, str)]
    searches = [each.search for each in given if not isinstance(each, str)]
    if texts:
        whole = "|".join(".*".join(map(re.escape, text.split("*"))) for text in texts)
        searches.append(re.compile(whole, re.DOTALL).fullmatch)
    if len(searches) < 2:
        return searches[0] if searches else None
    return lambda text: any(search(text) for search in searches)
