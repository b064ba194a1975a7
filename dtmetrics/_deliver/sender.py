"""Sending: bodies out of the outbox, when to try again, and what to say about it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import PurePath

from dtmetrics._deliver.exporter import Body, Exporter, ExportResult, Outcome
from dtmetrics._deliver.outbox import Outbox
from dtmetrics._record import log
from dtmetrics._record.guard import attempt

__all__ = ["Sender"]

_ATTEMPT_SECONDS = 15.0
_FIRST_PAUSE, _SHORTEST_PAUSE, _LONGEST_PAUSE = 1.0, 0.1, 60.0

# How many different things are worth a line of the log.
_MOST_SAID = 1_000


class Sender:
    """Brings what waits in *outbox* to *exporter*. Called by one thread at a time."""

    def __init__(
        self,
        exporter: Exporter,
        outbox: Outbox,
        now_ms: Callable[[], int],
        clock: Callable[[], float],
        chance: Callable[[], float],
        feedback: Callable[[Body, ExportResult], object],
    ) -> None:
        self._exporter = exporter
        self._outbox = outbox
        self._now_ms = now_ms
        self._clock = clock
        self._chance = chance
        self._feedback = feedback
        self._renew()

    def _renew(self) -> None:
        """Make what a fork must not share with its parent."""
        self.last_error = ""
        #: When the next attempt is due, if something waits because one failed.
        self.retry_at = 0.0
        #: When every sending ends, whatever it was allowed: set by who closes.
        self.give_up_at = math.inf
        self._failures = 0
        self._troubles: set[str] = set()
        self._said: set[tuple[str, ...]] = set()

    def send(self, deadline: float) -> bool:
        """Send what waits; False when something has to go on waiting."""
        while len(self._outbox):
            left = min(deadline, self.give_up_at) - self._clock()
            if left <= 0:
                return False
            body = self._outbox.next(self._now_ms())
            if body is None:
                break
            result = attempt(
                self._export,
                body,
                min(left, _ATTEMPT_SECONDS),
                default=ExportResult(Outcome.UNKNOWN, reason="the exporter failed"),
                on_error=self.failed,
            )
            settled = self._outbox.settle(body, result)
            attempt(self._note, body, result, default=None, on_error=self.failed)
            if not settled or result.outcome is Outcome.UNKNOWN:
                self._back_off(result)
                return False
        self.retry_at = 0.0
        return True

    def close(self) -> None:
        """Let go of what the exporter holds."""
        attempt(self._exporter.close, default=None, on_error=self.failed)

    def reset_after_fork(self) -> None:
        """In a forked child: what waits, and every connection, is the parent's."""
        self._renew()
        self._outbox.reset_after_fork()
        attempt(self._exporter.reset_after_fork, default=None)

    def failed(self, error: BaseException) -> None:
        """Note an error that had to be survived; each kind is said once."""
        # Not its text: a foreign error's may hold what was sent.
        self.last_error = _kind_and_place(error)
        self._say_once("an error in the flusher: %s", self.last_error)

    def _export(self, body: Body, timeout: float) -> ExportResult:
        result = self._exporter.export(body, timeout)
        if not isinstance(result, ExportResult):
            raise TypeError("an exporter has to return an ExportResult")
        return result

    def _back_off(self, result: ExportResult) -> None:
        """Wait longer after each failure, and a random part of it: nobody in step."""
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**self._failures)
        self._failures = min(self._failures + 1, 16)
        asked = (result.retry_after or 0.0) * (1 + 0.2 * self._chance())
        pause = max(_SHORTEST_PAUSE, asked, longest * self._chance())
        self.retry_at = self._clock() + pause

    def _note(self, body: Body, result: ExportResult) -> None:
        """Log each change of state, and each kind of refusal, once."""
        if result.reason:
            self.last_error = result.reason
        if result.outcome is Outcome.ANSWERED:
            if self._troubles:
                log.warning("delivering again")
            self._troubles.clear()
            self._failures = 0
        elif result.outcome is Outcome.DROP:
            self._say_once("dropped a body: %s", result.reason)
        elif result.reason not in self._troubles:
            self._troubles.add(result.reason)
            log.warning("cannot deliver, will go on trying: %s", result.reason)
        self._feedback(body, result)

    def _say_once(self, *what: str) -> None:
        if what not in self._said and len(self._said) < _MOST_SAID:
            self._said.add(what)
            log.warning(*what)


def _kind_and_place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return type(error).__name__
    name = PurePath(trace.tb_frame.f_code.co_filename).name
    return f"{type(error).__name__} at {name}:{trace.tb_lineno}"
