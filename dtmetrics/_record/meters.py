"""The meters of a registry, by name."""

from __future__ import annotations

from dtmetrics._record.meter import Meter
from dtmetrics._record.registry import Registry

__all__ = ["Meters"]


class Meters:
    """All meters of a registry, one for each name."""

    def __init__(self, registry: Registry) -> None:
        self.root = Meter(registry, "")
        self._registry = registry
        self._by_name = {"": self.root}

    def get(self, name: str = "") -> Meter:
        """Return the meter *name*; dots make it a child, as in logging.

        Raises TypeError if *name* is not a str.
        """
        if not isinstance(name, str):
            raise TypeError(f"the name of a meter must be a str, got {name!r}")
        return self._by_name.get(name) or self._by_name.setdefault(
            name, Meter(self._registry, name)
        )
