"""When to try again after a failure."""

from __future__ import annotations

from collections.abc import Callable

from dtmetrics.exporters import ExportResult, Outcome

__all__ = ["Backoff"]

_FIRST_PAUSE, _SHORTEST_PAUSE = 1.0, 0.1

# What waits for somebody to change a setting: asked for more often, it would only fill
# the endpoint's log. As long as this a new token takes to be used, at most.
_FIRST_SLOW_PAUSE, _LONGEST_SLOW_PAUSE = 60.0, 300.0

# Bodies a second while an endpoint that was down is given what has waited: an hour of
# 10,000 series goes out in a minute, and a fleet of a hundred does not bring it down.
_PACE = 10.0


class Backoff:
    """Says when the next attempt is due, ``retry_at``; 0.0: as soon as something waits.

    After each failure in a row it waits longer, up to *longest* seconds, and a random
    part of it, so that processes that failed together do not come back together
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter).
    """

    def __init__(
        self, clock: Callable[[], float], chance: Callable[[], float], longest: float
    ) -> None:
        self._clock = clock
        self._chance = chance
        self._longest = longest
        self.retry_at = 0.0
        self._failures = 0
        self._slow_failures = 0

    def failed(self, result: ExportResult) -> None:
        """Wait, for longer than the last time."""
        if result.outcome is Outcome.MISCONFIGURED:
            pause = min(_LONGEST_SLOW_PAUSE, _FIRST_SLOW_PAUSE * 2**self._slow_failures)
            self._slow_failures = min(self._slow_failures + 1, 16)
            pause *= 1 + 0.2 * self._chance()
        else:
            longest = min(self._longest, _FIRST_PAUSE * 2**self._failures)
            self._failures = min(self._failures + 1, 16)
            pause = max(_SHORTEST_PAUSE, longest * self._chance())
            if result.retry_after is not None:
                pause = result.retry_after * (1 + 0.2 * self._chance())
        self.retry_at = self._clock() + pause

    def worked(self) -> None:
        """Begin with a short pause the next time."""
        self._failures = self._slow_failures = 0
        self.retry_at = 0.0

    def pace(self) -> None:
        """Go on soon, not at once."""
        self.retry_at = self._clock() + 1 / _PACE
