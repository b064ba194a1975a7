"""What an interrupted flush leaves is handed over by the next one, once."""

from __future__ import annotations

import pytest

from dtmetrics import MemoryExporter
from dtmetrics._deliver.outbox import Outbox
from dtmetrics._record.handover import Handover
from dtmetrics._runtime.runtime import Runtime
from dtmetrics.exporters import Batch
from tests.support.exporter_contract import a_batch
from tests.support.raising_signal import Interrupt
from tests.support.runtime_calls import inc


def test_nothing_has_begun() -> None:
    """Without a batch there is nothing to settle, and nothing waits."""
    handover = Handover()
    handover.settle()
    assert [*handover.waiting()] == []


def test_closed_outbox() -> None:
    """A closed outbox notes a batch that it drops: it is not handed over again."""
    outbox, handover, batch = Outbox(), Handover(), a_batch("orders count,delta=1")
    outbox.close("endpoint changed")
    outbox.put(batch, handover)
    assert handover.entered is batch
    assert outbox.account()[:5] == (1, 0, 0, {"endpoint changed": 1}, 0)


def test_interrupted_between_two_outboxes(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of several exporters gets a batch once, also if a handler raises between them."""
    exporters = [MemoryExporter(), MemoryExporter()]
    runtime.configure(exporters=exporters, interval=None, enrich=False, metadata=False)
    inc(runtime)
    put, calls = Outbox.put, []

    def interrupted(
        outbox: Outbox, batch: Batch, handover: Handover | None = None
    ) -> None:
        calls.append(batch)
        if len(calls) == 2:
            raise Interrupt
        put(outbox, batch, handover)

    monkeypatch.setattr(Outbox, "put", interrupted)
    with pytest.raises(Interrupt):
        runtime.flush()
    assert runtime.flush()
    for exporter in exporters:
        assert [line.rpartition(" ")[0] for line in exporter.lines] == [
            "orders,dt.metrics.source=dtmetrics count,delta=1"
        ]


def test_interrupted_in_a_chunk(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a chunk of points that is in the outbox in part, the rest follows."""
    exporter = MemoryExporter()
    runtime.configure(
        exporter=exporter,
        interval=None,
        enrich=False,
        metadata=False,
        max_series_per_metric=5_000,
    )
    for number in range(2_500):  # more than a batch
        runtime.meters.root.counter("orders").inc(1, number=number)
    put, calls = Outbox.put, []

    def interrupted(
        outbox: Outbox, batch: Batch, handover: Handover | None = None
    ) -> None:
        put(outbox, batch, handover)
        calls.append(batch)
        if len(calls) == 1:
            raise Interrupt

    monkeypatch.setattr(Outbox, "put", interrupted)
    with pytest.raises(Interrupt):
        runtime.flush()
    assert runtime.flush()
    assert len(exporter.lines) == len({*exporter.lines}) == 2_500
