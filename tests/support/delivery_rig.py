"""A sender and a flusher with fakes around: a scripted exporter, and told clocks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from dtmetrics._deliver.clock import Clock
from dtmetrics._deliver.feedback import Feedback
from dtmetrics._deliver.flusher import Flusher
from dtmetrics._deliver.outbox import Outbox
from dtmetrics._deliver.sender import Sender
from dtmetrics._protocol.line import identify
from dtmetrics._record.meter import Meters
from dtmetrics._record.options import RecordingOptions
from dtmetrics._record.registry import Registry
from dtmetrics._spool.spool import Spool
from dtmetrics.exporters import Batch, ExportResult, Outcome
from tests.support.endpoint import PATIENCE
from tests.support.recorder import MOMENT

ANSWERED = ExportResult(Outcome.ANSWERED)
KEEP = ExportResult(Outcome.RETRY, reason="status 503")
UNKNOWN = ExportResult(Outcome.INDETERMINATE, reason="ReadTimeout")
DROP = ExportResult(Outcome.REJECTED, reason="status 406")
MISCONFIGURED = ExportResult(Outcome.MISCONFIGURED, reason="status 401")
TOO_LARGE = ExportResult(Outcome.TOO_LARGE, reason="status 413")
UNREAD = ExportResult(Outcome.MALFORMED, reason="status 400")

Step = ExportResult | BaseException | Callable[[], Any]


class Script:
    """An exporter that does what a list says, and answers everything after that."""

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)
        self.bodies: list[Batch] = []
        self.timeouts: list[float] = []
        self.threads: list[str] = []
        self.closed = 0
        self.news = threading.Condition()

    def export(self, body: Batch, timeout: float) -> ExportResult:
        with self.news:
            self.bodies.append(body)
            self.timeouts.append(timeout)
            self.threads.append(threading.current_thread().name)
            self.news.notify_all()
        step: Any = self.steps.pop(0) if self.steps else ANSWERED
        if isinstance(step, BaseException):
            raise step
        return step() if callable(step) else step

    def close(self) -> None:
        with self.news:
            self.closed += 1
            self.news.notify_all()

    def reset_after_fork(self) -> None:
        self.bodies.clear()

    @property
    def lines(self) -> list[str]:
        """Every line that came, without its time."""
        texts = (body.text.decode().split("\n") for body in self.bodies)
        return [line.rpartition(" ")[0] for lines in texts for line in lines]

    def wait_for(self, count: int) -> None:
        """Wait until so many bodies have come."""
        with self.news:
            assert self.news.wait_for(lambda: len(self.bodies) >= count, PATIENCE)

    def wait_closed(self) -> None:
        """Wait until it is closed."""
        with self.news:
            assert self.news.wait_for(lambda: self.closed > 0, PATIENCE)


class Alarm(threading.Event):
    """A stop event on a clock of its own: to wait is to move the clock.

    At each wait *plan* may say what happens then; after it the event is set.
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


def nobody() -> bool:
    """Start no thread, and say that all is well."""
    return True


class Rig:
    """A registry, a flusher and what stands around them."""

    def __init__(
        self,
        *steps: Step,
        plan: tuple[Callable[[], object], ...] = (),
        max_bytes: int = 32 << 20,
        **kwargs: Any,
    ) -> None:
        self.registry = Registry()
        self.meter = Meters(self.registry).root
        self.exporter = Script(*steps)
        self.outbox = Outbox(max_bytes)
        #: The time by the wall clock, until a plan moves it.
        self.now_ms = MOMENT
        kwargs.setdefault("interval", None)
        self.alarm = Alarm(*plan)
        self.planned = bool(plan)
        if plan:
            kwargs["event"] = lambda: self.alarm
        if plan or kwargs["interval"] is None:
            kwargs["clock"] = Clock(self.wall, self.monotonic)
        kwargs.setdefault("chance", lambda: 0.5)
        self.flusher = Flusher(
            self.registry,
            self.exporter,
            self.outbox,
            **kwargs,
        )
        # By a plan the loop runs in the test's own thread.
        self.registry.start(
            RecordingOptions(), self.flusher.start if not plan else nobody
        )

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
        """Do what a child does."""
        self.registry.reset_after_fork()
        self.flusher.reset_after_fork()

    def run(self) -> list[float]:
        """Let the loop run in this thread by its plan; return how long it waited."""
        self.flusher._run(60.0)
        return self.alarm.waits


class Sending:
    """A sender, its outbox and a scripted exporter, at a time that stands still."""

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
        self.sender = Sender(
            self.exporter,
            self.outbox,
            lambda: self.now_ms,
            Clock().unused,
            lambda: self.now,
            chance,
            self.feedback.take,
            spool=spool,
        )

    def put(self, *keys: str, points: bool = True) -> None:
        """Let a body wait: a line for each of *keys*, or one of an order."""
        names = keys or ("orders",)
        line = (
            f"%s count,delta=1 {self.now_ms}" if points else "#%s count dt.meta.unit=s"
        )
        text = "\n".join(line % name for name in names)
        owners = tuple(identify(name, ()) for name in names if points)
        self.outbox.put(Batch(text.encode(), owners, self.now_ms))

    def send(self, seconds: float = 5.0) -> bool:
        """Send, within so many seconds."""
        return self.sender.send(self.now + seconds)

    @property
    def waiting(self) -> list[Batch]:
        """What waits, in its order."""
        return [body for body, _ in self.outbox.waiting()]

    @property
    def pause(self) -> float:
        """How long until the next attempt."""
        return self.sender.retry_at - self.now
