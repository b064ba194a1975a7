"""When the flusher sends metadata of metric keys."""

from __future__ import annotations

import pytest

from dtmetrics.exporters import ExportResult, LineMessage, Outcome
from tests.support.delivery_rig import REJECTED, RETRY, Rig, nothing
from tests.support.recorder import MOMENT


def record_with_unit(rig: Rig, key: str = "orders") -> None:
    """Record with an instrument that has a unit."""
    rig.meter.counter(key, unit="{order}").inc()


def texts(rig: Rig) -> list[str]:
    """Return the text of each batch that was exported."""
    return [batch.text.decode() for batch in rig.exporter.batches]


DATA = f"orders count,delta=1 {MOMENT}"
NEXT = f"orders count,delta=1 {MOMENT + 1}"
METADATA = "#orders count dt.meta.unit=Count"


def test_follows_its_data() -> None:
    """Metadata is sent once, after its data, in a batch of its own without points."""
    rig = Rig()
    record_with_unit(rig)
    assert rig.flusher.flush(5.0)
    assert [batch.points for batch in rig.exporter.batches] == [1, 0]
    record_with_unit(rig)
    assert rig.flusher.flush(5.0)
    assert texts(rig) == [DATA, METADATA, NEXT]
    assert rig.outbox.account() == (2, 2, 0, {}, 0)


def test_no_metadata() -> None:
    """Keys without a unit and a description cost no request."""
    rig = Rig()
    rig.inc()
    assert rig.flusher.flush(5.0)
    assert texts(rig) == [DATA]


def test_waits_as_data_does() -> None:
    """Metadata waits behind data that was not taken, and holds no points."""
    rig = Rig(RETRY)
    record_with_unit(rig)
    assert not rig.flusher.flush(5.0)
    assert rig.outbox.account().waiting == 1
    assert rig.flusher.flush(5.0)
    assert texts(rig) == [DATA, DATA, METADATA]


def test_rejected_metadata_costs_no_point() -> None:
    """Metadata that the endpoint rejects costs no point, and is not sent again."""
    rejected = ExportResult(
        Outcome.ANSWERED,
        1,
        "1 lines rejected",
        rejected_lines=[LineMessage(0, "bad unit")],
    )
    for step in (rejected, REJECTED):
        rig = Rig(ExportResult(Outcome.ANSWERED), step)
        record_with_unit(rig)
        assert rig.flusher.flush(5.0)
        assert rig.outbox.account() == (1, 1, 0, {}, 0)
        record_with_unit(rig)
        assert rig.flusher.flush(5.0)
        assert texts(rig) == [DATA, METADATA, NEXT]


def test_sent_by_the_loop() -> None:
    """The thread sends metadata with the first collection that has any."""
    rig = Rig(plan=(nothing, lambda: record_with_unit(rig), nothing), interval=60.0)
    rig.run()
    later = f"orders count,delta=1 {MOMENT + 99_999}"
    assert texts(rig) == [later, METADATA]


@pytest.mark.parametrize("max_bytes", [1 << 20, 20], ids=["too old", "outbox full"])
def test_again_after_an_outage(max_bytes: int) -> None:
    """Metadata that was dropped before the endpoint could take it is sent later, once."""
    rig = Rig(RETRY, max_outbox_bytes=max_bytes)
    for _ in range(4):
        record_with_unit(rig)
        rig.flusher.flush(5.0)
        rig.now_ms += 56 * 60_000
    later = [batch for batch in rig.exporter.batches if batch.created_ms > MOMENT]
    assert [batch.text.decode() for batch in later if not batch.points] == [METADATA]
