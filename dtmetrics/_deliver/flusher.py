"""The flusher: when to collect, when to send, when to give up.

Collecting is one thread's turn at a time, and so is sending: the flusher's own, or
the caller's in ``flush()`` and ``close()``. So they work without a thread as well,
and what is recorded is collected in time while a slow endpoint is being waited for.
"""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Callable
from contextvars import Context

from dtmetrics._core import log
from dtmetrics._core.try_lock import TryLock
from dtmetrics._deliver.clock import Clock, Schedule
from dtmetrics._deliver.collector import Collector
from dtmetrics._deliver.feedback import Feedback
from dtmetrics._deliver.outbox import Account, Outbox
from dtmetrics._deliver.self_metrics import SelfMetrics
from dtmetrics._deliver.sender import Sender
from dtmetrics._record.registry import Registry
from dtmetrics._spool.recovery import LOOK_SECONDS
from dtmetrics._spool.spool import Spool
from dtmetrics.exporters import Exporter

__all__ = ["Flusher"]

# Seconds for sending, at least, however short the interval: who gives up on an answer
# too early sends twice.
_PATIENCE = 15.0

# The clocks of a fleet agree, so all its processes cut at once. Each posts a random
# part of half an interval later, and the other half is left for trying again; of half
# a minute at most, because somebody waits for the numbers.
_SPREAD, _SPREAD_SECONDS = 0.5, 30.0

# Until the next record may ask for a thread that was refused: to ask costs 10 us.
_REFUSED_SECONDS = 30.0

# How soon Ctrl-C is noticed by who waits for the thread to end.
_JOIN_SECONDS = 0.5

# How soon a machine that slept is noticed.
_LONGEST_WAIT = 60.0


class Flusher:
    """Brings what a registry collects to an exporter, every *interval* seconds.

    With ``interval=None`` there is no thread, and ``flush()`` does it.
    """

    def __init__(
        self,
        registry: Registry,
        exporter: Exporter,
        outbox: Outbox,
        *,
        interval: float | None = 60.0,
        metadata: bool = True,
        longest_pause: float = 60.0,
        losses: SelfMetrics | None = None,
        spool: Spool | None = None,
        clock: Clock | None = None,
        chance: Callable[[], float] = random.random,
        event: Callable[[], threading.Event] = threading.Event,
    ) -> None:
        self._outbox = outbox
        self._feedback = Feedback(registry)
        self._wall = clock or Clock()
        self._clock = self._wall.monotonic
        self._sender = Sender(
            exporter,
            outbox,
            self._wall.now_ms,
            self._wall.unused,
            self._clock,
            chance,
            self._feedback.take,
            longest_pause,
            spool,
        )
        self._interval = interval
        self._look_seconds = math.inf if spool is None else LOOK_SECONDS
        self._collector = Collector(
            registry, outbox, losses, metadata=metadata, on_error=self._sender.failed
        )
        self._chance = chance
        self._event = event
        self._renew()

    def _renew(self) -> None:
        """Make what a fork must not share with its parent."""
        self._thread: threading.Thread | None = None
        self._ask_again = 0.0
        self._starting = threading.Lock()
        self._stop = self._event()
        self._collector.renew(self._stop)
        self._sending = TryLock()
        self._rhythm: Schedule | None = None
        self._phase = 0.0
        self._post_at = self._look_at = math.inf

    @property
    def flushes(self) -> int:
        """How often was collected."""
        return self._collector.flushes

    @property
    def clock_steps(self) -> int:
        """How often the wall clock was seen to jump."""
        return self._wall.steps

    @property
    def last_error(self) -> str:
        """What last went wrong, or nothing."""
        return self._sender.last_error

    @property
    def warnings(self) -> dict[str, str]:
        """What the endpoint remarked on lines that it took, by metric key."""
        return self._feedback.warnings.copy()

    @property
    def busy_here(self) -> bool:
        """Whether the thread that asks is in the middle of a flush.

        It is in a callback or a signal handler then, and must not wait for itself.
        """
        return self._collector.busy_here or self._sending.held

    @property
    def on_disk(self) -> dict[str, int]:
        """What the spool says of itself; nothing if there is none."""
        return self._sender.on_disk

    @property
    def restamped(self) -> int:
        """How many data points were sent with another time than their own."""
        return self._sender.restamped

    def account(self) -> Account:
        """Return what became of all points so far."""
        return self._outbox.account()

    def start(self) -> bool:
        """Start the thread unless it runs; say whether somebody will collect."""
        if self._interval is None or self._thread is not None:
            return True
        if self._clock() < self._ask_again:
            return False
        # Whoever comes second, a signal handler of the first perhaps, need not wait.
        if not self._starting.acquire(blocking=False):
            return False
        try:
            if self._thread is None:
                thread = threading.Thread(
                    target=self._run,
                    args=(self._interval,),
                    name="dtmetrics-flusher",
                    daemon=True,
                )
                # Refused at interpreter exit, in some subinterpreters and when the
                # system has no thread left: then a later record asks again.
                # In nobody's context: Sentry and OpenTelemetry pass that of the request
                # which records first on to the thread, as CPython 3.14t does.
                Context().run(thread.start)
                self._thread = thread
        except RuntimeError:
            self._ask_again = self._clock() + _REFUSED_SECONDS
            return False
        finally:
            self._starting.release()
        return True

    def flush(self, timeout: float) -> bool:
        """Collect now and send; False if something still waits after *timeout*."""
        timeout = max(0.0, timeout)
        deadline = self._clock() + timeout
        if self.busy_here:
            return False
        collected = self._collector.collect(timeout, self._wall.stamp, paced=False)
        return collected and self._send(deadline)

    def close(self, timeout: float) -> bool:
        """Collect and send what is left, end the thread, let go of the exporter.

        The thread does the sending, if there is one: it can be left behind when
        the exporter hangs, or a name server, and the timeout is over.
        """
        timeout = max(0.0, timeout)
        deadline = self._clock() + timeout
        if self.busy_here:
            return False
        collected = self._collector.collect(timeout, self._wall.stamp, paced=False)
        if not collected:
            # A callback hangs, perhaps for ever.
            log.warning(
                "shut down without what was recorded last, in %d series",
                self._collector.series_count,
            )
        self._sender.give_up_at = deadline
        # Before the last attempt, which may outlast us.
        self._sender.secure()
        self._stop.set()
        thread = self._thread
        # uWSGI ends a process in whatever thread its signal came: in this one, perhaps.
        mine = thread is not None and thread.ident == threading.get_ident()
        if thread is None or mine or not thread.is_alive():
            self._finish()
        else:
            # Piece by piece: a signal that comes just before a wait does not end it.
            while thread.is_alive() and (left := deadline - self._clock()) > 0:
                thread.join(min(left, _JOIN_SECONDS))
        return collected and len(self._outbox) == 0

    def reset_after_fork(self) -> None:
        """In a forked child: there is no thread, and what waits is the parent's."""
        self._renew()
        self._feedback.reset_after_fork()
        self._sender.reset_after_fork()

    def collect_if_due(self, timeout: float = 0.0) -> float:
        """Collect if that is due; return in how many seconds it is the next time.

        For whoever waits for an answer in the middle of sending, in any thread. With
        another thread's collection in the way it does nothing after *timeout*.
        """
        rhythm = self._rhythm
        if rhythm is None or self._stop.is_set():
            return math.inf
        if rhythm.wait() <= 0:
            self._collector.collect(timeout, lambda: self._cut(rhythm), paced=True)
        return rhythm.wait()

    def _cut(self, rhythm: Schedule) -> int | None:
        due = rhythm.due
        cut_ms = rhythm.cut()
        # What is to come is not put off: a clock that stands still has cuts due often.
        if cut_ms is not None and not due < self._post_at < math.inf:
            self._post_at = due + self._phase
        return cut_ms

    def _run(self, interval: float) -> None:
        self._rhythm = rhythm = Schedule(self._wall, interval)
        self._phase = min(interval * _SPREAD, _SPREAD_SECONDS) * self._chance()
        self._look_at = self._clock() + self._look_seconds
        while self._goes_on(rhythm, interval):
            pass
        self._finish()

    def _goes_on(self, rhythm: Schedule, interval: float) -> bool:
        """Wait for what is due next, and do it; False: it is time to end."""
        try:
            if self._stop.wait(self._rest(rhythm)):
                return False
            self.collect_if_due(interval)
            if self._clock() >= self._next_sending():
                self._post_at = math.inf
                self._look_at = self._clock() + self._look_seconds
                self._send(self._clock() + max(interval, _PATIENCE), hurry=False)
        except BaseException as error:  # noqa: BLE001
            # A callback's SystemExit or gevent.Timeout: nobody is above us whom it
            # could reach, and without this thread nothing is sent.
            self._sender.failed(error)
        return True

    def _rest(self, rhythm: Schedule) -> float:
        sending = self._next_sending() - self._clock()
        return max(0.0, min(rhythm.wait(), sending, _LONGEST_WAIT))

    def _next_sending(self) -> float:
        if not len(self._outbox):
            return self._look_at
        return self._sender.retry_at or self._post_at

    def _send(self, deadline: float, *, hurry: bool = True) -> bool:
        with self._sending.acquire(deadline - self._clock()) as acquired:
            return acquired and self._sender.send(deadline, hurry=hurry)

    def _finish(self) -> None:
        """Send for the last time, and let go of the exporter."""
        deadline = self._sender.give_up_at
        with self._sending.acquire(deadline - self._clock()) as acquired:
            if acquired:
                # One that answers is asked again, as long as there is time; at one
                # that does not, no program's end has to wait.
                while not self._sender.send(deadline) and self._sender.throttled:
                    pause = self._sender.retry_at - self._clock()
                    if pause >= deadline - self._clock():
                        break
                    self._event().wait(max(0.0, pause))
                self._sender.close()
