"""Delivery with fakes around it: a scripted exporter, and clocks that tests move."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

from dtmetrics._deliver.backoff import RetryPolicy
from dtmetrics._deliver.clock import Clock, Timing
from dtmetrics._deliver.delivery import Delivery, DeliverySettings
from dtmetrics._deliver.delivery_log import DeliveryLog
from dtmetrics._deliver.destination import Target
from dtmetrics._deliver.feedback import Feedback
from dtmetrics._deliver.outbox import Outbox
from dtmetrics._deliver.safe_exporter import SafeExporter
from dtmetrics._deliver.schedule import Cadence
from dtmetrics._deliver.sender import Sender
from dtmetrics._deliver.spool_sync import SpoolSync
from dtmetrics._protocol.line import identify
from dtmetrics._record.meters import Meters
from dtmetrics._record.options import RecordingOptions
from dtmetrics._record.registry import Registry
from dtmetrics._spool.spool import Spool
from dtmetrics.exporters import Batch, ExportResult, Outcome
from tests.support.endpoint import PATIENCE
from tests.support.recorder import MOMENT

ANSWERED = ExportResult(Outcome.ANSWERED)
RETRY = ExportResult(Outcome.RETRY, reason="status 503")
INDETERMINATE = ExportResult(Outcome.INDETERMINATE, reason="ReadTimeout")
REJECTED = ExportResult(Outcome.REJECTED, reason="status 406")
MISCONFIGURED = ExportResult(Outcome.MISCONFIGURED, reason="status 401")
TOO_LARGE = ExportResult(Outcome.TOO_LARGE, reason="status 413")
MALFORMED = ExportResult(Outcome.MALFORMED, reason="status 400")

Step = ExportResult | BaseException | Callable[[], Any]


class Script:
    """An exporter that follows a list of steps, and answers everything after them."""

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)
        self.batches: list[Batch] = []
        self.timeouts: list[float] = []
        self.threads: list[str] = []
        self.closed = 0
        self.changed = threading.Condition()

    def export(self, batch: Batch, timeout: float) -> ExportResult:
        with self.changed:
            self.batches.append(batch)
            self.timeouts.append(timeout)
            self.threads.append(threading.current_thread().name)
            self.changed.notify_all()
        step: Any = self.steps.pop(0) if self.steps else ANSWERED
        if isinstance(step, BaseException):
            raise step
        return step() if callable(step) else step

    def close(self) -> None:
        with self.changed:
            self.closed += 1
            self.changed.notify_all()

    def reset_after_fork(self) -> None:
        self.batches.clear()

    @property
    def lines(self) -> list[str]:
        """Every exported line, without its timestamp."""
        texts = (batch.text.decode().split("\n") for batch in self.batches)
        return [line.rpartition(" ")[0] for lines in texts for line in lines]

    def wait_for(self, count: int) -> None:
        """Wait until *count* batches were exported."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.batches) >= count, PATIENCE)

    def wait_closed(self) -> None:
        """Wait until it is closed."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.closed > 0, PATIENCE)


class Alarm(threading.Event):
    """A stop event with a clock of its own: waiting moves the clock.

    Each wait calls the next function of *plan*; the wait after the last one sets the
    event.
    """

    def __init__(self, *plan: Callable[[], object]) -> None:
        super().__init__()
        self.now = self.start = 1_000.0
        self.waits: list[float] = []
        self.plan = list(plan)

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waits.append(round(timeout, 6))
        self.now += timeout
        if not self.plan:
            self.set()
            return True
        self.plan.pop(0)()
        return self.is_set()


def nothing() -> None:
    """Let an interval pass."""


def start_no_thread() -> bool:
    """Start no thread, as if one ran."""
    return True


class Rig:
    """A registry and its delivery to a scripted exporter."""

    def __init__(
        self,
        *steps: Step,
        plan: tuple[Callable[[], object], ...] = (),
        chance: Callable[[], float] = lambda: 0.5,
        clock: Clock | None = None,
        spool: Spool | None = None,
        interval: float | None = None,
        first_seconds: float = math.inf,
        **settings: Any,
    ) -> None:
        self.registry = Registry()
        self.meter = Meters(self.registry).root
        self.exporter = Script(*steps)
        #: The time by the wall clock, until a plan moves it.
        self.now_ms = MOMENT
        self.alarm = Alarm(*plan)
        self.planned = bool(plan)
        if plan or interval is None:
            clock = Clock(self.wall, self.monotonic)
        event = (lambda: self.alarm) if plan else threading.Event
        self.interval = interval
        self.delivery = Delivery(
            self.registry,
            [Target(exporter=self.exporter, spool=spool)],
            DeliverySettings(
                cadence=Cadence(interval=interval, first_seconds=first_seconds),
                **settings,
            ),
            timing=Timing(clock or Clock(), chance, event),
        )
        self.flusher = self.delivery.flusher
        (self.destination,) = self.delivery.destinations
        self.sender = self.destination.sender
        self.outbox = self.destination.outbox
        # With a plan the loop runs in the test's own thread.
        self.registry.start(
            RecordingOptions(), start_no_thread if plan else self.flusher.start
        )

    @property
    def thread(self) -> threading.Thread | None:
        """The flusher's thread."""
        return self.flusher._thread.thread

    def wall(self) -> float:
        """Return the time by the wall clock."""
        passed = self.alarm.now - self.alarm.start
        return self.now_ms / 1000 + passed

    def monotonic(self) -> float:
        """Return the time by the monotonic clock."""
        return self.alarm.now if self.planned else self.now_ms / 1000

    def inc(self, key: str = "orders") -> None:
        """Record something."""
        self.meter.counter(key).inc()

    def fork(self) -> None:
        """Reset what a forked child resets."""
        self.registry.reset_after_fork()
        self.flusher.reset_after_fork()

    def run(self) -> list[float]:
        """Run the loop in this thread, by the plan; return how long it waited."""
        self.flusher._run()
        return self.alarm.waits


class Sending:
    """A sender, its outbox and a scripted exporter, at a time that tests move."""

    def __init__(
        self,
        *steps: Step,
        chance: Callable[[], float] = lambda: 0.5,
        resend: bool = True,
        spool: Spool | None = None,
    ) -> None:
        self.exporter = Script(*steps)
        self.outbox = Outbox(resend=resend)
        self.now = 0.0
        self.now_ms = MOMENT
        self.registry = Registry()
        self.feedback = Feedback(self.registry)
        clock = Clock(lambda: self.now_ms / 1000, lambda: self.now)
        self.sender = Sender(
            SafeExporter(self.exporter, clock, DeliveryLog(self.outbox.account)),
            self.outbox,
            timing=Timing(clock, chance),
            policy=RetryPolicy(),
            feedback=self.feedback,
            spool=None if spool is None else SpoolSync(self.outbox, spool),
        )

    def put(self, *keys: str, points: bool = True) -> None:
        """Put a batch in the outbox: a line for each of *keys*, or one of an order."""
        names = keys or ("orders",)
        line = (
            f"%s count,delta=1 {self.now_ms}" if points else "#%s count dt.meta.unit=s"
        )
        text = "\n".join(line % name for name in names)
        identities = tuple(identify(name, ()) for name in names if points)
        self.outbox.put(Batch(text.encode(), identities, self.now_ms))

    def send(self, seconds: float = 5.0, *, paced: bool = False) -> bool:
        """Send, within *seconds*."""
        return self.sender.send(self.now + seconds, paced=paced)

    @property
    def waiting(self) -> list[Batch]:
        """The batches that wait, in their order."""
        return [batch for batch, _ in self.outbox.waiting()]

    @property
    def pause(self) -> float:
        """How many seconds are left until the next attempt."""
        return self.sender.backoff.retry_at - self.now
