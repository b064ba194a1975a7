"""Messages about lines, from the endpoint's answer to the statistics."""

from __future__ import annotations

from dtmetrics._runtime.runtime import Process
from dtmetrics.receiver import running
from tests.support.endpoint import Endpoint, partly


def test_quarantine(process: Process) -> None:
    """An instrument that the endpoint always rejects is quarantined, and sent no more."""
    counter = process.meters.root.counter
    with Endpoint(otherwise=partly(1, 1, [(2, "invalid metric key")])) as endpoint:
        process.configure(
            endpoint=endpoint.url, interval=None, metadata=False, self_metrics=False
        )
        for _ in range(6):
            counter("good").inc()
            counter("bad").inc()
            assert process.flush()
        stats = process.stats()
        process.shutdown()
    assert stats.quarantined == {"bad": "invalid metric key"}
    assert (stats.collected, stats.rejected) == (11, 6)
    assert [len(request.lines) for request in endpoint.requests] == [2] * 5 + [1]


def test_suffixes(process: Process) -> None:
    """The statistics name the keys that classic metrics rename."""
    root = process.meters.root
    with running() as url:
        process.configure(endpoint=f"{url}/metrics/ingest", interval=None, enrich=False)
        root.counter("orders").inc()
        root.counter("orders.count").inc()
        root.gauge("pool.count").set(1)
        assert process.shutdown()
    assert process.stats().warnings == {
        "orders": "metric key 'orders' changed to 'orders.count'",
        "pool.count": "metric key 'pool.count' changed to 'pool.count.gauge'",
    }
