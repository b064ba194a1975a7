"""Caps: how many values a dimension may have for one metric key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from threading import RLock

__all__ = ["OTHER", "ValueCaps"]

#: The value that stands for those beyond a cap.
OTHER = "__other__"


class ValueCaps:
    """The values that were recorded of each dimension that has a cap."""

    def __init__(self) -> None:
        # By metric key and dimension.
        self._values: dict[tuple[str, str], set[str]] = {}
        # By metric key: the dimensions that have no further values.
        self._full: dict[str, dict[str, frozenset[str]]] = {}
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """In a forked child: make a lock that no thread of the parent holds."""
        # Re-entrant, because a signal handler may record meanwhile.
        self._lock = RLock()

    def capped(self, key: str, dimension: str, value: str, most: int) -> str:
        """Return *value*, or `OTHER` if it would be one more than *most*."""
        with self._lock:
            values = self._values.setdefault((key, dimension), set())
            if value not in values:
                if len(values) >= most:
                    return OTHER
                values.add(value)
        return value

    def end(self, key: str, dimension: str, values: Iterable[str]) -> None:
        """Let *dimension* have only these *values* from now on, and `OTHER`."""
        with self._lock:
            full = self._full.get(key, {})
            self._full[key] = {**full, dimension: frozenset(values)}

    def ended(self, key: str) -> Mapping[str, frozenset[str]]:
        """Return the dimensions that have no further values, with those they have."""
        return self._full.get(key, {})

    def keep_only(self, key: str, series: Iterable[Mapping[str, str]]) -> bool:
        """Forget the values of *key* that none of these sets of dimensions has.

        Return whether there may be others now.
        """
        kept = [*series]
        with self._lock:
            freed = self._full.pop(key, None) is not None
            for (of_key, dimension), values in self._values.items():
                if of_key == key:
                    before = len(values)
                    values.intersection_update(each.get(dimension) for each in kept)
                    freed = freed or len(values) < before
        return freed
