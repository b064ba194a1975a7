"""What the flusher sends of the meaning of keys."""

from __future__ import annotations

import pytest

from dtmetrics.exporters import ExportResult, LineMessage, Outcome
from tests.support.delivery_rig import REJECTED, RETRY, Rig, nothing
from tests.support.recorder import MOMENT


def explained(rig: Rig, key: str = "orders") -> None:
    """Record something of a key that has a unit."""
    rig.meter.counter(key, unit="{order}").inc()


def texts(rig: Rig) -> list[str]:
    """Return the bodies that came."""
    return [body.text.decode() for body in rig.exporter.batches]


DATA = f"orders count,delta=1 {MOMENT}"
NEXT = f"orders count,delta=1 {MOMENT + 1}"
MEANING = "#orders count dt.meta.unit=Count"


def test_follows_its_data() -> None:
    """Meaning is sent after the data, in a body of its own without points, once."""
    rig = Rig()
    explained(rig)
    assert rig.flusher.flush(5.0)
    assert [body.points for body in rig.exporter.batches] == [1, 0]
    explained(rig)
    assert rig.flusher.flush(5.0)
    assert texts(rig) == [DATA, MEANING, NEXT]
    assert rig.outbox.account() == (2, 2, 0, {}, 0)


def test_nothing_to_explain() -> None:
    """Keys without a unit and a description cost no request."""
    rig = Rig()
    rig.inc()
    assert rig.flusher.flush(5.0)
    assert texts(rig) == [DATA]


def test_switched_off() -> None:
    """With ``metadata=False`` only data is sent."""
    rig = Rig(metadata=False)
    explained(rig)
    assert rig.flusher.flush(5.0)
    assert texts(rig) == [DATA]


def test_waits_as_data_does() -> None:
    """Meaning that was not taken waits behind its data, and is no point of it."""
    rig = Rig(RETRY)
    explained(rig)
    assert not rig.flusher.flush(5.0)
    assert rig.outbox.account().waiting == 1
    assert rig.flusher.flush(5.0)
    assert texts(rig) == [DATA, DATA, MEANING]


def test_refused_meaning_costs_no_point() -> None:
    """An endpoint that refuses or drops meanings has taken the data, and is told once."""
    refused = ExportResult(
        Outcome.ANSWERED,
        1,
        "1 lines refused",
        rejected_lines=[LineMessage(0, "bad unit")],
    )
    for step in (refused, REJECTED):
        rig = Rig(ExportResult(Outcome.ANSWERED), step)
        explained(rig)
        assert rig.flusher.flush(5.0)
        assert rig.outbox.account() == (1, 1, 0, {}, 0)
        explained(rig)
        assert rig.flusher.flush(5.0)
        assert texts(rig) == [DATA, MEANING, NEXT]


def test_sent_by_the_loop() -> None:
    """The thread sends meanings by itself, with the first interval that has any."""
    rig = Rig(plan=(nothing, lambda: explained(rig), nothing), interval=60.0)
    rig.run()
    later = f"orders count,delta=1 {MOMENT + 99_999}"
    assert texts(rig) == [later, MEANING]


def test_again_in_a_child() -> None:
    """A forked child explains its keys anew, after its own data."""
    rig = Rig()
    explained(rig)
    assert rig.flusher.flush(5.0)
    rig.fork()
    explained(rig)
    assert rig.flusher.flush(5.0)
    assert texts(rig) == [NEXT, MEANING]  # the parent's are forgotten


@pytest.mark.parametrize("max_bytes", [1 << 20, 20], ids=["too old", "outbox full"])
def test_again_after_an_outage(max_bytes: int) -> None:
    """Meaning that was given up before anybody could take it is sent later, once."""
    rig = Rig(RETRY, max_outbox_bytes=max_bytes)
    for _ in range(4):
        explained(rig)
        rig.flusher.flush(5.0)
        rig.now_ms += 56 * 60_000
    later = [body for body in rig.exporter.batches if body.created_ms > MOMENT]
    assert [body.text.decode() for body in later if not body.points] == [MEANING]
