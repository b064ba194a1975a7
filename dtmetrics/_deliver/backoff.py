"""Backoff: when the next attempt is due, and how it begins.

Exponential backoff with full jitter, so that processes that failed together do not
come back together:
https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from dtmetrics._deliver.batch_state import NextAttempt

__all__ = ["Backoff", "RetryPolicy"]

# 2**16 times the first pause is beyond every longest one.
_MOST_DOUBLINGS = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryPolicy:
    """How long to wait between attempts. All times are in seconds."""

    #: The first pause after a failure; it doubles with each failure in a row.
    first_pause: float = 1.0
    #: The longest pause. A random part of each is taken, but never less than the
    #: shortest.
    longest_pause: float = 60.0
    shortest_pause: float = 0.1
    #: The same while a setting is wrong. An endpoint that gets more requests only
    #: fills its log, and a new token is used within the longest pause.
    first_slow_pause: float = 60.0
    longest_slow_pause: float = 300.0
    #: A pause that the endpoint has named, and a slow one, grows by up to this part.
    jitter: float = 0.2
    #: Batches a second after an outage. An hour of 10,000 series goes out in a minute,
    #: and a fleet of a hundred processes does not bring the endpoint down again.
    drain_rate: float = 10.0


class Backoff:
    """Decides when the sender may go on after a failure.

    *monotonic* returns seconds, *now* the seconds of the wall clock, *random* a number
    from 0 to 1.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        *,
        monotonic: Callable[[], float],
        now: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self._policy = policy
        self._monotonic = monotonic
        self._now = now
        self._random = random
        self.reset()

    def renew(self, policy: RetryPolicy) -> None:
        """Send the next batch at once: the exporter has been replaced."""
        self._policy = policy
        self.succeeded()

    def reset(self) -> None:
        """Start anew, as in a forked child."""
        self._failures: Counter[NextAttempt] = Counter()
        #: When the next attempt is due, by the monotonic clock; 0.0: at once.
        self.retry_at = 0.0
        # The end of the time in which the endpoint allows no request, by both clocks.
        self._held_until = self._held_until_now = 0.0
        #: Whether the endpoint must answer a probe before the next batch is sent.
        self.probe_first = False
        #: Whether the last failure was a throttled request: a later one may succeed.
        self.throttled = False
        #: Whether what an outage has left is being sent, at the policy's drain rate.
        self.draining = False

    def failed(
        self, next_attempt: NextAttempt, retry_after: float | None = None
    ) -> None:
        """Wait, for longer than after the failure before."""
        policy = self._policy
        if next_attempt is NextAttempt.SLOW_BACKOFF:
            pause = self._doubled(
                next_attempt, policy.first_slow_pause, policy.longest_slow_pause
            )
            pause *= 1 + policy.jitter * self._random()
        else:
            pause = self._doubled(
                NextAttempt.AFTER_BACKOFF, policy.first_pause, policy.longest_pause
            )
            pause = max(policy.shortest_pause, pause * self._random())
            if retry_after is not None:
                pause = retry_after * (1 + policy.jitter * self._random())
        self.throttled = next_attempt is NextAttempt.WHEN_ASKED
        if self.throttled and retry_after is not None:
            self._held_until = self._monotonic() + retry_after
            self._held_until_now = self._now() + retry_after
        if next_attempt is NextAttempt.AFTER_PROBE:
            self.probe_first = True
        self.retry_at = self._monotonic() + pause

    @property
    def held_for(self) -> float:
        """The seconds from now on in which the endpoint allows no request.

        By the clock that is further. The monotonic one may stand still while a platform
        has frozen the process, and the wall clock may be set back.
        """
        return min(
            self._held_until - self._monotonic(), self._held_until_now - self._now()
        )

    def succeeded(self) -> None:
        """Send the next batch at once, and begin with a short pause the next time."""
        self._failures.clear()
        self.retry_at = self._held_until = self._held_until_now = 0.0
        self.throttled = False

    def pace(self) -> None:
        """Send the next batch soon, at the rate that a recovering endpoint bears."""
        self.retry_at = self._monotonic() + 1 / self._policy.drain_rate

    def _doubled(self, kind: NextAttempt, first: float, longest: float) -> float:
        doublings = min(self._failures[kind], _MOST_DOUBLINGS)
        self._failures[kind] += 1
        return float(min(longest, first * 2**doublings))
