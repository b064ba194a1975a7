"""SendLoop: when one sender sends, and in which thread."""

from __future__ import annotations

import math
from collections.abc import Callable

from dtmetrics._deliver.clock import Timing
from dtmetrics._deliver.flusher_thread import FlusherThread
from dtmetrics._deliver.schedule import SendSchedule
from dtmetrics._deliver.sender import Sender

__all__ = ["LONGEST_WAIT", "SendLoop"]

# Seconds for sending, however short the interval: a request that is given up too early
# is sent twice.
_SEND_SECONDS = 15.0

#: How soon a machine that slept is noticed, in seconds.
LONGEST_WAIT = 60.0


class SendLoop:
    """Sends a while after each collection what waits for one exporter.

    A single one is driven by the flusher's thread. Of several, each has a thread of its
    own, so that a slow exporter delays no other one.
    """

    def __init__(
        self,
        sender: Sender,
        *,
        interval: float | None,
        spread_seconds: float,
        timing: Timing,
    ) -> None:
        self.sender = sender
        self._interval = interval
        self._spread_seconds = spread_seconds
        self._timing = timing
        #: Whether another flusher sends from now on.
        self.moved = False
        self._thread = FlusherThread(
            self._run,
            monotonic=timing.clock.monotonic,
            event=timing.event,
            name="dtmetrics-sender",
        )
        self._renew()

    def _renew(self) -> None:
        self._schedule: SendSchedule | None = None
        self._has_thread = False
        self._changed = self._timing.event()

    def reset_after_fork(self) -> None:
        """Have no thread in a forked child."""
        self._thread.reset_after_fork()
        self._renew()
        self.sender.reset_after_fork()

    # -- the plan ------------------------------------------------------------------

    def begin(self, interval: float) -> None:
        """Make the plan; called in the thread that will send."""
        self._schedule = SendSchedule(
            self._timing.clock.monotonic,
            interval=interval,
            part=self._timing.random(),
            spread_seconds=self._spread_seconds,
            look_seconds=self.sender.look_seconds,
        )
        if self.sender.waiting:  # collected under another flusher
            self.collected(self._timing.clock.monotonic())

    def collected(self, due: float) -> None:
        """Plan to send what was collected at *due*."""
        if self._schedule is not None:
            self._schedule.collected(due)

    def wait(self) -> float:
        """Return the seconds until the next send; not positive: it is due."""
        if self._schedule is None:
            return math.inf
        due = self._schedule.due(
            waiting=self.sender.waiting, retry_at=self.sender.backoff.retry_at
        )
        return due - self._timing.clock.monotonic()

    def send_if_due(self, interval: float) -> None:
        """Send what waits, if that is due."""
        if self._schedule is not None and self.wait() <= 0:
            self._schedule.sending()
            monotonic = self._timing.clock.monotonic
            deadline = monotonic() + max(interval, _SEND_SECONDS)
            self.sender.send(deadline, paced=True)

    # -- the thread ----------------------------------------------------------------

    def start(self) -> bool:
        """Start the thread unless it runs; return whether it does."""
        self._has_thread = True
        return self._thread.start()

    def look(self) -> None:
        """Make the thread look at its plan again, if it has one of its own."""
        if self._has_thread:
            self._changed.set()

    def stop(self) -> None:
        """Make the thread end, after the attempt that is under way."""
        self._thread.stop.set()
        self.look()

    def send(self, deadline: float) -> bool:
        """Send for a flush, until *deadline*, in a thread for this call alone."""
        return self._survive(self.sender.flush, deadline) is True

    def end(self, deadline: float) -> bool:
        """End the thread, which sends for the last time; without one, send here."""
        if not self._thread.end(deadline):
            self._survive(self.finish)
        return not self.sender.waiting

    def finish(self) -> None:
        """Send for the last time, and release the exporter."""
        self.sender.send_last()

    def _run(self) -> None:
        interval = self._interval
        if interval is None:
            return
        stop = self._thread.stop
        self.begin(interval)
        while not stop.is_set():
            self._survive(self._step, interval)
        if not self.moved:
            self._survive(self.finish)

    def _step(self, interval: float) -> None:
        self._changed.wait(max(0.0, min(self.wait(), LONGEST_WAIT)))
        self._changed.clear()
        if not self._thread.stop.is_set():
            self.send_if_due(interval)

    def _survive(self, call: Callable[..., object], *args: object) -> object:
        """Make a *call* in a thread that has no caller which an error could reach."""
        try:
            return call(*args)
        except BaseException as error:  # noqa: BLE001 -- such as a SystemExit
            self.sender.log.survived(error)
            return None
