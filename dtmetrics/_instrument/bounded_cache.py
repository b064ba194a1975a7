"""What was made for what others say, so that it is made once; not without end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["BoundedCache"]

V = TypeVar("V")

# What clients, servers and applications make up is no more than this at once.
_MOST = 1024


class BoundedCache(dict[Any, V]):
    """Makes a value for each key that it is asked for, and keeps it.

    It is emptied when it is full. Not one of cachetools' caches: to find something
    here takes one look-up, in C, and it is done for each request.

    >>> squares = BoundedCache(lambda number: number**2)
    >>> squares[(7,)]
    49
    """

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., V]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: tuple[Any, ...]) -> V:
        made = self._make(*key)
        if len(self) >= _MOST:
            self.clear()
        self[key] = made
        return made
