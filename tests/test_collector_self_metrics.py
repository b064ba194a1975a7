"""Self-metrics: what was dropped, rejected or invalid, as data points."""

from __future__ import annotations

from dtmetrics._runtime.runtime import Runtime
from dtmetrics.exporters import ExportResult, Outcome
from tests.support.delivery_rig import REJECTED, Script

DROPPED = "dtmetrics.client.points.dropped"
INVALID = "dtmetrics.client.values.invalid"


def counted(exporter: Script, name: str) -> list[str]:
    """Return the lines of the self-metric *name*, without it."""
    return [
        line.replace(",dt.metrics.source=dtmetrics", "").removeprefix(f"{name},")
        for line in exporter.lines
        if line.startswith(name)
    ]


def test_a_healthy_process_has_none(runtime: Runtime) -> None:
    """While nothing is dropped or invalid, no self-metric is sent."""
    exporter = Script()
    runtime.configure(exporter=exporter, interval=None)
    for _ in range(3):
        runtime.meters.root.counter("orders").inc()
        assert runtime.flush()
    assert {line.split(",")[0] for line in exporter.lines} == {"orders"}


def test_each_loss_is_counted_once(runtime: Runtime) -> None:
    """What was dropped is delivered as a count, by reason, with the next flush."""
    rejecting = ExportResult(Outcome.ANSWERED, 1, "1 lines rejected")
    exporter = Script(REJECTED, rejecting)
    runtime.configure(exporter=exporter, interval=None, metadata=False)
    orders = runtime.meters.root.counter("orders")
    for amount in (1, 1, -5, 1):
        orders.inc()
        orders.inc(amount)
        runtime.flush()
    assert counted(exporter, DROPPED) == [
        'reason="rejected batch" count,delta=1',
        "reason=rejected count,delta=1",
    ]
    assert counted(exporter, INVALID) == ['reason="negative increment" count,delta=1']
    stats = runtime.stats()
    assert stats.collected == stats.accepted + stats.rejected + sum(
        stats.dropped.values()
    )


def test_metadata(runtime: Runtime) -> None:
    """Self-metrics have metadata, which is sent once something was dropped."""
    exporter = Script(REJECTED)
    runtime.configure(exporter=exporter, interval=None)
    for _ in range(3):
        runtime.meters.root.counter("orders").inc()
        runtime.flush()
    texts = [batch.text.decode() for batch in exporter.batches if not batch.points]
    assert texts == [
        f"#{DROPPED} count dt.meta.unit=Count,"
        'dt.meta.description="Data points that never arrived, by reason"'
    ]


def test_counts_from_zero_again(runtime: Runtime) -> None:
    """After another configure() and in a forked child the counts start from zero."""
    for _ in range(2):
        exporter = Script()
        runtime.configure(exporter=exporter, interval=None, force=True)
        for _ in range(2):
            runtime.meters.root.counter("orders").inc(-1)
            runtime.flush()
        runtime.registry.reset_after_fork()
        runtime.meters.root.counter("orders").inc(-1)
        runtime.flush()
        assert len(counted(exporter, INVALID)) == 3


def test_reconfigured(runtime: Runtime) -> None:
    """A value that was invalid before the settings changed is counted once."""
    exporter = Script()
    runtime.configure(exporter=exporter, interval=None)
    runtime.meters.root.counter("orders").inc(-5)
    runtime.configure(exporter=exporter, interval=None, level="DEBUG", force=True)
    assert runtime.flush()
    assert counted(exporter, INVALID) == ['reason="negative increment" count,delta=1']


def test_switched_off(runtime: Runtime) -> None:
    """With ``self_metrics=False`` none is sent, and the statistics still count."""
    exporter = Script(REJECTED)
    runtime.configure(exporter=exporter, interval=None, self_metrics=False)
    runtime.meters.root.counter("orders").inc(-1)
    for _ in range(2):
        runtime.meters.root.counter("orders").inc()
        runtime.flush()
    assert not [line for line in exporter.lines if "dtmetrics.client" in line]
    assert runtime.stats().dropped == {"rejected batch": 1}


def test_key_of_another_kind(runtime: Runtime) -> None:
    """A program that defines the key as another kind keeps it; the self-metric is off."""
    runtime.meters.root.gauge(DROPPED).set(1)
    exporter = Script(REJECTED)
    runtime.configure(exporter=exporter, interval=None)
    for _ in range(3):
        runtime.meters.root.counter("orders").inc()
        runtime.flush()
    assert not counted(exporter, DROPPED)


def test_no_room(runtime: Runtime) -> None:
    """Self-metrics need room as other keys do; without it nothing is added to their counts."""
    exporter = Script(REJECTED)
    runtime.configure(exporter=exporter, interval=None, metadata=False, max_series=1)
    orders = runtime.meters.root.counter("orders")
    for _ in range(3):
        orders.inc()
        assert runtime.flush()
    assert {line.split(",")[0] for line in exporter.lines} == {"orders"}
    assert runtime.stats().dropped == {"rejected batch": 1}
