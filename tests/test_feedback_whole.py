"""Messages about lines, from the endpoint's answer to the statistics."""

from __future__ import annotations

from dtmetrics._runtime.runtime import Runtime
from dtmetrics.receiver import running
from tests.support.endpoint import Endpoint, partly


def test_quarantine(runtime: Runtime) -> None:
    """An instrument that the endpoint always rejects is quarantined, and sent no more."""
    counter = runtime.meters.root.counter
    with Endpoint(otherwise=partly(1, 1, [(2, "invalid metric key")])) as endpoint:
        runtime.configure(
            endpoint=endpoint.url, interval=None, metadata=False, self_metrics=False
        )
        for _ in range(6):
            counter("good").inc()
            counter("bad").inc()
            assert runtime.flush()
        stats = runtime.stats()
        runtime.shutdown()
    assert stats.quarantined == {"bad": "invalid metric key"}
    assert (stats.collected, stats.rejected) == (11, 6)
    assert [len(request.lines) for request in endpoint.requests] == [2] * 5 + [1]


def test_suffixes(runtime: Runtime) -> None:
    """The statistics name the keys that classic metrics rename."""
    root = runtime.meters.root
    with running() as url:
        runtime.configure(endpoint=f"{url}/metrics/ingest", interval=None, enrich=False)
        root.counter("orders").inc()
        root.counter("orders.count").inc()
        root.gauge("pool.count").set(1)
        assert runtime.shutdown()
    assert runtime.stats().warnings == {
        "orders": "metric key 'orders' changed to 'orders.count'",
        "pool.count": "metric key 'pool.count' changed to 'pool.count.gauge'",
    }
