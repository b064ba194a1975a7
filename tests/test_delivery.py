from __future__ import annotations

from functools import partial

from dtmetrics._deliver.delivery import ENDPOINT_CHANGED, Delivery, DeliverySettings
from dtmetrics._deliver.destination import Target
from dtmetrics._deliver.schedule import Cadence
from dtmetrics._record.meters import Meters
from dtmetrics._record.options import RecordingOptions
from dtmetrics._record.registry import Registry
from tests.support.delivery_rig import RETRY, Script

SETTINGS = DeliverySettings(cadence=Cadence(interval=None), metadata=False)


class Resettable(Script):
    """A scripted exporter that counts its resets."""

    resets = 0

    def reset_after_fork(self) -> None:
        super().reset_after_fork()
        self.resets += 1


def recording() -> Registry:
    """Return a registry that records."""
    registry = Registry()
    registry.start(RecordingOptions(), bool)
    return registry


def target(exporter: Script, environment: str) -> Target:
    """Return a target of this environment."""
    return Target(exporter=exporter, environment=environment)


def note(counts: list[int], delivery: Delivery) -> None:
    """Add to *counts* how many points were collected."""
    counts.append(delivery.account().collected)


def test_counts_go_on() -> None:
    """The account never falls while one delivery after the other is replaced."""
    registry = recording()
    counter = Meters(registry).root.counter("orders")
    delivery = Delivery(registry, [target(Script(), "0")], SETTINGS)
    collected = 0
    for number in range(1, 30):
        counter.inc()
        new = Delivery(
            registry, [target(Script(), str(number))], SETTINGS, earlier=delivery
        )
        before: list[int] = []
        new.take_over(delivery, 5.0, partial(note, before, new))
        account = new.account()
        assert before == [number]
        assert collected < account.collected == account.accepted == number
        delivery, collected = new, account.collected
    assert len(delivery.former.accounts()) == 11


def test_late_points_are_counted() -> None:
    """A point that comes to a replaced outbox is counted as dropped."""
    registry = recording()
    Meters(registry).root.counter("orders").inc()
    earlier = Delivery(registry, [target(Script(RETRY), "0")], SETTINGS)
    assert not earlier.flusher.flush(1.0)
    ((batch, _),) = earlier.destinations[0].outbox.waiting()
    new = Delivery(registry, [target(Script(), "1")], SETTINGS, earlier=earlier)
    new.take_over(earlier, 5.0, bool)
    assert new.account()[:5] == (1, 1, 0, {}, 0)
    earlier.destinations[0].outbox.put(batch)
    assert new.account()[:5] == (2, 1, 0, {ENDPOINT_CHANGED: 1}, 0)


def test_fork_while_it_is_replaced() -> None:
    """A child that is forked meanwhile uses nothing of the parent's exporters."""
    registry = recording()
    counter = Meters(registry).root.counter("orders")
    stays, goes, comes = Resettable(), Resettable(), Resettable()
    targets = [target(stays, "stays"), target(goes, "goes")]
    earlier = Delivery(registry, targets, SETTINGS)
    targets = [target(stays, "stays"), target(comes, "comes")]
    new = Delivery(registry, targets, SETTINGS, earlier=earlier)
    counter.inc()
    registry.reset_after_fork()
    new.reset_after_fork()
    assert [stays.resets, goes.resets, comes.resets] == [1, 1, 1]
    assert new.account()[:5] == (0, 0, 0, {}, 0)
    counter.inc()
    assert new.flusher.flush(5.0)
    assert stays.lines == comes.lines == ["orders count,delta=1"]


def test_replaced_exporter_is_closed() -> None:
    """An exporter whose place another one takes is closed, in the thread that sends."""
    registry = recording()
    first, second, third = Resettable(), Resettable(), Resettable()
    earlier = Delivery(registry, [target(first, "same")], SETTINGS)
    new = Delivery(registry, [target(second, "same")], SETTINGS, earlier=earlier)
    new.take_over(earlier, 5.0, bool)
    assert first.closed == 0
    assert new.flusher.flush(5.0)
    assert (first.closed, second.closed) == (1, 0)
    last = Delivery(registry, [target(third, "same")], SETTINGS, earlier=new)
    last.take_over(new, 5.0, bool)
    last.reset_after_fork()
    assert [second.resets, third.resets] == [1, 1]
    assert second.closed == 0


def test_names() -> None:
    """Destinations of equal names are numbered."""
    exporters = [Script(), Resettable(), Script(), Script()]
    targets = [target(each, str(n)) for n, each in enumerate(exporters)]
    delivery = Delivery(recording(), targets, SETTINGS)
    assert [*delivery.by_name()] == ["Script", "Resettable", "Script-2", "Script-3"]
