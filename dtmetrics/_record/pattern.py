"""Patterns of rules: which texts match, and what a key is renamed to."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fnmatch import translate
from typing import Any, NamedTuple

from dtmetrics._protocol.normalize import clean_dimension_key, clean_key

__all__ = ["KeyPattern", "matcher", "names_in", "wildcards_in"]

_PARTS = re.compile(r"\$\{([^{}]*)\}|\$([A-Za-z_][A-Za-z0-9_]*)|([*?])|(\$)")


def matcher(pattern: str) -> Callable[[str], object]:
    """Return a function that returns something true for a text that matches.

    >>> bool(matcher("http.*")("http.server.duration"))
    True
    """
    if "*" not in pattern and "?" not in pattern:
        return pattern.__eq__
    # Unlike ".*" in a row, what translate() makes takes no exponential time.
    return re.compile(translate(pattern.replace("[", "[[]"))).match


def names_in(pattern: str) -> list[str]:
    """Return the names of the parts of *pattern*; empty for one that is invalid.

    >>> names_in("jwt.$kid.${user.id}.$")
    ['kid', 'user.id', '']
    """
    found = _PARTS.finditer(pattern)
    return [each[1] or each[2] or "" for each in found if not each[3]]


def wildcards_in(pattern: str) -> int:
    """Return how many ``*`` and ``?`` are in *pattern*."""
    return sum(bool(each[3]) for each in _PARTS.finditer(pattern))


class _Target(NamedTuple):
    """What a key is renamed to: texts, and the groups that stand between them."""

    parts: list[str | int]
    #: The group of each name that becomes a dimension.
    dimensions: Mapping[str, int]


class KeyPattern:
    """The pattern of a metric key, with the key that it is renamed to."""

    def __init__(self, pattern: str, rename: str = "") -> None:
        names: dict[str, int] = {}
        wildcards: list[int] = []
        expression, end, group = "", 0, 0
        for part in _PARTS.finditer(pattern):
            expression += re.escape(pattern[end : part.start()])
            end, group = part.end(), group + 1
            if part[3]:
                wildcards.append(group)
                expression += "(.)" if part[3] == "?" else "(.*)"
            else:
                names[part[1] or part[2] or ""] = group
                expression += "([^.]+)"
        expression += re.escape(pattern[end:])
        self._matches = re.compile(expression, re.DOTALL).fullmatch
        self._target = _target(rename, names, wildcards)
        if not names and not rename:
            self.matches: Callable[[str], object] = matcher(pattern)
        else:
            self.matches = self._matches

    def renamed(self, key: str) -> tuple[str, dict[str, str]]:
        """Return what *key*, which matches, is renamed to, and its dimensions."""
        match: Any = self._matches(key)
        parts, names = self._target
        text = "".join(match[part] if isinstance(part, int) else part for part in parts)
        dimensions = {name: match[group] for name, group in names.items()}
        return clean_key(text) or key, dimensions


def _target(rename: str, names: Mapping[str, int], wildcards: list[int]) -> _Target:
    parts: list[str | int] = []
    used: set[str] = set()
    left = iter(wildcards)
    end = 0
    for part in _PARTS.finditer(rename):
        parts.append(rename[end : part.start()])
        end = part.end()
        name = part[1] or part[2] or ""
        if part[3]:
            parts.append(next(left))
        else:
            used.add(name)
            parts.append(names[name])
    parts.append(rename[end:])
    dimensions = {
        clean: group
        for name, group in names.items()
        if name not in used and (clean := clean_dimension_key(name))
    }
    return _Target(parts, dimensions)
