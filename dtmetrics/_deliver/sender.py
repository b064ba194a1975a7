"""The sender: batches from the outbox to the exporter, one attempt after the other."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from dtmetrics._core.safe_call import call_safely
from dtmetrics._core.try_lock import TryLock
from dtmetrics._deliver.backoff import Backoff, RetryPolicy
from dtmetrics._deliver.batch_state import (
    AT_LEAST_ONCE,
    Event,
    NextAttempt,
    State,
)
from dtmetrics._deliver.clock import Timing
from dtmetrics._deliver.feedback import Feedback
from dtmetrics._deliver.outbox import Outbox
from dtmetrics._deliver.safe_exporter import SafeExporter
from dtmetrics.exporters import Batch, ExportResult, Outcome

if TYPE_CHECKING:
    from dtmetrics._deliver.spool_sync import SpoolSync

__all__ = ["Sender"]

# An exporter may take so many seconds for a batch.
_ATTEMPT_SECONDS = 15.0

# After an outage dashboards need the present first.
_COLLECTIONS_FIRST = 2


class Sender:
    """Sends what waits in *outbox* to *exporter*, in one thread at a time."""

    def __init__(
        self,
        exporter: SafeExporter,
        outbox: Outbox,
        *,
        timing: Timing,
        policy: RetryPolicy,
        feedback: Feedback,
        spool: SpoolSync | None = None,
    ) -> None:
        self._clock = timing.clock
        self._event = timing.event
        self._outbox = outbox
        self._feedback = feedback
        self._spool = spool
        self.log = exporter.log
        self.backoff = Backoff(
            policy,
            monotonic=self._clock.monotonic,
            now=self._clock.now,
            random=timing.random,
        )
        self._exporter = exporter
        self._replaced: list[SafeExporter] = []
        self._lock = TryLock()
        #: When all sending ends, by the monotonic clock: set by the flusher's close().
        self.give_up_at = math.inf

    @property
    def waiting(self) -> bool:
        """Whether a batch waits or is in flight."""
        return len(self._outbox) > 0

    @property
    def restamped(self) -> int:
        """How many data points were sent with another time than their own."""
        return self._exporter.restamped

    @property
    def look_seconds(self) -> float:
        """How often to look for batches that dead processes left, in seconds."""
        return math.inf if self._spool is None else self._spool.look_seconds

    @property
    def destination(self) -> str:
        """The host and port to which batches go, or the name of a user's exporter."""
        return self._exporter.destination

    @property
    def busy_here(self) -> bool:
        """Whether the calling thread is in the middle of sending."""
        return self._lock.held

    def flush(self, deadline: float) -> bool:
        """Send as ``send()`` does, but not before the time that the endpoint named.

        Meanwhile another thread may send, and end the sending.
        """
        monotonic = self._clock.monotonic
        while True:
            with self._lock.acquire(deadline - monotonic()) as acquired:
                if not acquired:
                    return False
                pause = self.backoff.held_for
                if pause <= 0 or not self.waiting:
                    return self._send_here(deadline)
                if pause >= deadline - monotonic():
                    self.secure()
                    return False
            self._event().wait(pause)

    def send(self, deadline: float, *, paced: bool = False) -> bool:
        """Send what waits, until *deadline*; False: some of it has to wait on.

        *paced* sends the backlog of an outage batch by batch, one in a call.
        """
        with self._lock.acquire(deadline - self._clock.monotonic()) as acquired:
            return acquired and self._send_here(deadline, paced=paced)

    def send_last(self) -> None:
        """Send until ``give_up_at``, and release what the exporter and the spool hold.

        An endpoint that throttles gets another request after a pause, while there is
        time. One that does not answer must not hold up the end of the program.
        """
        deadline, monotonic = self.give_up_at, self._clock.monotonic
        with self._lock.acquire(deadline - monotonic()) as acquired:
            if not acquired:
                return
            while not self._send_here(deadline) and self.backoff.throttled:
                seconds = self.backoff.retry_at - monotonic()
                if seconds >= deadline - monotonic():
                    break
                self._event().wait(max(0.0, seconds))
            self.close()

    def go_on_with(self, exporter: SafeExporter | None, policy: RetryPolicy) -> None:
        """Send what waits at once; to *exporter*, if it is another one.

        An attempt that is under way goes on.
        """
        if exporter is not None:
            exporter.restamped = self._exporter.restamped
            self._replaced.append(self._exporter)
            self._exporter = exporter
        self.backoff.renew(policy)

    def hand_over(self, take: Callable[[Batch], bool]) -> bool:
        """Let *take* have what waits; False: not all of it, which waits on."""
        with self._lock.acquire(0.0) as acquired:
            taken = acquired
            while taken and (batch := self._outbox.begin_attempt(self._clock.now_ms())):
                taken = take(batch)
                outcome = Outcome.ANSWERED if taken else Outcome.RETRY
                self._outbox.settle(batch, ExportResult(outcome))
            self.secure()
        return taken

    def replace_spool(self, spool: SpoolSync | None) -> None:
        """Store what waits in *spool* from now on."""
        self._spool = spool
        self.secure()

    def _send_here(self, deadline: float, *, paced: bool = False) -> bool:
        # Here, because one thread at a time may call an exporter.
        while self._replaced:
            self._replaced.pop().close()
        complete = self._send(deadline, paced=paced)
        self.log.sent(self._exporter.destination)
        return complete

    def _send(self, deadline: float, *, paced: bool) -> bool:
        backoff = self.backoff
        while len(self._outbox) or self._recover():
            seconds = self._seconds_until(deadline)
            if seconds <= 0:
                self.secure()
                return False
            if backoff.probe_first and not self._probe(seconds):
                return False
            batch = self._outbox.begin_attempt(self._clock.now_ms())
            if batch is None:
                break
            if not self._attempt(batch, self._seconds_until(deadline)):
                return False
            if paced and backoff.draining and len(self._outbox):
                backoff.pace()
                return False
        backoff.draining = False
        backoff.succeeded()
        self.secure()
        return True

    def secure(self) -> None:
        """Store what waits in the spool, if there is one. Any thread may call it."""
        if self._spool is not None:
            self._spool.synchronize()

    def close(self) -> None:
        """Release what the exporter and the spool hold."""
        if self._spool is not None:
            self._spool.close()
        self._exporter.close()

    def reset_after_fork(self) -> None:
        """Start anew in a forked child: batches and connections are the parent's."""
        self._lock = TryLock()
        replaced, self._replaced = self._replaced, []
        for exporter in replaced:
            exporter.reset_after_fork()
        self.give_up_at = math.inf
        self.log.reset_after_fork()
        self.backoff.reset()
        self._feedback.reset_after_fork()
        self._outbox.reset_after_fork()
        if self._spool is not None:
            self._spool.reset_after_fork()
        self._exporter.reset_after_fork()

    # -- attempts ------------------------------------------------------------------

    def _seconds_until(self, deadline: float) -> float:
        left = min(deadline, self.give_up_at) - self._clock.monotonic()
        return min(left, _ATTEMPT_SECONDS)

    def _attempt(self, batch: Batch, seconds: float) -> bool:
        """Send *batch*; return whether the next one may follow at once."""
        exporter, spool = self._exporter, self._spool
        if spool is not None:
            spool.begin_attempt(batch)
        try:
            result = exporter.export(batch, seconds)
        except BaseException:
            # Ctrl-C, for example: the endpoint may have taken the batch all the same.
            self._wait(self._outbox.interrupt(batch))
            raise
        next_attempt = self._outbox.settle(batch, result)
        if spool is not None:
            spool.end_attempt(batch, result.outcome)
        call_safely(
            self._report, batch, result, default=None, on_error=self.log.survived
        )
        if next_attempt is NextAttempt.AT_ONCE:
            return True
        if exporter is not self._exporter:
            # Replaced meanwhile, perhaps for another token. An unknown outcome still
            # needs a probe.
            self.backoff.probe_first |= next_attempt is NextAttempt.AFTER_PROBE
            return True
        self._wait(next_attempt, result.retry_after)
        return False

    def _probe(self, seconds: float) -> bool:
        """Send the probe; return whether the endpoint accepted or rejected it."""
        exporter = self._exporter
        try:
            result = exporter.probe(seconds)
        except BaseException:
            self._wait(NextAttempt.AFTER_PROBE)
            raise
        event = Event[result.outcome.name]
        next_attempt = AT_LEAST_ONCE[State.IN_FLIGHT, event].next_attempt
        if next_attempt is NextAttempt.AT_ONCE:
            self.backoff.probe_first = False
            return True
        for log in (self.log.note, self.log.compare_clocks):
            call_safely(log, result, default=None, on_error=self.log.survived)
        assert next_attempt is not None
        if exporter is self._exporter:  # else the next one is to be tried at once
            self.backoff.failed(next_attempt, result.retry_after)
        return False

    def _report(self, batch: Batch, result: ExportResult) -> None:
        """Log what is new, and bring messages about lines to their instruments."""
        if result.outcome is Outcome.ANSWERED:
            self.backoff.succeeded()
            if self.log.outage:
                self.log.outage_ended()
                self.backoff.draining = True
                self._outbox.newest_first(_COLLECTIONS_FIRST)
        if result.reason or result.outcome is not Outcome.ANSWERED:
            self.log.note(result)
        if result.clock_ahead:
            self.log.compare_clocks(result)
        # A clean result concerns an instrument only after rejected lines.
        messages = result.rejected or result.rejected_lines or result.warnings
        if messages or self._feedback.rejections_in_a_row:
            self._feedback.take(batch, result)

    def _wait(
        self, next_attempt: NextAttempt, retry_after: float | None = None
    ) -> None:
        self.backoff.failed(next_attempt, retry_after)
        self._outbox.compress()
        self.secure()

    def _recover(self) -> bool:
        """Take over what dead processes left; return whether there was something."""
        if self._spool is None:
            return False
        in_flight = self._spool.recover()
        if in_flight:
            # Dead processes may have left an hour's worth.
            self.backoff.draining = True
            self.backoff.probe_first |= any(in_flight)
        return bool(in_flight)
