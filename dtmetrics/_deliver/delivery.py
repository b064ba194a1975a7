"""Delivery assembled: which parts there are, and what each is given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from dtmetrics._core import log
from dtmetrics._deliver.account import Account, total
from dtmetrics._deliver.budget import Budget
from dtmetrics._deliver.clock import Clock, Timing
from dtmetrics._deliver.collector import Collector, SelfMetrics
from dtmetrics._deliver.cost_count import CostCount
from dtmetrics._deliver.destination import Destination, Target
from dtmetrics._deliver.flusher import Flusher
from dtmetrics._deliver.outbox import Outbox
from dtmetrics._deliver.schedule import Cadence
from dtmetrics._deliver.send_loop import SendLoop
from dtmetrics._record.registry import Registry

__all__ = ["ENDPOINT_CHANGED", "Delivery", "DeliverySettings", "DeliveryStats"]

#: Why points were dropped that waited for an exporter when it was replaced.
ENDPOINT_CHANGED = "endpoint changed"

# Of so many outboxes that were closed, a point that comes late is still counted: a
# callback hung during the collection that it is from.
_MOST_OUTBOXES = 10


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
    #: The data points a minute near which a warning is logged.
    budget: int | None = None


class DeliveryStats(NamedTuple):
    """What delivery contributes to ``stats()``, besides the account."""

    flushes: int
    last_error: str
    spool: dict[str, int]
    restamped: int
    clock_steps: int
    warnings: dict[str, str]


class Delivery:
    """The parts that bring what *registry* collects to the exporters of *targets*.

    With *earlier* it replaces another delivery, once ``take_over()`` is called. What
    waits there for the same environment is sent by this one.
    """

    def __init__(
        self,
        registry: Registry,
        targets: Sequence[Target],
        settings: DeliverySettings,
        *,
        timing: Timing | None = None,
        earlier: Delivery | None = None,
    ) -> None:
        self._settings = settings
        # Timestamps must not repeat those of the earlier delivery.
        self.timing: Timing = timing or (earlier.timing if earlier else Timing(Clock()))
        self.clock = self.timing.clock
        before = [] if earlier is None else list(earlier.destinations)
        #: Each destination, with the exporter that it is to have.
        self._planned = [
            (self._same(target, before) or self._new(registry, target), target)
            for target in targets
        ]
        self.destinations: list[Destination] = [
            destination for destination, _ in self._planned
        ]
        # Those of *before* that no target is for.
        self._leaving = before
        self.former: Former = Former() if earlier is None else earlier.former.copy()
        for destination in before:
            self.former.add(destination.outbox)
        self.self_metrics = SelfMetrics(registry, self.account)
        self.costs = self._make_costs()
        if earlier is None:
            self.collector = Collector(registry)
            self._direct()
        else:
            self.collector = earlier.collector
        self.flusher = self._make_flusher()

    def _same(self, target: Target, before: list[Destination]) -> Destination | None:
        """Take the destination for the same environment out of *before*."""
        for place, destination in enumerate(before):
            if destination.target.environment == target.environment:
                return before.pop(place)
        return None

    def _new(self, registry: Registry, target: Target) -> Destination:
        return Destination(registry, target, self._settings, timing=self.timing)

    def _make_costs(self) -> CostCount:
        points = self._settings.budget
        budget = None if points is None else Budget(points, self.clock.monotonic)
        return CostCount(self._settings.cadence.interval, budget)

    def _make_flusher(self) -> Flusher:
        cadence = self._settings.cadence
        loops = [
            SendLoop(
                destination.sender,
                interval=cadence.interval,
                spread_seconds=target.spread_seconds,
                timing=self.timing,
            )
            for destination, target in self._planned
        ]
        return Flusher(self.collector, loops, cadence=cadence, timing=self.timing)

    def _direct(self) -> None:
        """Have what is collected put in the outboxes of these destinations."""
        settings = self._settings
        for destination in self.destinations:
            # Of several endpoints, one must not decide about the others.
            destination.feedback.quarantines = len(self.destinations) == 1
        self.collector.direct(
            [destination.outbox for destination in self.destinations],
            self.self_metrics if settings.self_metrics else None,
            costs=self.costs,
            metadata=settings.metadata,
            on_error=self.destinations[0].log.survived,
        )

    def take_over(
        self, earlier: Delivery, timeout: float, change: Callable[[], object]
    ) -> None:
        """Replace *earlier*, within *timeout* seconds.

        What was recorded so far goes to its destinations, and what is recorded after
        *change* was called to those of this delivery.
        """
        deadline = self.clock.monotonic() + timeout
        for destination, target in self._planned:
            if destination in earlier.destinations:
                destination.go_on_with(target, self._settings)

        def switch() -> None:
            self.self_metrics.continue_from(earlier.self_metrics)
            self.costs.continue_from(earlier.costs)
            self._direct()
            change()

        if not self.collector.switch(timeout, self.clock.timestamp, switch):
            log.warning("reconfigured while a callback hangs or fails")
        earlier.flusher.end(deadline, [each.sender for each in self._leaving])
        for each in self._leaving:
            self._inherit(each)
        self._leaving = []

    def _inherit(self, leaving: Destination) -> None:
        """Send what *leaving* has not delivered, if there is one exporter to send it.

        A spool keeps what waits on disk, for a process that sends to that environment.
        """
        if leaving.spool is None and len(self.destinations) == 1:
            [heir] = self.destinations
            if moved := leaving.outbox.hand_over(heir.outbox):
                log.warning(
                    "%d data points that %s did not take in time are sent to %s",
                    moved,
                    leaving.name,
                    heir.name,
                )
        if dropped := leaving.drop_what_waits(ENDPOINT_CHANGED):
            log.warning(
                "reconfigured with %d data points undelivered to %s",
                dropped,
                leaving.name,
            )

    def reset_after_fork(self) -> None:
        """Start anew in a forked child."""
        self.former = Former()
        # Another thread of the parent may have been replacing them.
        for each in self._leaving:
            each.sender.reset_after_fork()
        self._leaving = []
        self.costs.clear()
        self.flusher.reset_after_fork()
        self._direct()

    def account(self) -> Account:
        """Return what became of all points so far, by all exporters."""
        accounts = [each.outbox.account() for each in self.destinations]
        accounts += self.former.accounts()
        # Nearly always there is one, and adding up takes 5 us.
        return accounts[0] if len(accounts) == 1 else total(accounts)

    def by_name(self) -> dict[str, Destination]:
        """Return the destinations by name; equal names get numbers."""
        named: dict[str, Destination] = {}
        for each in self.destinations:
            name, number = each.name, 1
            while name in named:
                number += 1
                name = f"{each.name}-{number}"
            named[name] = each
        return named

    def stats(self) -> DeliveryStats:
        """Return what has happened so far."""
        each = [destination.stats() for destination in self.destinations]
        spool: Counter[str] = Counter()
        warnings: dict[str, str] = {}
        for stats in each:
            spool.update(stats.spool)
            warnings = {**stats.warnings, **warnings}
        return DeliveryStats(
            flushes=self.collector.flushes,
            last_error=next(filter(None, (stats.last_error for stats in each)), ""),
            spool=dict(spool),
            restamped=sum(stats.restamped for stats in each),
            clock_steps=self.clock.steps,
            warnings=warnings,
        )


class Former:
    """The accounts of destinations that have been replaced."""

    def __init__(self) -> None:
        self._outboxes: list[Outbox] = []
        self._sums: list[Account] = []

    def copy(self) -> Former:
        """Return the same accounts, to add others to."""
        copied = Former()
        copied._outboxes, copied._sums = [*self._outboxes], [*self._sums]
        return copied

    def add(self, outbox: Outbox) -> None:
        """Count what became of the points of *outbox*."""
        self._outboxes.append(outbox)
        if len(self._outboxes) > _MOST_OUTBOXES:
            self._sums = [total([*self._sums, self._outboxes.pop(0).account()])]

    def accounts(self) -> list[Account]:
        """Return their accounts."""
        return [*self._sums, *(outbox.account() for outbox in self._outboxes)]
