"""Delivery assembled: which parts there are, and what each is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from dtmetrics._deliver.backoff import RetryPolicy
from dtmetrics._deliver.clock import Clock, Timing
from dtmetrics._deliver.collector import Collector, SelfMetrics
from dtmetrics._deliver.delivery_log import DeliveryLog
from dtmetrics._deliver.feedback import Feedback
from dtmetrics._deliver.flusher import Flusher
from dtmetrics._deliver.outbox import Outbox
from dtmetrics._deliver.schedule import Cadence
from dtmetrics._deliver.sender import SafeExporter, Sender
from dtmetrics._record.registry import Registry
from dtmetrics.exporters import Exporter

if TYPE_CHECKING:
    from dtmetrics._deliver.spool_sync import SpoolSync
    from dtmetrics._spool.spool import Spool

__all__ = ["Delivery", "DeliverySettings", "DeliveryStats"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliverySettings:
    """What ``configure()`` decides about delivery."""

    cadence: Cadence = field(default_factory=Cadence)
    max_outbox_bytes: int = 32 << 20
    #: Whether a batch whose outcome is unknown is sent once more.
    resend: bool = True
    metadata: bool = True
    self_metrics: bool = False
    #: Whether the first delivery is shown even if logging is not set up.
    announce: bool = False
    policy: RetryPolicy = field(default_factory=RetryPolicy)


class DeliveryStats(NamedTuple):
    """What delivery contributes to ``stats()``, besides the account."""

    flushes: int
    last_error: str
    spool: dict[str, int]
    restamped: int
    clock_steps: int
    warnings: dict[str, str]


class Delivery:
    """The parts that bring what *registry* collects to *exporter*."""

    def __init__(
        self,
        registry: Registry,
        exporter: Exporter,
        settings: DeliverySettings,
        *,
        spool: Spool | None = None,
        timing: Timing | None = None,
    ) -> None:
        timing = timing or Timing(Clock())
        self.clock = timing.clock
        self.outbox = Outbox(settings.max_outbox_bytes, resend=settings.resend)
        self.spool = None if spool is None else _synchronized(self.outbox, spool)
        self.feedback = Feedback(registry)
        log = DeliveryLog(
            self.outbox.account,
            interval=settings.cadence.interval,
            announce=settings.announce,
        )
        self.sender = Sender(
            SafeExporter(exporter, self.clock, log),
            self.outbox,
            timing=timing,
            policy=settings.policy,
            feedback=self.feedback,
            spool=self.spool,
        )
        self.collector = Collector(
            registry,
            self.outbox,
            SelfMetrics(registry, self.outbox.account)
            if settings.self_metrics
            else None,
            metadata=settings.metadata,
            on_error=self.sender.log.survived,
        )
        self.flusher = Flusher(
            self.collector, self.sender, cadence=settings.cadence, timing=timing
        )

    def stats(self) -> DeliveryStats:
        """Return what has happened so far."""
        return DeliveryStats(
            flushes=self.collector.flushes,
            last_error=self.sender.log.last_error,
            spool={} if self.spool is None else self.spool.account(),
            restamped=self.sender.restamped,
            clock_steps=self.clock.steps,
            warnings=self.feedback.warnings.copy(),
        )


def _synchronized(outbox: Outbox, spool: Spool) -> SpoolSync:
    # 6 ms, which only a program with a spool pays.
    from dtmetrics._deliver.spool_sync import SpoolSync  # noqa: PLC0415

    return SpoolSync(outbox, spool)
