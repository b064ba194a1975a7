from __future__ import annotations

from dtmetrics._runtime.runtime import Process
from dtmetrics.exporters import ExportResult, Outcome
from tests.support.delivery_rig import REJECTED, Script

LOST = "dtmetrics.client.points.dropped"
REFUSED = "dtmetrics.client.values.invalid"


def said(exporter: Script, name: str) -> list[str]:
    """Return what was said of losses under this name."""
    return [
        line.replace(",dt.metrics.source=dtmetrics", "").removeprefix(f"{name},")
        for line in exporter.lines
        if line.startswith(name)
    ]


def test_a_healthy_process_says_nothing(process: Process) -> None:
    """While nothing is lost, no line is spent on saying so."""
    exporter = Script()
    process.configure(exporter=exporter, interval=None)
    for _ in range(3):
        process.meters.root.counter("orders").inc()
        assert process.flush()
    assert {line.split(",")[0] for line in exporter.lines} == {"orders"}


def test_says_each_loss_once(process: Process) -> None:
    """Each loss is delivered as a count, by reason, with the next flush."""
    rejecting = ExportResult(Outcome.ANSWERED, 1, "1 lines refused")
    exporter = Script(REJECTED, rejecting)
    process.configure(exporter=exporter, interval=None, metadata=False)
    orders = process.meters.root.counter("orders")
    for amount in (1, 1, -5, 1):
        orders.inc()
        orders.inc(amount)
        process.flush()
    assert said(exporter, LOST) == [
        'reason="rejected batch" count,delta=1',
        "reason=rejected count,delta=1",
    ]
    assert said(exporter, REFUSED) == ['reason="negative increment" count,delta=1']
    told = process.stats()
    assert told.collected == told.accepted + told.rejected + sum(told.dropped.values())


def test_what_it_means(process: Process) -> None:
    """The counts are explained like any other key, once something was lost."""
    exporter = Script(REJECTED)
    process.configure(exporter=exporter, interval=None)
    for _ in range(3):
        process.meters.root.counter("orders").inc()
        process.flush()
    texts = [body.text.decode() for body in exporter.batches if not body.points]
    assert texts == [
        f"#{LOST} count dt.meta.unit=Count,"
        'dt.meta.description="Data points that never arrived, by reason"'
    ]


def test_counts_from_zero_again(process: Process) -> None:
    """After another configure() and in a forked child all losses are new ones."""
    for _ in range(2):
        exporter = Script()
        process.configure(exporter=exporter, interval=None, force=True)
        for _ in range(2):
            process.meters.root.counter("orders").inc(-1)
            process.flush()
        process.registry.reset_after_fork()
        process.meters.root.counter("orders").inc(-1)
        process.flush()
        assert len(said(exporter, REFUSED)) == 3


def test_switched_off(process: Process) -> None:
    """Who does not want it has nothing of it."""
    exporter = Script(REJECTED)
    process.configure(exporter=exporter, interval=None, self_metrics=False)
    process.meters.root.counter("orders").inc(-1)
    for _ in range(2):
        process.meters.root.counter("orders").inc()
        process.flush()
    assert not [line for line in exporter.lines if "dtmetrics.client" in line]
    assert process.stats().dropped == {"rejected batch": 1}


def test_key_is_taken(process: Process) -> None:
    """A program that uses the key as something else keeps it; nothing is said then."""
    process.meters.root.gauge(LOST).set(1)
    exporter = Script(REJECTED)
    process.configure(exporter=exporter, interval=None)
    for _ in range(3):
        process.meters.root.counter("orders").inc()
        process.flush()
    assert not said(exporter, LOST)
