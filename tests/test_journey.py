"""The library on one page: what a program records and what the endpoint receives."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from dtmetrics import (
    configure,
    context,
    counter,
    flush,
    gauge,
    get_meter,
    observe,
    shutdown,
    stats,
    summary,
    timed,
)
from dtmetrics._runtime.runtime import default
from tests.support.endpoint import Endpoint, accept, answer, hang_up, partly
from tests.support.thread_load import in_threads


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """Return an endpoint that accepts everything."""
    observers = default.registry.observers.copy()
    with Endpoint() as made:
        yield made
        shutdown()
    default.registry.observers.clear()
    default.registry.observers.update(observers)


def simplified(lines: list[str]) -> list[str]:
    """Return the data in *lines*, sorted, without timestamps and the common dimension."""
    data = (line for line in lines if not line.startswith("#"))
    source = ",dt.metrics.source=dtmetrics"
    return sorted(
        re.sub(r" 1[0-9]{12}$", " T", line).replace(source, "") for line in data
    )


def test_journey(endpoint: Endpoint) -> None:
    """The endpoint receives what was recorded, to the byte, and stats() counts it."""
    configure(endpoint=endpoint.url, interval=None, dimensions={"team": "shop"})

    orders = counter("orders.placed", unit="{order}", description="Orders taken")
    orders.inc()
    orders.inc(3, region="eu west")
    eu = orders.bind(region="eu west")
    eu.inc(2)
    gauge("queue.depth").set(12)
    summary("cart.value", unit="EUR").record(9.5)
    summary("cart.value", unit="EUR").record(0.5)
    observe("pool.size")(lambda: 7)
    with context(tenant="acme"):
        get_meter("shop.jobs").counter("jobs.run").inc()

    assert flush()
    data, metadata = endpoint.requests
    assert all(",dt.metrics.source=dtmetrics," in line for line in data.lines)
    assert simplified(data.lines) == [
        "cart.value,team=shop gauge,min=0.5,max=9.5,sum=10,count=2 T",
        "jobs.run,team=shop,tenant=acme count,delta=1 T",
        'orders.placed,region="eu west",team=shop count,delta=5 T',
        "orders.placed,team=shop count,delta=1 T",
        "pool.size,team=shop gauge,7 T",
        "queue.depth,team=shop gauge,12 T",
    ]

    assert sorted(metadata.lines) == [
        "#cart.value gauge dt.meta.unit=EUR",
        '#orders.placed count dt.meta.unit=Count,dt.meta.description="Orders taken"',
    ]

    eu.inc()
    assert flush()
    assert len(endpoint.requests) == 3
    assert simplified(endpoint.requests[2].lines) == [
        'orders.placed,region="eu west",team=shop count,delta=1 T',
        "pool.size,team=shop gauge,7 T",
        "queue.depth,team=shop gauge,12 T",
    ]
    counts = stats()
    assert (counts.collected, counts.accepted, counts.flushes) == (9, 9, 2)
    assert (counts.rejected, counts.dropped, counts.waiting, counts.last_error) == (
        0,
        {},
        0,
        "",
    )
    assert shutdown()


def test_timer(endpoint: Endpoint) -> None:
    """A decorated function is timed, with the error that it raised as a dimension."""
    configure(endpoint=endpoint.url, interval=None)

    @timed("checkout.duration", args=("region",))
    def checkout(region: str) -> None:
        if region == "us":
            raise KeyError(region)

    checkout("eu")
    with pytest.raises(KeyError):
        checkout("us")
    assert flush()
    prefixes = [line.partition(" gauge,")[0] for line in simplified(endpoint.lines)]
    assert prefixes == [
        "checkout.duration,error.type=KeyError,region=us",
        "checkout.duration,region=eu",
    ]


def test_interval(endpoint: Endpoint) -> None:
    """With an interval, the first record starts a thread that flushes."""
    configure(endpoint=endpoint.url, interval=0.02)
    counter("jobs.done").inc()
    endpoint.wait_for_total("jobs.done", 1)
    counter("jobs.done").inc(2)
    endpoint.wait_for_total("jobs.done", 3)
    assert shutdown()
    assert endpoint.total("jobs.done") == 3


def test_outage(caplog: pytest.LogCaptureFixture) -> None:
    """After an outage every point arrives once, with the time of its collection."""
    down = [answer(503), answer(429, headers=["Retry-After: 1"])]
    # A reused connection that breaks is replaced, and the batch sent again at once.
    down += [hang_up(), hang_up(), accept()]
    with Endpoint(*down) as endpoint:
        configure(endpoint=endpoint.url, interval=None)
        answers = []
        for _ in range(3):
            counter("jobs.done").inc()
            answers.append(flush())
            assert stats().waiting == len(answers)
        counter("jobs.done").inc()
        answers.append(flush())
        assert shutdown()
    assert answers == [False, False, False, True]
    assert endpoint.total("jobs.done") == 4
    lines = [line for line in endpoint.lines if line.startswith("jobs.done,")]
    moments = [line.rpartition(" ")[2] for line in lines]
    assert moments == [sorted(moments)[n] for n in (0, 2, 3, 1)]  # the newest first
    assert moments[0] == endpoint.requests[0].lines[0].rpartition(" ")[2]
    messages = [record.getMessage() for record in caplog.records]
    assert messages[-1] == "dtmetrics: delivering again"
    assert len(messages) == 4  # each problem is logged once


def test_rejected_lines(caplog: pytest.LogCaptureFixture) -> None:
    """A rejected line is counted and logged; the rest of its batch is not sent again."""
    with Endpoint(partly(1, 1, [(2, "invalid metric key")])) as endpoint:
        configure(endpoint=endpoint.url, interval=None)
        counter("jobs.done").inc()
        counter("orders.rejected").inc()
        assert flush()
        assert shutdown()
    counts = stats()
    # The third is a self-metric, which counts the rejected one.
    assert (counts.collected, counts.accepted, counts.rejected) == (3, 2, 1)
    assert counts.last_error == "1 lines rejected"
    assert [len(request.lines) for request in endpoint.requests] == [2, 1, 1]
    assert endpoint.total("dtmetrics.client.points.dropped") == 1
    (record,) = caplog.records
    assert re.fullmatch(
        r"dtmetrics: the endpoint rejected counter 'orders\.rejected' \(defined at .*test_journey\.py:"
        r"[0-9]+\): invalid metric key",
        record.getMessage(),
    )


def test_environment_and_token(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The endpoint and its token may come from environment variables."""
    monkeypatch.setenv(
        "DT_METRICS_INGEST_URL", f"http://127.0.0.1:{endpoint.port}/e/abc"
    )
    monkeypatch.setenv("DT_METRICS_INGEST_API_TOKEN", "dt0c01.public.secret\n")
    configure(interval=None)
    counter("jobs.done").inc()
    assert flush()
    (request,) = endpoint.requests
    assert request.target == "/e/abc/api/v2/metrics/ingest"
    assert request.headers["authorization"] == "Api-Token dt0c01.public.secret"


def test_many_threads(endpoint: Endpoint) -> None:
    """Counts that threads record at once arrive exactly."""
    configure(endpoint=endpoint.url, interval=0.01)
    orders = counter("jobs.done")

    def work(_: int) -> None:
        for _ in range(5_000):
            orders.inc()

    in_threads(4, work)
    assert shutdown()
    assert endpoint.total("jobs.done") == 20_000
    counts = stats()
    assert counts.collected == counts.accepted == len(endpoint.lines)
