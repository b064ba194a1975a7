"""The budget: a warning before the bill."""

from __future__ import annotations

from collections.abc import Callable
from heapq import nlargest
from time import monotonic

from dtmetrics._core import log
from dtmetrics._deliver.cost import Cost

__all__ = ["Budget"]

# At which percentages of the budget it warns.
_LEVELS = 80, 100
_PAUSE_SECONDS = 3_600.0
_MOST_SHOWN = 5


class Budget:
    """Logs when the data points of a minute come near *points*, or reach it.

    It drops nothing. Each of the two levels is logged once in an hour by *clock*.
    """

    def __init__(self, points: int, clock: Callable[[], float] = monotonic) -> None:
        self._points = points
        self._clock = clock
        #: When each level was logged last.
        self._logged: dict[int, float] = {}

    def continue_from(self, earlier: Budget) -> None:
        """Log what *earlier* has logged not before its hour is over."""
        if self._points == earlier._points:
            self._logged = earlier._logged

    def check(self, cost: Cost) -> None:
        """Log if *cost* has reached a level that was not logged in the last hour."""
        points = cost.points_per_minute
        reached = [level for level in _LEVELS if 100 * points >= level * self._points]
        if not reached:
            return
        now = self._clock()
        last = self._logged.get(reached[-1])
        if last is not None and now - last < _PAUSE_SECONDS:
            return
        self._logged.update(dict.fromkeys(reached, now))
        log.warning(
            "%.0f data points a minute are %.0f %% of the budget of %d; nothing is "
            "dropped; the most expensive metrics are %s",
            points,
            100 * points / self._points,
            self._points,
            _most_expensive(cost),
        )


def _most_expensive(cost: Cost) -> str:
    most = nlargest(
        _MOST_SHOWN, cost.by_key.items(), key=lambda item: item[1].points_per_minute
    )
    return ", ".join(
        f"{key} ({series} series, {points:.0f} points a minute)"
        for key, (series, points) in most
    )
