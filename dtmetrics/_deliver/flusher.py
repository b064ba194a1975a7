"""The flusher: when to collect, when to send, when to give up.

One thread at a time collects, and one at a time sends: the flusher's own, or the
caller's in ``flush()`` and ``close()``. So both work without a thread, and points are
collected on time while a slow endpoint is waited for.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from contextvars import Context

from dtmetrics._core import log
from dtmetrics._core.try_lock import TryLock
from dtmetrics._deliver.clock import Timing
from dtmetrics._deliver.collector import Collector
from dtmetrics._deliver.schedule import Cadence, Schedule, SendSchedule
from dtmetrics._deliver.sender import Sender

__all__ = ["Flusher"]

# Seconds for sending, however short the interval: a request that is given up too early
# is sent twice.
_SEND_SECONDS = 15.0

# How soon a machine that slept is noticed.
_LONGEST_WAIT = 60.0

# How long no record tries to start a thread after the system had none: a try takes
# 10 us.
_NO_THREAD_SECONDS = 30.0

# How soon Ctrl-C ends waiting for the thread.
_JOIN_SECONDS = 0.5


class Flusher:
    """Collects and sends by *cadence*, in a thread of its own.

    Without an interval there is no thread, and only ``flush()`` collects.
    """

    def __init__(
        self,
        collector: Collector,
        sender: Sender,
        *,
        cadence: Cadence,
        timing: Timing,
    ) -> None:
        self._collector = collector
        self._sender = sender
        self._cadence = cadence
        self._timing = timing
        self._thread = FlusherThread(
            self._run, monotonic=timing.clock.monotonic, event=timing.event
        )
        self._renew()

    def _renew(self) -> None:
        """Make what a forked child must not share with its parent."""
        self._sending = TryLock()
        self._collector.renew(self._thread.stop)
        # Made by the thread.
        self._schedule: Schedule | None = None
        self._send_schedule: SendSchedule | None = None

    @property
    def busy_here(self) -> bool:
        """Whether the calling thread is in the middle of a flush.

        It is in a callback or a signal handler then, and would wait for itself.
        """
        return self._collector.busy_here or self._sending.held

    def start(self) -> bool:
        """Start the thread unless it runs; return whether collections will happen."""
        return self._cadence.interval is None or self._thread.start()

    def flush(self, timeout: float) -> bool:
        """Collect and send; False: something still waits after *timeout* seconds."""
        if self.busy_here:
            return False
        timeout = max(0.0, timeout)
        deadline = self._timing.clock.monotonic() + timeout
        collected = self._collector.collect(
            timeout, self._timing.clock.timestamp, paced=False
        )
        return collected and self._send(deadline)

    def close(self, timeout: float) -> bool:
        """Collect and send what is left, end the thread, release the exporter.

        The thread does the sending, if there is one: it can be left behind if the
        exporter or a name server hangs and *timeout* is over.
        """
        if self.busy_here:
            return False
        timeout = max(0.0, timeout)
        clock = self._timing.clock
        deadline = clock.monotonic() + timeout
        collected = self._collector.collect(timeout, clock.timestamp, paced=False)
        if not collected:
            # A callback hangs.
            log.warning(
                "shut down without what was recorded last, in %d series",
                self._collector.series_count,
            )
        self._sender.give_up_at = deadline
        # Before the last attempt, which may outlast this call.
        self._sender.secure()
        if not self._thread.end(deadline):
            self._finish()
        return collected and not self._sender.waiting

    def reset_after_fork(self) -> None:
        """Start anew in a forked child: thread, locks and batches are the parent's."""
        self._thread.reset_after_fork()
        self._renew()
        self._sender.reset_after_fork()

    def collect_if_due(self, timeout: float = 0.0) -> float:
        """Collect if that is due; return the seconds until the next collection.

        Any thread that waits for an answer may call it. It does nothing while another
        thread collects for longer than *timeout* seconds.
        """
        schedule = self._schedule
        if schedule is None or self._thread.stop.is_set():
            return math.inf
        if schedule.wait() <= 0:
            self._collector.collect(
                timeout, lambda: self._take_due(schedule), paced=True
            )
        return schedule.wait()

    def _take_due(self, schedule: Schedule) -> int | None:
        due = schedule.due
        timestamp = schedule.take_due()
        if timestamp is not None and self._send_schedule is not None:
            self._send_schedule.collected(due)
        return timestamp

    # -- the thread ----------------------------------------------------------------

    def _run(self) -> None:
        cadence, clock = self._cadence, self._timing.clock
        interval = cadence.interval
        if interval is None:
            return
        sends = SendSchedule(
            clock.monotonic,
            interval=interval,
            part=self._timing.random(),
            spread_seconds=cadence.spread_seconds,
            look_seconds=self._sender.look_seconds,
        )
        self._send_schedule = sends
        self._schedule = schedule = Schedule(
            clock, interval, first_seconds=cadence.first_seconds
        )
        while self._step(schedule, sends, interval):
            pass
        self._finish()

    def _step(self, schedule: Schedule, sends: SendSchedule, interval: float) -> bool:
        """Wait for what is due next, and do it; False: the thread has to end."""
        try:
            monotonic = self._timing.clock.monotonic
            left = self._next_send(sends) - monotonic()
            rest = max(0.0, min(schedule.wait(), left, _LONGEST_WAIT))
            if self._thread.stop.wait(rest):
                return False
            self.collect_if_due(interval)
            if monotonic() >= self._next_send(sends):
                sends.sending()
                self._send(monotonic() + max(interval, _SEND_SECONDS), paced=True)
        except BaseException as error:  # noqa: BLE001
            # A callback's SystemExit or gevent.Timeout: there is no caller that it
            # could reach, and without this thread nothing is sent.
            self._sender.log.survived(error)
        return True

    def _next_send(self, sends: SendSchedule) -> float:
        sender = self._sender
        return sends.due(waiting=sender.waiting, retry_at=sender.backoff.retry_at)

    def _send(self, deadline: float, *, paced: bool = False) -> bool:
        with self._sending.acquire(
            deadline - self._timing.clock.monotonic()
        ) as acquired:
            return acquired and self._sender.send(deadline, paced=paced)

    def _finish(self) -> None:
        """Send for the last time, and release the exporter."""
        sender, monotonic = self._sender, self._timing.clock.monotonic
        deadline = sender.give_up_at
        with self._sending.acquire(deadline - monotonic()) as acquired:
            if not acquired:
                return
            # An endpoint that throttles is asked again while there is time. One that
            # does not answer must not hold up the end of the program.
            while not sender.send(deadline) and sender.backoff.throttled:
                pause = sender.backoff.retry_at - monotonic()
                if pause >= deadline - monotonic():
                    break
                self._timing.event().wait(max(0.0, pause))
            sender.close()


class FlusherThread:
    """A daemon thread that runs *run* until ``stop`` is set."""

    def __init__(
        self,
        run: Callable[[], object],
        *,
        monotonic: Callable[[], float],
        event: Callable[[], threading.Event],
    ) -> None:
        self._run = run
        self._monotonic = monotonic
        self._event = event
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Have no thread in a forked child."""
        self.stop = self._event()
        self.thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._retry_at = 0.0

    def start(self) -> bool:
        """Start the thread unless it runs; return whether it does."""
        if self.thread is not None:
            return True
        if self._monotonic() < self._retry_at:
            return False
        # The second caller, perhaps a signal handler of the first, need not wait.
        if not self._starting.acquire(blocking=False):
            return False
        try:
            if self.thread is None:
                thread = threading.Thread(
                    target=self._run, name="dtmetrics-flusher", daemon=True
                )
                # In an empty context: Sentry, OpenTelemetry and CPython 3.14t hand that
                # of the request that records first to the thread.
                Context().run(thread.start)
                self.thread = thread
        except RuntimeError:
            # At interpreter exit, in some subinterpreters, and when the system has no
            # thread left.
            self._retry_at = self._monotonic() + _NO_THREAD_SECONDS
            return False
        finally:
            self._starting.release()
        return True

    def end(self, deadline: float) -> bool:
        """Stop the thread and wait for it; False: no other thread was running."""
        self.stop.set()
        thread = self.thread
        # uWSGI ends a process in the thread that gets its signal, perhaps in this one.
        here = thread is not None and thread.ident == threading.get_ident()
        if thread is None or here or not thread.is_alive():
            return False
        # Piece by piece: a signal that comes just before a wait does not end it.
        while thread.is_alive() and (left := deadline - self._monotonic()) > 0:
            thread.join(min(left, _JOIN_SECONDS))
        return True
