from __future__ import annotations

import math

from dtmetrics._deliver.clock import Clock, Timing
from dtmetrics._deliver.send_loop import SendLoop
from tests.support.delivery_rig import INDETERMINATE, Sending


def loop_of(sending: Sending, interval: float | None = None) -> SendLoop:
    """Return a loop that has not begun."""
    return SendLoop(
        sending.sender, interval=interval, spread_seconds=0.0, timing=Timing(Clock())
    )


def test_before_it_begins() -> None:
    """A loop that has not begun plans nothing."""
    loop = loop_of(Sending())
    loop.collected(0.0)
    loop.send_if_due(1.0)
    assert loop.wait() == math.inf


def test_without_an_interval() -> None:
    """Without an interval it has no plan, and sends nothing by itself."""
    sending = Sending()
    sending.put()
    loop = loop_of(sending)
    loop._run()
    assert sending.exporter.batches == []


def test_what_waits_when_it_begins() -> None:
    """What was collected under another flusher is sent soon."""
    sending = Sending()
    sending.put()
    loop = loop_of(sending, 60.0)
    loop.begin(60.0)
    assert loop.wait() <= 0


def test_moved() -> None:
    """A loop whose sender has another flusher neither sends at its end nor closes."""
    sending = Sending()
    loop = loop_of(sending, 60.0)
    loop.moved = True
    loop.stop()
    loop._run()
    assert sending.exporter.closed == 0
    loop.moved = False
    loop._run()
    assert sending.exporter.closed == 1


def test_error_at_the_end(expects_errors: None) -> None:
    """An error in the last attempt is logged, and ends nothing else."""
    sending = Sending(SystemExit(3), INDETERMINATE)
    sending.put()
    loop = loop_of(sending, 60.0)
    assert not loop.end(0.0)
    assert "SystemExit" in sending.sender.log.last_error
