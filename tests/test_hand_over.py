"""Another process can take what waits, instead of the exporter."""

from __future__ import annotations

import pytest

from dtmetrics import MemoryExporter
from dtmetrics._runtime.runtime import Runtime
from dtmetrics.exporters import Batch, ExportResult
from tests.support.delivery_rig import ANSWERED, RETRY, Rig
from tests.support.runtime_calls import inc


class Taker:
    """Takes so many batches, and no more."""

    def __init__(self, room: int = 100) -> None:
        self.room = room
        self.batches: list[Batch] = []

    def __call__(self, batch: Batch) -> bool:
        if len(self.batches) == self.room:
            return False
        self.batches.append(batch)
        return True


def test_taken() -> None:
    """What was recorded, and what waits, is taken and never exported."""
    rig, take = Rig(RETRY), Taker()
    rig.inc()
    assert not rig.flusher.flush(1.0)
    rig.inc()
    assert rig.flusher.hand_over(take, 1.0)
    assert [batch.text.split(b" ")[0] for batch in take.batches] == [b"orders"] * 2
    assert rig.flusher.flush(1.0)
    assert len(rig.exporter.batches) == 1
    assert rig.outbox.account().accepted == 2


def test_taken_in_part() -> None:
    """What is not taken waits on, and is exported."""
    rig, take = Rig(RETRY), Taker(room=1)
    rig.inc("first")
    assert not rig.flusher.flush(1.0)
    rig.inc("second")
    assert not rig.flusher.hand_over(take, 1.0)
    assert rig.flusher.flush(1.0)
    assert rig.exporter.lines == ["first count,delta=1", "second count,delta=1"]
    assert rig.outbox.account().accepted == 2


def test_while_another_thread_sends() -> None:
    """A batch that is being sent is not taken as well."""
    rig, take = Rig(), Taker()
    rig.inc()
    with rig.sender._lock.acquire(1.0):
        assert not rig.sender.hand_over(take)
    assert take.batches == []


def test_in_an_exporter() -> None:
    """In the middle of an export nothing is taken."""
    take, done = Taker(), []

    def export() -> ExportResult:
        done.append(rig.flusher.hand_over(take, 1.0))
        return ANSWERED

    rig = Rig(export)
    rig.inc()
    assert rig.flusher.flush(1.0)
    assert (done, take.batches) == ([False], [])


def test_while_another_thread_collects() -> None:
    """Without a collection in time nothing is taken."""
    rig, take = Rig(), Taker()
    rig.inc()
    with rig.delivery.collector._lock.acquire(1.0):
        assert not rig.flusher.hand_over(take, 0.0)
    assert take.batches == []


def test_several_exporters(runtime: Runtime) -> None:
    """With several exporters nothing is taken, because each would have to take it."""
    runtime.configure(exporters=[MemoryExporter(), MemoryExporter()], interval=None)
    inc(runtime)
    delivery, take = runtime._delivery, Taker()
    assert delivery is not None
    assert not delivery.flusher.hand_over(take, 1.0)
    assert take.batches == []


@pytest.mark.parametrize(("interval", "can"), [(60.0, True), (None, False)])
def test_can_relay(interval: float | None, can: bool) -> None:
    """Without a thread of its own a process sends nothing for others."""
    assert Rig(interval=interval).flusher.can_relay is can
