"""The sender: batches from the outbox to the exporter, one attempt after the other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from dtmetrics._core.error_place import kind_and_place
from dtmetrics._core.safe_call import call_safely
from dtmetrics._core.suppress_instrumentation import suppress_instrumentation
from dtmetrics._deliver.backoff import Backoff, RetryPolicy
from dtmetrics._deliver.batch_state import (
    AT_LEAST_ONCE,
    Event,
    NextAttempt,
    State,
)
from dtmetrics._deliver.clock import Clock, Timing
from dtmetrics._deliver.delivery_log import DeliveryLog
from dtmetrics._deliver.feedback import Feedback
from dtmetrics._deliver.outbox import Outbox
from dtmetrics._protocol.timestamps import AHEAD_MS, restamp
from dtmetrics.exporters import Batch, Exporter, ExportResult, Outcome

if TYPE_CHECKING:
    from dtmetrics._deliver.spool_sync import SpoolSync

__all__ = ["PROBE", "SafeExporter", "Sender"]

# An exporter may take so many seconds for a batch.
_ATTEMPT_SECONDS = 15.0

#: A harmless line: after an unknown outcome, the endpoint must answer it before a
#: batch is put at risk again. An endpoint that accepts everything and answers nothing
#: for 12 s counts 17 % too many points without it, 1.6 % with it (one batch).
PROBE: Final = b"dtmetrics.client.probe,dt.metrics.source=dtmetrics gauge,1"

# After an outage dashboards need the present first.
_COLLECTIONS_FIRST = 2


class SafeExporter:
    """Calls an exporter, which may be the user's own, and always has a result.

    The call is not measured by our own integrations, and lines from a clock that was
    ahead get the present time.
    """

    def __init__(self, exporter: Exporter, clock: Clock, log: DeliveryLog) -> None:
        self._exporter = exporter
        self._name = type(exporter).__name__
        self._clock = clock
        self.log = log
        self.restamped = 0

    @property
    def destination(self) -> str:
        """The host and port to which batches go, or the name of a user's exporter."""
        found: object = call_safely(
            getattr, self._exporter, "destination", None, default=None
        )
        return found if isinstance(found, str) else self._name

    def export(self, batch: Batch, timeout: float) -> ExportResult:
        """Return the exporter's result; one that misbehaves leaves it indeterminate."""
        faults: list[str] = []
        result = call_safely(
            suppress_instrumentation,
            self._exporter.export,
            self._restamp(batch),
            timeout,
            default=None,
            # Only a text leaves: the error's traceback holds what was sent.
            on_error=lambda error: faults.append(f"raised {kind_and_place(error)}"),
        )
        if isinstance(result, ExportResult):
            return result
        if not faults:
            kind = None if result is None else type(result).__name__
            faults.append(f"returned {kind}, it must return an ExportResult")
        reason = f"the exporter {self._name} {faults[0]}"
        return ExportResult(Outcome.INDETERMINATE, reason=reason)

    def probe(self, timeout: float) -> ExportResult:
        """Send a harmless line."""
        return self.export(Batch(PROBE, (), self._clock.now_ms()), timeout)

    def close(self) -> None:
        """Let the exporter release what it holds."""
        call_safely(
            self._exporter.close,
            default=None,
            on_error=lambda error: self.log.exporter_error(self._name, error),
        )

    def reset_after_fork(self) -> None:
        """Let the exporter drop the parent's connections."""
        self.restamped = 0
        call_safely(self._exporter.reset_after_fork, default=None)

    def _restamp(self, batch: Batch) -> Batch:
        """Return *batch* with no time in the future."""
        now_ms = self._clock.now_ms()
        if batch.created_ms <= now_ms + AHEAD_MS:
            return batch
        now_ms = self._clock.unused(now_ms)  # a collection's points may have the other
        text, lines = restamp(batch.text, now_ms)
        self.restamped += lines
        return Batch(text, batch.identities, now_ms)


class Sender:
    """Sends what waits in *outbox* to *exporter*. One thread at a time calls it."""

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
        self._outbox = outbox
        self._feedback = feedback
        self._spool = spool
        self.log = exporter.log
        self.backoff = Backoff(
            policy, monotonic=self._clock.monotonic, random=timing.random
        )
        self._exporter = exporter
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

    def send(self, deadline: float, *, paced: bool = False) -> bool:
        """Send what waits, until *deadline*; False: some of it has to wait on.

        *paced* sends the backlog of an outage batch by batch, one in a call.
        """
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
        if self._spool is not None:
            self._spool.begin_attempt(batch)
        try:
            result = self._exporter.export(batch, seconds)
        except BaseException:
            # Ctrl-C, for example: the endpoint may have taken the batch all the same.
            self._wait(self._outbox.interrupt(batch))
            raise
        next_attempt = self._outbox.settle(batch, result)
        if self._spool is not None:
            self._spool.end_attempt(batch, result.outcome)
        call_safely(
            self._report, batch, result, default=None, on_error=self.log.survived
        )
        if next_attempt is NextAttempt.AT_ONCE:
            return True
        self._wait(next_attempt, result.retry_after)
        return False

    def _probe(self, seconds: float) -> bool:
        """Send the probe; return whether the endpoint accepted or rejected it."""
        try:
            result = self._exporter.probe(seconds)
        except BaseException:
            self._wait(NextAttempt.AFTER_PROBE)
            raise
        event = Event[result.outcome.name]
        next_attempt = AT_LEAST_ONCE[State.IN_FLIGHT, event].next_attempt
        if next_attempt is NextAttempt.AT_ONCE:
            self.backoff.probe_first = False
            return True
        call_safely(self.log.note, result, default=None, on_error=self.log.survived)
        assert next_attempt is not None
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
