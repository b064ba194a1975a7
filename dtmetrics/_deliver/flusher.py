"""The flusher: when to collect, when to send, when to give up.

One thread at a time collects, and for each exporter one at a time sends: the flusher's
own, or the caller's in ``flush()`` and ``close()``. So both work without a thread, and
points are collected on time while a slow endpoint is waited for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence

from dtmetrics._core import log
from dtmetrics._deliver.at_once import at_once
from dtmetrics._deliver.clock import Timing
from dtmetrics._deliver.collector import Collector
from dtmetrics._deliver.flusher_thread import FlusherThread
from dtmetrics._deliver.schedule import Cadence, Schedule
from dtmetrics._deliver.send_loop import LONGEST_WAIT, SendLoop
from dtmetrics._deliver.sender import Sender
from dtmetrics.exporters import Batch

__all__ = ["Flusher"]


class Flusher:
    """Collects by *cadence* in a thread of its own, and sends by *loops*.

    The thread of a single loop is the flusher's. Without an interval there is no
    thread, and only ``flush()`` collects.
    """

    def __init__(
        self,
        collector: Collector,
        loops: Sequence[SendLoop],
        *,
        cadence: Cadence,
        timing: Timing,
    ) -> None:
        self._collector = collector
        self._loops = loops
        #: The only loop, which the flusher's thread drives.
        self._sole = loops[0] if len(loops) == 1 else None
        self._cadence = cadence
        self._timing = timing
        self._thread = FlusherThread(
            self._run, monotonic=timing.clock.monotonic, event=timing.event
        )
        # Made by the thread.
        self._schedule: Schedule | None = None

    @property
    def busy_here(self) -> bool:
        """Whether the calling thread is in the middle of a flush.

        It is in a callback or a signal handler then, and would wait for itself.
        """
        return self._collector.busy_here or any(
            loop.sender.busy_here for loop in self._loops
        )

    def start(self) -> bool:
        """Start the threads unless they run; return whether collections will happen."""
        if self._cadence.interval is None:
            return True
        started = self._thread.start()
        if self._sole is None:
            others = [loop.start() for loop in self._loops]
            started = started and all(others)
        return started

    def flush(self, timeout: float) -> bool:
        """Collect and send; False: something still waits after *timeout* seconds.

        It sends at once, whatever the backoff. Only an endpoint that has named a time
        (Retry-After) gets no request before it.
        """
        if self.busy_here:
            return False
        timeout = max(0.0, timeout)
        clock = self._timing.clock
        deadline = clock.monotonic() + timeout
        collected = self._collector.collect(timeout, clock.timestamp, paced=False)
        return collected and self._send(deadline)

    @property
    def can_relay(self) -> bool:
        """Whether a thread sends to one exporter, whatever other processes collect."""
        return self._sole is not None and self._cadence.interval is not None

    def hand_over(self, take: Callable[[Batch], bool], timeout: float) -> bool:
        """Collect, and let *take* have all that waits; False: not all of it.

        Of several exporters each would have to take it.
        """
        if self.busy_here or self._sole is None:
            return False
        timestamp = self._timing.clock.timestamp
        collected = self._collector.collect(timeout, timestamp, paced=False)
        return collected and self._sole.sender.hand_over(take)

    def close(self, timeout: float) -> bool:
        """Collect and send what is left, end the threads, release the exporters.

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
            self._collector.abandon()
            log.warning(
                "shut down without what was recorded last, in %d series",
                self._collector.series_count,
            )
        self.end(deadline, [loop.sender for loop in self._loops])
        return collected and not any(loop.sender.waiting for loop in self._loops)

    def end(self, deadline: float, leaving: Collection[Sender]) -> None:
        """End the threads; of the senders *leaving*, send what waits by *deadline*.

        The other senders go on under another flusher.
        """
        last = [loop for loop in self._loops if loop.sender in leaving]
        for loop in last:
            loop.sender.give_up_at = deadline
            # Before the last attempt, which may outlast this call.
            loop.sender.secure()
        for loop in self._loops:
            loop.moved = loop not in last
            loop.stop()
        if self._sole is None or not last:
            self._thread.stop.set()
            self._at_once(SendLoop.end, last, deadline)
        elif not self._thread.end(deadline):
            self._sole.finish()

    def _at_once(
        self,
        call: Callable[[SendLoop, float], bool],
        loops: Sequence[SendLoop],
        deadline: float,
    ) -> bool:
        """Make *call* for each of *loops* at once, until *deadline*."""
        monotonic = self._timing.clock.monotonic
        calls = [lambda s, each=loop: call(each, monotonic() + s) for loop in loops]
        return at_once(calls, deadline - monotonic())

    def reset_after_fork(self) -> None:
        """Start anew in a forked child: threads, locks and batches are the parent's."""
        self._thread.reset_after_fork()
        self._schedule = None
        self._collector.renew()
        for loop in self._loops:
            loop.reset_after_fork()

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
            for loop in self._loops:
                loop.look()
        return schedule.wait()

    def _take_due(self, schedule: Schedule) -> int | None:
        due = schedule.due
        timestamp = schedule.take_due()
        if timestamp is not None:
            for loop in self._loops:
                loop.collected(due)
        return timestamp

    def _send(self, deadline: float) -> bool:
        if self._sole is not None:
            return self._sole.sender.flush(deadline)
        return self._at_once(SendLoop.send, self._loops, deadline)

    # -- the thread ----------------------------------------------------------------

    def _run(self) -> None:
        interval = self._cadence.interval
        if interval is None:
            return
        if self._sole is not None:
            self._sole.begin(interval)
        self._schedule = schedule = Schedule(
            self._timing.clock, interval, first_seconds=self._cadence.first_seconds
        )
        while self._step(schedule, interval):
            pass
        if self._sole is not None and not self._sole.moved:
            self._sole.finish()

    def _step(self, schedule: Schedule, interval: float) -> bool:
        """Wait for what is due next, and do it; False: the thread has to end."""
        sole = self._sole
        try:
            left = math.inf if sole is None else sole.wait()
            rest = max(0.0, min(schedule.wait(), left, LONGEST_WAIT))
            if self._thread.stop.wait(rest):
                return False
            self.collect_if_due(interval)
            if sole is not None:
                sole.send_if_due(interval)
        except BaseException as error:  # noqa: BLE001
            # A callback's SystemExit or gevent.Timeout: there is no caller that it
            # could reach, and without this thread nothing is sent.
            self._loops[0].sender.log.survived(error)
        return True
