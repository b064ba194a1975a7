"""Destination: one exporter with its outbox, its account and its backoff."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from dtmetrics._deliver.backoff import RetryPolicy
from dtmetrics._deliver.clock import Timing
from dtmetrics._deliver.delivery_log import DeliveryLog
from dtmetrics._deliver.feedback import Feedback
from dtmetrics._deliver.outbox import Outbox
from dtmetrics._deliver.safe_exporter import SafeExporter
from dtmetrics._deliver.sender import Sender
from dtmetrics._record.registry import Registry
from dtmetrics.exporters import Exporter

if TYPE_CHECKING:
    from dtmetrics._deliver.delivery import DeliverySettings
    from dtmetrics._deliver.spool_sync import SpoolSync
    from dtmetrics._spool.spool import Spool

__all__ = ["Destination", "DestinationStats", "Target"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """An exporter, and what ``configure()`` decides about it alone."""

    exporter: Exporter
    #: What is equal for exporters to one environment: what waits for one of them may
    #: be sent by another.
    environment: Hashable = ""
    spool: Spool | None = None
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    #: The longest random delay before a send, so that a fleet does not post at once.
    #: Dashboards wait for the numbers, so it is half a minute.
    spread_seconds: float = 30.0


class DestinationStats(NamedTuple):
    """What has happened so far, besides the account."""

    last_error: str
    spool: dict[str, int]
    restamped: int
    warnings: dict[str, str]


class Destination:
    """The parts that bring batches to the exporter of *target*."""

    def __init__(
        self,
        registry: Registry,
        target: Target,
        settings: DeliverySettings,
        *,
        timing: Timing,
    ) -> None:
        self._timing = timing
        self.target = target
        self.outbox = Outbox(settings.max_outbox_bytes, resend=settings.resend)
        self.spool = _synchronized(self.outbox, target.spool)
        self.feedback = Feedback(registry)
        self.log = DeliveryLog(
            self.outbox.account,
            interval=settings.cadence.interval,
            announce=settings.announce,
        )
        self.sender = Sender(
            SafeExporter(target.exporter, timing.clock, self.log),
            self.outbox,
            timing=timing,
            policy=target.policy,
            feedback=self.feedback,
            spool=self.spool,
        )
        #: The key of ``stats().exporters``.
        self.name = self.sender.destination

    def go_on_with(self, target: Target, settings: DeliverySettings) -> None:
        """Send what waits, and what comes, to the exporter of *target*."""
        self.outbox.limit(settings.max_outbox_bytes, resend=settings.resend)
        before, self.target = self.target, target
        self._go_on_in(target.spool)
        exporter = None
        if target.exporter is not before.exporter:
            exporter = SafeExporter(target.exporter, self._timing.clock, self.log)
        self.sender.go_on_with(exporter, target.policy)

    def _go_on_in(self, spool: Spool | None) -> None:
        """Store what waits in *spool* from now on."""
        earlier = self.spool
        if earlier is not None and spool is not None and earlier.path == spool.path:
            return
        self.spool = _synchronized(self.outbox, spool)
        self.sender.replace_spool(self.spool)
        if earlier is not None:
            earlier.close_empty()

    def drop_what_waits(self, reason: str) -> int:
        """Drop for *reason* what waits, and return how many points; keep it on disk."""
        if self.spool is not None:
            self.spool.close()  # first: it deletes what does not wait any more
        return self.outbox.close(reason)

    def stats(self) -> DestinationStats:
        """Return what has happened so far."""
        return DestinationStats(
            last_error=self.log.last_error,
            spool={} if self.spool is None else self.spool.account(),
            restamped=self.sender.restamped,
            warnings=self.feedback.warnings.copy(),
        )


def _synchronized(outbox: Outbox, spool: Spool | None) -> SpoolSync | None:
    if spool is None:
        return None
    # 6 ms, which only a program with a spool pays.
    from dtmetrics._deliver.spool_sync import SpoolSync  # noqa: PLC0415

    return SpoolSync(outbox, spool)
