"""Values that are measured from a moment on: the start of recording, or a fork."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from dtmetrics._process.operating_system import available_cpus

__all__ = ["Rows", "TotalsSinceBegin", "Utilization", "rows"]

Rows = Iterable[tuple[float, Mapping[str, object]]]

# CPU time is counted in ticks of up to 10 ms on some systems. The share that was used
# in a shorter time than this one means nothing.
_SHORTEST_SECONDS = 1.0


def rows(value: float | Mapping[str, float], key: str) -> Rows:
    """Return *value* as an observed function does, its parts by the dimension *key*."""
    if isinstance(value, Mapping):
        return [(number, {key: part}) for part, number in value.items()]
    return [(value, {})]


class TotalsSinceBegin:
    """Running totals, as they have grown since the last ``begin()``."""

    def __init__(self, read: Callable[[], Mapping[str, float]], key: str) -> None:
        self._read = read
        self._key = key
        self._base: Mapping[str, float] = {}

    def begin(self) -> None:
        """Count from now on."""
        self._base = self._read()

    def observe(self) -> Rows:
        """Return the totals."""
        base = self._base
        grown = {part: total - base[part] for part, total in self._read().items()}
        return rows(grown, self._key)


class Utilization:
    """The share of the available CPU time that was used since the last observation."""

    def __init__(
        self,
        read: Callable[[], Mapping[str, float]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._clock = clock
        self.begin()

    def begin(self) -> None:
        """Observe what is used from now on."""
        self._since, self._base = self._clock(), self._read()

    def observe(self) -> Rows:
        """Return the shares by mode; none if less than a second has passed."""
        now, used = self._clock(), self._read()
        available = (now - self._since) * available_cpus()
        if now - self._since < _SHORTEST_SECONDS:
            return []
        base, self._since, self._base = self._base, now, used
        # The ticks of a short time may exceed it.
        shares = {
            mode: min(1.0, (seconds - base[mode]) / available)
            for mode, seconds in used.items()
        }
        return rows(shares, "cpu.mode")
