"""Sending: bodies out of the outbox, when to try again, and what to say about it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import PurePath

from dtmetrics._core import log
from dtmetrics._core.safe_call import call_safely
from dtmetrics._core.suppress_instrumentation import suppress_instrumentation
from dtmetrics._deliver.backlog import fold
from dtmetrics._deliver.backoff import Backoff
from dtmetrics._deliver.outbox import Account, Outbox
from dtmetrics._deliver.spool_sync import SpoolSync
from dtmetrics._protocol.timestamps import AHEAD_MS, restamp
from dtmetrics._spool.spool import Spool
from dtmetrics.exporters import Batch, Exporter, ExportResult, Outcome

__all__ = ["Sender"]

_ATTEMPT_SECONDS = 15.0

# How many different things are worth a line of the log.
_MOST_SAID = 1_000

# What is asked with after an answer that never came, until an answer comes: nobody is
# hurt if it was taken twice. An endpoint that takes everything and answers nothing for
# 12 s has 17 % too many points without, 1.6 % with it (one body).
PROBE = b"dtmetrics.client.probe,dt.metrics.source=dtmetrics gauge,1"

_ANSWERS = Outcome.ANSWERED, Outcome.REJECTED, Outcome.MALFORMED, Outcome.TOO_LARGE

_EXPORTER_FAILED = ExportResult(Outcome.INDETERMINATE, reason="the exporter failed")
_INTERRUPTED = ExportResult(Outcome.INDETERMINATE, reason="interrupted")

# After an outage dashboards want the present first.
_CUTS_FIRST = 2


class Sender:
    """Brings what waits in *outbox* to *exporter*. Called by one thread at a time."""

    def __init__(
        self,
        exporter: Exporter,
        outbox: Outbox,
        now_ms: Callable[[], int],
        unused: Callable[[int], int],
        clock: Callable[[], float],
        chance: Callable[[], float],
        feedback: Callable[[Batch, ExportResult], object],
        longest_pause: float = 60.0,
        spool: Spool | None = None,
    ) -> None:
        self._exporter = exporter
        self._outbox = outbox
        self._sync = SpoolSync(outbox, spool)
        self._now_ms = now_ms
        self._unused = unused
        self._clock = clock
        self._chance = chance
        self._feedback = feedback
        self._longest_pause = longest_pause
        self._renew()

    def _renew(self) -> None:
        """Make what a fork must not share with its parent."""
        self.last_error = ""
        #: Whether the endpoint answered the last attempt: it may accept a later one.
        self.throttled = False
        #: Data points that were sent with another time than their own.
        self.restamped = 0
        #: When every sending ends, whatever it was allowed: set by who closes.
        self.give_up_at = math.inf
        self._breaker = Backoff(self._clock, self._chance, self._longest_pause)
        self._limit = _Limit(self._clock)
        self._probing = self._draining = False
        self._troubles: set[str] = set()
        #: The account when this trouble began.
        self._before = Account(0, 0, 0, {}, 0)
        self._said: set[tuple[str, ...]] = set()

    @property
    def retry_at(self) -> float:
        """When the next attempt is due, if something waits; 0.0: at once."""
        return self._breaker.retry_at

    @property
    def on_disk(self) -> dict[str, int]:
        """What the spool says of itself; nothing if there is none."""
        return self._sync.account()

    def send(self, deadline: float, *, hurry: bool = True) -> bool:
        """Send what waits; False when something has to go on waiting.

        What an outage has left is sent body by body, unless there is a *hurry*.
        """
        while len(self._outbox) or self._adopt():
            left = min(deadline, self.give_up_at) - self._clock()
            if left <= 0:
                self._sync.synchronize()
                return False
            if self._probing and not self._probe(left):
                return False
            body = self._next()
            if body is None:
                break
            self._sync.begin_attempt(body)
            result = self._attempt(body, min(deadline, self.give_up_at))
            settled = self._outbox.settle(body, result)
            self._sync.end_attempt(body, result.outcome)
            call_safely(self._note, body, result, default=None, on_error=self.failed)
            if not settled or result.outcome is Outcome.INDETERMINATE:
                self._failed(result)
                return False
            if self._draining and not hurry and len(self._outbox):
                self._breaker.pace()
                return False
        self._draining = False
        self._breaker.worked()
        self._sync.synchronize()
        return True

    def secure(self) -> None:
        """Let what waits outlive this process, if there is a spool. Any thread may."""
        self._sync.synchronize()

    def close(self) -> None:
        """Let go of what the exporter holds, and of what is on disk."""
        self._sync.close()
        call_safely(self._exporter.close, default=None, on_error=self.failed)

    def reset_after_fork(self) -> None:
        """In a forked child: what waits, and every connection, is the parent's."""
        self._renew()
        self._outbox.reset_after_fork()
        self._sync.reset_after_fork()
        call_safely(self._exporter.reset_after_fork, default=None)

    def failed(self, error: BaseException) -> None:
        """Note an error that had to be survived; each kind is said once."""
        # Not its text: a foreign error's may hold what was sent.
        self.last_error = _kind_and_place(error)
        self._say_once("an error in the flusher: %s", self.last_error)

    # -- attempts ------------------------------------------------------------------

    def _adopt(self) -> bool:
        """Let wait what dead processes have left; say whether there was something."""
        doubts = self._sync.recover()
        self._probing = self._probing or any(doubts)
        # Others may have left an hour's worth.
        self._draining = self._draining or bool(doubts)
        return bool(doubts)

    def _next(self) -> Batch | None:
        while True:
            body = self._outbox.next(self._now_ms())
            if body is None or not self._limit.exceeded(body):
                return body
            self._outbox.divide(body)

    def _attempt(self, body: Batch, deadline: float) -> ExportResult:
        seconds = min(deadline - self._clock(), _ATTEMPT_SECONDS)
        try:
            result = call_safely(
                self._export,
                self._put_right(body),
                seconds,
                default=_EXPORTER_FAILED,
                on_error=self.failed,
            )
        except BaseException:
            # Ctrl-C, say: it may have been taken all the same.
            self._outbox.settle(body, _INTERRUPTED)
            self._failed(_INTERRUPTED)
            raise
        if result.outcome is Outcome.TOO_LARGE:
            self._limit.learn(body)
        return result

    def _put_right(self, body: Batch) -> Batch:
        """Return *body* with a time that is no longer in the future."""
        now_ms = self._now_ms()
        if body.created_ms <= now_ms + AHEAD_MS:
            return body
        now_ms = self._unused(now_ms)  # or it would share a cut's
        text, lines = restamp(body.text, now_ms)
        self.restamped += lines
        return Batch(text, body.identities, now_ms, body.weights)

    def _probe(self, seconds: float) -> bool:
        body = Batch(PROBE, (), self._now_ms())
        result = self._attempt(body, self._clock() + seconds)
        if result.outcome in _ANSWERS:
            self._probing = False  # it answers, whatever it says
            return True
        call_safely(self._note, body, result, default=None, on_error=self.failed)
        self._breaker.failed(result)
        return False

    def _export(self, body: Batch, timeout: float) -> ExportResult:
        result = suppress_instrumentation(self._exporter.export, body, timeout)
        if not isinstance(result, ExportResult):
            raise TypeError("an exporter has to return an ExportResult")
        return result

    def _failed(self, result: ExportResult) -> None:
        self._probing = result.outcome is Outcome.INDETERMINATE
        self.throttled = result.outcome is Outcome.THROTTLED
        self._breaker.failed(result)
        self._outbox.stow()
        now_ms = self._now_ms()
        call_safely(fold, self._outbox, now_ms, default=None, on_error=self.failed)
        self._sync.synchronize()

    # -- what to say ---------------------------------------------------------------

    def _note(self, body: Batch, result: ExportResult) -> None:
        """Log each change of state, and each kind of refusal, once."""
        if result.reason:
            self.last_error = result.reason
        if result.outcome is Outcome.ANSWERED:
            if self._troubles:
                self._back()
            self._breaker.worked()
        elif result.outcome is Outcome.REJECTED:
            self._say_once("dropped a body: %s", result.reason)
        elif result.outcome in (Outcome.TOO_LARGE, Outcome.MALFORMED):
            self._say_once("divided a body: %s", result.reason)
        elif result.reason not in self._troubles:
            if not self._troubles:
                self._before = self._outbox.account()
            self._troubles.add(result.reason)
            log.warning("cannot deliver, will go on trying: %s", result.reason)
        self._feedback(body, result)

    def _back(self) -> None:
        """Say that it works again, and what the outage has cost."""
        self._troubles.clear()
        self._draining = True
        self._outbox.newest_first(_CUTS_FIRST)
        if lost := self._outbox.account().lost_since(self._before):
            said = ", ".join(f"{points} {reason}" for reason, points in lost.items())
            log.warning("delivering again; data points lost meanwhile: %s", said)
        else:
            log.warning("delivering again")

    def _say_once(self, *what: str) -> None:
        if what not in self._said and len(self._said) < _MOST_SAID:
            self._said.add(what)
            log.warning(*what)


# An endpoint takes lines of 50,000 characters. Who finds less too large, a proxy in
# between, is not believed: it would be one line a request, and for days.
_LEAST_LIMIT = 50_000


class _Limit:
    """How large a body may be, as far as the endpoint has said."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._bytes = math.inf
        self._since = 0.0

    def learn(self, body: Batch) -> None:
        """Take note that *body* was too large."""
        self._bytes = max(_LEAST_LIMIT, 0.9 * len(body.text))
        self._since = self._clock()

    def exceeded(self, body: Batch) -> bool:
        """Say whether *body* is too large, and can be divided."""
        if self._bytes == math.inf:
            return False
        # Somebody may have set it higher again: it grows by a tenth an hour.
        hours = (self._clock() - self._since) / 3_600
        text = body.text
        return len(text) > self._bytes * 1.1**hours and b"\n" in text


def _kind_and_place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return type(error).__name__
    name = PurePath(trace.tb_frame.f_code.co_filename).name
    return f"{type(error).__name__} at {name}:{trace.tb_lineno}"
